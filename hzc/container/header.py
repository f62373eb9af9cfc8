"""The header of a file: what it says before the coded symbols.

Layout: formats/hzc-1.md, section 4.
"""

from __future__ import annotations

from binascii import crc_hqx
from dataclasses import dataclass, fields
from io import BytesIO
from typing import ClassVar

from hzc.container.fields import Cursor, varint
from hzc.errors import CorruptError, LimitError, NotHzcError, VersionError

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
"""Gains are in half decibels, -60 dB … 60 dB."""
FLAG_STREAMED = 0b0001
FLAG_EXPLICIT_STEPS = 0b0010
RESERVED_FLAGS = 0b1100

SAMPLE_RATES_HZ = (
    0, 8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 88_200,
    96_000, 176_400, 192_000,
)  # fmt: skip
"""Sample rate of each rate code; code 0 is followed by the rate itself, code 15 is reserved."""

FIXED_BYTES = 10
CRC_BYTES = 2


@dataclass(frozen=True)
class Header:
    """What a file says about itself, its length included."""

    model_id: int
    """Registry id of the model, 1 … 255."""
    fingerprint: int
    """Checksum of the model's prior and tables, 0 … 65535."""
    n_latent: int
    """Dimensions D of the latent, 1 … 255."""
    n_frames: int
    """Frames F of the latent per channel, 1 … 2^27."""
    n_samples: int
    """Samples per channel at `sample_rate_hz`."""
    sample_rate_hz: int = 16_000
    """Rate of the original audio, 1000 … 768000 Hz."""
    n_channels: int = 1
    """1 … 16."""
    step_index: int = 0
    """The learned steps are multiplied by 2^(step_index / 8); -64 … 64."""
    step_offsets: tuple[int, ...] | None = None
    """Per-dimension addition to `step_index`, or None; each sum stays in -64 … 64."""

    @property
    def duration_s(self) -> float:
        """Length of the audio in seconds."""
        return self.n_samples / self.sample_rate_hz

    @property
    def trim(self) -> int:
        """Samples that the frames cover beyond the end of the audio."""
        return self.n_frames * self.sample_rate_hz // FRAME_RATE_HZ - self.n_samples

    def without_length(self) -> StreamHeader:
        """Return the header that a streamed file begins with."""
        return StreamHeader(
            **{field.name: getattr(self, field.name) for field in fields(StreamHeader)}
        )


@dataclass(frozen=True)
class StreamHeader:
    """The header of a streamed file: the fields of `Header` without the length."""

    model_id: int
    fingerprint: int
    n_latent: int
    sample_rate_hz: int = 16_000
    n_channels: int = 1
    step_index: int = 0
    step_offsets: tuple[int, ...] | None = None

    n_frames: ClassVar[None] = None
    n_samples: ClassVar[None] = None
    duration_s: ClassVar[None] = None

    def with_length(self, n_frames: int, trim: int) -> Header:
        """Return the complete header.

        Raises:
            LimitError: too many frames or none.
            CorruptError: frames and trim contradict each other.
        """
        if not 1 <= n_frames <= MAX_FRAMES:
            raise LimitError(f"{n_frames} frames (1 to {MAX_FRAMES} allowed)")
        if not MIN_SAMPLE_RATE_HZ <= self.sample_rate_hz <= MAX_SAMPLE_RATE_HZ:
            raise LimitError(f"sample rate {self.sample_rate_hz} Hz")
        n_samples = n_frames * self.sample_rate_hz // FRAME_RATE_HZ - trim
        if n_samples < 1 or n_frames_for(n_samples, self.sample_rate_hz) != n_frames:
            raise CorruptError(f"trim of {trim} samples does not fit {n_frames} frames")
        return Header(n_frames=n_frames, n_samples=n_samples, **vars(self))


AnyHeader = Header | StreamHeader


