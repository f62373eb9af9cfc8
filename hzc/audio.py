"""Audio in and out, block by block: the only importer of soundfile and soxr.

Everything is float32 [channel, sample] with full scale ±1; blocks keep memory flat however long the
recording is.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from hzc.blocks import Blocks
from hzc.container import MAGIC, MAX_CHANNELS
from hzc.errors import AudioReadError, HzcError, OutputWriteError, UnsupportedAudioError

BLOCK_SAMPLES = 1 << 17
LEVEL_FRAME_S = 0.02
RARE_ABOVE_COMMON_DB = 12.0
SILENCE_DB = -70.0
"""A recording whose loud parts are below this is left as it is."""
MAX_WAV_BYTES = 2**32 - 2**16
"""A larger WAV is written as RF64, whose sizes have 64 bits, if its length is known beforehand."""


@dataclass(frozen=True)
class Source:
    """Audio that can be gone through more than once, or once where it comes through a pipe."""

    sample_rate_hz: int
    n_channels: int
    duration_s: float | None
    """As declared, or None where nobody knows; the samples that come are what counts."""
    blocks: Callable[[], Blocks]
    """Starts from the beginning at every call; float32 [channel, sample]."""


@dataclass(frozen=True)
class Size:
    """Extent of audio to be written."""

    n_channels: int
    n_samples: int | None
    """Per channel; None where nobody knows yet."""


@dataclass(frozen=True)
class Survey:
    """What one pass over a source finds."""

    n_samples: int
    level_db: float
    """Level of the loud frames, dB below full scale; see `loud_level_db`."""


def open_source(file: str | PathLike[str] | bytes) -> Source:
    """Return the audio in a file that exists, or in the bytes of one.

    Raises:
        AudioReadError: empty, or not a format libsndfile knows.
    """
    name = None if isinstance(file, bytes) else file

    def start() -> soundfile.SoundFile:
        try:
            return soundfile.SoundFile(_openable(file))
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


def _openable(file: str | PathLike[str] | bytes) -> io.BytesIO | str | bytes:
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


def survey(source: Source) -> Survey:
    """Count the samples and measure the level, in one pass.

    Raises:
        UnsupportedAudioError: there are no samples, or one is NaN or infinite.
    """
    frame = max(1, round(LEVEL_FRAME_S * source.sample_rate_hz))
    powers: list[npt.NDArray[np.float64]] = []
    rest = np.zeros(0)
    n_samples = 0
    for block in checked(source.blocks(), source.sample_rate_hz):
        n_samples += block.shape[1]
        # The square of a float32 far beyond full scale is no float32.
        power = np.concatenate([rest, np.square(block, dtype=np.float64).mean(axis=0)])
        whole = len(power) // frame * frame
        powers.append(power[:whole].reshape(-1, frame).mean(axis=1))
        rest = power[whole:]
    if n_samples == 0:
        raise UnsupportedAudioError("the recording has no samples")
    if len(rest):
        powers.append(rest.mean(keepdims=True))
    return Survey(n_samples, loud_level_db(np.concatenate(powers)))


def loud_level_db(frame_powers: npt.NDArray[np.float64]) -> float:
    """Return the level of speech among other things: float64 [frame], mean squares of 20 ms.

    It is the 95th percentile where there is speech enough. Where it is rare, a minute of noise
    around a sentence, the loudest frames tell: they are about 12 dB above it. A click is rarer.
    """
    common, rare = (10.0 * np.log10(np.percentile(frame_powers, q) + 1e-20) for q in (95, 99.9))
    return float(max(common, rare - RARE_ABOVE_COMMON_DB))


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


def output_format(path: str | PathLike[str]) -> str:
    """Return libsndfile's name of the format that a file's suffix asks for; WAV for `-`.

    Raises:
        OutputWriteError: the suffix names no format that libsndfile writes.
    """
    suffix = Path(path).suffix.lower()
    name = {".aif": "AIFF", ".opus": "OGG", "": "WAV"}.get(suffix, suffix[1:].upper())
    if name not in ("WAV", "FLAC", "OGG", "MP3", "AIFF", "CAF", "AU", "W64", "RF64"):
        raise OutputWriteError(
            f"cannot write audio with the suffix {suffix!r}",
            path=path,
            hint="use .wav, .flac, .ogg, .opus, .mp3 or .aiff",
        )
    return name


def write(
    file: Path | io.BytesIO, name: str | PathLike[str], blocks: Blocks, rate_hz: int, size: Size
) -> int:
    """Write audio as 16-bit PCM, or as what the compressed formats use.

    Args:
        file: Where the bytes go.
        name: What the user called the target: its suffix names the format, errors name it.
        blocks: float32 [channel, sample].
        rate_hz: Sample rate of the blocks.
        size: Channels and samples to come.

    Returns:
        How many samples were beyond full scale and were clipped.

    Raises:
        OutputWriteError: the system refused, or the format cannot hold this audio.
    """
    kind = output_format(name)
    if kind == "WAV" and (size.n_samples or 0) * size.n_channels * 2 > MAX_WAV_BYTES:
        kind = "RF64"
    subtype = "OPUS" if Path(name).suffix.lower() == ".opus" else None
    settings = {
        "samplerate": rate_hz, "channels": size.n_channels, "format": kind, "subtype": subtype,
    }  # fmt: skip
    try:
        if isinstance(file, Path) and file.exists() and not file.is_file():
            whole = io.BytesIO()  # for a pipe: libsndfile goes back to complete the header
            n_clipped, _ = _write_blocks(whole, blocks, settings)
            file.write_bytes(whole.getvalue())
            return n_clipped
        target = file if isinstance(file, io.BytesIO) else _openable(file)
        n_clipped, n_samples = _write_blocks(target, blocks, settings)
        if isinstance(file, Path) and not _ends_with_sample(file, n_samples):
            raise OSError(errno.ENOSPC, "its end is missing")
        return n_clipped
    except HzcError:
        raise  # from the blocks; a FormatError is a ValueError too
    except (soundfile.LibsndfileError, OSError, ValueError, AssertionError) as error:
        reason = (
            getattr(error, "error_string", None)
            or getattr(error, "strerror", None)
            or str(error)
            or "short write"
        )
        raise OutputWriteError(
            f"cannot write the audio ({reason.strip().rstrip('.').lower()})",
            path=name,
            hint="check the free space, and that the format allows this rate and channel count",
        ) from error


def _write_blocks(
    target: io.BytesIO | str | bytes, blocks: Blocks, settings: dict[str, Any]
) -> tuple[int, int]:
    """Write all blocks; return how many samples were clipped, and how many a channel has."""
    n_clipped = n_samples = 0
    with soundfile.SoundFile(target, "w", **settings) as sound:
        for block in blocks:
            n_clipped += int(np.count_nonzero(np.abs(block) > 1.0))
            n_samples += block.shape[1]
            if sound.format == "WAV" and 2 * n_samples * block.shape[0] > MAX_WAV_BYTES:
                raise OutputWriteError(
                    "the audio is too long for a WAV file", hint="name a .w64 or .rf64 file"
                )
            sound.write(np.clip(block.T, -1.0, 1.0))
    return n_clipped, n_samples


def _ends_with_sample(path: Path, n_samples: int) -> bool:
    """Whether the last sample can be read: libsndfile tells of no failure while it closes a file.

    Compressed formats hold samples back until then, and the disk may be full by then.
    """
    try:
        with soundfile.SoundFile(_openable(path)) as sound:
            sound.seek(max(0, n_samples - 1))
            return len(sound.read(1)) == min(1, n_samples)
    except soundfile.LibsndfileError:
        return False
