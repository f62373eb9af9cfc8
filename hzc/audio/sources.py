"""Audio in, block by block: files, bytes and arrays; mixing and resampling.

Everything is float32 [channel, sample] with full scale ±1; blocks keep memory flat however long the
recording is.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from hzc.blocks import Blocks
from hzc.container import MAGIC, MAX_CHANNELS
from hzc.errors import AudioReadError, UnsupportedAudioError

BLOCK_SAMPLES = 1 << 17


@dataclass(frozen=True)
class Source:
    """Audio that can be gone through more than once, or once where it comes through a pipe."""

    sample_rate_hz: int
    n_channels: int
    duration_s: float | None
    """As declared, or None where nobody knows; the samples that come are what counts."""
    blocks: Callable[[], Blocks]
    """Starts from the beginning at every call; float32 [channel, sample]."""


def open_source(file: str | PathLike[str] | bytes) -> Source:
    """Return the audio in a file that exists, or in the bytes of one.

    Raises:
        AudioReadError: empty, or not a format libsndfile knows.
    """
    name = None if isinstance(file, bytes) else file

    def start() -> soundfile.SoundFile:
        try:
            return soundfile.SoundFile(openable(file))
        except (soundfile.LibsndfileError, OSError, TypeError) as error:
            raise _read_error(error, name, file) from error

    def blocks() -> Blocks:
        with start() as sound:
            try:
                # Not `sound.blocks`: where a file ends early it gives old samples again.
                while len(block := sound.read(BLOCK_SAMPLES, dtype="float32", always_2d=True)):
                    yield np.ascontiguousarray(block.T)
            except soundfile.LibsndfileError as error:
                raise _read_error(error, name, file) from error

    with start() as sound:
        rate = int(sound.samplerate)
        return Source(rate, int(sound.channels), sound.frames / rate, blocks)


def openable(file: str | PathLike[str] | bytes) -> io.BytesIO | str | bytes:
    """Return what soundfile opens: contents as a stream; a path as bytes, whatever they are."""
    if isinstance(file, bytes):
        return io.BytesIO(file)
    return os.fspath(file) if os.name == "nt" else os.fsencode(file)


def _read_error(
    error: Exception, name: str | PathLike[str] | None, file: str | PathLike[str] | bytes
) -> AudioReadError:
    empty = len(file) == 0 if isinstance(file, bytes) else Path(file).stat().st_size == 0
    if empty:
        return AudioReadError("the file is empty", path=name)
    if _starts_like_hzc(file):
        return AudioReadError(
            "this is a .hzc file, not audio", path=name, hint="hzc decode turns it into audio"
        )
    reason = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return AudioReadError(
        f"not readable as audio ({reason.strip().rstrip('.')})",
        path=name,
        hint="hzc reads what libsndfile reads: WAV, FLAC, Ogg, Opus, MP3, AIFF",
    )


def _starts_like_hzc(file: str | PathLike[str] | bytes) -> bool:
    if isinstance(file, bytes):
        return file.startswith(MAGIC)
    with open(file, "rb") as stream:
        return stream.read(len(MAGIC)) == MAGIC


def array_source(samples: npt.ArrayLike, sample_rate_hz: int) -> Source:
    """Return samples in memory, [sample] or [channel, sample], as a source.

    Raises:
        UnsupportedAudioError: the array has another number of axes, no samples, no sample rate, or
            its axes swapped.
    """
    array = np.atleast_2d(np.asarray(samples, dtype=np.float32))
    if array.ndim != 2:
        raise UnsupportedAudioError(f"samples have {array.ndim} axes (1 or 2 expected)")
    n_channels, n_samples = array.shape
    if n_channels > max(n_samples, MAX_CHANNELS):
        raise UnsupportedAudioError(
            f"{n_channels} channels of {n_samples} samples",
            hint="the axes are [channel, sample]; pass samples.T",
        )
    if sample_rate_hz < 1:
        raise UnsupportedAudioError(f"sample rate {sample_rate_hz} Hz")
    if array.size == 0:
        raise UnsupportedAudioError("the recording has no samples")
    return Source(sample_rate_hz, n_channels, n_samples / sample_rate_hz, lambda: iter((array,)))


def mixed(source: Source) -> Source:
    """Return the mean of all channels as a source of one channel."""
    if source.n_channels == 1:
        return source

    def blocks() -> Blocks:
        for block in source.blocks():
            with np.errstate(invalid="ignore", over="ignore"):  # `survey` finds what comes of it
                mix = block.mean(axis=0, keepdims=True)
            yield mix

    return replace(source, n_channels=1, blocks=blocks)


def checked(blocks: Blocks, sample_rate_hz: int) -> Blocks:
    """Yield the blocks.

    Raises:
        UnsupportedAudioError: a sample is NaN or infinite.
    """
    n_samples = 0
    for block in blocks:
        finite = np.isfinite(block).all(axis=0)
        if not finite.all():
            at_s = (n_samples + int(np.argmin(finite))) / sample_rate_hz
            raise UnsupportedAudioError(
                f"sample at {at_s:.3f} s is NaN or infinite", hint="repair the recording first"
            )
        n_samples += block.shape[1]
        yield block


def resampled(blocks: Blocks, n_channels: int, from_hz: int, to_hz: int) -> Blocks:
    """Yield blocks at another rate; the total length is right to within a sample."""
    if from_hz == to_hz:
        yield from blocks
        return
    stream = soxr.ResampleStream(from_hz, to_hz, n_channels, dtype="float32", quality="HQ")
    for block in blocks:
        yield np.ascontiguousarray(stream.resample_chunk(block.T).reshape(-1, n_channels).T)
    tail = stream.resample_chunk(np.zeros((0, n_channels), dtype=np.float32), last=True)
    yield np.ascontiguousarray(tail.reshape(-1, n_channels).T)
