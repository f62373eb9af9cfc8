"""Chunks, their records and checksums, and whole files.

Layout: formats/hzc-1.md, section 5.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hzc.container.fields import Cursor, varint
from hzc.container.header import (
    CHUNK_FRAMES,
    CRC_BYTES,
    Header,
    check_header,
    pack_header,
    take_header,
    trim_for,
    with_length,
)
from hzc.errors import CorruptError, LimitError

MAX_SYMBOL_BYTES = 5
"""A symbol costs at most 16 bits, an escaped one 16 more; one byte is spare."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Ten seconds or less of every channel."""

    n_frames: int
    payloads: tuple[bytes, ...]
    """One per channel."""


@dataclass(frozen=True)
class Container:
    """A whole file, checked."""

    header: Header
    """Complete: the length of a streamed file is filled in."""
    chunks: tuple[Chunk, ...]
    header_bytes: int
    """Bytes of the header with its checksum."""
    is_streamed: bool

    @property
    def payload_bytes(self) -> int:
        """Bytes of coded symbols."""
        return sum(len(p) for chunk in self.chunks for p in chunk.payloads)


def pack(header: Header, chunks: Sequence[Chunk]) -> bytes:
    """Return the bytes of a file whose length is known; chunks in time order.

    Raises:
        ValueError: a field is out of range, or the chunks do not have the header's shape.
    """
    n_frames = sum(chunk.n_frames for chunk in chunks)
    if n_frames != header.n_frames:
        raise ValueError(f"chunks have {n_frames} frames, header says {header.n_frames}")
    if any(chunk.n_frames != CHUNK_FRAMES for chunk in chunks[:-1]):
        raise ValueError(f"every chunk but the last has {CHUNK_FRAMES} frames")
    head = pack_header(header)
    body = [pack_chunk(header, head, index, chunk) for index, chunk in enumerate(chunks)]
    return head + b"".join(body)


def pack_chunk(header: Header, packed_header: bytes, index: int, chunk: Chunk) -> bytes:
    """Return the records of one chunk, `index` counted from 0.

    Raises:
        ValueError: the chunk does not have one payload per channel, or a wrong frame count.
    """
    if len(chunk.payloads) != header.n_channels or not 1 <= chunk.n_frames <= CHUNK_FRAMES:
        raise ValueError(f"chunk {index} does not fit the header")
    out = bytearray()
    for channel, payload in enumerate(chunk.payloads):
        if len(payload) > _max_payload_bytes(header, chunk.n_frames):
            raise ValueError(f"{len(payload)} bytes for {chunk.n_frames} frames of chunk {index}")
        record = varint(chunk.n_frames) if header.is_streamed else b""
        record += varint(len(payload)) + payload
        crc = _record_crc(packed_header, index, channel, record)
        out += record + crc.to_bytes(CRC_BYTES, "big")
    return bytes(out)


def pack_end(header: Header, packed_header: bytes, n_frames: int, n_samples: int) -> bytes:
    """Return the end record of a streamed file: zero frames, then the trim.

    Raises:
        ValueError: n_samples does not fill n_frames.
    """
    check_header(replace(header, n_frames=n_frames, n_samples=n_samples))
    record = b"\0" + varint(trim_for(n_frames, n_samples, header.sample_rate_hz))
    crc = _record_crc(packed_header, -(-n_frames // CHUNK_FRAMES), 0, record)
    return record + crc.to_bytes(CRC_BYTES, "big")


def unpack(data: bytes) -> Container:
    """Return a whole file, every checksum verified.

    Raises:
        FormatError: see the classes under it.
    """
    cursor = Cursor(data)
    header = take_header(cursor)
    header_bytes = cursor.offset
    packed_header = data[:header_bytes]
    chunks: list[Chunk] = []
    remaining = header.n_frames
    while remaining is None or remaining > 0:
        n_frames = None if remaining is None else min(CHUNK_FRAMES, remaining)
        chunk = _read_chunk(cursor, header, packed_header, len(chunks), n_frames)
        if chunk is None:
            break
        if header.is_streamed and chunks and chunks[-1].n_frames != CHUNK_FRAMES:
            raise CorruptError("a chunk before the last one is short")
        chunks.append(chunk)
        remaining = None if remaining is None else remaining - chunk.n_frames
    full = header
    if header.is_streamed:
        full = _finish_stream(cursor, header, packed_header, chunks)
    if cursor.offset != len(data):
        raise CorruptError(f"{len(data) - cursor.offset} bytes after the end")
    return Container(full, tuple(chunks), header_bytes, header.is_streamed)


def _read_chunk(
    cursor: Cursor, header: Header, packed_header: bytes, index: int, n_frames: int | None
) -> Chunk | None:
    """Return the next chunk, or None, nothing consumed, at the end record of a streamed file."""
    payloads: list[bytes] = []
    for channel in range(header.n_channels):
        start = cursor.offset
        if header.is_streamed:
            found = cursor.varint()
            if found == 0 and channel == 0:
                cursor.offset = start
                return None
            if not 1 <= found <= CHUNK_FRAMES or (channel > 0 and found != n_frames):
                raise CorruptError(f"chunk {index} declares {found} frames")
            n_frames = found
        assert n_frames is not None
        length = cursor.varint()
        if length > _max_payload_bytes(header, n_frames):
            raise LimitError(f"chunk {index} declares {length} bytes for {n_frames} frames")
        payloads.append(cursor.take(length))
        _check_record(cursor, packed_header, index, channel, start)
    assert n_frames is not None
    return Chunk(n_frames, tuple(payloads))


def _finish_stream(
    cursor: Cursor, header: Header, packed_header: bytes, chunks: list[Chunk]
) -> Header:
    start = cursor.offset
    cursor.take(1)
    trim = cursor.varint()
    _check_record(cursor, packed_header, len(chunks), 0, start)
    return with_length(header, sum(chunk.n_frames for chunk in chunks), trim)


def _check_record(
    cursor: Cursor, packed_header: bytes, index: int, channel: int, start: int
) -> None:
    record = cursor.data[start : cursor.offset]
    if cursor.unsigned(CRC_BYTES) != _record_crc(packed_header, index, channel, record):
        raise CorruptError(
            f"checksum of chunk {index} does not match (at byte {start})",
            hint="the file is damaged; copy it again",
        )


def _record_crc(packed_header: bytes, index: int, channel: int, record: bytes) -> int:
    """CRC-16 of a record, started from its place and its file's header checksum.

    A record that is moved within a file, or into another one, does not match.
    """
    place = packed_header[-CRC_BYTES:] + index.to_bytes(4, "big") + bytes([channel])
    return crc_hqx(record, crc_hqx(place, 0xFFFF))


def _max_payload_bytes(header: Header, n_frames: int) -> int:
    return n_frames * header.n_latent * MAX_SYMBOL_BYTES + 8
