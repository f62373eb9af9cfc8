"""Steps on their logarithmic scale, and rounding to symbols."""

from __future__ import annotations

import numpy as np
import pytest

from hzc.coding.quantize import steps, to_symbols

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
