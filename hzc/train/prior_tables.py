"""The integer tables of the prior, fitted to the residuals that its network leaves.

A table is a mixture of zero-mean Gaussians of fixed relative widths, discretised at an offset of an
eighth of a step and rounded to frequencies that sum to 2^16. The mixture's weights are fitted per
scale index by expectation–maximisation, so that tails follow the data.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import special, tensor

from hzc.coding.prior import MEAN_FRACTIONS, TABLE_SUM

FloatArray = npt.NDArray[np.float64]

SMALLEST_SCALE = 0.1
SCALES_PER_OCTAVE = 4
RELATIVE_WIDTHS = np.array([0.5, 1.0, 2.0, 4.0])
PRIOR_COUNTS = np.array([10.0, 100.0, 20.0, 4.0])
"""Pseudo-observations: a scale index that the data never use gets nearly a Gaussian."""


def scales(n_scales: int) -> FloatArray:
    """Return the standard deviation, in steps, of every scale index, float64 [n_scales]."""
    return SMALLEST_SCALE * 2.0 ** (np.arange(n_scales) / SCALES_PER_OCTAVE)


def bin_probabilities(scale: float, max_residual: int) -> FloatArray:
    """Return the probability of every residual under each width of one scale.

    Returns:
        float64 [n_widths, MEAN_FRACTIONS, 2 * max_residual + 1].
    """
    residual = np.arange(-max_residual, max_residual + 1)
    fraction = (np.arange(MEAN_FRACTIONS) - MEAN_FRACTIONS // 2) / MEAN_FRACTIONS
    centre = residual[None, :] - fraction[:, None]  # [fraction, residual]
    width = (scale * RELATIVE_WIDTHS)[:, None, None]
    # Both ends on the side of the smaller tail, where the difference keeps its digits.
    distance = np.abs(centre)[None]
    return _normal_cdf((0.5 - distance) / width) - _normal_cdf((-0.5 - distance) / width)


def _normal_cdf(x: FloatArray) -> FloatArray:
    return np.asarray(special.ndtr(tensor(x)).numpy(), dtype=np.float64)


def fit_mixtures(counts: npt.NDArray[np.int64], n_iterations: int = 50) -> FloatArray:
    """Return how much of each relative width the residuals of each scale index have.

    Args:
        counts: How often each residual was seen, int64 [n_scales, MEAN_FRACTIONS, 2 R + 1].
        n_iterations: Rounds of expectation–maximisation.

    Returns:
        float64 [n_scales, n_widths], each row summing to one.
    """
    n_scales, _, n_residuals = counts.shape
    mixtures = np.empty((n_scales, len(RELATIVE_WIDTHS)))
    for index, scale in enumerate(scales(n_scales)):
        parts = bin_probabilities(scale, n_residuals // 2)  # [width, fraction, residual]
        weights = PRIOR_COUNTS / PRIOR_COUNTS.sum()
        for _ in range(n_iterations):
            joint = weights[:, None, None] * parts + 1e-30
            shares = joint / joint.sum(axis=0)
            expected = (shares * counts[index]).sum(axis=(1, 2)) + PRIOR_COUNTS
            weights = expected / expected.sum()
        mixtures[index] = weights
    return mixtures


def make_tables(mixtures: FloatArray, max_residual: int) -> npt.NDArray[np.uint16]:
    """Return the tables of mixtures, float64 [n_scales, n_widths].

    Returns:
        uint16 [n_scales, MEAN_FRACTIONS, 2 R + 2]: frequencies, the escape last.
    """
    n_scales = len(mixtures)
    tables = np.empty((n_scales, MEAN_FRACTIONS, 2 * max_residual + 2), dtype=np.uint16)
    for index, scale in enumerate(scales(n_scales)):
        parts = bin_probabilities(scale, max_residual)
        mixture = np.tensordot(mixtures[index], parts, axes=1)  # [fraction, residual]
        for fraction in range(MEAN_FRACTIONS):
            tables[index, fraction] = to_frequencies(mixture[fraction])
    return tables


def to_frequencies(probabilities: FloatArray) -> npt.NDArray[np.uint16]:
    """Return integer frequencies >= 1 that sum to 2^16, an escape entry added at the end.

    What the probabilities leave over of one goes to the escape. Rounding is by largest remainder.
    """
    escape = max(1.0 - float(probabilities.sum()), 0.0)
    wanted = np.concatenate([probabilities, [escape]])
    free = TABLE_SUM - len(wanted)
    exact = wanted / wanted.sum() * free
    floor = np.floor(exact)
    order = np.argsort(-(exact - floor), kind="stable")
    floor[order[: int(free - floor.sum())]] += 1
    frequencies: npt.NDArray[np.uint16] = (floor + 1).astype(np.uint16)
    return frequencies
