"""Hypothesis profiles and the small integer prior that several tests share."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from hzc.prior import MEAN_FRACTIONS, TABLE_SUM, Prior

settings.register_profile("ci", derandomize=True, max_examples=100, deadline=None)
settings.register_profile("nightly", max_examples=10_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

SMALLEST_SCALE = 0.3
"""Steps; every further scale is wider by `SCALE_RATIO`."""
SCALE_RATIO = 1.6


def gaussian_frequencies(offset: float, scale: float, max_residual: int) -> np.ndarray:
    """Return uint16 [2 * max_residual + 2] that sum to 2^16; the last entry is the escape."""
    edges = np.arange(-max_residual, max_residual + 2) - 0.5
    cdf = [0.5 * (1.0 + math.erf((edge - offset) / (scale * math.sqrt(2.0)))) for edge in edges]
    inside = np.diff(cdf)
    probabilities = np.append(inside, max(0.0, 1.0 - inside.sum()))
    frequencies = 1 + np.floor(probabilities * (TABLE_SUM - len(probabilities))).astype(np.int64)
    frequencies[np.argmax(frequencies)] += TABLE_SUM - frequencies.sum()
    return frequencies.astype(np.uint16)


def make_tiny_prior(
    seed: int,
    *,
    n_groups: int = 4,
    group_size: int = 2,
    context_frames: int = 3,
    hidden: int = 8,
    n_scales: int = 6,
    max_residual: int = 12,
) -> Prior:
    """Return a prior with random weights whose means and scales spread over their ranges."""
    rng = np.random.default_rng(seed)
    n_inputs = 1 + (context_frames + 1) * n_groups * group_size

    def weights(*shape: int) -> np.ndarray:
        return rng.integers(-2_000, 2_001, shape).astype(np.int16)

    def biases(*shape: int, low: int, high: int) -> np.ndarray:
        return rng.integers(low, high, shape).astype(np.int32)

    mean_bias = biases(n_groups, group_size, low=-(2**18), high=2**18)
    scale_bias = biases(n_groups, group_size, low=0, high=n_scales * 2**18)
    tables = [
        [
            gaussian_frequencies(
                (fraction - MEAN_FRACTIONS // 2) / MEAN_FRACTIONS,
                SMALLEST_SCALE * SCALE_RATIO**scale,
                max_residual,
            )
            for fraction in range(MEAN_FRACTIONS)
        ]
        for scale in range(n_scales)
    ]
    return Prior(
        w1=weights(n_groups, n_inputs, hidden),
        b1=biases(n_groups, hidden, low=0, high=2**15),
        w2=weights(n_groups, hidden, hidden),
        b2=biases(n_groups, hidden, low=0, high=2**20),
        w3=weights(n_groups, hidden, 2 * group_size),
        b3=np.concatenate([mean_bias, scale_bias], axis=1),
        shifts=(5, 12, 15, 18),
        tables=np.array(tables),
    )


@pytest.fixture(scope="session")
def tiny_prior() -> Callable[..., Prior]:
    """Factory of small priors: `tiny_prior(seed)`, or with other sizes by keyword."""
    cache: dict[tuple[Any, ...], Prior] = {}

    def make(seed: int, **sizes: int) -> Prior:
        key = (seed, *sorted(sizes.items()))
        if key not in cache:
            cache[key] = make_tiny_prior(seed, **sizes)
        return cache[key]

    return make
