"""The door between floats and integers: latents to symbols and back.

Steps are σ √12 for the learned posterior scale σ of each dimension, so that rounding noise has the
variance of the noise that the synthesis transform was trained with, times 2^(step_index / 8).
"""

from __future__ import annotations

import numpy as np

from hzc.blocks import FloatArray
from hzc.coding.entropy import MAX_VALUE, MIN_VALUE, IntArray
from hzc.errors import LatentError

STEP_INDEXES_PER_OCTAVE = 8


def steps(
    base_step: FloatArray, step_index: int, step_offsets: tuple[int, ...] | None = None
) -> FloatArray:
    """Return the step of every dimension.

    Args:
        base_step: The model's learned steps, float32 [D], > 0, latent units.
        step_index: Global index, -64 … 64: eight to an octave.
        step_offsets: Per-dimension additions to the index, or None.

    Returns:
        float32 [D], > 0.
    """
    index = step_index + np.asarray(step_offsets or 0, dtype=np.float64)
    # In float64 with every release of numpy: the noise follows from the last bit of a latent.
    exact = base_step.astype(np.float64) * 2.0 ** (index / STEP_INDEXES_PER_OCTAVE)
    return exact.astype(np.float32)


def to_symbols(y: FloatArray, step: FloatArray) -> IntArray:
    """Return the latent rounded to whole steps.

    Args:
        y: Latent, float32 [..., D, F].
        step: float32 [D], > 0.

    Returns:
        int32 [..., D, F], each in -32768 … 32767.

    Raises:
        LatentError: a value is NaN or infinite.
    """
    if not np.isfinite(y).all():
        raise LatentError(
            "the analysis transform gave a value that is not finite",
            hint="check the weights and the input audio",
        )
    with np.errstate(over="ignore"):
        scaled = np.rint(y / step[:, None])
    symbols: IntArray = np.clip(scaled, MIN_VALUE, MAX_VALUE).astype(np.int32)
    return symbols


def to_latent(symbols: IntArray, step: FloatArray) -> FloatArray:
    """Return float32 [..., D, F] for int32 [..., D, F] and steps float32 [D]."""
    return (symbols * step[:, None]).astype(np.float32)
