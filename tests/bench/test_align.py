"""Delays that are known are found, and taken out."""

from __future__ import annotations

import numpy as np
import pytest

from hzc_bench import align


@pytest.mark.parametrize("delay_ms", [0, 7, 120, 200, -20])
def test_known_delay_is_found_in_another_sound_with_the_same_envelope(sound, delay_ms):
    x = sound(32_000)
    y = align.shifted(x, -delay_ms, len(x) + 2000)
    rng = np.random.default_rng(0)
    noisy = (y * np.sign(rng.standard_normal(len(y)))).astype(np.float32)  # no phase left
    assert align.lag_ms(x, y) == delay_ms
    assert abs(align.lag_ms(x, noisy) - delay_ms) <= 2


def test_delay_does_not_depend_on_level(sound):
    x = sound(32_000)
    assert align.lag_ms(x, 0.2 * align.shifted(x, -33, len(x))) == 33


@pytest.mark.parametrize("delay_ms", [0, 5, -5])
@pytest.mark.parametrize("n_samples", [900, 1100])
def test_shifted_sound_has_the_length_of_its_original(delay_ms, n_samples):
    x = np.arange(1, 1001, dtype=np.float32)
    y = align.shifted(x, delay_ms, n_samples)
    assert len(y) == n_samples
    assert y[100] == 101 + delay_ms * align.HOP
