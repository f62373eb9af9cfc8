"""The prior: from what is known already to the table row of every symbol (sections 6.4, 6.5)."""

import struct
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

from .weights import Array, Weights

CONTEXT_CLIP = 127
ACTIVATION_MAX = 4095
MEAN_CLIP = 1016
_LANE_BITS = 64
_LANE_HALF = 1 << (_LANE_BITS - 1)


class Prediction(NamedTuple):
    """What the network says of one symbol (section 6.5)."""

    whole: int
    fraction: int
    scale: int


class Layer:
    """A layer of one group: sums of products, exact.

    Python's integers have any size. So the sums of all outputs are computed at once, as one
    integer of 64 bits an output; section 6.5 says that no sum needs more. `Layer.plain` has the
    formula as it is written there.
    """

    def __init__(self, weights: list[list[int]], biases: list[int]) -> None:
        self.weights = weights
        self.biases = biases
        self._zero = _pack_unsigned([_LANE_HALF] * len(biases))
        self._rows = [self._pack(row) for row in weights]
        self._bias = self._pack(biases)

    def sums(self, inputs: Sequence[int]) -> list[int]:
        """Return bias + sum of input × weight for every output; rows beyond the inputs rest."""
        total = self._bias
        for value, row in zip(inputs, self._rows, strict=False):
            if value:
                total += value * row
        lanes = (total + self._zero).to_bytes(8 * len(self.biases), "little")
        return [lane - _LANE_HALF for lane in struct.unpack(f"<{len(self.biases)}Q", lanes)]

    def plain(self, inputs: Sequence[int]) -> list[int]:
        """Return the same as `sums`, slowly."""
        return [
            self.biases[j] + sum(inputs[i] * self.weights[i][j] for i in range(len(inputs)))
            for j in range(len(self.biases))
        ]

    def _pack(self, numbers: list[int]) -> int:
        return _pack_unsigned([number + _LANE_HALF for number in numbers]) - self._zero


def _pack_unsigned(numbers: list[int]) -> int:
    return int.from_bytes(struct.pack(f"<{len(numbers)}Q", *numbers), "little")


class Prior:
    """The integer network and the tables of one model."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.sizes = weights.sizes
        self._cumulatives: dict[tuple[int, int], list[int]] = {}

    @cached_property
    def layers(self) -> list[tuple[Layer, ...]]:
        """The three layers of every group."""
        arrays = self.weights.arrays
        return [
            tuple(
                _layer(arrays[f"prior.w{number}"], arrays[f"prior.b{number}"], group)
                for number in (1, 2, 3)
            )
            for group in range(self.sizes.n_groups)
        ]

    def cumulatives(self, prediction: Prediction) -> list[int]:
        """Return the cumulative frequencies of the row, and their sum 2^24 (section 7.1)."""
        key = prediction.scale, prediction.fraction
        if key not in self._cumulatives:
            n_entries = self.sizes.n_entries
            begin = (prediction.scale * 8 + prediction.fraction) * n_entries
            row = self.weights.arrays["prior.tables"].numbers[begin : begin + n_entries]
            self._cumulatives[key] = [256 * c for c in accumulate(row, initial=0)]
        return self._cumulatives[key]

    def context(self, step_index: int, past: Sequence[Sequence[int]], now: list[int]) -> list[int]:
        """Return the context of the next group (section 6.4).

        `past` are the frames of the chunk before this one, `now` the symbols of this one so far.
        """
        n_past = self.sizes.n_past
        seen = past[len(past) - n_past :] if len(past) > n_past else past
        context = [step_index]
        context += [0] * ((n_past - len(seen)) * self.sizes.n_latent)
        for frame in (*seen, now):
            context += [clamp(symbol, -CONTEXT_CLIP, CONTEXT_CLIP) for symbol in frame]
        return context

    def hidden(self, group: int, context: Sequence[int]) -> tuple[list[int], list[int]]:
        """Return h1 and h2 (section 6.5)."""
        first, second, _ = self.layers[group]
        h1 = [_activation(x, self.weights.shifts[0]) for x in first.sums(context)]
        h2 = [_activation(x, self.weights.shifts[1]) for x in second.sums(h1)]
        return h1, h2

    def predict(self, group: int, context: Sequence[int]) -> list[Prediction]:
        """Return what the network says of the symbols of a group (section 6.5)."""
        _, h2 = self.hidden(group, context)
        outputs = self.layers[group][2].sums(h2)
        n, (_, _, s3, s4) = self.sizes.group, self.weights.shifts
        means = [clamp(x >> s3, -MEAN_CLIP, MEAN_CLIP) for x in outputs[:n]]
        scales = [clamp(x >> s4, 0, self.sizes.n_scales - 1) for x in outputs[n:]]
        return [split(mean, scale) for mean, scale in zip(means, scales, strict=True)]


def split(mean: int, scale: int) -> Prediction:
    """Split a mean into a whole number and an eighth (section 6.5)."""
    whole = (mean + 4) >> 3
    return Prediction(whole, mean - 8 * whole + 4, scale)


def clamp(x: int, low: int, high: int) -> int:
    """Return x, or the border that it is beyond (section 3)."""
    return low if x < low else high if x > high else x


def _activation(x: int, shift: int) -> int:
    return clamp(x >> shift, 0, ACTIVATION_MAX)


def _layer(weights: Array, biases: Array, group: int) -> Layer:
    """Cut the layer of one group out of the arrays."""
    _, n_inputs, n_outputs = weights.shape
    begin = group * n_inputs * n_outputs
    rows = [
        weights.numbers[begin + i * n_outputs : begin + (i + 1) * n_outputs]
        for i in range(n_inputs)
    ]
    return Layer(rows, biases.numbers[group * n_outputs : (group + 1) * n_outputs])
