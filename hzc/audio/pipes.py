"""Audio through pipes, with bounded memory: WAV and headerless PCM in, WAV out.

libsndfile wants files that it can go back in. So the header of a WAV is read here, and the audio
goes to libsndfile in pieces, each behind a small header of its own: every sample becomes what it
would become from disk. Whatever is no plain WAV is put into a temporary file first.
"""

from __future__ import annotations

import io
import os
import struct
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import chain
from typing import BinaryIO

from hzc.audio import sources, writers
from hzc.audio.sources import Source
from hzc.audio.writers import Size
from hzc.blocks import Blocks
from hzc.errors import AudioReadError, UnreadableError

MAGICS = (b"RIFF", b"RF64", b"BW64")
HEAD_BYTES = 1 << 20
"""How much of a WAV may come before its audio for it to be read as it comes.

The header is kept in memory, in case libsndfile has to have all of it. Pictures and the like make
longer ones, in files that were made to be kept; those go by way of the disk.
"""
PIECE_BYTES = 1 << 20
"""No more audio, or no more of a stream on its way to the disk, is in memory at a time."""
NO_SIZE = 0xFFFF_FFFF
"""What ffmpeg writes as sizes into a pipe, and what RF64 has in place of sizes of 64 bits."""
PLACEHOLDER_SIZE = 0x7FFF_F000
"""What sox writes as the size of audio into a pipe; other programs' values lie above it."""
MAX_CHANNELS = 1024
MAX_RATE_HZ = 2**31 - 1
"""These two are libsndfile's limits."""
PCM = 1
PLAIN_BITS = {PCM: (8, 16, 24, 32), 3: (32, 64), 6: (8,), 7: (8,)}
"""Bits by WAVE format code (3 float, 6 A-law, 7 mu-law) where every sample stands for itself."""
EXTENSIBLE = 0xFFFE
"""The code of a longer fmt chunk, whose GUID begins with the real code and ends like this:"""
GUID_END = bytes.fromhex("0000 0000 1000 8000 00aa00389b71")


@dataclass(frozen=True)
class _Coding:
    """How bytes become samples."""

    fmt: bytes
    """Contents of a WAV's fmt chunk."""
    n_channels: int
    sample_rate_hz: int
    align: int
    """Bytes of one sample of all channels."""


def open_stream(stream: BinaryIO) -> Source:
    """Return the audio that comes through a pipe, or from anything that can be read once only.

    A plain WAV (PCM, float, A-law, mu-law) is read as it comes, about a second at a time: call
    `blocks` once. Its duration is None where the header does not tell it, and then it lasts until
    the stream ends. Everything else is put into a temporary file at once, which is removed after
    the source has gone.

    Args:
        stream: Binary; `read` may return less than it is asked for.

    Raises:
        AudioReadError: empty, a WAV without a sound header, or no format libsndfile knows.
        UnreadableError: the operating system refused to read, or to write the temporary file.
    """
    head = _Head(stream)
    start = head.take(0, 12)
    if start[:4] in MAGICS and start[8:] == b"WAVE":
        found = _wav_audio(head)
        if found is not None:
            return _source(stream, *found)
    rest = iter(lambda: _read(stream, PIECE_BYTES), b"")
    return _Spool(chain((bytes(head.kept),), rest)).source()


def open_raw(stream: BinaryIO, sample_rate_hz: int, n_channels: int) -> Source:
    """Return headerless audio: signed 16-bit little-endian samples, the channels taking turns.

    Its blocks can be asked for once and its duration is None. Bytes at the end that make no sample
    of all channels are dropped.

    Raises:
        AudioReadError: the rate or the number of channels is out of range.
    """
    _check_geometry(n_channels, sample_rate_hz)
    fmt = _pcm_16(sample_rate_hz, n_channels)
    return _source(stream, _Coding(fmt, n_channels, sample_rate_hz, 2 * n_channels), None)


