"""The whole codec with a tiny model: lengths, channels, levels, loading, refusals."""

from __future__ import annotations

import multiprocessing
import os

import numpy as np
import pytest

from hzc import container
from hzc.codec import Codec
from hzc.errors import (
    ArgumentError,
    LatentError,
    UnsupportedAudioError,
)


def payloads(data: bytes) -> list[tuple[bytes, ...]]:
    return [chunk.payloads for chunk in container.unpack(data).chunks]


# --- how many samples -----------------------------------------------------------------------


@pytest.mark.parametrize("rate_hz", [1_000, 8_000, 11_025, 16_000, 37_800, 44_100, 768_000])
@pytest.mark.parametrize("n_samples", [1, 1_999, 2_000, 2_001, 160_000, 160_001])
def test_decode_at_the_source_rate_gives_as_many_samples_as_went_in(
    tiny_codec, sound, n_samples, rate_hz
):
    data = tiny_codec.encode(sound(n_samples, rate_hz), rate_hz)
    header = container.read_header(data)[0]
    assert (header.n_samples, header.sample_rate_hz) == (n_samples, rate_hz)
    assert header.n_frames == -(-n_samples * 8 // rate_hz)
    samples, found_hz = tiny_codec.decode(data, rate_hz)
    assert samples.shape == (n_samples,)
    assert samples.dtype == np.float32
    assert found_hz == rate_hz
    assert np.isfinite(samples).all()


# --- channels -------------------------------------------------------------------------------


def test_encode_two_channels_by_default_codes_their_mean(tiny_codec, sound):
    pair = np.stack([sound(30_000, seed=1), sound(30_000, seed=2)])
    data = tiny_codec.encode(pair, 16_000)
    assert data == tiny_codec.encode(pair.mean(axis=0), 16_000)
    assert container.read_header(data)[0].n_channels == 1
    assert tiny_codec.decode(data)[0].shape == (30_000,)


def test_encode_keeping_equal_channels_codes_each_like_one_channel(tiny_codec, sound):
    mono = sound(250_000)
    one = tiny_codec.encode(mono, 16_000)
    three = tiny_codec.encode(np.stack([mono] * 3), 16_000, channels="keep")
    assert payloads(three) == [payload * 3 for payload in payloads(one)]
    once, _ = tiny_codec.decode(one)
    assert np.abs(tiny_codec.decode(three)[0] - once).max() < 1e-5


def test_encode_keeping_channels_keeps_their_order(tiny_codec, sound):
    pair = np.stack([sound(170_000, seed=3), 0.2 * sound(170_000, seed=4)])
    there = tiny_codec.symbols(tiny_codec.encode(pair, 16_000, channels="keep"))
    back = tiny_codec.symbols(tiny_codec.encode(pair[::-1], 16_000, channels="keep"))
    assert not np.array_equal(there[0], there[1])
    assert np.array_equal(there, back[::-1])


# --- samples as they come -------------------------------------------------------------------


def test_encode_leaves_its_input_alone(tiny_codec, sound):
    x = sound(10_000)
    kept = x.copy()
    tiny_codec.encode(x, 16_000)
    tiny_codec.latents(x, 16_000)
    assert np.array_equal(x, kept)


# --- latents and symbols --------------------------------------------------------------------


@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
@pytest.mark.parametrize("step_index", [0, 8, -5])
def test_symbols_are_latents_rounded_to_steps(tiny_codec, sound, rate_hz, step_index):
    x = sound(12 * rate_hz + 5, rate_hz)
    latents = tiny_codec.latents(x, rate_hz)
    symbols = tiny_codec.symbols(tiny_codec.encode(x, rate_hz, step_index=step_index))
    assert latents.shape == symbols.shape == (1, 32, 97)
    assert latents.dtype == np.float32
    assert symbols.dtype == np.int32
    step = tiny_codec.model.base_step * np.float32(2.0 ** (step_index / 8))
    assert np.array_equal(np.rint(latents / step[:, None]), symbols)


def test_encode_without_a_step_index_takes_the_model_s(
    tmp_path, static_prior, write_tiny_model, sound
):
    path = write_tiny_model(tmp_path / "coarse.safetensors", static_prior, default_step_index=11)
    coarse, x = Codec.load(path), sound(20_000)
    data = coarse.encode(x, 16_000)
    assert container.read_header(data)[0].step_index == 11
    assert data == coarse.encode(x, 16_000, step_index=11)


# --- refusals -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("samples", "rate_hz", "channels", "message"),
    [
        (np.zeros(0), 16_000, "mix", "no samples"),
        (np.zeros((17, 9)), 16_000, "keep", "17 channels"),
        (np.zeros(9), 999, "mix", "999 Hz"),
        (np.zeros(9), 768_001, "mix", "768001 Hz"),
        (np.array([0.0, np.nan]), 16_000, "mix", "NaN or infinite"),
        (np.array([[0.0, 0.1], [0.0, np.inf]]), 16_000, "keep", "NaN or infinite"),
        (np.zeros((2, 9)), 16_000, 3, "no channel 3"),
        (np.zeros(9, dtype=bool), 16_000, "mix", "bool"),
        (np.zeros(9), 16_000.5, "mix", "16000.5"),
    ],
)
def test_encode_of_unusable_audio_raises(tiny_codec, samples, rate_hz, channels, message):
    with pytest.raises(UnsupportedAudioError, match=message):
        tiny_codec.encode(samples, rate_hz, channels=channels)
    if channels == "keep":
        with pytest.raises(UnsupportedAudioError, match=message):
            tiny_codec.latents(samples, rate_hz)


