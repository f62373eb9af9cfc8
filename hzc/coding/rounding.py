"""Symbols that cost a little less than the nearest ones: what makes a rate finer than the steps.

A symbol may be moved from the nearest whole number towards its mean under the prior. It is wherever
the bits saved, times λ, outweigh the squared error added.
Source: Sullivan, Wiegand, "Rate-Distortion Optimization for Video Compression", IEEE Signal
Processing Magazine 15 (6), 1998; J = D + λ R for every symbol, what follows it left as it is.
"""

from __future__ import annotations

from math import ceil

import numpy as np
import numpy.typing as npt

from hzc.blocks import FloatArray
from hzc.coding.entropy import IntArray
from hzc.coding.prior import Prior
from hzc.coding.quantize import STEP_INDEXES_PER_OCTAVE

N_LEVELS = 32
MAX_LAMBDA = 8.0
"""Error worth adding for a bit, in squares of the learned steps."""
MAX_MOVED_STEPS = 2.0
"""Learned steps that a symbol is moved by at most."""


class Rounding:
    """One channel of one chunk, to be rounded at any level."""

    def __init__(
        self, scaled: FloatArray, nearest: IntArray, prior: Prior, step_index: int
    ) -> None:
        """Price every move of every symbol.

        Args:
            scaled: Latent in steps, float32 [D, F].
            nearest: It rounded, int32 [D, F].
            prior: What the symbols are coded with.
            step_index: The header's.
        """
        ratio = 2.0 ** (step_index / STEP_INDEXES_PER_OCTAVE)
        moved, bits = prior.towards_means(nearest, step_index, ceil(MAX_MOVED_STEPS / ratio))
        added = np.diff(np.square(scaled - moved), axis=0)
        saved = -np.diff(bits, axis=0)
        price = np.full(added.shape, np.inf)
        np.divide(added, saved, out=price, where=saved > 0)
        # A symbol goes no further than its dearest move allows.
        self._prices: npt.NDArray[np.float64] = np.maximum.accumulate(price, axis=0)
        self._moved, self._max_price = moved, MAX_LAMBDA / ratio**2

    def symbols(self, level: int) -> IntArray:
        """Return int32 [D, F]; level 0 gives the nearest ones, N_LEVELS the cheapest."""
        max_price = self._max_price * (level / N_LEVELS) ** 2
        n_moves = np.count_nonzero(self._prices < max_price, axis=0)
        chosen: IntArray = np.take_along_axis(self._moved, n_moves[None], axis=0)[0]
        return chosen
