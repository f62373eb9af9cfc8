"""Audio in through libsndfile; also finds missing and damaged audio, which it does not report.

libsndfile takes a cut Ogg or AIFF for a shorter one, guesses the length of an MP3 without a Xing
tag, and stops at the first damaged frame of a FLAC.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import soundfile

from hzc.audio import mpeg, ogg
from hzc.audio.pipes import Contents, Lost, Opened, missing, not_audio, openable, reason
from hzc.blocks import Blocks, FloatArray
from hzc.errors import UnreadableError

BLOCK_SAMPLES, BLOCK_VALUES = 1 << 17, 1 << 20
MOST_SAMPLES = 2**62
"""More are announced where the length is not known, as in a FLAC from a pipe."""
MP3_SLACK_SAMPLES = 1152
"""Decoders differ in how much of the first or last frame they give."""
TAG_FRAMES = 6
"""An MP3 has up to this many frames more than its Xing tag announces: the tag, delay, padding."""
CUT_CHUNK = re.compile(r"^\s*(?:SSND|Data Size|data|riff)\s*: (\d+) \(should be (\d+)\)", re.M)
"""What libsndfile logs of AIFF, AU, W64 and WAV; the last line is the innermost chunk."""
NOT_KNOWN = 0x7FFF_0000
"""Sizes from here on are written by programs that do not know them."""


class _Forward(soundfile.SoundFile):  # type: ignore[misc]
    """A file in which soundfile does not seek after each read.

    It would go back over what follows a lost page of an Ogg, so that a second came twice. In an MP3
    that would change samples by up to 6e-8.
    """

    def seekable(self) -> bool:
        """Say no, but for MP3."""
        return bool(self.format == "MP3")


Start = Callable[[], _Forward]


def open_coded(file: Contents, lost: Lost) -> Opened:
    """Return the audio of what libsndfile reads.

    Raises:
        AudioReadError: it does not know the format.
    """

    def start() -> _Forward:
        return _open(openable(file))

    with start() as sound:
        kind, sample_rate_hz, n_channels = sound.format, int(sound.samplerate), int(sound.channels)
        n_samples: int | None = sound.frames if sound.frames < MOST_SAMPLES else None
        faults = list(_faults(file, sound))
    if kind == "MP3":
        n_samples, start, faults = _counted(file, n_samples or 0, start)

    def blocks() -> Blocks:
        with start() as sound:
            yield from _blocks(sound, n_samples, lost)
        for fault in faults:
            lost(fault)

    return (
        sample_rate_hz,
        n_channels,
        None if n_samples is None else n_samples / sample_rate_hz,
        blocks,
    )


def _open(target: object) -> _Forward:
    try:
        with _silent():
            return _Forward(target)
    except OSError as error:
        raise UnreadableError(f"cannot be read ({reason(error)})") from error
    except (soundfile.LibsndfileError, TypeError) as error:
        raise not_audio(reason(error)) from error


def _counted(file: Contents, n_declared: int, start: Start) -> tuple[int, Start, list[str]]:
    """Return the true length of an MP3, how to read all of it, and what is wrong."""
    count = mpeg.count(file)
    n_more = TAG_FRAMES * count.frame_samples if count.is_tagged else 0
    if count.n_samples > n_declared + n_more:
        return count.n_samples, lambda: _open(mpeg.announced(file, count)), count.faults
    return n_declared if count.is_tagged else count.n_samples, start, count.faults


def _blocks(sound: _Forward, n_samples: int | None, lost: Lost) -> Blocks:
    """Yield all samples up to the end, or to the first error."""
    n_read, sample_rate_hz = 0, sound.samplerate
    error: soundfile.LibsndfileError | None = None
    while error is None and (n_samples is None or n_read < n_samples):
        block, error = _read(sound, MOST_SAMPLES if n_samples is None else n_samples - n_read)
        if not block.shape[1]:
            break
        n_read += block.shape[1]
        yield block
    if error is not None and n_read == 0:
        raise not_audio(reason(error)) from error
    n_missing = (n_samples or 0) - n_read
    if n_missing > (MP3_SLACK_SAMPLES if sound.format == "MP3" else 0):
        lost(missing(n_missing / sample_rate_hz, n_read / sample_rate_hz))
    elif error is not None:
        lost(f"the audio is damaged at {n_read / sample_rate_hz:.2f} s (nothing after it is read)")


def _read(sound: _Forward, n_most: int) -> tuple[FloatArray, soundfile.LibsndfileError | None]:
    """Return the next block of at most n_most samples, and the error that ended it.

    Not `sound.blocks`: where a file ends early it gives old samples again. `sound.read` throws away
    what comes before an error, except in an array that it is given.
    """
    shape = min(n_most, BLOCK_SAMPLES, BLOCK_VALUES // sound.channels), sound.channels
    block = np.full(shape, np.nan, dtype=np.float32)
    error = None
    try:
        with _silent():
            block = sound.read(out=block)
    except soundfile.LibsndfileError as caught:
        error = caught
        is_new = ~np.isnan(block[:, 0])
        block = block[: shape[0] if is_new.all() else int(np.argmin(is_new))]
    return np.ascontiguousarray(block.T), error


@contextmanager
def _silent() -> Iterator[None]:
    """Redirect stderr to the null device: libmpg123 prints its own messages about damaged MP3.

    Not if other threads run, because what they print would be lost too.
    """
    try:
        stderr = os.dup(2) if threading.active_count() == 1 else None
    except OSError:  # it is closed
        stderr = None
    if stderr is None:
        yield
        return
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def _faults(file: Contents, sound: _Forward) -> Iterator[str]:
    """Yield faults that the samples do not show."""
    if sound.format == "OGG":
        yield from ogg.faults(file)
    for n_announced, n_found in CUT_CHUNK.findall(sound.extra_info)[-1:]:
        if (share := int(n_announced) / max(1, int(n_found))) > 1 and int(n_announced) < NOT_KNOWN:
            found_s = sound.frames / sound.samplerate
            yield missing(found_s * (share - 1), found_s)
