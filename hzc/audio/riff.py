"""WAV in: RIFF, RF64 and BW64, from files and from pipes, in constant memory.

    RIFF size WAVE  (id size content [padding])*  "data" size samples  (id size content)*

Chunks are walked as recorders and editors write them: of odd size with and without padding, with
zeros between them, in any order. Only `fmt `, `ds64` and `data` are looked into. Codings that
need more than one sample at a time (ADPCM, GSM, MP3) are not decoded here.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hzc.audio.mpeg import tag_bytes
from hzc.audio.pipes import PIECE_BYTES, Lost, Reader, missing, not_audio
from hzc.blocks import Blocks, FloatArray

MAGICS = (b"RIFF", b"RF64", b"BW64")
MAX_CHANNELS = 1024
MAX_RATE_HZ = 2**31 - 1
"""These two are libsndfile's limits."""
UNKNOWN = 0xFFFF_FFFF
"""What ffmpeg writes as sizes into a pipe, and what RF64 has in place of sizes of 64 bits."""
PCM, FLOAT, A_LAW, MU_LAW, EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
"""Format codes; EXTENSIBLE has the real one in a GUID that ends like this:"""
GUID_END = bytes.fromhex("0000 0000 1000 8000 00aa00389b71")
BITS = {PCM: (8, 16, 24, 32), FLOAT: (32, 64), A_LAW: (8,), MU_LAW: (8,)}
CHUNKS = frozenset(
    b"fmt |data|fact|LIST|INFO|bext|iXML|axml|chna|JUNK|junk|PAD |FLLR|smpl|inst|cue |plst|acid|"
    b"id3 |ID3 |PEAK|cart|DISP|afsp|levl|umid|link|_PMX|aXML|SAUR|elm1|regn|minf|ovwf|wavl|slnt"
    .split(b"|")
)  # fmt: skip
"""Known names, to recognise a chunk where padding or sizes may be wrong."""


@dataclass(frozen=True)
class Coding:
    """How bytes become samples."""

    code: int
    n_bits: int
    n_channels: int
    sample_rate_hz: int

    @property
    def align(self) -> int:
        """Bytes of one sample of all channels."""
        return self.n_channels * self.n_bits // 8

    def decode(self, data: bytes) -> FloatArray:
        """Return whole samples as float32 [channel, sample], full scale ±1."""
        samples = DECODERS[self.code, self.n_bits](data)
        return np.ascontiguousarray(samples.reshape(-1, self.n_channels).T)


@dataclass(frozen=True)
class Audio:
    """What a header says."""

    coding: Coding
    n_bytes: int
    """As announced; 0 where it is not known."""
    is_known: bool
    """False for sizes that programs write before they know the true one."""

    @property
    def duration_s(self) -> float | None:
        """Announced duration."""
        coding = self.coding
        return self.n_bytes // coding.align / coding.sample_rate_hz if self.is_known else None


def find_audio(reader: Reader) -> Audio | None:
    """Read up to the first sample of a WAV; return None for what is not read here.

    Raises:
        AudioReadError: the header ends early or is not valid.
    """
    while (n_tag_bytes := tag_bytes(reader.peek(10))) and reader.may_skip(n_tag_bytes):
        reader.skip(n_tag_bytes)
    start = reader.read(12)
    if start[:4] not in MAGICS or start[8:] != b"WAVE":
        return None
    found: dict[bytes, bytes] = {}
    is_empty = False
    while reader.may_skip(0):
        header = _chunk_header(reader)
        if header is None and is_empty:
            return _audio(start[:4], found, 0, is_known=True)
        if header is None:
            raise not_audio("the WAV header ends before the audio")
        name, n_bytes = header
        if name == b"data":
            is_empty = n_bytes == 0 and _is_chunk(reader)
            if not is_empty:
                return _audio(start[:4], found, n_bytes)
        if not reader.may_skip(n_bytes):
            return None
        content = reader.peek(min(n_bytes, 40))
        reader.skip(n_bytes)
        if name in (b"fmt ", b"ds64"):
            found.setdefault(name, content)
        if n_bytes % 2 and reader.peek(4) not in CHUNKS:
            reader.skip(1)
    return None


