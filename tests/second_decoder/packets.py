"""Packets, written from formats/packets-1.md; the names K1 … K9 are those of its section 6."""

from binascii import crc_hqx
from dataclasses import dataclass

from .decode import Frame, decode_payload
from .errors import Corrupt, Limit, Truncated, UnknownModel, Version
from .prior import Prior

MAX_BYTES = 1400
HEAD_BYTES, CRC_BYTES = 5, 2
FIELD_BITS = (2, 4, 14, 6, 7, 7)


@dataclass(frozen=True)
class Packet:
    """What a packet says; `end` is None for a packet with frames."""

    position: int
    step_index: int
    gain: int
    frames: list[Frame]
    end: int | None


def read_packet(data: bytes, prior: Prior, hop: int) -> Packet:
    """Read a packet of a model; refuse it as section 6 says."""
    if len(data) > MAX_BYTES:  # K1
        raise Limit("too many bytes")
    if len(data) < HEAD_BYTES + CRC_BYTES:  # K2
        raise Truncated("too few bytes")
    version, model, position, n_frames, step, gain = _fields(data)
    if version != 1:  # K3
        raise Version(f"version {version}")
    model_id = prior.weights.model_id
    if model != model_id % 16:  # K4
        raise UnknownModel(f"model {model} modulo 16")
    fingerprint = prior.weights.fingerprint()
    start = crc_hqx(bytes([model_id, fingerprint >> 8, fingerprint & 0xFF]), 0xFFFF)
    if crc_hqx(data[:-2], start) != int.from_bytes(data[-2:], "big"):  # K5
        raise Corrupt("the CRC-16 does not match")
    payload, end = data[HEAD_BYTES:-CRC_BYTES], step * 128 + gain
    if n_frames == 0:
        if payload:  # K6
            raise Corrupt("a mark with a payload")
        if end > hop:  # K7
            raise Limit("an end above the hop")
        return Packet(position, 0, 0, [], end)
    if len(payload) > n_frames * prior.n_latent * 5 + 8:  # K8
        raise Limit("a payload is too long")
    frames = decode_payload(prior, step - 64, n_frames, payload, form=True)  # K9
    return Packet(position, step - 64, gain - 80, frames, None)


def _fields(data: bytes) -> list[int]:
    """Return the fields of the head (section 2)."""
    bits = "".join(f"{byte:08b}" for byte in data[:HEAD_BYTES])
    fields = []
    for n_bits in FIELD_BITS:
        fields.append(int(bits[:n_bits], 2))
        bits = bits[n_bits:]
    return fields
