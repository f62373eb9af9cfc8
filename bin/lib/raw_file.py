"""Bytes of .hzc files from the values of their fields.

Nothing is checked, so that files can be faulty; checksums are right unless `crc_error` is given.
Written from formats/hzc-1.md and not from hzc.container, so that each of them tests the other.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Sequence
from dataclasses import dataclass

STREAMED = 0b0001
EXPLICIT_STEPS = 0b0010


def vlq(value: int, n_bytes: int = 0) -> bytes:
    """Return LEB128: seven bits a byte, low bits first; longer than need be if n_bytes says so."""
    out = [value & 0x7F]
    while value := value >> 7:
        out.append(value & 0x7F)
    out += [0] * (n_bytes - len(out))
    return bytes([byte | 0x80 for byte in out[:-1]] + out[-1:])


def _sealed(start: bytes, data: bytes, crc_error: int) -> bytes:
    crc = crc_hqx(start + data, 0xFFFF) ^ crc_error
    return data + crc.to_bytes(2, "big")


def _s8(value: int) -> bytes:
    return value.to_bytes(1, "big", signed=True)


@dataclass(frozen=True)
class RawHeader:
    """Section 4. Varints and the sample rate are given as bytes, none where they are absent."""

    model_id: int
    fingerprint: int
    n_latent: int
    magic: bytes = b"hzc"
    version: int = 1
    flags: int = 0
    rate_code: int = 4
    channels_less_1: int = 0
    step_index: int = 0
    sample_rate: bytes = b""
    step_offsets: tuple[int, ...] = ()
    n_frames: bytes = b"\x01"
    trim: bytes = b"\x00"
    crc_error: int = 0

    def packed(self) -> bytes:
        data = self.magic + bytes([self.version << 4 | self.flags, self.model_id])
        data += self.fingerprint.to_bytes(2, "big")
        data += bytes([self.rate_code << 4 | self.channels_less_1])
        data += _s8(self.step_index) + bytes([self.n_latent]) + self.sample_rate
        data += b"".join(map(_s8, self.step_offsets)) + self.n_frames + self.trim
        return _sealed(b"", data, self.crc_error)


@dataclass(frozen=True)
class RawRecord:
    """Section 5.1."""

    payload: bytes
    n_frames: int | None = None
    """Only in streamed files."""
    gain: int = 0
    length: bytes | None = None
    """None for the right one."""
    crc_error: int = 0

    def packed(self, header: bytes, chunk: int, channel: int) -> bytes:
        data = b"" if self.n_frames is None else bytes([self.n_frames])
        data += _s8(self.gain) + (self.length or vlq(len(self.payload))) + self.payload
        return _sealed(_place(header, chunk, channel), data, self.crc_error)


@dataclass(frozen=True)
class RawEnd:
    """Section 5.2."""

    n_frames: bytes
    trim: bytes = b"\x00"
    crc_error: int = 0

    def packed(self, header: bytes, n_chunks: int) -> bytes:
        data = b"\x00" + self.n_frames + self.trim
        return _sealed(_place(header, n_chunks, 0), data, self.crc_error)


def _place(header: bytes, chunk: int, channel: int) -> bytes:
    return header[-2:] + chunk.to_bytes(4, "big") + bytes([channel])


def raw_file(
    header: RawHeader, chunks: Sequence[Sequence[RawRecord]], end: RawEnd | None = None
) -> bytes:
    """Return a whole file; the records of a chunk are those of its channels."""
    return b"".join(raw_parts(header, chunks, end))


def raw_parts(
    header: RawHeader, chunks: Sequence[Sequence[RawRecord]], end: RawEnd | None = None
) -> list[bytes]:
    """Return header, records and end record, to be put together in another way."""
    head = header.packed()
    parts = [head]
    for index, chunk in enumerate(chunks):
        parts += [record.packed(head, index, channel) for channel, record in enumerate(chunk)]
    if end is not None:
        parts.append(end.packed(head, len(chunks)))
    return parts
