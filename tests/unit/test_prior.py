"""The integer prior: length of payloads, chunks side by side, refusals.

That it is exact is guarded by the second decoder (tests/golden/test_second_decoder.py).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hzc.coding.prior import ARRAYS, CONTEXT_CLIP, DTYPES, Prior
from hzc.errors import WeightsError

SIZES = {
    "4x2": {},
    "one-group": {"n_groups": 1, "group_size": 5},
    "no-past": {"n_groups": 2, "group_size": 3, "context_frames": 0},
    "one-scale-one-residual": {"n_scales": 1, "max_residual": 0},
}


@pytest.fixture(params=SIZES.values(), ids=SIZES.keys())
def prior(request, tiny_prior):
    return tiny_prior(3, **request.param)


def sample_symbols(prior: Prior, n_frames: int, seed: int, step_index: int = 0) -> np.ndarray:
    """Symbols drawn from the prior's own tables, int32 [D, F]; escapes where a table says so."""
    rng = np.random.default_rng(seed)
    k, size = prior.context_frames, prior.group_size
    symbols = np.zeros((k + n_frames, prior.n_latent), dtype=np.int32)
    tables = prior.tables.reshape(-1, prior.tables.shape[2])
    for t in range(k, k + n_frames):
        for group in range(prior.n_groups):
            seen = np.clip(symbols[t - k : t + 1].reshape(-1), -CONTEXT_CLIP, CONTEXT_CLIP)
            whole, index = prior.predict(group, np.array([[step_index, *seen]], np.float64))
            for column, (mean, row) in enumerate(zip(whole[0], index[0], strict=True)):
                entry = rng.choice(tables.shape[1], p=tables[row] / 2**16)
                value = entry - prior.max_residual + mean
                if entry == tables.shape[1] - 1:
                    value = rng.integers(-32768, 32768)
                symbols[t, group * size + column] = value
    return symbols[k:].T


@pytest.mark.parametrize("step_index", [-64, 0, 64])
def test_typical_symbols_round_trip_at_the_length_of_the_ideal_code(prior, step_index):
    total_payload = total_ideal = 0.0
    for seed, n_frames in enumerate((1, 2, 17, 40, 40, 40, 40)):
        symbols = sample_symbols(prior, n_frames, seed, step_index)
        payload = prior.encode(symbols, step_index)
        (found,) = prior.decode([payload], [n_frames], step_index)
        assert found.dtype == np.int32
        assert np.array_equal(found, symbols)
        ideal = prior.ideal_bits(symbols, step_index)
        # Trimmed zeros can save a lucky stream a byte or two; not so on average.
        assert ideal - 16 <= 8 * len(payload) <= 1.005 * ideal + 64
        total_payload, total_ideal = total_payload + 8 * len(payload), total_ideal + ideal
    assert total_ideal <= total_payload <= 1.005 * total_ideal + 7 * 32


@pytest.mark.parametrize("n_frames", [[], [5], [1, 7, 4, 7, 2], [80, 80, 3]])
def test_decode_chunks_side_by_side_returns_each(prior, n_frames):
    chunks = [sample_symbols(prior, n, seed) for seed, n in enumerate(n_frames)]
    together = prior.decode([prior.encode(chunk, 5) for chunk in chunks], n_frames, 5)
    assert [found.tolist() for found in together] == [chunk.tolist() for chunk in chunks]


def move(array: np.ndarray, *at: int, by: int) -> np.ndarray:
    other = array.copy()
    other[at] = int(other[at]) + by
    return other


def without_zero(tables: np.ndarray) -> np.ndarray:
    """A frequency of zero in a table whose sum is right."""
    first = int(tables[2, 3, 0])
    return move(move(tables, 2, 3, 0, by=-first), 2, 3, 4, by=first)


def odd(tables: np.ndarray) -> np.ndarray:
    """One entry fewer, the sums right."""
    return np.concatenate([tables[..., 1:-1], tables[..., -1:] + tables[..., :1]], axis=-1)


RESHAPED = [
    lambda a: a[0],
    lambda a: a[:0],
    lambda a: a[:, :-1],
    lambda a: a[..., :-1],
    lambda a: a.astype(np.float32),
    lambda a: a.astype(np.int64),
]
BROKEN = [
    *((name, change) for name in DTYPES for change in RESHAPED),
    *((name, lambda a: a[:-1]) for name in ARRAYS),
    ("w1", lambda a: a[:, :1]),
    ("tables", lambda a: move(a, 5, 7, 12, by=1)),
    ("tables", lambda a: move(a, 5, 7, 12, by=-1)),
    ("tables", without_zero),
    ("tables", odd),
    ("shifts", lambda _: (4, 6, 8)),
    ("shifts", lambda _: (-1, 6, 8, 12)),
    ("shifts", lambda _: (4, 6, 8, 64)),
    ("shifts", lambda _: (4.0, 6, 8, 12)),
]


@pytest.mark.parametrize(("name", "change"), BROKEN)
def test_impossible_priors_raise_weights_error(tiny_prior, name, change):
    prior = tiny_prior(0)
    with pytest.raises(WeightsError):
        replace(prior, **{name: change(getattr(prior, name))})