def blocks(reader: Reader, audio: Audio, block_samples: int, lost: Lost) -> Blocks:
    """Yield the samples, at most a second at a time: float32 [channel, sample].

    Where the announced size may be false, samples go on to the end, or to a chunk that is known.
    """
    coding = audio.coding
    align, sample_rate_hz = coding.align, coding.sample_rate_hz
    piece_bytes = align * max(1, min(sample_rate_hz, block_samples, PIECE_BYTES // align))
    n_announced = n_left = audio.n_bytes // align * align
    if not audio.is_known and (n_left == 0 or audio.n_bytes == UNKNOWN):
        n_left = 1 << 63
    while n_left:
        data = reader.read(min(piece_bytes, n_left))
        n_left -= len(data)
        if samples := data[: len(data) // align * align]:
            yield coding.decode(samples)
        if len(data) < min(piece_bytes, n_left + len(data)):
            break
        if n_left == 0 and not audio.is_known and not _is_chunk(reader):
            n_left = 1 << 63
    if audio.is_known and (n_missing := -(-n_left // align)):
        lost(
            missing(n_missing / sample_rate_hz, (n_announced // align - n_missing) / sample_rate_hz)
        )


def header(coding: Coding, n_bytes: int | None) -> bytes:
    """Return a WAV up to its first sample; n_bytes of audio will follow, None if not known."""
    sample_rate_hz, align = coding.sample_rate_hz, coding.align
    bytes_per_s = min(sample_rate_hz * align, UNKNOWN)
    fmt = struct.pack(
        "<HHIIHH", coding.code, coding.n_channels, sample_rate_hz, bytes_per_s, align, coding.n_bits
    )
    form = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + b"data"
    n_all = UNKNOWN if n_bytes is None else len(form) + 4 + n_bytes
    if n_bytes is None or n_all >= UNKNOWN:
        n_all = n_bytes = UNKNOWN
    return struct.pack("<4sI", b"RIFF", n_all) + form + struct.pack("<I", n_bytes)


def _chunk_header(reader: Reader) -> tuple[bytes, int] | None:
    """Read the name and the size of the next chunk, past zeros; None at the end."""
    while (start := reader.peek(8))[:1] == b"\0" and reader.may_skip(0):
        reader.skip(len(start) - len(start.lstrip(b"\0")))
    if len(start) < 8:
        return None
    return reader.read(4), int.from_bytes(reader.read(4), "little")


def _is_chunk(reader: Reader) -> bool:
    """Whether a chunk begins here, or the input ends."""
    start = reader.peek(5)
    return not start or start[:4] in CHUNKS or start[1:] in CHUNKS


def _audio(
    magic: bytes, found: dict[bytes, bytes], n_bytes: int, *, is_known: bool | None = None
) -> Audio | None:
    """Return what the chunks say, None for a coding that is not read here."""
    fmt = found.get(b"fmt ", b"")
    if len(fmt) < 16:
        raise not_audio("the WAV header does not say how the audio is coded")
    coding = _coding(fmt)
    if coding is None:
        return None
    if magic != b"RIFF" and n_bytes == UNKNOWN:
        # The second of the sizes in ds64 is the audio's.
        n_bytes = int.from_bytes(found.get(b"ds64", b"")[8:16].ljust(8, b"\xff"), "little")
        if not 0 < n_bytes < 2**63:
            n_bytes = 0
        return Audio(coding, n_bytes, n_bytes > 0)
    if is_known is None:
        is_known = not _is_dummy(n_bytes)
    return Audio(coding, n_bytes, is_known)


def _is_dummy(n_bytes: int) -> bool:
    """Whether programs write this size before they know the true one.

    0 recorders, 0x7FFF0000 GStreamer, 0x7FFFF000 sox, about 0x80000000 arecord, about 0xFFFFFFFF
    ffmpeg and others.
    """
    return n_bytes == 0 or 0x7FFF_0000 <= n_bytes <= 0x8000_1000 or n_bytes >= 0xFFFF_0000


def _coding(fmt: bytes) -> Coding | None:
    code, n_channels, sample_rate_hz, _, align, n_bits = struct.unpack_from("<HHIIHH", fmt)
    check_geometry(n_channels, sample_rate_hz)
    if code == EXTENSIBLE and fmt[26:40] == GUID_END:
        code = int.from_bytes(fmt[24:26], "little")
    if code == PCM:
        n_bits = -(-n_bits // 8) * 8  # 12 bits are the upper ones of 16
    if n_bits not in BITS.get(code, ()) or align not in (0, n_channels * n_bits // 8):
        return None
    return Coding(code, n_bits, n_channels, sample_rate_hz)


def check_geometry(n_channels: int, sample_rate_hz: int) -> None:
    """Raise AudioReadError where the rate or the number of channels is out of range."""
    if not (1 <= n_channels <= MAX_CHANNELS and 1 <= sample_rate_hz <= MAX_RATE_HZ):
        raise not_audio(
            f"{n_channels} channels at {sample_rate_hz} Hz, "
            f"1 to {MAX_CHANNELS} channels and 1 to {MAX_RATE_HZ} Hz are allowed"
        )


def _integers(dtype: str, zero: int, full_scale: int) -> Callable[[bytes], FloatArray]:
    def decode(data: bytes) -> FloatArray:
        samples = np.frombuffer(data, dtype).astype(np.float32)
        return (samples - np.float32(zero)) * np.float32(1 / full_scale)

    return decode


def _pcm24(data: bytes) -> FloatArray:
    upper = np.zeros((len(data) // 3, 4), dtype=np.uint8)
    upper[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
    return upper.view("<i4")[:, 0].astype(np.float32) * np.float32(2**-31)


def _floats(dtype: str) -> Callable[[bytes], FloatArray]:
    def decode(data: bytes) -> FloatArray:
        with np.errstate(over="ignore"):  # infinities are refused with their time
            return np.frombuffer(data, dtype).astype(np.float32)

    return decode


def _table(values: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Callable[[bytes], FloatArray]:
    scaled = (values / 32768).astype(np.float32)
    return lambda data: scaled[np.frombuffer(data, np.uint8)]


def _a_law() -> Callable[[bytes], FloatArray]:
    """Source: ITU-T G.711, table 1a."""
    code = np.arange(256) ^ 0x55
    exponent, mantissa = code >> 4 & 7, code & 15
    size = np.where(
        exponent == 0, 2 * mantissa + 1, 2 * mantissa + 33 << np.maximum(exponent, 1) - 1
    )
    return _table(np.where(code & 0x80, 8, -8) * size)


def _mu_law() -> Callable[[bytes], FloatArray]:
    """Source: ITU-T G.711, table 2a."""
    code = ~np.arange(256) & 0xFF
    size = ((2 * (code & 15) + 33) << (code >> 4 & 7)) - 33
    return _table(np.where(code & 0x80, -4, 4) * size)


DECODERS = {
    (PCM, 8): _integers("u1", 128, 2**7),
    (PCM, 16): _integers("<i2", 0, 2**15),
    (PCM, 24): _pcm24,
    (PCM, 32): _integers("<i4", 0, 2**31),
    (FLOAT, 32): _floats("<f4"),
    (FLOAT, 64): _floats("<f8"),
    (A_LAW, 8): _a_law(),
    (MU_LAW, 8): _mu_law(),
}
