"""The .hzc container: header, chunk records, checksums; the only file that knows offsets.

    file    = header, chunk*            (known length)
    file    = header, chunk*, end       (streamed: length not known when the header was written)
    chunk   = one record per channel
    record  = [n_frames varint, streamed only], length varint, payload, CRC-16

Specification: formats/hzc-1.md. Only the standard library is imported here, so that a file can be
looked at without the codec. Multi-byte integers are big-endian; a varint is LEB128, shortest form.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hzc.errors import CorruptError, LimitError, NotHzcError, TruncatedError, VersionError

MAGIC = b"hzc"
VERSION = 1
FRAME_RATE_HZ = 8
"""Latent frames per second; fixed for every model of format version 1."""
CHUNK_FRAMES = 80
"""Frames per chunk, 10 s; the last chunk may be shorter."""
MAX_FRAMES = 2**27
"""About 194 days."""
MAX_CHANNELS = 16
MIN_SAMPLE_RATE_HZ = 1_000
MAX_SAMPLE_RATE_HZ = 768_000
MAX_STEP_INDEX = 64
"""Global step indexes are -64 … 64: steps from 2^-8 to 2^8 times the learned ones."""
MAX_GAIN_HALF_DB = 120
MAX_SYMBOL_BYTES = 5
"""A symbol costs at most 16 bits, an escaped one 16 more; one byte is spare."""

FLAG_STREAMED = 0b0001
FLAG_EXPLICIT_STEPS = 0b0010
RESERVED_FLAGS = 0b1100

SAMPLE_RATES_HZ = (
    0, 8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 88_200,
    96_000, 176_400, 192_000,
)  # fmt: skip
"""Sample rate of each rate code; code 0 is followed by the rate itself, code 15 is reserved."""

FIXED_BYTES = 11
CRC_BYTES = 2
MAX_VARINT_BYTES = 5


@dataclass(frozen=True)
class Header:
    """What a file says about itself before the coded symbols."""

    model_id: int
    """Registry id of the model, 1 … 255."""
    fingerprint: int
    """Checksum of the model's prior and tables, 0 … 65535."""
    n_latent: int
    """Dimensions D of the latent, 1 … 255."""
    n_frames: int | None
    """Frames F of the latent per channel, 1 … 2^27; None in the header of a streamed file."""
    n_samples: int | None
    """Samples per channel at `sample_rate_hz`; None in the header of a streamed file."""
    sample_rate_hz: int = 16_000
    """Rate of the original audio, 1000 … 768000 Hz."""
    n_channels: int = 1
    """1 … 16."""
    step_index: int = 0
    """The learned steps are multiplied by 2^(step_index / 8); -64 … 64."""
    gain_half_db: int = 0
    """Gain applied before analysis, in half decibels; -120 … 120."""
    step_offsets: tuple[int, ...] | None = None
    """Per-dimension addition to `step_index`, or None; each sum stays in -64 … 64."""

    @property
    def is_streamed(self) -> bool:
        """Whether the length is told at the end of the file only."""
        return self.n_frames is None

    @property
    def duration_s(self) -> float | None:
        """Length of the audio in seconds."""
        return None if self.n_samples is None else self.n_samples / self.sample_rate_hz


@dataclass(frozen=True)
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


