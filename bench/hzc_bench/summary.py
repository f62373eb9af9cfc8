"""Means with 95 % intervals, by bootstrap over recordings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hzc_bench.metrics import BY_NAME, Metric
from hzc_bench.pipeline import Row

N_RESAMPLES = 2000
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A mean and the bounds of its 95 % interval."""

    mean: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the interval's width, for ±."""
        return (self.high - self.low) / 2.0


def estimate(values: Floats, weights: Floats | None = None) -> Estimate:
    """Return a mean over recordings; NaN values do not count.

    Args:
        values: One for each recording, float64 [recording].
        weights: > 0, such as durations for a rate of all bytes over all seconds; None: all alike.
    """
    is_there = np.isfinite(values)
    if not is_there.any():
        return Estimate(float("nan"), float("nan"), float("nan"))
    values = values[is_there]
    weights = np.ones(len(values)) if weights is None else weights[is_there]
    # The same draws at every call: what is compared is compared on the same recordings.
    draws = np.random.default_rng(1).integers(0, len(values), (N_RESAMPLES, len(values)))
    means = (values * weights)[draws].sum(axis=1) / weights[draws].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Estimate(float((values * weights).sum() / weights.sum()), float(low), float(high))


def of_system(rows: Sequence[Row], system: str) -> list[Row]:
    """Return the rows of one system, by file name."""
    return sorted((row for row in rows if row.system == system), key=lambda row: row.file)


def column(rows: Sequence[Row], metric: str) -> Floats:
    """Return one metric's values, float64 [recording]."""
    return np.array([row.figures.get(metric, np.nan) for row in rows])


def weights(rows: Sequence[Row], metric: str) -> Floats | None:
    """Return what weighs the recordings in a metric's mean, such as their words."""
    return column(rows, BY_NAME[metric].weight) if BY_NAME[metric].weight else None


def figure(rows: Sequence[Row], system: str, metric: str) -> Estimate:
    """Return one metric of one system."""
    mine = of_system(rows, system)
    return estimate(column(mine, metric), weights(mine, metric))


def rate(rows: Sequence[Row], system: str, *, is_payload: bool = False) -> Estimate:
    """Return kbit/s: all bytes over all seconds."""
    mine = of_system(rows, system)
    values = np.array([row.payload_kbps if is_payload else row.kbps for row in mine])
    return estimate(values, np.array([row.duration_s for row in mine]))


def verdict(rows: Sequence[Row], system: str, other: str, metric: Metric) -> str:
    """Return "better", "worse" or "even" for a system next to another, recording by recording.

    "even" where the 95 % interval of the mean difference includes 0, and "" without figures.
    """
    mine, theirs = of_system(rows, system), of_system(rows, other)
    losses = [
        np.array([metric.loss(value) for value in column(some, metric.name)])
        for some in (mine, theirs)
    ]
    difference = estimate(losses[0] - losses[1], weights(mine, metric.name))
    if not np.isfinite(difference.mean):
        return ""
    if difference.low <= 0.0 <= difference.high:
        return "even"
    return "better" if difference.high < 0.0 else "worse"
