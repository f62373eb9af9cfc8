"""Arrays in, channels mixed or picked, values checked, rates converted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from audio_files import joined
from hypothesis import given
from hypothesis import strategies as st

from hzc.audio import sources
from hzc.audio.sources import Source
from hzc.errors import UnsupportedAudioError


def sine(n_samples: int, frequency_hz: float, rate_hz: int = 16_000) -> np.ndarray:
    t = np.arange(n_samples) / rate_hz
    return np.sin(2 * np.pi * frequency_hz * t).astype(np.float32)


# --- arrays ---------------------------------------------------------------------------------

RAMP = np.array([-1.0, -0.5, 0.0, 0.25, 0.5])
ARRAYS = {
    "list": RAMP.tolist(),
    "float16": RAMP.astype(np.float16),
    "float64": RAMP,
    "big-endian": RAMP.astype(">f8"),
    "int8": (RAMP * 2**7).astype(np.int8),
    "int16": (RAMP * 2**15).astype(np.int16),
    "big-endian int16": (RAMP * 2**15).astype(">i2"),
    "int32": (RAMP * 2**31).astype(np.int32),
    "int64": (RAMP * 2**63).astype(np.int64),
    "uint8": (RAMP * 2**7 + 2**7).astype(np.uint8),
    "uint16": (RAMP * 2**15 + 2**15).astype(np.uint16),
    "torch float": torch.tensor(RAMP, requires_grad=True),
    "torch bfloat16": torch.tensor(RAMP).bfloat16(),
    "torch int16": torch.tensor((RAMP * 2**15).astype(np.int16)),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_array_source_scales_by_the_type(name):
    source = sources.array_source(ARRAYS[name], 8_000)
    assert (source.sample_rate_hz, source.n_channels) == (8_000, 1)
    assert source.duration_s == 5 / 8_000
    for _ in range(2):
        assert np.array_equal(joined(source), RAMP[None].astype(np.float32))


def test_array_source_of_two_axes_has_channels_first():
    assert joined(sources.array_source(np.ones((3, 7)), 8_000)).shape == (3, 7)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(9, bool), "samples are bool"),
        (np.zeros(9, complex), "samples are complex128"),
        (np.array(["a", "b"]), "samples are str"),
        (np.array([1, None]), "samples are object"),
        (b"RIFF and so on", "samples are bytes"),
        ("talk.wav", "samples are str"),
        (None, "samples are object"),
        ([[1.0], [1.0, 2.0]], "samples are a list"),
        (np.zeros((2, 2, 2)), "3 axes"),
        (np.zeros((20_000, 2)), "20000 channels"),
        (np.zeros(0), "no samples"),
    ],
)
def test_array_source_of_no_samples_raises_and_quotes_no_data(samples, message):
    with pytest.raises(UnsupportedAudioError, match=message) as caught:
        sources.array_source(samples, 16_000)
    assert len(str(caught.value)) < 80


@pytest.mark.parametrize("rate_hz", [16_000, 16_000.0, np.int32(16_000), np.float64(16_000)])
def test_array_source_takes_a_rate_that_is_a_whole_number(rate_hz):
    source = sources.array_source(np.zeros(10), rate_hz)
    assert type(source.sample_rate_hz) is int


@pytest.mark.parametrize("rate_hz", [0, -1, 16_000.5, np.nan, np.inf, None, True, "16000", 1j])
def test_array_source_of_another_rate_raises(rate_hz):
    with pytest.raises(UnsupportedAudioError, match="whole number"):
        sources.array_source(np.zeros(10), rate_hz)


# --- channels -------------------------------------------------------------------------------


def stereo(*channels: np.ndarray) -> Source:
    return sources.array_source(np.stack(channels), 16_000)


@pytest.mark.parametrize(
    ("factor", "is_warned"), [(-1.0, True), (-0.9, True), (-0.3, False), (0.0, True), (1.0, False)]
)
def test_mixed_warns_where_channels_cancel_or_are_silent(factor, is_warned):
    x = sine(16_000, 200)
    mono = sources.mixed(stereo(x, factor * x))
    for _ in range(2):
        joined(mono)
    assert len(mono.warnings) == is_warned
    assert all("--channel 1" in warning for warning in mono.warnings)
    assert sources.mixed(stereo(0 * x, 0 * x)).warnings == []


# --- resampling -----------------------------------------------------------------------------


def resampled(samples: np.ndarray, from_hz: int, to_hz: int, cuts: tuple[int, ...] = ()):
    blocks = iter(np.split(samples, sorted(cuts), axis=1))
    return np.concatenate(list(sources.resampled(blocks, len(samples), from_hz, to_hz)), axis=1)


@pytest.mark.parametrize(
    ("from_hz", "to_hz"), [(44_100, 16_000), (8_000, 16_000), (16_000, 48_000), (96_000, 16_000)]
)
def test_resampled_sine_stays_that_sine_in_its_channel(from_hz, to_hz):
    pair = np.stack([0.5 * sine(from_hz, 440, from_hz), np.zeros(from_hz, np.float32)])
    found = resampled(pair, from_hz, to_hz)
    inner = slice(to_hz // 10, -to_hz // 10)
    assert np.abs(found[0, inner] - 0.5 * sine(found.shape[1], 440, to_hz)[inner]).max() < 2e-3
    assert np.abs(found[1]).max() == 0.0
    for n_samples in (1, 777, from_hz):
        n_found = resampled(pair[:, :n_samples], from_hz, to_hz).shape[1]
        assert abs(n_found - n_samples * to_hz / from_hz) <= 1


@given(st.lists(st.integers(0, 4_000), max_size=5))
def test_resampled_in_blocks_of_any_size_gives_the_same_samples(cuts):
    samples = np.random.default_rng(1).normal(0, 0.1, (2, 4_000)).astype(np.float32)
    whole = resampled(samples, 44_100, 16_000)
    assert np.array_equal(resampled(samples, 44_100, 16_000, tuple(cuts)), whole)
