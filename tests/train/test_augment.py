"""What users record, put into the training data."""

from __future__ import annotations

import numpy as np
import pytest

from hzc.train import augment
from hzc.train.config import AugmentConfig

RATE_HZ = 16_000
N = 16_000


def noise(n: int = N, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, n).astype(np.float32)


def sine(frequency_hz: float, n: int = N) -> np.ndarray:
    return np.sin(2 * np.pi * frequency_hz * np.arange(n) / RATE_HZ).astype(np.float32)


def level_db(x: np.ndarray, low_hz: float, high_hz: float) -> float:
    """Return the power in a band, in dB."""
    power = np.abs(np.fft.rfft(x * np.hanning(len(x)))) ** 2
    f = np.fft.rfftfreq(len(x), 1 / RATE_HZ)
    return float(10 * np.log10(power[(f >= low_hz) & (f < high_hz)].sum() + 1e-12))


def goertzel(x: np.ndarray, frequency_hz: float) -> float:
    """Return the power of one frequency."""
    return float(np.abs(x @ np.exp(-2j * np.pi * frequency_hz * np.arange(len(x)) / RATE_HZ)) ** 2)


@pytest.mark.parametrize("name", AugmentConfig.model_fields)
def test_every_change_is_made_when_it_is_certain(name):
    if name == "speed":  # made where the crop is drawn
        return
    config = AugmentConfig(**{name: 1.0})
    heard, target = augment.augmented(noise(), config, RATE_HZ, np.random.default_rng(1))
    assert heard.shape == target.shape == (N,)
    assert heard.dtype == target.dtype == np.float32
    assert np.isfinite(heard).all()
    assert not np.array_equal(heard, noise())
    assert np.array_equal(target, noise()) == (name == "rumble")


@pytest.mark.parametrize("seed", range(4))
def test_dtmf_is_read_back_by_goertzel(seed):
    rng = np.random.default_rng(seed)
    frequencies = augment._frequencies("dtmf", rng)
    x = augment.tones(frequencies, 1_600, RATE_HZ, rng) + noise(1_600)
    read = [max(group, key=lambda f: goertzel(x, f)) for group in augment.DTMF_HZ]
    assert tuple(read) == frequencies


def test_gate_empties_weak_bins_and_leaves_strong_ones():
    x = sine(1_000) + 1e-4 * sine(3_000)
    out = augment.gated(x, RATE_HZ, np.random.default_rng(0))
    assert level_db(out, 2_900, 3_100) < level_db(x, 2_900, 3_100) - 20
    assert out[1_000:-1_000] == pytest.approx(sine(1_000)[1_000:-1_000], abs=0.02)
    loud = sine(1_000) + 0.5 * sine(3_000)
    out = augment.gated(loud, RATE_HZ, np.random.default_rng(0))
    assert out[500:-500] == pytest.approx(loud[500:-500], abs=0.02)


@pytest.mark.parametrize("speed", [0.8, 1.35])
def test_speed_moves_the_pitch(speed):
    out = augment.at_speed(sine(1_000, int(N * speed)), N)
    assert len(out) == N
    middle = 1_000 * speed
    assert level_db(out, middle - 20, middle + 20) > level_db(out, 0, middle - 20) + 30


def test_rumble_is_below_the_voice_and_only_heard():
    config = AugmentConfig(rumble=1.0)
    heard, target = augment.augmented(sine(1_000), config, RATE_HZ, np.random.default_rng(0))
    assert np.array_equal(target, sine(1_000))
    rumble = heard - target
    assert level_db(rumble, 0, 50) > level_db(rumble, 50, 8_000) + 30
    assert 0.0 < augment.rms(rumble) <= 1.5 * augment.rms(target)


def test_telephone_keeps_its_band():
    x = noise()
    out = augment.telephone(x, RATE_HZ, np.random.default_rng(0))
    for low_hz, high_hz in ((0, 180), (3_520, 8_000)):
        assert level_db(out, low_hz, high_hz) < level_db(x, low_hz, high_hz) - 40
    assert level_db(out, 400, 3_300) == pytest.approx(level_db(x, 400, 3_300), abs=0.1)


def test_clipping_flattens_peaks():
    x = sine(200)
    out = augment.clipped(x, RATE_HZ, np.random.default_rng(0))
    limit = np.abs(out).max()
    assert 0.2 <= limit <= 0.7
    assert (np.abs(out) == limit).mean() > 0.3
    assert np.array_equal(out[np.abs(x) < limit], x[np.abs(x) < limit])
