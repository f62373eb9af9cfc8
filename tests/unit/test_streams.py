"""Pipes: the bytes of `encode` where they end early, and the same level and sound where not."""

from __future__ import annotations

import io
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from hzc import container
from hzc.audio.sources import array_source
from hzc.container import Reader
from hzc.errors import DesyncError, UnsupportedAudioError

RATE_HZ, HOP = 16_000, 2_000


def streamed(codec, samples, sample_rate_hz=RATE_HZ, block=10_007, **how):
    """Return what encode_stream writes for samples that come in blocks."""
    x = np.atleast_2d(np.asarray(samples, dtype=np.float32))
    source = array_source(x, sample_rate_hz)
    starts = range(0, x.shape[1], block)
    source = replace(source, blocks=lambda: iter([x[:, i : i + block] for i in starts]))
    written = []
    rate = codec.encoder.encode_stream(source, written.append, **how)
    data = b"".join(written)
    assert rate.n_bytes == len(data)
    return data


def decoded(codec, data):
    return codec.decode(data)[0]


def level_db(x):
    return 10.0 * np.log10(np.mean(np.square(x, dtype=np.float64)) + 1e-12)


@pytest.mark.parametrize("n_samples", [1, 2_001, 100_000, 192_000])
@pytest.mark.parametrize("channels", ["mix", "keep"])
def test_a_stream_that_ends_within_twelve_seconds_gives_the_bytes_of_encode(
    tiny_codec, sound, n_samples, channels
):
    samples = np.stack([sound(n_samples), sound(n_samples, seed=1)])
    expected = tiny_codec.encode(samples, RATE_HZ, channels=channels)
    assert streamed(tiny_codec, samples, channels=channels) == expected


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 44_100])
@pytest.mark.parametrize("n_samples", [12, 20, 30])
@pytest.mark.parametrize("beyond", [-1, 0, 1])
def test_a_stream_keeps_every_sample(tiny_codec, sound, rate_hz, n_samples, beyond):
    n = n_samples * rate_hz + beyond
    parsed = container.unpack(streamed(tiny_codec, sound(n, rate_hz), rate_hz))
    assert parsed.header.n_samples == n
    assert parsed.is_streamed == (n > 12 * rate_hz)


@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
def test_blocks_of_any_size_give_the_same_bytes(tiny_codec, sound, rate_hz):
    samples = sound(25 * rate_hz + 3, rate_hz)
    whole = streamed(tiny_codec, samples, rate_hz, block=1 << 30)
    for block in (997, 160_000, 3 * rate_hz):
        assert streamed(tiny_codec, samples, rate_hz, block) == whole


# --- level ----------------------------------------------------------------------------------


def hush(seconds, below_full_scale_db=65):
    noise = np.random.default_rng(1).standard_normal(int(seconds * RATE_HZ))
    return (noise * 10.0 ** (-below_full_scale_db / 20)).astype(np.float32)


@pytest.fixture(scope="module")
def shipped():
    import hzc

    return hzc.load()


@pytest.fixture(scope="module")
def speech():
    import soundfile

    samples, _ = soundfile.read("demo/samples/1688-142285-0006.flac", dtype="float32")
    return np.tile(samples, 4)


@pytest.mark.parametrize(
    ("begins_s", "ends_s", "room_db"),
    [(12, 24, -65), (9.97, 24, -65), (9.5, 24, -65), (12, 24, -45), (0, 12, -65), (12, 24, None)],
)
def test_speech_in_a_quiet_room_has_its_level_and_no_click(
    shipped, speech, begins_s, ends_s, room_db
):
    samples = np.zeros(24 * RATE_HZ, np.float32) if room_db is None else hush(24, -room_db)
    part = slice(round(begins_s * RATE_HZ), ends_s * RATE_HZ)
    samples[part] = speech[: part.stop - part.start]
    assert_as_by_name(shipped, samples)


@pytest.mark.parametrize("gains_db", [(0, -25), (-25, 0)])
def test_speech_that_changes_its_level_comes_back_so(shipped, speech, gains_db):
    gains = np.repeat(10.0 ** (np.array(gains_db) / 20), 12 * RATE_HZ)
    assert_as_by_name(shipped, speech[: 24 * RATE_HZ] * gains)


