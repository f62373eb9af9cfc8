"""Samples that programs pass: any number type as float32, full scale ±1."""

from __future__ import annotations

from typing import Any

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


def as_array(samples: Any) -> npt.NDArray[Any]:
    """Return a list, array or torch tensor as an array of its own type.

    Raises:
        UnsupportedAudioError: it is none of these.
    """
    try:
        if hasattr(samples, "detach"):  # a torch tensor
            samples = samples.detach().cpu()
            if "bfloat16" in str(samples.dtype):
                samples = samples.float()
            samples = samples.numpy()
        return np.asarray(samples)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UnsupportedAudioError(
            f"samples are a {type(samples).__name__} (an array of numbers expected)"
        ) from error


def whole_rate_hz(sample_rate_hz: Any) -> int:
    """Return a sample rate as an integer.

    Raises:
        UnsupportedAudioError: it is no whole number, or less than 1.
    """
    is_number = isinstance(sample_rate_hz, (int, float, np.integer, np.floating))
    is_whole = is_number and not isinstance(sample_rate_hz, bool) and sample_rate_hz % 1 == 0
    if not is_whole or sample_rate_hz < 1:
        raise UnsupportedAudioError(
            f"sample rate {sample_rate_hz!r} Hz (a whole number, 1 or more, expected)"
        )
    return int(sample_rate_hz)
