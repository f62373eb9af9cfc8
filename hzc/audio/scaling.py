"""Samples of any number type as float32, full scale ±1."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hzc.blocks import FloatArray
from hzc.errors import UnsupportedAudioError


def to_float32(samples: npt.NDArray[np.generic]) -> FloatArray:
    """Scale integers by the range of their type; floats are full scale at ±1 already.

    Args:
        samples: Any shape. Unsigned integers have their zero in the middle, as in WAV; 24-bit
            samples are the upper bits of int32.

    Raises:
        UnsupportedAudioError: no real numbers.
    """
    kind, n_bits = samples.dtype.kind, 8 * samples.dtype.itemsize
    if kind == "f":
        with np.errstate(over="ignore"):  # infinities are refused with their time
            return samples.astype(np.float32, copy=False)
    if kind == "i":
        return samples.astype(np.float32) * np.float32(2.0 ** (1 - n_bits))
    if kind == "u":
        middle = 2.0 ** (n_bits - 1)
        return ((samples.astype(np.float64) - middle) / middle).astype(np.float32)
    raise UnsupportedAudioError(
        f"samples are {samples.dtype.name} (float or integer expected)",
        hint="pass float samples with full scale ±1, or integers over the range of their type",
    )