def assert_as_by_name(codec, samples):
    """Compare a stream with the file of the same recording: levels of 2 s, and chunk edges."""
    found = decoded(codec, streamed(codec, samples))
    by_name = decoded(codec, codec.encode(samples, RATE_HZ))
    for start in range(0, len(samples), 2 * RATE_HZ):
        part = slice(start, start + 2 * RATE_HZ)
        if level_db(samples[part]) > -55:
            assert level_db(found[part]) == pytest.approx(level_db(by_name[part]), abs=1.0), start
    for edge in (10 * RATE_HZ, 20 * RATE_HZ):
        around = slice(edge - 320, edge + 320)
        jumps = (np.abs(np.diff(x[around])).max() for x in (found, by_name))
        assert next(jumps) < next(jumps) + 0.02


def test_gain_is_kept_through_silence_and_limited_for_noise(tiny_codec, sound):
    quiet = 0.1 * sound(10 * RATE_HZ)
    samples = np.concatenate([quiet, np.zeros(10 * RATE_HZ), quiet])
    gains = [c.gain_half_db for c in container.unpack(streamed(tiny_codec, samples)).chunks]
    assert len(set(gains)) == 1
    noise = container.unpack(streamed(tiny_codec, hush(25)))
    assert {chunk.gain_half_db for chunk in noise.chunks} == {40}


def by_name(codec, samples):
    return codec.encode(samples, RATE_HZ)


@pytest.mark.parametrize(("encode", "begins_s"), [(streamed, 0), (streamed, 15), (by_name, 0)])
def test_an_offset_makes_no_sound(shipped, speech, encode, begins_s):
    clean = 0.1 * speech[: 30 * RATE_HZ]
    offset = np.where(np.arange(len(clean)) >= begins_s * RATE_HZ, 0.1, 0.0)
    found = decoded(shipped, encode(shipped, clean + offset))
    expected = decoded(shipped, encode(shipped, clean))
    assert np.abs(found[:1_600]).max() < np.abs(expected[:1_600]).max() + 0.02
    assert np.abs(found[-1_600:]).max() < np.abs(expected[-1_600:]).max() + 0.02
    part = slice(20 * RATE_HZ, 30 * RATE_HZ)
    assert level_db(found[part]) == pytest.approx(level_db(clean[part]), abs=2.0)


# --- what goes wrong ------------------------------------------------------------------------


@pytest.mark.parametrize("at_s", [0.0, 11.999, 31.25])
def test_what_is_no_number_is_refused_with_its_time(tiny_codec, sound, at_s):
    samples = sound(35 * RATE_HZ)
    samples[round(at_s * RATE_HZ)] = np.nan
    with pytest.raises(UnsupportedAudioError, match=f"sample at {at_s:.3f} s"):
        streamed(tiny_codec, samples)


def test_verification_that_gets_other_symbols_raises(tiny_codec, sound, monkeypatch):
    prior = type(tiny_codec.model.prior)
    decode = prior.decode
    monkeypatch.setattr(prior, "decode", lambda *a: [symbols + 1 for symbols in decode(*a)])
    with pytest.raises(DesyncError):
        streamed(tiny_codec, sound(20 * RATE_HZ), verify=True)


def test_a_chunk_is_written_once_it_and_the_reach_after_it_were_heard(tiny_codec, sound):
    written, heard = [], 0
    samples = sound(60 * RATE_HZ)[None]

    def blocks():
        nonlocal heard
        for start in range(0, samples.shape[1], RATE_HZ):
            heard = start + RATE_HZ
            yield samples[:, start:heard]

    source = replace(array_source(samples, RATE_HZ), blocks=blocks)
    tiny_codec.encoder.encode_stream(source, lambda data: written.append((heard, len(data))))
    # A chunk waits for its own end, and for as much of the next as the network looks ahead.
    assert written[0][0] <= 21 * RATE_HZ
    assert len(written) >= 5


def test_memory_does_not_grow_with_the_length(tiny_codec, sound):
    block = sound(10 * RATE_HZ)[None]

    def peak(n_blocks):
        source = replace(array_source(block, RATE_HZ), blocks=lambda: iter([block] * n_blocks))
        written = []
        tracemalloc.start()
        tiny_codec.encoder.encode_stream(source, written.append)
        for _ in tiny_codec.decoder.stream(Reader(io.BytesIO(b"".join(written))), RATE_HZ):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(12) < 1.2 * peak(4) + (1 << 20)