def n_frames_for(n_samples: int, sample_rate_hz: int) -> int:
    """Return how many frames cover n_samples.

    >>> n_frames_for(16_001, 16_000)
    9
    """
    return -(-n_samples * FRAME_RATE_HZ // sample_rate_hz)


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


def pack_header(header: Header) -> bytes:
    """Return the header with its checksum.

    Raises:
        ValueError: a field is out of range.
    """
    _check_header(header)
    flags = FLAG_STREAMED * header.is_streamed
    flags |= FLAG_EXPLICIT_STEPS * (header.step_offsets is not None)
    known = header.sample_rate_hz in SAMPLE_RATES_HZ
    code = SAMPLE_RATES_HZ.index(header.sample_rate_hz) if known else 0
    out = bytearray(MAGIC)
    out.append(VERSION << 4 | flags)
    out.append(header.model_id)
    out += header.fingerprint.to_bytes(2, "big")
    out.append(code << 4 | (header.n_channels - 1))
    out += header.step_index.to_bytes(1, "big", signed=True)
    out += header.gain_half_db.to_bytes(1, "big", signed=True)
    out.append(header.n_latent)
    if not known:
        out += header.sample_rate_hz.to_bytes(4, "big")
    for offset in header.step_offsets or ():
        out += offset.to_bytes(1, "big", signed=True)
    if header.n_frames is not None and header.n_samples is not None:
        out += _varint(header.n_frames)
        out += _varint(_trim(header.n_frames, header.n_samples, header.sample_rate_hz))
    return bytes(out) + crc_hqx(bytes(out), 0xFFFF).to_bytes(CRC_BYTES, "big")


def pack_chunk(header: Header, packed_header: bytes, index: int, chunk: Chunk) -> bytes:
    """Return the records of one chunk, `index` counted from 0.

    Raises:
        ValueError: the chunk does not have one payload per channel, or a wrong frame count.
    """
    if len(chunk.payloads) != header.n_channels or not 1 <= chunk.n_frames <= CHUNK_FRAMES:
        raise ValueError(f"chunk {index} does not fit the header")
    out = bytearray()
    for channel, payload in enumerate(chunk.payloads):
        record = _varint(chunk.n_frames) if header.is_streamed else b""
        record += _varint(len(payload)) + payload
        crc = _record_crc(packed_header, index, channel, record)
        out += record + crc.to_bytes(CRC_BYTES, "big")
    return bytes(out)


def pack_end(header: Header, packed_header: bytes, n_frames: int, n_samples: int) -> bytes:
    """Return the end record of a streamed file: zero frames, then the trim.

    Raises:
        ValueError: n_samples does not fill n_frames.
    """
    if n_frames != n_frames_for(n_samples, header.sample_rate_hz):
        raise ValueError(f"{n_samples} samples do not make {n_frames} frames")
    record = b"\0" + _varint(_trim(n_frames, n_samples, header.sample_rate_hz))
    crc = _record_crc(packed_header, -(-n_frames // CHUNK_FRAMES), 0, record)
    return record + crc.to_bytes(CRC_BYTES, "big")


def read_header(data: bytes) -> tuple[Header, int]:
    """Return the header and its length in bytes; nothing after it is looked at.

    Raises:
        FormatError: see the classes under it.
    """
    cursor = _Cursor(data)
    header = _read_header(cursor)
    return header, cursor.offset


def unpack(data: bytes) -> Container:
    """Return a whole file, every checksum verified.

    Raises:
        FormatError: see the classes under it.
    """
    cursor = _Cursor(data)
    header = _read_header(cursor)
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


class _Cursor:
    """Reads fields from bytes and never past their end."""

    def __init__(self, data: bytes) -> None:
        self.data, self.offset = data, 0

    def take(self, n_bytes: int) -> bytes:
        end = self.offset + n_bytes
        if end > len(self.data):
            raise TruncatedError(
                f"truncated (found {len(self.data)} bytes, at least {end} needed)",
                hint="the file was cut off; copy it again",
            )
        piece = self.data[self.offset : end]
        self.offset = end
        return piece

    def unsigned(self, n_bytes: int = 1) -> int:
        return int.from_bytes(self.take(n_bytes), "big")

    def signed(self) -> int:
        return int.from_bytes(self.take(1), "big", signed=True)

    def varint(self) -> int:
        value = 0
        for i in range(MAX_VARINT_BYTES):
            byte = self.unsigned()
            value |= (byte & 0x7F) << (7 * i)
            if byte < 0x80:
                if byte == 0 and i > 0:
                    raise CorruptError("integer not in its shortest form")
                return value
        raise LimitError("integer longer than 5 bytes")


def _read_header(cursor: _Cursor) -> Header:
    data = cursor.data
    if data[: len(MAGIC)] != MAGIC[: len(data)] or not data:
        raise NotHzcError(
            "not a .hzc file (wrong magic number)" if data else "not a .hzc file (it is empty)",
            hint="hzc decode reads files made by hzc encode",
        )
    cursor.take(len(MAGIC))
    version, flags = divmod(cursor.unsigned(), 16)
    if version != VERSION or flags & RESERVED_FLAGS:
        raise VersionError(
            f"format version {version}, flags {flags:#06b} (this hzc reads version {VERSION})",
            hint="update hzc",
        )
    model_id = cursor.unsigned()
    fingerprint = cursor.unsigned(2)
    code, channels = divmod(cursor.unsigned(), 16)
    step_index, gain_half_db, n_latent = cursor.signed(), cursor.signed(), cursor.unsigned()
    if code >= len(SAMPLE_RATES_HZ):
        raise VersionError(f"sample rate code {code} is reserved", hint="update hzc")
    rate = SAMPLE_RATES_HZ[code] or cursor.unsigned(4)
    offsets = None
    if flags & FLAG_EXPLICIT_STEPS:
        offsets = tuple(cursor.signed() for _ in range(n_latent))
    n_frames = trim = None
    if not flags & FLAG_STREAMED:
        n_frames, trim = cursor.varint(), cursor.varint()
    covered = cursor.offset
    if cursor.unsigned(CRC_BYTES) != crc_hqx(data[:covered], 0xFFFF):
        raise CorruptError("header checksum does not match", hint="the file is damaged")
    if code == 0 and rate in SAMPLE_RATES_HZ:
        raise CorruptError(f"sample rate {rate} Hz must be given by its code")
    header = Header(
        model_id=model_id,
        fingerprint=fingerprint,
        n_latent=n_latent,
        n_frames=None,
        n_samples=None,
        sample_rate_hz=rate,
        n_channels=channels + 1,
        step_index=step_index,
        gain_half_db=gain_half_db,
        step_offsets=offsets,
    )
    if n_frames is not None and trim is not None:
        header = _with_length(header, n_frames, trim)
    try:
        _check_header(header)
    except ValueError as error:
        raise LimitError(str(error)) from None
    return header


def _with_length(header: Header, n_frames: int, trim: int) -> Header:
    """Return the header with its length, or raise where frames and trim contradict each other."""
    if not 1 <= n_frames <= MAX_FRAMES:
        raise LimitError(f"{n_frames} frames (1 to {MAX_FRAMES} allowed)")
    if not MIN_SAMPLE_RATE_HZ <= header.sample_rate_hz <= MAX_SAMPLE_RATE_HZ:
        raise LimitError(f"sample rate {header.sample_rate_hz} Hz")
    n_samples = n_frames * header.sample_rate_hz // FRAME_RATE_HZ - trim
    if n_samples < 1 or n_frames_for(n_samples, header.sample_rate_hz) != n_frames:
        raise CorruptError(f"trim of {trim} samples does not fit {n_frames} frames")
    return replace(header, n_frames=n_frames, n_samples=n_samples)


def _read_chunk(
    cursor: _Cursor, header: Header, packed_header: bytes, index: int, n_frames: int | None
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
        if length > n_frames * header.n_latent * MAX_SYMBOL_BYTES + 8:
            raise LimitError(f"chunk {index} declares {length} bytes for {n_frames} frames")
        payloads.append(cursor.take(length))
        _check_record(cursor, packed_header, index, channel, start)
    assert n_frames is not None
    return Chunk(n_frames, tuple(payloads))


def _finish_stream(
    cursor: _Cursor, header: Header, packed_header: bytes, chunks: list[Chunk]
) -> Header:
    start = cursor.offset
    cursor.take(1)
    trim = cursor.varint()
    _check_record(cursor, packed_header, len(chunks), 0, start)
    return _with_length(header, sum(chunk.n_frames for chunk in chunks), trim)


def _check_record(
    cursor: _Cursor, packed_header: bytes, index: int, channel: int, start: int
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


def _trim(n_frames: int, n_samples: int, sample_rate_hz: int) -> int:
    """Samples that the frames cover beyond n_samples."""
    return n_frames * sample_rate_hz // FRAME_RATE_HZ - n_samples


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _check_header(header: Header) -> None:
    """Raise ValueError for the first field that is out of range."""
    ranges = (
        ("model id", header.model_id, 1, 255),
        ("fingerprint", header.fingerprint, 0, 65535),
        ("latent dimensions", header.n_latent, 1, 255),
        ("sample rate", header.sample_rate_hz, MIN_SAMPLE_RATE_HZ, MAX_SAMPLE_RATE_HZ),
        ("channels", header.n_channels, 1, MAX_CHANNELS),
        ("step index", header.step_index, -MAX_STEP_INDEX, MAX_STEP_INDEX),
        ("gain", header.gain_half_db, -MAX_GAIN_HALF_DB, MAX_GAIN_HALF_DB),
    )
    for name, value, low, high in ranges:
        if not low <= value <= high:
            raise ValueError(f"{name} {value} is outside {low} to {high}")
    offsets = header.step_offsets
    if offsets is not None:
        if len(offsets) != header.n_latent:
            raise ValueError(f"{len(offsets)} step offsets for {header.n_latent} dimensions")
        for offset in offsets:
            if not -MAX_STEP_INDEX <= header.step_index + offset <= MAX_STEP_INDEX:
                raise ValueError(f"step offset {offset} leaves the range of step indexes")
    if (header.n_frames is None) != (header.n_samples is None):
        raise ValueError("frames and samples are known or unknown together")
    if header.n_frames is not None and header.n_samples is not None:
        if not 1 <= header.n_frames <= MAX_FRAMES:
            raise ValueError(f"{header.n_frames} frames are outside 1 to {MAX_FRAMES}")
        if header.n_frames != n_frames_for(header.n_samples, header.sample_rate_hz):
            raise ValueError(f"{header.n_samples} samples do not make {header.n_frames} frames")