@pytest.mark.parametrize(
    ("option", "values"),
    [("step_index", (-65, 65, 2.5, "3", float("nan"))), ("channels", ("all", "1", None, 1.0))],
)
def test_encode_with_an_option_out_of_range_is_refused(tiny_codec, option, values):
    for value in values:
        with pytest.raises(ArgumentError, match=option.replace("_", " ")):
            tiny_codec.encode(np.zeros((2, 9)), 16_000, **{option: value})


def test_numbers_may_be_of_numpy(tiny_codec, sound):
    pair, two = np.stack([sound(9_000), sound(9_000, seed=1)]), np.int64(2)
    data = tiny_codec.encode(pair, np.float32(16_000), channels=two, step_index=two)
    assert data == tiny_codec.encode(pair[1], 16_000, step_index=2)
    assert np.array_equal(
        tiny_codec.decode(data, np.int32(8_000))[0], tiny_codec.decode(data, 8_000)[0]
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample_rate_hz": 999}, "sample rate 999 Hz"),
        ({"sample_rate_hz": 768_001}, "sample rate 768001 Hz"),
        ({"sample_rate_hz": 0}, "sample rate 0 Hz"),
        ({"sample_rate_hz": "16000"}, "sample rate '16000' Hz"),
        ({"sample_rate_hz": 16_000.5}, "sample rate 16000.5 Hz"),
        ({"data": "text"}, "str .bytes expected"),
        ({"start_s": -0.1}, "from -0.1 s"),
        ({"start_s": "1"}, "from '1' s"),
        ({"duration_s": 0.0}, "a span of 0.0 s"),
        ({"duration_s": -1.0}, "a span of -1.0 s"),
        ({"start_s": float("inf")}, "from inf s"),
        ({"start_s": float("nan")}, "from nan s"),
        ({"duration_s": float("inf")}, "a span of inf s"),
        ({"duration_s": float("nan")}, "a span of nan s"),
    ],
)
def test_decode_of_a_rate_or_a_time_out_of_range_is_refused(tiny_codec, sound, options, message):
    data = tiny_codec.encode(sound(5_000), 16_000)
    with pytest.raises(ArgumentError, match=message):
        tiny_codec.decode(**{"data": data, **options})


@pytest.mark.parametrize("part", ["analysis", "synthesis"])
def test_networks_that_give_nan_raise_latent_error(tmp_path, static_prior, write_tiny_model, part):
    name = f"{part}.head.bias"
    n_out = {"analysis": 32, "synthesis": 1_002}[part]
    bias = np.full(n_out, np.nan, dtype=np.float16)
    path = write_tiny_model(tmp_path / "nan.safetensors", static_prior, **{name: bias})
    broken = Codec.load(path)
    with pytest.raises(LatentError, match="not finite"):
        broken.decode(broken.encode(np.zeros(9_000), 16_000))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_worker_encodes_after_its_parent_did(tiny_codec, minute):
    data = tiny_codec.encode(minute, 16_000)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    worker = context.Process(target=lambda: queue.put(tiny_codec.encode(minute, 16_000) == data))
    worker.start()
    assert queue.get(timeout=60)
    worker.join(60)
