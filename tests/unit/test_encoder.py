"""Encoding: level, blocks, channels, steps, rates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hzc import container, encoder
from hzc.audio.sources import array_source
from hzc.errors import UnsupportedAudioError

RATE_HZ = 16_000


def cut_up(samples, sizes, sample_rate_hz=RATE_HZ):
    """Return a source whose blocks have the given sizes, over and over."""
    x = np.atleast_2d(np.asarray(samples, dtype=np.float32))
    source = array_source(x, sample_rate_hz)

    def blocks():
        at, i = 0, 0
        while at < x.shape[1]:
            yield x[:, at : at + sizes[i % len(sizes)]]
            at, i = at + sizes[i % len(sizes)], i + 1

    return replace(source, blocks=blocks)


def encode(codec, samples, **how):
    return codec.encoder.encode(array_source(samples, RATE_HZ), **how)


@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
@pytest.mark.parametrize("sizes", [[131_072], [997], [1, 40_000, 3, 2_000]])
def test_encode_in_blocks_of_any_size_gives_the_same_bytes(tiny_codec, sound, sizes, rate_hz):
    samples = sound(9 * rate_hz + 5, rate_hz)
    whole = tiny_codec.encode(samples, rate_hz)
    assert tiny_codec.encoder.encode(cut_up(samples, sizes, rate_hz)).data == whole


def test_encode_in_small_windows_codes_the_symbols_of_the_whole(tiny_codec, minute, monkeypatch):
    whole = tiny_codec.symbols(encode(tiny_codec, minute).data)
    monkeypatch.setattr(encoder, "CORE_FRAMES", 7)
    assert np.array_equal(tiny_codec.symbols(encode(tiny_codec, minute).data), whole)


def test_a_source_that_changes_keeps_the_length_it_had_first(tiny_codec, minute):
    source = array_source(minute[:50_000], RATE_HZ)
    for n_later in (1, 20_000, 900_000):
        lengths = iter([50_000, n_later])
        changing = replace(source, blocks=lambda n=lengths: iter([minute[None, : next(n)]]))
        parsed = container.unpack(tiny_codec.encoder.encode(changing).data)
        assert parsed.header.n_samples == 50_000


@pytest.mark.parametrize(("decibels", "half_db"), [(-20, 40), (-26, 52), (12, -24)])
def test_scaled_input_changes_the_gain_alone(tiny_codec, minute, decibels, half_db):
    samples = minute[:160_000]
    plain = container.unpack(encode(tiny_codec, samples).data)
    scaled = container.unpack(encode(tiny_codec, samples * 10.0 ** (decibels / 20)).data)
    assert scaled.chunks[0].gain_half_db - plain.chunks[0].gain_half_db == half_db
    assert scaled.chunks[0].payloads == plain.chunks[0].payloads


def test_digital_silence_is_left_as_it_is(tiny_codec):
    parsed = container.unpack(encode(tiny_codec, np.zeros(160_000)).data)
    assert {chunk.gain_half_db for chunk in parsed.chunks} == {0}


def test_coarser_steps_never_give_a_larger_file(static_codec, minute):
    latents = static_codec.encoder.latents(array_source(minute, RATE_HZ))
    sizes = [len(static_codec.encoder.code(latents, index).data) for index in range(-16, 17, 8)]
    assert sizes == sorted(sizes, reverse=True)


def test_code_of_kept_latents_is_the_file_of_encode(tiny_codec, minute):
    latents = tiny_codec.encoder.latents(array_source(minute, RATE_HZ))
    for step_index in (None, -8, 5):
        coded = tiny_codec.encoder.code(latents, step_index)
        assert coded.data == encode(tiny_codec, minute, step_index=step_index).data
        assert coded.rate.n_bytes == len(coded.data)
        assert coded.rate.payload_bytes == container.unpack(coded.data).payload_bytes


def test_kl_bits_of_a_prior_that_fits_are_below_the_code_length(static_codec, minute):
    encoded = encode(static_codec, minute, with_kl=True)
    bits = 8 * encoded.rate.payload_bytes
    n_symbols = static_codec.symbols(encoded.data).size
    assert 0 < encoded.kl_bits < bits
    # A quarter of a bit per symbol is what uniform rounding costs at equal noise.
    assert bits - encoded.kl_bits == pytest.approx(0.2546 * n_symbols, rel=0.15)
    assert encode(static_codec, minute).kl_bits is None


def test_more_than_a_file_can_hold_is_refused(tiny_codec, monkeypatch):
    monkeypatch.setattr(container, "MAX_FRAMES", 8)
    with pytest.raises(UnsupportedAudioError, match="more than a file can hold"):
        encode(tiny_codec, np.zeros(RATE_HZ + 1))


@pytest.mark.parametrize("n_threads", [1, 2])
def test_any_number_of_threads_gives_the_same_bytes(tiny_codec, minute, n_threads):
    import torch

    whole = encode(tiny_codec, minute).data
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(n_threads)
        assert encode(tiny_codec, minute).data == whole
    finally:
        torch.set_num_threads(before)
