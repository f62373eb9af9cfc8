"""Audio in and out: the only importer of soundfile and soxr."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from hzc.errors import AudioReadError

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Audio:
    """Samples and their rate."""

    samples: FloatArray
    """float32 [channel, sample], full scale ±1."""
    sample_rate_hz: int


def read(path: str | PathLike[str]) -> Audio:
    """Return the audio in a file."""
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioReadError(f"not readable as audio ({error})", path=path) from error
    return Audio(np.ascontiguousarray(samples.T), int(rate))


def resample(samples: FloatArray, from_hz: int, to_hz: int) -> FloatArray:
    """Return float32 [sample] at another rate."""
    if from_hz == to_hz:
        return samples
    return np.asarray(soxr.resample(samples, from_hz, to_hz), dtype=np.float32)