def n_frames_for(n_samples: int, sample_rate_hz: int) -> int:
    """Return how many frames cover n_samples.

    >>> n_frames_for(16_001, 16_000)
    9
    """
    return -(-n_samples * FRAME_RATE_HZ // sample_rate_hz)


def pack_header(header: AnyHeader) -> bytes:
    """Return the header with its checksum.

    Raises:
        ValueError: a field is out of range.
    """
    check_header(header)
    flags = FLAG_STREAMED * isinstance(header, StreamHeader)
    flags |= FLAG_EXPLICIT_STEPS * (header.step_offsets is not None)
    known = header.sample_rate_hz in SAMPLE_RATES_HZ
    code = SAMPLE_RATES_HZ.index(header.sample_rate_hz) if known else 0
    out = bytearray(MAGIC)
    out.append(VERSION << 4 | flags)
    out.append(header.model_id)
    out += header.fingerprint.to_bytes(2, "big")
    out.append(code << 4 | (header.n_channels - 1))
    out += header.step_index.to_bytes(1, "big", signed=True)
    out.append(header.n_latent)
    if not known:
        out += header.sample_rate_hz.to_bytes(4, "big")
    for offset in header.step_offsets or ():
        out += offset.to_bytes(1, "big", signed=True)
    if isinstance(header, Header):
        out += varint(header.n_frames) + varint(header.trim)
    return bytes(out) + crc_hqx(bytes(out), 0xFFFF).to_bytes(CRC_BYTES, "big")


def read_header(data: bytes) -> tuple[AnyHeader, int]:
    """Return the header and its length in bytes; nothing after it is looked at.

    Raises:
        FormatError: see the classes under it.
    """
    cursor = Cursor(BytesIO(data))
    header = take_header(cursor)
    return header, cursor.offset


def check_magic(start: bytes) -> None:
    """Check the first bytes of a file, before the rest of it is read.

    Args:
        start: `len(MAGIC)` bytes; fewer only where the file is shorter.

    Raises:
        NotHzcError: this is no .hzc file.
    """
    if not start or start[: len(MAGIC)] != MAGIC[: len(start)]:
        raise NotHzcError(
            "not a .hzc file (wrong magic number)" if start else "not a .hzc file (it is empty)",
            hint="hzc decode reads files made by hzc encode",
        )


def take_header(cursor: Cursor) -> AnyHeader:
    """Return the header at the cursor, its checksum verified."""
    cursor.mark()
    magic = cursor.take_up_to(len(MAGIC))
    check_magic(magic)
    cursor.take(len(MAGIC) - len(magic))
    version, flags = divmod(cursor.unsigned(), 16)
    if version != VERSION or flags & RESERVED_FLAGS:
        raise VersionError(
            f"format version {version}, flags {flags:#06b} (this hzc reads version {VERSION})",
            hint="update hzc",
        )
    model_id = cursor.unsigned()
    fingerprint = cursor.unsigned(2)
    code, channels = divmod(cursor.unsigned(), 16)
    step_index, n_latent = cursor.signed(), cursor.unsigned()
    if code >= len(SAMPLE_RATES_HZ):
        raise VersionError(f"sample rate code {code} is reserved", hint="update hzc")
    rate = SAMPLE_RATES_HZ[code] or cursor.unsigned(4)
    offsets = None
    if flags & FLAG_EXPLICIT_STEPS:
        offsets = tuple(memoryview(cursor.take(n_latent)).cast("b"))
    n_frames = trim = None
    if not flags & FLAG_STREAMED:
        n_frames, trim = cursor.varint(), cursor.varint()
    expected = crc_hqx(cursor.marked, 0xFFFF)
    if cursor.unsigned(CRC_BYTES) != expected:
        raise CorruptError("header checksum does not match", hint="the file is damaged")
    if code == 0 and rate in SAMPLE_RATES_HZ[1:]:
        raise CorruptError(f"sample rate {rate} Hz must be given by its code")
    start = StreamHeader(model_id, fingerprint, n_latent, rate, channels + 1, step_index, offsets)
    header: AnyHeader = start
    if n_frames is not None and trim is not None:
        header = start.with_length(n_frames, trim)
    try:
        check_header(header)
    except ValueError as error:
        raise LimitError(str(error)) from None
    return header


def check_header(header: AnyHeader) -> None:
    """Raise ValueError for the first field that is out of range."""
    ranges = (
        ("model id", header.model_id, 1, 255),
        ("fingerprint", header.fingerprint, 0, 65535),
        ("latent dimensions", header.n_latent, 1, 255),
        ("sample rate", header.sample_rate_hz, MIN_SAMPLE_RATE_HZ, MAX_SAMPLE_RATE_HZ),
        ("channels", header.n_channels, 1, MAX_CHANNELS),
        ("step index", header.step_index, -MAX_STEP_INDEX, MAX_STEP_INDEX),
    )
    for name, value, low, high in ranges:
        if not low <= value <= high:
            raise ValueError(f"{name} {value} is outside {low} to {high}")
    offsets = header.step_offsets
    if offsets is not None:
        if len(offsets) != header.n_latent:
            raise ValueError(f"{len(offsets)} step offsets for {header.n_latent} dimensions")
        for offset in offsets:
            index = header.step_index + offset
            if not (-128 <= offset <= 127 and -MAX_STEP_INDEX <= index <= MAX_STEP_INDEX):
                raise ValueError(f"step offset {offset} leaves the range of step indexes")
    if isinstance(header, Header):
        if not 1 <= header.n_frames <= MAX_FRAMES:
            raise ValueError(f"{header.n_frames} frames are outside 1 to {MAX_FRAMES}")
        if header.n_frames != n_frames_for(header.n_samples, header.sample_rate_hz):
            raise ValueError(f"{header.n_samples} samples do not make {header.n_frames} frames")
