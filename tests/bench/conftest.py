"""Rows and recordings that nobody measured, for everything that is made of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from hzc_bench import metrics, systems
from hzc_bench.pipeline import Row
from hzc_bench.samples import Recording

N_RECORDINGS = 8

torch.set_num_threads(1)  # two workers with two threads each wait for each other


@pytest.fixture
def compared() -> list[systems.System]:
    """Hzc, the original and two peers; none of them runs."""
    return [systems.Hzc(), systems.Pcm(), systems.opus(6), systems.codec2("1300")]


@pytest.fixture
def rows() -> list[Row]:
    """Rows in which hzc wins in pesq_wb, loses in stoi, and is even in logmel."""
    rng = np.random.default_rng(3)
    spread = rng.normal(size=N_RECORDINGS) * 0.05
    quality = {
        "hzc": (2.5, 0.80, 0.20, 750),
        "original": (4.6, 1.00, 0.00, 192_000),
        "opus-6": (2.0, 0.90, 0.20, 4_800),
        "codec2-1300": (1.5, 0.70, 0.20, 982),
    }
    return [
        Row(
            codec, f"clip-{number}.wav", 6.0, n_bytes, n_bytes - 50, 0,
            {
                "pesq_wb": pesq + spread[number],
                "stoi": stoi + spread[number] / 10,
                "logmel": logmel + rng.normal() * 0.02,
            },
        )
        for codec, (pesq, stoi, logmel, n_bytes) in quality.items()
        for number in range(N_RECORDINGS)
    ]  # fmt: skip


@pytest.fixture
def some_metrics() -> list[metrics.Metric]:
    """The metrics that the rows have."""
    return [metrics.BY_NAME[name] for name in ("pesq_wb", "stoi", "logmel")]


@pytest.fixture
def recordings(sound: Callable[..., np.ndarray]) -> list[Recording]:
    """Three sounds of a second."""
    return [Recording(f"clip-{seed}.wav", sound(16_000, seed=seed)) for seed in range(3)]
