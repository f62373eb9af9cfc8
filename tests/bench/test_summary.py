"""Means, intervals and verdicts."""

from __future__ import annotations

import numpy as np
import pytest

from hzc_bench import metrics, summary


def test_interval_has_about_the_width_that_statistics_expects():
    rng = np.random.default_rng(0)
    found = summary.estimate(rng.normal(5.0, 2.0, 400))
    assert found.low < found.mean < found.high
    assert found.half_width == pytest.approx(1.96 * 2.0 / 20.0, rel=0.15)


def test_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    found = [summary.estimate(rng.normal(1.0, 1.0, 40)) for _ in range(200)]
    assert 0.88 <= np.mean([f.low <= 1.0 <= f.high for f in found]) <= 0.99


def test_estimate_of_equal_values_has_no_width_and_of_none_no_mean():
    assert summary.estimate(np.full(5, 2.0)) == summary.Estimate(2.0, 2.0, 2.0)
    assert np.isnan(summary.estimate(np.array([np.nan, np.nan])).mean)
    assert summary.estimate(np.array([1.0, np.nan, 3.0])).mean == 2.0


def test_rate_is_all_bytes_over_all_seconds(rows):
    assert summary.rate(rows, "hzc").mean == pytest.approx(1.0)
    assert summary.rate(rows, "hzc", is_payload=True).mean == pytest.approx(8e-3 * 700 / 6)
    weighted = summary.estimate(np.array([1.0, 4.0]), np.array([3.0, 1.0]))
    assert weighted.mean == pytest.approx(7.0 / 4.0)


@pytest.mark.parametrize(
    ("metric", "expected"), [("pesq_wb", "better"), ("stoi", "worse"), ("logmel", "even")]
)
def test_verdict_says_who_is_ahead(rows, metric, expected):
    assert summary.verdict(rows, "hzc", "opus-6", metrics.BY_NAME[metric]) == expected


def test_verdict_without_figures_is_none(rows):
    assert summary.verdict(rows, "hzc", "opus-6", metrics.BY_NAME["wer"]) == ""


@pytest.mark.parametrize(
    ("name", "good", "bad"), [("stoi", 0.9, 0.5), ("logmel", 0.1, 0.4), ("level_db", -0.5, 2.0)]
)
def test_loss_is_lower_for_what_is_better(name, good, bad):
    metric = metrics.BY_NAME[name]
    assert metric.loss(good) < metric.loss(bad)