def write_wav_stream(
    write: Callable[[bytes], None],
    blocks: Blocks,
    rate_hz: int,
    n_channels: int,
    n_samples: int | None,
) -> int:
    """Write a 16-bit WAV block by block, never going back.

    Args:
        write: Takes all bytes it is given.
        blocks: float32 [channel, sample].
        rate_hz: Sample rate of the blocks.
        n_channels: 1 … 1024.
        n_samples: Samples per channel that will come. None says that nobody knows: the header then
            has 0xFFFFFFFF for its sizes, as it has where they do not fit into 32 bits.

    Returns:
        How many samples were beyond full scale and were clipped.

    Raises:
        OutputWriteError: a block cannot be 16-bit audio.
    """
    n_bytes = None if n_samples is None else 2 * n_channels * n_samples
    write(_wav_head(_pcm_16(rate_hz, n_channels), n_bytes))
    n_clipped = 0
    for block in blocks:
        wav = io.BytesIO()
        size = Size(n_channels, block.shape[1])
        n_clipped += writers.write(wav, "-", iter((block,)), rate_hz, size)
        wav.seek(-2 * block.size, os.SEEK_END)
        write(wav.read())
    return n_clipped


def _source(stream: BinaryIO, coding: _Coding, n_bytes: int | None) -> Source:
    """Return the bytes that come next as a source whose blocks can be asked for once."""
    rest = [_blocks(stream, coding, n_bytes)]

    def blocks() -> Blocks:
        if not rest:
            raise RuntimeError("audio from a stream can be gone through only once")
        return rest.pop()

    rate_hz = coding.sample_rate_hz
    duration_s = None if n_bytes is None else n_bytes // coding.align / rate_hz
    return Source(rate_hz, coding.n_channels, duration_s, blocks)


