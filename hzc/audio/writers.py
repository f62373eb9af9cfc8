"""Audio out, block by block, in the formats that libsndfile writes."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import soundfile

from hzc.audio import riff
from hzc.audio.pipes import openable, reason
from hzc.blocks import FloatArray
from hzc.errors import OutputWriteError

MAX_WAV_BYTES = 2**32 - 2**16
"""A larger WAV is written as RF64, whose sizes have 64 bits, if its length is known beforehand."""


@dataclass(frozen=True)
class Size:
    """Extent of audio to be written."""

    n_channels: int
    n_samples: int | None
    """Per channel; None where it is not known yet."""


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


class Writer:
    """Writes the blocks of one file."""

    def __init__(self, sound: soundfile.SoundFile, name: str | PathLike[str]) -> None:
        """Write into an open file; see `open_writer`."""
        self._sound, self._name = sound, name
        self.n_samples = 0
        """Per channel, so far."""
        self.n_clipped = 0
        """How many samples were beyond full scale and were clipped."""

    def write(self, block: FloatArray) -> None:
        """Write a block, float32 [channel, sample].

        Raises:
            OutputWriteError: the system refused, or the format cannot hold this much audio.
        """
        self.n_clipped += int(np.count_nonzero(np.abs(block) > 1.0))
        self.n_samples += block.shape[1]
        if self._sound.format == "WAV" and 2 * self.n_samples * len(block) > MAX_WAV_BYTES:
            raise OutputWriteError(
                "the audio is too long for a WAV file", hint="name a .w64 or .rf64 file"
            )
        with _refusals(self._name):
            self._sound.write(np.clip(block.T, -1.0, 1.0))


@contextmanager
def open_writer(
    file: Path | io.BytesIO, name: str | PathLike[str], sample_rate_hz: int, size: Size
) -> Iterator[Writer]:
    """Give a writer of 16-bit PCM, or of what the compressed formats use.

    Args:
        file: Where the bytes go.
        name: What the user called the target: its suffix names the format, errors name it.
        sample_rate_hz: Sample rate of the blocks.
        size: Channels and samples to come.

    Raises:
        OutputWriteError: the system refused, or the format cannot hold this audio.
    """
    kind = output_format(name)
    if kind == "WAV" and (size.n_samples or 0) * size.n_channels * 2 > MAX_WAV_BYTES:
        kind = "RF64"
    subtype = "OPUS" if Path(name).suffix.lower() == ".opus" else None
    is_pipe = isinstance(file, Path) and file.exists() and not file.is_file()
    # libsndfile goes back to complete the header, which a pipe cannot.
    target = io.BytesIO() if is_pipe else file
    with _refusals(name):
        sound = soundfile.SoundFile(
            target if isinstance(target, io.BytesIO) else openable(target), "w",
            sample_rate_hz, size.n_channels, subtype, format=kind,
        )  # fmt: skip
    with ExitStack() as stack:
        stack.callback(sound.close)
        writer = Writer(sound, name)
        yield writer
        stack.pop_all()
    with _refusals(name):
        sound.close()
        if isinstance(file, Path) and isinstance(target, io.BytesIO):
            file.write_bytes(target.getvalue())
        elif isinstance(file, Path) and not _ends_with_sample(file, writer.n_samples):
            raise OSError(errno.ENOSPC, "its end is missing")


@contextmanager
def _refusals(name: str | PathLike[str]) -> Iterator[None]:
    """Turn what libsndfile and the system refuse into an OutputWriteError."""
    try:
        yield
    except (soundfile.LibsndfileError, OSError, ValueError, AssertionError) as error:
        raise OutputWriteError(
            f"cannot write the audio ({reason(error) or 'short write'})",
            path=name,
            hint="check the free space, and that the format allows this rate and channel count",
        ) from error


def encoded(samples: FloatArray, sample_rate_hz: int, suffix: str) -> bytes:
    """Return samples, float32 [channel, sample], as the bytes of an audio file.

    Args:
        samples: What to write.
        sample_rate_hz: Their rate.
        suffix: Names the format, without a dot.

    Raises:
        OutputWriteError: the format cannot hold this audio.
    """
    file, name = io.BytesIO(), f"-.{suffix}"
    with open_writer(file, name, sample_rate_hz, Size(*samples.shape)) as writer:
        writer.write(samples)
    return file.getvalue()


class WavStream:
    """Writes a 16-bit WAV block by block without seeking; as `Writer`."""

    def __init__(
        self,
        send: Callable[[bytes], None],
        sample_rate_hz: int,
        n_channels: int,
        n_samples: int | None,
    ) -> None:
        """Send the header.

        Args:
            send: Writes all bytes that it gets.
            sample_rate_hz: Sample rate of the blocks.
            n_channels: 1 … 1024.
            n_samples: Samples per channel that will come, None where it is not known: the header
                then has 0xFFFFFFFF for its sizes, as it has where they do not fit into 32 bits.
        """
        self._send, self._sample_rate_hz = send, sample_rate_hz
        self.n_samples = self.n_clipped = 0
        coding = riff.Coding(riff.PCM, 16, n_channels, sample_rate_hz)
        send(riff.header(coding, None if n_samples is None else coding.align * n_samples))

    def write(self, block: FloatArray) -> None:
        """Write a block, float32 [channel, sample]."""
        wav, size = io.BytesIO(), Size(*block.shape)
        with open_writer(wav, "-", self._sample_rate_hz, size) as writer:
            writer.write(block)
        self.n_samples += writer.n_samples
        self.n_clipped += writer.n_clipped
        wav.seek(-2 * block.size, os.SEEK_END)
        self._send(wav.read())


def _ends_with_sample(path: Path, n_samples: int) -> bool:
    """Whether the last sample can be read: libsndfile reports no failure while it closes a file.

    Compressed formats hold samples back until then, and the disk may be full by then.
    """
    try:
        with soundfile.SoundFile(openable(path)) as sound:
            sound.seek(max(0, n_samples - 1))
            return len(sound.read(1)) == min(1, n_samples)
    except soundfile.LibsndfileError:
        return False
