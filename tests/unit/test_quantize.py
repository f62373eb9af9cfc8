"""Steps on their logarithmic scale, rounding to symbols, and back to latents."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hzc.coding.quantize import steps, to_latent, to_symbols

BASE_STEP = np.float32([0.25, 1.0, 3.0])
STEPS = [(0, None, 1), (8, None, 2), (-8, None, 0.5), (64, None, 256), (-64, None, 2**-8),
         (1, None, 2 ** (1 / 8)), (8, (0, 0, 0), 2), (3, (5, -3, -11), [2, 1, 0.5])]  # fmt: skip
CASES = [
    ([-2.5, -1.5, -0.51, -0.5, -0.49, 0.5, 1.5, 2.5], 1.0, [-2, -2, -1, 0, 0, 0, 2, 2]),
    ([32766.4, 32767.4, 4e4, 1e30], 1.0, [32766, 32767, 32767, 32767]),
    ([-32768.4, -4e4, -3.4e38], 0.01, [-32768] * 3),
]


@pytest.mark.parametrize(("step_index", "offsets", "factor"), STEPS)
def test_steps_double_every_eight_indexes(step_index, offsets, factor):
    found = steps(BASE_STEP, step_index, offsets)
    assert found.dtype == np.float32
    assert found.tolist() == (BASE_STEP * factor).tolist()


@pytest.mark.parametrize(("y", "step", "expected"), CASES)
def test_to_symbols_rounds_ties_to_even_and_clips(y, step, expected):
    found = to_symbols(np.float32([y]), np.float32([step]))
    assert (found.dtype, found.tolist()) == (np.int32, [expected])


@given(st.integers(-64, 64), st.floats(0.0078125, 256.0, width=32), st.integers(0, 99))
def test_symbols_of_latents_are_exact_on_the_grid_and_near_off_it(step_index, base_step, seed):
    step = steps(base_step * BASE_STEP, step_index)
    near = np.arange(-300, 301)
    symbols = np.tile(np.concatenate([near, near + 32_467, near - 32_468]), (2, 3, 1))
    latent = to_latent(symbols.astype(np.int32), step)
    assert latent.dtype == np.float32
    assert latent.tolist() == (symbols.astype(np.float32) * step[:, None]).tolist()
    assert np.array_equal(to_symbols(latent, step), symbols)
    y = step[:, None] * np.random.default_rng(seed).uniform(-32_000, 32_000, (3, 20))
    error = np.abs(to_latent(to_symbols(np.float32(y), step), step) - y)
    assert (error <= 0.500001 * step[:, None] + 1e-6 * np.abs(y)).all()
