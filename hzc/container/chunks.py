"""Chunks, their records and checksums, and whole files.

Layout: formats/hzc-1.md, section 5.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO

from hzc.container.fields import Cursor, Readable, varint
from hzc.container.header import (
    CHUNK_FRAMES,
    CRC_BYTES,
    MAX_FRAMES,
    MAX_GAIN_HALF_DB,
    AnyHeader,
    Header,
    StreamHeader,
    check_header,
    pack_header,
    take_header,
)
from hzc.errors import CorruptError, FormatError, LimitError

END_MARK = 0
"""In the place of n_frames in a record of a streamed file: this is the end record."""
DAMAGED_HINT = "the file is damaged: copy it again, or decode what is left with --salvage"
MAX_SYMBOL_BYTES = 5
"""A symbol costs at most 16 bits, an escaped one 16 more; one byte is spare."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Ten seconds or less of every channel."""

    n_frames: int
    """1 … 80."""
    payloads: tuple[bytes, ...]
    """One per channel."""
    gain_half_db: int = 0
    """Gain applied before analysis, in half decibels; -120 … 120."""


@dataclass(frozen=True)
class Container:
    """A whole file."""

    header: Header
    """Complete: the length of a streamed file is filled in."""
    chunks: tuple[Chunk, ...]
    is_streamed: bool

    @property
    def header_bytes(self) -> int:
        """Bytes of the header with its checksum."""
        return len(pack_header(self.header.without_length() if self.is_streamed else self.header))

    @property
    def payload_bytes(self) -> int:
        """Bytes of coded symbols."""
        return sum(len(p) for chunk in self.chunks for p in chunk.payloads)

    def packed(self) -> bytes:
        """Return the bytes of the file.

        Raises:
            ValueError: as `pack`.
        """
        if not self.is_streamed:
            return pack(self.header, self.chunks)
        header = self.header.without_length()
        head, whole = pack_header(header), self.header
        body = [pack_chunk(header, head, index, chunk) for index, chunk in enumerate(self.chunks)]
        end = pack_end(header, head, len(body), whole.n_frames, whole.n_samples)
        return head + b"".join(body) + end


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


def pack_chunk(header: AnyHeader, packed_header: bytes, index: int, chunk: Chunk) -> bytes:
    """Return the records of one chunk, `index` counted from 0.

    Raises:
        ValueError: the chunk does not have one payload per channel, a wrong frame count, or a gain
            out of range.
    """
    if len(chunk.payloads) != header.n_channels or not 1 <= chunk.n_frames <= CHUNK_FRAMES:
        raise ValueError(f"chunk {index} does not fit the header")
    if abs(chunk.gain_half_db) > MAX_GAIN_HALF_DB:
        raise ValueError(f"gain {chunk.gain_half_db} is outside ±{MAX_GAIN_HALF_DB}")
    out = bytearray()
    for channel, payload in enumerate(chunk.payloads):
        if len(payload) > max_payload_bytes(header, chunk.n_frames):
            raise ValueError(f"{len(payload)} bytes for {chunk.n_frames} frames of chunk {index}")
        record = bytes([chunk.n_frames]) if isinstance(header, StreamHeader) else b""
        record += chunk.gain_half_db.to_bytes(1, "big", signed=True)
        record += varint(len(payload)) + payload
        crc = crc_hqx(record, place_crc(packed_header, index, channel))
        out += record + crc.to_bytes(CRC_BYTES, "big")
    return bytes(out)


def pack_end(
    header: StreamHeader, packed_header: bytes, n_chunks: int, n_frames: int, n_samples: int
) -> bytes:
    """Return the end record of a streamed file: the length that its header lacks.

    Raises:
        ValueError: n_samples does not fill n_frames.
    """
    whole = Header(n_frames=n_frames, n_samples=n_samples, **vars(header))
    check_header(whole)
    record = bytes([END_MARK]) + varint(n_frames) + varint(whole.trim)
    crc = crc_hqx(record, place_crc(packed_header, n_chunks, 0))
    return record + crc.to_bytes(CRC_BYTES, "big")


def unpack(data: bytes) -> Container:
    """Return a whole file, every checksum verified.

    Raises:
        FormatError: see the classes under it.
    """
    reader = Reader(BytesIO(data))
    chunks = tuple(reader.chunks())
    header = reader.header
    assert isinstance(header, Header), "the last chunk completes the header"
    return Container(header, chunks, reader.is_streamed)


