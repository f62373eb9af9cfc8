"""Hypothesis profiles, and the small prior, model and sounds that several tests share."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import settings
from sizes import TINY

from hzc.coding.prior import MEAN_FRACTIONS, TABLE_SUM, Prior

if TYPE_CHECKING:
    from hzc.codec import Codec

settings.register_profile("ci", derandomize=True, max_examples=100, deadline=None)
settings.register_profile("nightly", max_examples=10_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

TINY_FOLDER = Path(__file__).parent / "tiny"
"""Networks of the sizes TINY: weights and ONNX graphs, made by make_tiny.py."""
PARTS = ("analysis", "synthesis")
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
    return Prior(
        w1=weights(n_groups, n_inputs, hidden),
        b1=biases(n_groups, hidden, low=0, high=2**15),
        w2=weights(n_groups, hidden, hidden),
        b2=biases(n_groups, hidden, low=0, high=2**20),
        w3=weights(n_groups, hidden, 2 * group_size),
        b3=np.concatenate([mean_bias, scale_bias], axis=1),
        shifts=(5, 12, 15, 18),
        tables=gaussian_tables(n_scales, max_residual),
    )


def gaussian_tables(n_scales: int, max_residual: int) -> np.ndarray:
    """Return uint16 [n_scales, MEAN_FRACTIONS, 2 * max_residual + 2]."""
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
    return np.array(tables)


def make_static_prior(
    n_latent: int = 32, scale_index: int = 7, n_scales: int = 8, max_residual: int = 60
) -> Prior:
    """Return a prior that expects a Gaussian of mean zero and one width, whatever came before."""
    b3 = np.zeros((1, 2 * n_latent), dtype=np.int32)
    b3[:, n_latent:] = scale_index
    return Prior(
        w1=np.zeros((1, 1 + 2 * n_latent, 4), dtype=np.int16),
        b1=np.zeros((1, 4), dtype=np.int32),
        w2=np.zeros((1, 4, 4), dtype=np.int16),
        b2=np.zeros((1, 4), dtype=np.int32),
        w3=np.zeros((1, 4, 2 * n_latent), dtype=np.int16),
        b3=b3,
        shifts=(0, 0, 0, 0),
        tables=gaussian_tables(n_scales, max_residual),
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


TINY_ID = 240
"""Of the private models that tests make."""


@pytest.fixture(scope="session")
def static_prior() -> Prior:
    """A prior that knows how wide the tiny model's symbols are spread, and nothing else."""
    return make_static_prior()


@pytest.fixture(scope="session")
def write_tiny_model() -> Callable[..., Path]:
    """Factory of weight files: `write_tiny_model(path, prior, name="other", base_step=...)`.

    The networks are those of tests/tiny; their graphs are put next to the file.
    """
    from safetensors.numpy import load_file

    from hzc.model.file import open_model, save_model

    weights = load_file(TINY_FOLDER / "weights.safetensors")

    def write(path: Path, prior: Prior, **changes: Any) -> Path:
        n_scales = len(prior.tables)
        metadata = {"model_id": TINY_ID, "name": "tiny", "default_step_index": 0}
        arrays = {
            **weights,
            "base_step": np.linspace(0.08, 0.2, TINY.n_latent, dtype=np.float32),
            "mixture_scales": np.float32(SMALLEST_SCALE * SCALE_RATIO ** np.arange(n_scales))[
                :, None
            ],
            "mixture_weights": np.ones((n_scales, 1), dtype=np.float32),
        }
        for key, value in changes.items():
            (metadata if key in metadata else arrays)[key] = value
        save_model(path, metadata, TINY, prior, arrays)
        for part in PARTS:
            shutil.copyfile(TINY_FOLDER / f"{part}.onnx", open_model(path).graph_path(part))
        return path

    return write


@pytest.fixture(scope="session")
def tiny_model(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_prior: Callable[..., Prior],
    write_tiny_model: Callable[..., Path],
) -> Path:
    """Weight file of a private model with random networks and a random prior of 32 dimensions."""
    prior = tiny_prior(240, n_groups=4, group_size=8)
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.safetensors", prior)


@pytest.fixture(scope="session")
def tiny_codec(tiny_model: Path) -> Codec:
    """Codec of the tiny model; its symbols spread over about ten steps."""
    from hzc.codec import Codec

    return Codec.load(tiny_model)


def make_sound(n_samples: int, sample_rate_hz: int = 16_000, seed: int = 0) -> np.ndarray:
    """Return float32 [sample]: a gliding harmonic tone that comes and goes, over a little noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(n_samples) / sample_rate_hz
    pitch_hz = rng.uniform(90, 220) * (1 + 0.15 * np.sin(2 * np.pi * 1.7 * t + rng.uniform(0, 6)))
    phase = 2 * np.pi * np.cumsum(pitch_hz) / sample_rate_hz
    voice = sum(np.sin(k * phase) / k for k in range(1, 9))
    envelope = np.clip(np.sin(2 * np.pi * 2.3 * t + rng.uniform(0, 6)) + 0.3, 0, None)
    return (0.1 * envelope * voice + 0.005 * rng.standard_normal(n_samples)).astype(np.float32)


@pytest.fixture(scope="session")
def sound() -> Callable[..., np.ndarray]:
    """Factory of speech-like test sounds: `sound(n_samples, sample_rate_hz, seed)`."""
    return make_sound
