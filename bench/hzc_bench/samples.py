"""Recordings, and samples as bytes, files and at other rates."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

FloatArray = npt.NDArray[np.float32]
SAMPLE_RATE_HZ = 16_000
"""Of everything that is measured."""
SUFFIXES = (".flac", ".wav", ".ogg", ".opus")
MIN_S = 0.5


@dataclass(frozen=True)
class Recording:
    """An original, at 16 kHz."""

    name: str
    samples: FloatArray
    """float32 [sample]"""

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.samples) / SAMPLE_RATE_HZ


def recordings(folder: Path) -> list[Recording]:
    """Return the recordings of a folder, by name; those under half a second are left out."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    found = [Recording(path.name, at_16_khz(path)) for path in paths]
    return [recording for recording in found if recording.duration_s >= MIN_S]


def at_16_khz(file: Path | BinaryIO) -> FloatArray:
    """Return the mean of a sound file's channels, float32 [sample] at 16 kHz."""
    channels, sample_rate_hz = soundfile.read(file, dtype="float32", always_2d=True)
    return resampled(channels.mean(axis=1), sample_rate_hz, SAMPLE_RATE_HZ)


def resampled(samples: FloatArray, from_hz: int, to_hz: int) -> FloatArray:
    """Return float32 [sample] at another rate."""
    at_rate: FloatArray = soxr.resample(samples, from_hz, to_hz).astype(np.float32)
    return at_rate


def to_pcm(samples: FloatArray) -> npt.NDArray[np.int16]:
    """Return 16-bit little-endian samples."""
    return np.round(np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2")


def from_pcm(data: bytes) -> FloatArray:
    """Return float32 [sample] of 16-bit little-endian samples."""
    return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32767.0)


def to_wav(samples: FloatArray, sample_rate_hz: int = SAMPLE_RATE_HZ) -> bytes:
    """Return the bytes of a 16-bit WAV file."""
    file = io.BytesIO()
    soundfile.write(file, to_pcm(samples), sample_rate_hz, format="WAV")
    return file.getvalue()