class Reader:
    """Reads a file front to back, one chunk in memory at a time."""

    def __init__(self, stream: Readable) -> None:
        """Read the header.

        Raises:
            FormatError: see the classes under it.
        """
        self._cursor = Cursor(stream)
        self.header: AnyHeader = take_header(self._cursor)
        """Complete once all chunks have been read."""
        self.is_streamed = isinstance(self.header, StreamHeader)
        self.header_bytes = self._cursor.offset
        """Bytes of the header with its checksum."""
        self.payload_bytes = 0
        """Bytes of coded symbols read so far."""
        self._packed_header = bytes(self._cursor.marked)

    @property
    def n_bytes(self) -> int:
        """Bytes read so far."""
        return self._cursor.offset

    def chunks(self) -> Iterator[Chunk]:
        """Yield the chunks, each with its checksums verified; then complete the header.

        Raises:
            FormatError: the file is damaged, cut off, or goes on after its end.
        """
        index = n_frames = 0
        while self.header.n_frames is None or n_frames < self.header.n_frames:
            try:
                chunk = self._chunk(index, n_frames)
            except FormatError as error:
                error.hint = error.hint or DAMAGED_HINT
                raise
            if chunk is None:
                break
            index, n_frames = index + 1, n_frames + chunk.n_frames
            self.payload_bytes += sum(map(len, chunk.payloads))
            yield chunk
        if self._cursor.take_up_to(1):
            raise CorruptError("there are bytes after the end")

    def _chunk(self, index: int, n_before: int) -> Chunk | None:
        """Return the next chunk, or None after the end record of a streamed file."""
        cursor, header = self._cursor, self.header
        payloads: list[bytes] = []
        shapes: set[tuple[int, int]] = set()
        for channel in range(header.n_channels):
            cursor.mark()
            if isinstance(header, StreamHeader):
                n_frames = cursor.unsigned()
                if n_frames == END_MARK and channel == 0:
                    self._end(header, index, n_before)
                    return None
                if not 1 <= n_frames <= min(CHUNK_FRAMES, MAX_FRAMES - n_before):
                    raise LimitError(f"chunk {index} declares {n_frames} frames")
            else:
                n_frames = min(CHUNK_FRAMES, header.n_frames - n_before)
            shapes.add((n_frames, cursor.signed()))
            payloads.append(take_payload(cursor, header, n_frames))
            self._check(index, channel)
        if len(shapes) > 1:
            raise CorruptError(f"channels of chunk {index} differ in frames or gain")
        n_frames, gain_half_db = shapes.pop()
        if abs(gain_half_db) > MAX_GAIN_HALF_DB:
            raise LimitError(f"chunk {index} declares a gain of {gain_half_db} half decibels")
        return Chunk(n_frames, tuple(payloads), gain_half_db)

    def _end(self, header: StreamHeader, index: int, n_frames: int) -> None:
        declared, trim = self._cursor.varint(), self._cursor.varint()
        self._check(index, 0)
        if declared != n_frames:
            raise CorruptError(f"{n_frames} frames came, the end record says {declared}")
        self.header = header.with_length(n_frames, trim)

    def _check(self, index: int, channel: int) -> None:
        expected = crc_hqx(self._cursor.marked, place_crc(self._packed_header, index, channel))
        if self._cursor.unsigned(CRC_BYTES) != expected:
            raise CorruptError(
                f"checksum of chunk {index} does not match (before byte {self._cursor.offset})"
            )


def take_payload(cursor: Cursor, header: AnyHeader, n_frames: int) -> bytes:
    """Return the payload at the cursor, its length first."""
    length = cursor.varint()
    if length > max_payload_bytes(header, n_frames):
        raise LimitError(f"{length} bytes are declared for {n_frames} frames")
    return cursor.take(length)


def place_crc(packed_header: bytes, index: int, channel: int) -> int:
    """CRC-16 that a record's own starts from: its place and its file's header checksum.

    A record that is moved within a file does not match, nor one of a file with another header.
    """
    place = packed_header[-CRC_BYTES:] + index.to_bytes(4, "big") + bytes([channel])
    return crc_hqx(place, 0xFFFF)


def max_payload_bytes(header: AnyHeader, n_frames: int) -> int:
    """Limit on a payload, so that a reader need not trust its length."""
    return n_frames * header.n_latent * MAX_SYMBOL_BYTES + 8
