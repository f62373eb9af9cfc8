"""Audio out, block by block, in the formats that libsndfile writes."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from hzc.audio import riff
from hzc.audio.pipes import openable, reason
from hzc.blocks import Blocks
from hzc.errors import HzcError, OutputWriteError

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


def write(
    file: Path | io.BytesIO,
    name: str | PathLike[str],
    blocks: Blocks,
    sample_rate_hz: int,
    size: Size,
) -> int:
    """Write audio as 16-bit PCM, or as what the compressed formats use.

    Args:
        file: Where the bytes go.
        name: What the user called the target: its suffix names the format, errors name it.
        blocks: float32 [channel, sample].
        sample_rate_hz: Sample rate of the blocks.
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
        "samplerate": sample_rate_hz,
        "channels": size.n_channels,
        "format": kind,
        "subtype": subtype,
    }
    try:
        if isinstance(file, Path) and file.exists() and not file.is_file():
            whole = io.BytesIO()  # for a pipe: libsndfile goes back to complete the header
            n_clipped, _ = _write_blocks(whole, blocks, settings)
            file.write_bytes(whole.getvalue())
            return n_clipped
        target = file if isinstance(file, io.BytesIO) else openable(file)
        n_clipped, n_samples = _write_blocks(target, blocks, settings)
        if isinstance(file, Path) and not _ends_with_sample(file, n_samples):
            raise OSError(errno.ENOSPC, "its end is missing")
        return n_clipped
    except HzcError:
        raise  # from the blocks; a FormatError is a ValueError too
    except (soundfile.LibsndfileError, OSError, ValueError, AssertionError) as error:
        raise OutputWriteError(
            f"cannot write the audio ({reason(error) or 'short write'})",
            path=name,
            hint="check the free space, and that the format allows this rate and channel count",
        ) from error


def write_wav_stream(
    send: Callable[[bytes], None],
    blocks: Blocks,
    sample_rate_hz: int,
    n_channels: int,
    n_samples: int | None,
) -> int:
    """Write a 16-bit WAV block by block, never going back.

    Args:
        send: Takes all bytes it is given.
        blocks: float32 [channel, sample].
        sample_rate_hz: Sample rate of the blocks.
        n_channels: 1 … 1024.
        n_samples: Samples per channel that will come, None where it is not known: the header then
            has 0xFFFFFFFF for its sizes, as it has where they do not fit into 32 bits.

    Returns:
        How many samples were beyond full scale and were clipped.

    Raises:
        OutputWriteError: a block cannot be 16-bit audio.
    """
    coding = riff.Coding(riff.PCM, 16, n_channels, sample_rate_hz)
    send(riff.header(coding, None if n_samples is None else coding.align * n_samples))
    n_clipped = 0
    for block in blocks:
        wav = io.BytesIO()
        size = Size(n_channels, block.shape[1])
        n_clipped += write(wav, "-", iter((block,)), sample_rate_hz, size)
        wav.seek(-2 * block.size, os.SEEK_END)
        send(wav.read())
    return n_clipped


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
    """Whether the last sample can be read: libsndfile reports no failure while it closes a file.

    Compressed formats hold samples back until then, and the disk may be full by then.
    """
    try:
        with soundfile.SoundFile(openable(path)) as sound:
            sound.seek(max(0, n_samples - 1))
            return len(sound.read(1)) == min(1, n_samples)
    except soundfile.LibsndfileError:
        return False
