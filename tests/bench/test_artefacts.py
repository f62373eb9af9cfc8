"""Artefacts: each measure finds the fault it is called for, to the amount, and no other."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hzc_bench import artefacts

RATE_HZ = 16_000
SPEECH = Path(__file__).resolve().parents[2] / "demo" / "samples" / "p225_003.flac"
MEASURES = (artefacts.pause_level_db, artefacts.pre_echo_db, artefacts.pumping_db)


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return soundfile.read(SPEECH, dtype="float32")[0]


def noise(n: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def bursts(floor: float = 1e-2) -> np.ndarray:
    """Four seconds: in each, half of noise and half of the same noise at `floor`."""
    x = noise(4 * RATE_HZ)
    second = np.arange(len(x)) % RATE_HZ
    return np.where(second >= RATE_HZ // 2, x, np.float32(floor) * x).astype(np.float32)


@pytest.mark.parametrize("measure", MEASURES)
def test_measure_of_the_original_is_zero(measure, speech):
    assert measure(speech, speech) == 0.0


def test_pause_level_is_that_of_pauses_alone(speech):
    x = bursts()
    assert artefacts.pause_level_db(x, bursts(2e-2)) == pytest.approx(6.02, abs=0.5)
    louder = np.where(np.arange(len(x)) % RATE_HZ >= RATE_HZ // 2, 2 * x, x)
    assert artefacts.pause_level_db(x, louder) == pytest.approx(0.0, abs=0.2)


def test_pre_echo_is_what_comes_before_an_onset():
    x = bursts()
    early = x.copy()
    for onset in range(RATE_HZ // 2, len(x), RATE_HZ):
        early[onset - 1_600 : onset] *= 3.0
    assert artefacts.pre_echo_db(x, early) == pytest.approx(9.5, abs=0.5)
    assert math.isnan(artefacts.pre_echo_db(noise(RATE_HZ), noise(RATE_HZ)))


def test_pumping_is_the_spread_of_a_gain_and_not_its_mean(speech):
    x = noise(8 * RATE_HZ)
    sway = np.where(np.arange(len(x)) // RATE_HZ % 2, 1.0, 10 ** (-4 / 20)).astype(np.float32)
    assert artefacts.pumping_db(x, sway * x) == pytest.approx(2.0, abs=0.01)
    assert artefacts.pumping_db(speech, 0.5 * speech) == pytest.approx(0.0, abs=0.01)


def test_repetition_finds_noise_that_repeats(speech):
    n = 4 * RATE_HZ
    assert artefacts.repetition(noise(n)) < 0.1
    assert artefacts.repetition(np.tile(noise(2_000), 32)) > 0.9
    assert artefacts.repetition(speech) < 0.2

    assert math.isnan(artefacts.repetition(np.zeros(RATE_HZ, np.float32)))
