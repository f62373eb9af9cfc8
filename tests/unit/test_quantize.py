"""Steps on their logarithmic scale, rounding to symbols, and back to latents."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hzc.coding.quantize import steps, to_latent, to_symbols
from hzc.errors import LatentError

BASE_STEP = np.array([0.25, 1.0, 3.0], dtype=np.float32)


def test_steps_at_index_zero_are_the_learned_ones():
    found = steps(BASE_STEP, 0)
    assert found.dtype == np.float32
    assert found.tolist() == BASE_STEP.tolist()


@pytest.mark.parametrize(("step_index", "factor"), [(8, 2.0), (-8, 0.5), (64, 256.0), (-64, 2**-8)])
def test_steps_eight_indexes_higher_are_twice_as_wide(step_index, factor):
    assert steps(BASE_STEP, step_index).tolist() == (BASE_STEP * factor).tolist()


def test_steps_of_neighbouring_indexes_have_the_same_ratio():
    widths = np.array([steps(BASE_STEP, index)[0] for index in range(-64, 65)], dtype=np.float64)
    assert widths[1:] / widths[:-1] == pytest.approx(np.full(128, 2 ** (1 / 8)), rel=1e-6)


def test_steps_with_offsets_add_them_to_the_index():
    found = steps(BASE_STEP, 3, (5, -3, -11))
    assert found.tolist() == [0.5, 1.0, 1.5]
    assert found.dtype == np.float32


def test_steps_with_zero_offsets_equal_those_without():
    assert steps(BASE_STEP, 7, (0, 0, 0)).tolist() == steps(BASE_STEP, 7).tolist()


def test_to_symbols_rounds_to_nearest_with_ties_to_even():
    y = np.array([[-2.5, -1.5, -0.51, -0.5, -0.49, 0.0, 0.5, 1.5, 1.51, 2.5]], dtype=np.float32)
    found = to_symbols(y, np.ones(1, dtype=np.float32))
    assert found.tolist() == [[-2, -2, -1, 0, 0, 0, 0, 2, 2, 2]]
    assert found.dtype == np.int32


def test_to_symbols_divides_every_dimension_by_its_own_step():
    y = np.tile(np.float32([6.0, -3.0]), (3, 1))
    assert to_symbols(y, BASE_STEP).tolist() == [[24, -12], [6, -3], [2, -1]]


def test_to_symbols_beyond_the_range_clips():
    y = np.array([[32766.4, 32767.4, 40_000.0, 1e30, -32768.4, -40_000.0, -1e30]])
    found = to_symbols(y.astype(np.float32), np.ones(1, dtype=np.float32))
    assert found.tolist() == [[32766, 32767, 32767, 32767, -32768, -32768, -32768]]


def test_to_symbols_largest_finite_latent_with_a_small_step_clips():
    y = np.array([[1.0, -1.0]], dtype=np.float32) * np.finfo(np.float32).max
    assert to_symbols(y, np.float32([0.01])).tolist() == [[32767, -32768]]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_to_symbols_value_that_is_not_finite_raises_latent_error(bad):
    y = np.zeros((3, 4), dtype=np.float32)
    y[1, 2] = bad
    with pytest.raises(LatentError, match="not finite") as caught:
        to_symbols(y, BASE_STEP)
    assert caught.value.hint


def test_to_latent_multiplies_by_the_step_in_single_precision():
    found = to_latent(np.array([[4, -1], [0, 2], [32767, -32768]], dtype=np.int32), BASE_STEP)
    assert found.tolist() == [[1.0, -0.25], [0.0, 2.0], [98_301.0, -98_304.0]]
    assert found.dtype == np.float32


def test_batches_keep_their_leading_axes():
    y = np.random.default_rng(0).normal(0, 9, (2, 5, 3, 4)).astype(np.float32)
    symbols = to_symbols(y, BASE_STEP)
    latent = to_latent(symbols, BASE_STEP)
    assert symbols.shape == latent.shape == y.shape
    for i in range(2):
        for j in range(5):
            assert np.array_equal(symbols[i, j], to_symbols(y[i, j], BASE_STEP))
            assert np.array_equal(latent[i, j], to_latent(symbols[i, j], BASE_STEP))


@given(
    st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=20),
    st.floats(0.0078125, 256.0, width=32),
    st.integers(-64, 64),
)
def test_to_latent_of_symbols_is_within_half_a_step(values, base_step, step_index):
    step = steps(np.float32([base_step]), step_index)
    y = np.float32(values)[None]
    inside = np.abs(y[0]) < 32_000.0 * step[0]
    error = np.abs(to_latent(to_symbols(y, step), step) - y)[0]
    rounding = 1e-6 * np.abs(y[0])
    assert (error <= 0.5 * step[0] * (1 + 1e-6) + rounding)[inside].all()


@given(st.integers(-64, 64), st.floats(0.0078125, 256.0, width=32))
def test_to_symbols_of_a_latent_on_the_grid_returns_the_same_symbols(step_index, base_step):
    step = steps(np.float32([base_step]), step_index)
    near = np.arange(-300, 301)
    symbols = np.concatenate([near, near + 32_467, near - 32_468])[None].astype(np.int32)
    assert symbols.min() == -32768
    assert symbols.max() == 32767
    assert np.array_equal(to_symbols(to_latent(symbols, step), step), symbols)
