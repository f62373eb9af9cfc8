"""Files put together byte by byte, so that any field can be wrong."""

from __future__ import annotations

from binascii import crc_hqx
from typing import Any

N_LATENT = 32
LONG = b"\x80\x80\x80\x80\x80\x01"
"""A varint of six bytes."""
NOT_SHORTEST = b"\x83\x00"

Fault = dict[str, Any]
"""Fields that are not as they should be."""


def vlq(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def raw_file(**fault: Any) -> bytes:
    """Return a file of two channels and one chunk of one frame, with these fields instead.

    Checksums fit what is there; `…_crc` is XORed into them.
    """
    is_streamed = fault.pop("is_streamed", False)
    field = {
        "magic": b"hzc", "version": 1, "flags": 0, "model_id": 1, "fingerprint": 0, "code": 4,
        "step_index": 0, "n_latent": N_LATENT, "rate": None, "offsets": b"", "f": vlq(1),
        "trim": vlq(0), "header_crc": 0, "n_chunks": 1, "n_frames": (1, 1), "gains": (0, 0),
        "lengths": (vlq(3), vlq(3)), "record_crc": 0, "end_f": vlq(1), "end_trim": vlq(0),
        "end_crc": 0, "tail": b"",
    }  # fmt: skip
    assert set(fault) <= set(field)
    field |= fault
    flags = field["flags"] | is_streamed | 2 * bool(field["offsets"])
    head = field["magic"] + bytes([field["version"] << 4 | flags, field["model_id"]])
    head += field["fingerprint"].to_bytes(2, "big") + bytes([field["code"] << 4 | 1])
    head += bytes([field["step_index"] % 256, field["n_latent"]])
    head += b"" if field["rate"] is None else field["rate"].to_bytes(4, "big")
    head += field["offsets"]
    head += b"" if is_streamed else field["f"] + field["trim"]
    crc = crc_hqx(head, 0xFFFF) ^ field["header_crc"]
    data = head + crc.to_bytes(2, "big")

    def with_crc(record: bytes, index: int, channel: int, wrong: int) -> bytes:
        place = data[len(head) : len(head) + 2] + index.to_bytes(4, "big") + bytes([channel])
        return record + (crc_hqx(place + record, 0xFFFF) ^ wrong).to_bytes(2, "big")

    for channel in range(2 * field["n_chunks"]):
        record = bytes([field["n_frames"][channel]]) if is_streamed else b""
        record += bytes([field["gains"][channel] % 256]) + field["lengths"][channel] + b"abc"
        data += with_crc(record, 0, channel, field["record_crc"] if channel == 0 else 0)
    if is_streamed:
        record = b"\0" + field["end_f"] + field["end_trim"]
        data += with_crc(record, field["n_chunks"], 0, field["end_crc"])
    return data + field["tail"]


FAULTS: dict[str, list[Fault]] = {
    "H1": [{"magic": b"hzx"}, {"magic": b"RIF"}],
    "H2": [{"version": 0}, {"version": 2}, {"version": 15}, {"flags": 4}, {"flags": 8}],
    "H3": [{"code": 15}],
    "H4": [{"f": LONG}],
    "H5": [{"trim": NOT_SHORTEST}],
    "H6": [{"header_crc": 1}, {"header_crc": 0x8000}],
    "H7": [{"code": 0, "rate": 16_000}],
    "H8": [{"f": vlq(0)}, {"f": vlq(2**27 + 1)}],
    "H9": [{"code": 0, "rate": 999}, {"code": 0, "rate": 768_001}],
    "H10": [{"trim": vlq(2_000)}, {"trim": vlq(5_000)}],
    "H11": [
        {"model_id": 0}, {"n_latent": 0}, {"step_index": 65}, {"step_index": -65},
        {"offsets": bytes([65] + [0] * (N_LATENT - 1))},
    ],
    "R1": [{"n_frames": (81, 81)}, {"n_frames": (1, 0)}, {"n_frames": (1, 81)}],
    "R2": [{"lengths": (LONG, vlq(3))}],
    "R3": [{"lengths": (NOT_SHORTEST, vlq(3))}],
    "R4": [{"lengths": (vlq(N_LATENT * 5 + 9), vlq(3))}],
    "R5": [{"record_crc": 1}],
    "R6": [{"n_frames": (1, 2)}, {"gains": (1, 2)}],
    "R7": [{"gains": (121, 121)}, {"gains": (-121, -121)}],
    "E1": [{"end_f": LONG}],
    "E2": [{"end_trim": NOT_SHORTEST}],
    "E3": [{"end_crc": 1}],
    "E4": [{"end_f": vlq(2)}],
    "E5": [{"n_chunks": 0, "end_f": vlq(0)}],
    "E6": [{"end_trim": vlq(2_000)}],
    "X1": [{"tail": b"\0"}, {"tail": b"hzc"}],
}  # fmt: skip
"""Files that each check of section 11 refuses."""

STREAMED_ONLY = {"n_frames", "end_f", "end_trim", "end_crc"}
NOT_STREAMED_ONLY = {"f", "trim"}
OF_RECORDS = {"n_frames", "gains", "lengths", "record_crc"}


def with_faults(*faults: Fault) -> bytes | None:
    """Return the file with some faults, or None where no file has all of them."""
    names = [name for fault in faults for name in fault]
    is_streamed = bool(STREAMED_ONLY & set(names))
    if len(names) > len(set(names)) or (is_streamed and NOT_STREAMED_ONLY & set(names)):
        return None
    if "n_chunks" in names and OF_RECORDS & set(names):
        return None
    together = {name: value for fault in faults for name, value in fault.items()}
    return raw_file(**together, is_streamed=is_streamed)
