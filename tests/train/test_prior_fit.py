"""The prior: what its network sees, and the integers made of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hzc.coding.prior import TABLE_SUM
from hzc.container import CHUNK_FRAMES
from hzc.errors import TrainingError
from hzc.train import prior_fit, prior_tables
from hzc.train.config import OptimiserConfig, PriorFitConfig
from hzc.train.export import load_prior, save_prior
from hzc.train.prior_data import LatentSet
from hzc.train.prior_fit import FrameSampler

FIT = PriorFitConfig(
    n_steps=250,
    batch_frames=512,
    optimiser=OptimiserConfig(
        lr=6e-3, warmup_steps=10, decay_steps=120, weight_decay=0.1, clip_norm=20.0
    ),
    hidden=32,
    n_groups=4,
)


def latent_set(latents: np.ndarray, n_recordings: int = 1, weights=None) -> LatentSet:
    """Return latents as recordings of one length."""
    n = len(latents) // n_recordings
    starts = np.repeat(np.arange(n_recordings) * n, n)
    weights = np.ones(len(latents)) if weights is None else np.repeat(weights, n)
    return LatentSet(latents.astype(np.float32), starts, weights)


# --- what the network sees ------------------------------------------------------------------


def test_sampler_draws_by_weight_within_recordings_and_the_range_of_steps():
    latents = np.repeat(np.arange(1.0, 5.0), 50)[:, None].repeat(2, axis=1) * 16
    config = PriorFitConfig(context_frames=3, step_index_range=(0, 8), default_share=0.5)
    sampler = FrameSampler(latent_set(latents, 4, [0.0, 1.0, 3.0, 0.0]), config)
    context, symbols = sampler.draw(np.random.default_rng(0), 4_000)
    steps = context[:, 0].numpy()
    assert set(np.unique(steps)) == set(range(9))
    assert np.mean(steps == 0) == pytest.approx(0.5 + 0.5 / 9, abs=0.05)
    drawn = np.bincount(symbols[steps == 0, 0].int() // 16, minlength=5) / (steps == 0).sum()
    assert drawn == pytest.approx([0, 0, 0.25, 0.75, 0], abs=0.03)
    # All frames of a recording are alike: the past holds its own symbols, or zeros.
    past = context[:, 1:-2].reshape(4_000, 3, 2)
    assert ((past == 0) | (past == symbols[:, None])).all()


# --- the fitted prior -----------------------------------------------------------------------


def autoregressive(n_frames: int, seed: int) -> np.ndarray:
    """Return float32 [n_frames, 8]: each dimension follows its past and the one before it."""
    rng = np.random.default_rng(seed)
    x = np.zeros((n_frames, 8))
    noise = rng.normal(0, 6.0 * math.sqrt(1 - 0.95**2), (n_frames, 8))
    for t in range(1, n_frames):
        x[t] = 0.95 * x[t - 1] + noise[t]
    x[:, 1::2] = 0.9 * x[:, ::2] + 0.3 * x[:, 1::2]
    return x.astype(np.float32)


@pytest.fixture(scope="module")
def fitted(config):
    """The float network and the integer prior made of it, fitted on autoregressive latents."""
    sampler = FrameSampler(latent_set(autoregressive(20_000, 1)), FIT)
    network = prior_fit.fit_network(sampler, seed=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prior_fit, "fit_network", lambda *_: network)
        result = prior_fit.fit_prior(sampler, config())
    return network, result


@pytest.mark.parametrize("step_index", [0, 8])
def test_integer_prior_costs_what_the_network_does_and_beats_static_tables(fitted, step_index):
    network, result = fitted
    width = 2.0 ** (step_index / 8)
    seen, held_out = (
        np.rint(autoregressive(n, seed) / width).astype(np.int32)
        for n, seed in ((20_000, 1), (4_000, 2))
    )
    bits = sum(
        result.prior.ideal_bits(held_out[start : start + CHUNK_FRAMES].T, step_index)
        for start in range(0, 4_000, CHUNK_FRAMES)
    )
    static = 0.0
    for known, coded in zip(seen.T + 63, held_out.T + 63, strict=True):
        counts = np.bincount(known, minlength=127) + 0.5
        static -= np.log2(counts / counts.sum())[coded].sum()
    assert bits < 0.8 * static
    frames = np.arange(4_000)
    sampler = FrameSampler(latent_set(autoregressive(4_000, 2)), FIT)
    context, symbols = sampler.at(frames, frames % CHUNK_FRAMES, np.full(4_000, step_index))
    with torch.no_grad():
        mean, scale = network(context)
        scale = scale.clamp(0.0, FIT.n_scales - 1.0)
        float_bits = float(prior_fit.code_length_bits(symbols, mean, scale).sum())
    # Fitted tables may beat the fixed mixture of the loss by a little.
    assert 0.95 * float_bits <= bits <= 1.01 * float_bits


@pytest.mark.parametrize("damage", ["none at all", "cut off", "another step"])
def test_prior_that_cannot_be_exported_is_refused(tmp_path, fitted, damage):
    path = save_prior(fitted[1], tmp_path, 3)
    if damage == "none at all":
        path.unlink()
    elif damage == "cut off":
        path.write_bytes(path.read_bytes()[:1_000])
    message = "no prior in this run|not a prior|at step 3, but the checkpoint is of step 4"
    with pytest.raises(TrainingError, match=rf"{message}") as caught:
        load_prior(tmp_path, 4)
    assert caught.value.path == path
    assert "hzc train prior" in caught.value.hint


# --- tables ---------------------------------------------------------------------------------


@settings(max_examples=100)
@given(
    hnp.arrays(np.float64, st.integers(1, 301), elements=st.floats(0, 1, allow_subnormal=False)),
    st.floats(0, 1),
)
def test_frequencies_of_any_probabilities_are_a_distribution(raw, inside):
    probabilities = raw / raw.sum() * inside if raw.sum() > 0 else raw
    found = prior_tables.to_frequencies(probabilities)
    assert found.dtype == np.uint16
    assert found.shape == (len(raw) + 1,)
    assert int(found.astype(np.int64).sum()) == TABLE_SUM
    assert found.min() >= 1
    exact = np.append(probabilities, max(0.0, 1.0 - probabilities.sum()))
    assert np.abs(found - (1 + exact * (TABLE_SUM - len(exact)))).max() <= 1.01
