"""Length, level and rumble of a recording, and the filter against rumble."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio_files import joined
from hypothesis import given
from hypothesis import strategies as st

from hzc.audio import level, sources
from hzc.audio.level import HighPass
from hzc.audio.sources import Source
from hzc.errors import UnsupportedAudioError

SPEECH = soundfile.read(
    Path(__file__).parents[2] / "demo" / "samples" / "1688-142285-0006.flac", dtype="float32"
)[0]


def survey(samples: np.ndarray, rate_hz: int = 16_000) -> level.Survey:
    return level.survey(sources.array_source(samples, rate_hz))


def sine(n_samples: int, frequency_hz: float, rate_hz: int = 16_000) -> np.ndarray:
    return np.sin(2 * np.pi * frequency_hz * np.arange(n_samples) / rate_hz)


@pytest.mark.parametrize("amplitude", [1.0, 0.1, 1e-3])
def test_survey_of_a_sine_finds_its_level(amplitude):
    found = survey(amplitude * sine(32_000, 400))
    assert found.n_samples == 32_000
    assert found.level_db == pytest.approx(20 * np.log10(amplitude) - 3.01, abs=0.02)
    pair = np.stack([amplitude * sine(32_000, 400), np.zeros(32_000)])
    assert survey(pair).level_db == pytest.approx(found.level_db - 3.01, abs=0.05)


def test_survey_hears_a_short_loud_part_less_a_shorter_one_and_no_click():
    for n_loud, expected_db in ((9_600, -6.02), (6_400, -6.02 - level.RARE_ABOVE_COMMON_DB)):
        x = np.full(160_000, 1e-3)
        x[:n_loud] = 0.5 * (-1.0) ** np.arange(n_loud)
        assert survey(x).level_db == pytest.approx(expected_db, abs=0.1)
    assert -1_000 < survey(np.zeros(1_000)).level_db < level.SILENCE_DB - 100
    x = np.full(16_000 * 60, 1e-3)
    x[16_000:16_320] = 0.5
    assert survey(x).level_db == pytest.approx(-60.0, abs=0.1)


@given(
    st.integers(1, 3_000), st.lists(st.integers(0, 3_000), max_size=6), st.sampled_from([50, 8_000])
)
def test_survey_in_blocks_of_any_size_finds_the_same(n_samples, cuts, rate_hz):
    samples = np.random.default_rng(n_samples).normal(0, 0.1, (2, n_samples)).astype(np.float32)
    pieces = np.split(samples, sorted(min(cut, n_samples) for cut in cuts), axis=1)
    source = Source(rate_hz, 2, None, lambda: iter(pieces))
    assert level.survey(source) == survey(samples, rate_hz)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_survey_of_a_value_that_is_not_finite_says_where(value):
    samples = np.zeros((2, 20_000), dtype=np.float32)
    samples[1, 12_000] = value
    with pytest.raises(UnsupportedAudioError, match=r"sample at 0\.750 s is NaN or infinite"):
        survey(samples)
    with pytest.raises(UnsupportedAudioError, match="no samples"):
        level.survey(Source(16_000, 1, 1.0, lambda: iter([])))


# --- rumble ---------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0.02, -0.05, 0.1, 0.3])
@pytest.mark.parametrize("n_channels", [1, 2])
def test_needs_high_pass_of_quiet_speech_with_an_offset_is_true(offset, n_channels):
    assert level.needs_high_pass(survey(np.stack([0.1 * SPEECH + offset] * n_channels)))


def test_needs_high_pass_of_rumble_is_true_and_of_speech_hum_and_bumps_false():
    assert not level.needs_high_pass(survey(SPEECH))
    for frequency_hz in (3, 8, 12):
        assert level.needs_high_pass(survey(0.1 * SPEECH + 0.1 * sine(len(SPEECH), frequency_hz)))
    for frequency_hz in (50, 60, 70, 80, 100):
        assert not level.needs_high_pass(survey(0.1 * sine(80_000, frequency_hz)))
    bump = np.zeros(len(SPEECH))
    bump[8_000:24_000] = 0.5
    assert not level.needs_high_pass(survey(0.1 * SPEECH + bump))
    assert not level.needs_high_pass(survey(np.full(16_000, 1e-4)))


def gain_db(frequency_hz: float, rate_hz: int) -> float:
    x = 0.5 * sine(4 * rate_hz, frequency_hz, rate_hz)
    y = joined(level.high_passed(sources.array_source(x, rate_hz)))[0]
    inner = slice(rate_hz, -rate_hz)
    return float(10 * np.log10(np.mean(y[inner] ** 2) / np.mean(x[inner] ** 2)))


@pytest.mark.parametrize("rate_hz", [1_000, 8_000, 16_000, 44_100])
def test_high_pass_is_flat_above_fifty_hertz_and_closed_below_twenty(rate_hz):
    assert max(gain_db(hz, rate_hz) for hz in (1, 5, 10, 20)) < -50
    assert all(abs(gain_db(hz, rate_hz)) < 0.05 for hz in (50, 55, 80, 120, 400))


@pytest.mark.parametrize("n_samples", [1, 2, 100, 1_000, 7_735, 7_736, 7_737, 100_000])
def test_high_pass_of_a_constant_is_silence_of_the_same_length(n_samples):
    x = np.full((2, n_samples), 0.3, np.float32)
    high_pass = HighPass(16_000, 2)
    y = np.concatenate([high_pass.push(x), high_pass.finish()], axis=1)
    assert y.shape == x.shape
    assert y.dtype == np.float32
    assert not y.any()


def test_high_pass_gives_the_speech_back_in_its_place_without_thumps():
    def filtered(samples: np.ndarray) -> np.ndarray:
        return joined(level.high_passed(sources.array_source(samples, 16_000)))[0]

    part = slice(5_000, 60_000)  # begins and ends in the middle of a word
    whole = filtered(SPEECH)
    assert np.abs(filtered(SPEECH[part] + 0.3) - whole[part]).max() < 0.02
    kept, original = np.fft.rfft(whole), np.fft.rfft(SPEECH)
    above = np.fft.rfftfreq(len(SPEECH), 1 / 16_000) > 60
    assert np.abs(kept - original)[above].max() < 1e-3 * np.abs(original)[above].max()