def _blocks(stream: BinaryIO, coding: _Coding, n_bytes: int | None) -> Blocks:
    """Yield a second at a time, or less; so many bytes, or until the stream ends."""
    align = coding.align
    n_samples = min(coding.sample_rate_hz, sources.BLOCK_SAMPLES, PIECE_BYTES // align)
    n_done = 0
    while True:
        wanted = n_samples * align
        if n_bytes is not None:
            wanted = min(wanted, n_bytes - n_done)
        data = _read(stream, wanted)
        n_done += len(data)
        data = data[: len(data) // align * align]
        if data:
            yield from sources.open_source(_wav_head(coding.fmt, len(data)) + data).blocks()
        if len(data) < n_samples * align:
            return


def _wav_audio(head: _Head) -> tuple[_Coding, int | None] | None:
    """Go on to a WAV's audio; return its coding and its bytes, None for until the stream ends.

    Where libsndfile has to make sense of the file as a whole, nothing is returned.
    """
    known: dict[bytes, bytes] = {}
    start = 12
    while True:
        chunk = head.take(start, 8)
        if len(chunk) < 8:
            raise AudioReadError("the WAV header ends before the audio")
        name, n_bytes = struct.unpack("<4sI", chunk)
        start += 8
        if name == b"data":
            break
        if start + n_bytes > HEAD_BYTES:
            return None
        known[name] = head.take(start, n_bytes)
        start += n_bytes + n_bytes % 2
    if len(known.get(b"fmt ", b"")) < 16:
        raise AudioReadError("the WAV header does not say how the audio is coded")
    coding = _plain_coding(known[b"fmt "])
    if coding is None:
        return None
    if head.kept[:4] != b"RIFF" and n_bytes == NO_SIZE:
        # The second of the sizes in ds64 is the audio's; without it, nobody knows.
        n_bytes = int.from_bytes(known.get(b"ds64", b"")[8:16].ljust(8, b"\xff"), "little")
        return coding, n_bytes if 0 < n_bytes < 2**63 else None
    return coding, n_bytes if 0 < n_bytes < PLACEHOLDER_SIZE else None


def _plain_coding(fmt: bytes) -> _Coding | None:
    """Return what a fmt chunk says, or None for what is not decoded sample by sample.

    Raises:
        AudioReadError: the rate or the number of channels is out of range.
    """
    code, n_channels, rate_hz, _, align, n_bits = struct.unpack_from("<HHIIHH", fmt)
    _check_geometry(n_channels, rate_hz)
    if code == EXTENSIBLE and fmt[26:40] == GUID_END:
        code = int.from_bytes(fmt[24:26], "little")
    if n_bits not in PLAIN_BITS.get(code, ()) or align != n_channels * n_bits // 8:
        return None
    return _Coding(fmt[:40], n_channels, rate_hz, align)


def _check_geometry(n_channels: int, rate_hz: int) -> None:
    if not (1 <= n_channels <= MAX_CHANNELS and 1 <= rate_hz <= MAX_RATE_HZ):
        raise AudioReadError(
            f"{n_channels} channels at {rate_hz} Hz "
            f"(1 to {MAX_CHANNELS} channels, 1 to {MAX_RATE_HZ} Hz allowed)"
        )


def _pcm_16(rate_hz: int, n_channels: int) -> bytes:
    """Return the fmt chunk of 16-bit PCM."""
    align = 2 * n_channels
    bytes_per_s = min(rate_hz * align, 2**32 - 1)
    return struct.pack("<HHIIHH", PCM, n_channels, rate_hz, bytes_per_s, align, 16)


def _wav_head(fmt: bytes, n_bytes: int | None) -> bytes:
    """Return what comes before so many bytes of audio in a WAV; None where nobody knows."""
    form = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt.ljust(len(fmt) + len(fmt) % 2, b"\0")
    form += b"data"
    if n_bytes is None or len(form) + 4 + n_bytes >= NO_SIZE:
        return struct.pack("<4sI", b"RIFF", NO_SIZE) + form + struct.pack("<I", NO_SIZE)
    n_all = len(form) + 4 + n_bytes
    return struct.pack("<4sI", b"RIFF", n_all) + form + struct.pack("<I", n_bytes)


class _Head:
    """The beginning of a stream, read no further than asked for, so that a live pipe flows."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.kept = bytearray()

    def take(self, start: int, n_bytes: int) -> bytes:
        """Return so many bytes from there on, or fewer where the stream ends."""
        self.kept += _read(self.stream, start + n_bytes - len(self.kept))
        return bytes(self.kept[start : start + n_bytes])


class _Spool:
    """A copy on disk, which goes with the last user of it, or when Python ends."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        try:
            handle, self.path = tempfile.mkstemp(prefix="hzc-")
            weakref.finalize(self, _remove, self.path)
            with open(handle, "wb") as file:
                file.writelines(pieces)
        except OSError as error:
            raise UnreadableError(
                f"cannot be put into a temporary file ({_reason(error)})",
                hint="TMPDIR names the folder for temporary files; plain WAV needs none",
            ) from error

    def source(self) -> Source:
        """Return the audio in the copy, which can be gone through more than once."""
        with _unnamed():
            return replace(sources.open_source(self.path), blocks=self._blocks)

    def _blocks(self) -> Blocks:
        with _unnamed():
            yield from sources.open_source(self.path).blocks()


def _remove(path: str) -> None:
    with suppress(OSError):  # somebody was faster, or Windows still has it open
        os.unlink(path)


@contextmanager
def _unnamed() -> Iterator[None]:
    """Take the copy's name out of errors: nobody has heard of it."""
    try:
        yield
    except AudioReadError as error:
        error.path = None
        raise


def _read(stream: BinaryIO, n_bytes: int) -> bytes:
    """Return so many bytes, or all that come before the end: pipes give what they have."""
    found = bytearray()
    try:
        while len(found) < n_bytes and (piece := stream.read(n_bytes - len(found))) != b"":
            if piece is None:
                raise BlockingIOError("it is non-blocking")
            found += piece
    except OSError as error:
        raise UnreadableError(f"cannot be read ({_reason(error)})") from error
    return bytes(found)


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
