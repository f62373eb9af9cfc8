"""The prior: from what is known already to the table row of every symbol (sections 6.4, 6.5)."""

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from .weights import Weights

CONTEXT_CLIP = 127
ACTIVATION_MAX = 4095
MEAN_CLIP = 1016


class Prediction(NamedTuple):
    """What the network says of one symbol (section 6.5)."""

    whole: int
    fraction: int
    scale: int


class Prior:
    """The integer network and the tables of one model."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.n_latent = weights.n_latent
        self.n_groups, n_rows, _ = weights.arrays["w1"].shape
        self.group_size = self.n_latent // self.n_groups
        self.n_past = (n_rows - 1) // self.n_latent - 1
        self.n_scales, _, self.n_entries = weights.arrays["tables"].shape
        # Signed integers of 64 bits are exact (section 6.5).
        self._numbers = {name: array.astype(np.int64) for name, array in weights.arrays.items()}
        self._cumulatives: dict[tuple[int, int], list[int]] = {}

    def cumulatives(self, prediction: Prediction) -> list[int]:
        """Return the cumulative frequencies of the row, and their sum 2^24 (section 7.1)."""
        key = prediction.scale, prediction.fraction
        if key not in self._cumulatives:
            row = self._numbers["tables"][key].tolist()
            self._cumulatives[key] = [256 * c for c in accumulate(row, initial=0)]
        return self._cumulatives[key]

    def context(self, step_index: int, past: Sequence[Sequence[int]], now: list[int]) -> list[int]:
        """Return the context of the next group (section 6.4).

        `past` are the frames of the chunk before this one, `now` the symbols of this one so far.
        """
        seen = past[max(0, len(past) - self.n_past) :]
        context = [step_index, *[0] * ((self.n_past - len(seen)) * self.n_latent)]
        for frame in (*seen, now):
            context += [max(-CONTEXT_CLIP, min(symbol, CONTEXT_CLIP)) for symbol in frame]
        return context

    def predict(self, group: int, context: Sequence[int]) -> list[Prediction]:
        """Return what the network says of the symbols of a group (section 6.5)."""
        s1, s2, s3, s4 = self.weights.shifts
        h1 = np.clip(self._sums(1, group, np.array(context)) >> s1, 0, ACTIVATION_MAX)
        h2 = np.clip(self._sums(2, group, h1) >> s2, 0, ACTIVATION_MAX)
        means, scales = np.split(self._sums(3, group, h2), 2)
        means = np.clip(means >> s3, -MEAN_CLIP, MEAN_CLIP).tolist()
        scales = np.clip(scales >> s4, 0, self.n_scales - 1).tolist()
        wholes = [(mean + 4) >> 3 for mean in means]
        return [
            Prediction(whole, mean - 8 * whole + 4, scale)
            for whole, mean, scale in zip(wholes, means, scales, strict=True)
        ]

    def _sums(self, layer: int, group: int, inputs: np.ndarray) -> np.ndarray:
        """Return bias + sum of input × weight for every output; rows beyond the inputs rest."""
        weights = self._numbers[f"w{layer}"][group, : len(inputs)]
        return self._numbers[f"b{layer}"][group] + inputs @ weights
