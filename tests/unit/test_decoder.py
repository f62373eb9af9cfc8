"""From a file to samples: windows, chunks, gains, steps, lengths."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hzc import container
from hzc.blocks import FloatArray, joined
from hzc.codec import Codec
from hzc.coding import quantize
from hzc.container import CHUNK_FRAMES, Chunk, Header
from hzc.decoder import EVERYTHING, LIVE, WHOLE, Pace, Span, n_samples_in
from hzc.encoder import linear_gain
from hzc.errors import CorruptError, OutOfRangeError
from hzc.model.load import run

HOP = 2_000
CHUNK_SAMPLES = CHUNK_FRAMES * HOP
ONE_WINDOW = Pace(core_frames=1 << 20, n_payloads=64)
"""More frames than any test has, so that one window holds everything."""


@pytest.fixture(scope="module")
def coded_minute(tiny_codec, minute) -> bytes:
    return tiny_codec.encode(minute, 16_000)


@pytest.fixture
def n_threads():
    """Set torch's number of threads; it is put back afterwards."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def decoded(codec: Codec, data: bytes, rate_hz: int = 16_000, pace: Pace = WHOLE) -> FloatArray:
    """Return the samples of a file, float32 [channel, sample]."""
    parsed = container.unpack(data)
    return joined(codec.decoder.samples(lambda: parsed.header, parsed.chunks, rate_hz, pace=pace))


def streamed(header: Header, chunks: Sequence[Chunk]) -> bytes:
    """Return the chunks as a file whose header tells no length."""
    unknown = header.without_length()
    head = container.pack_header(unknown)
    body = [container.pack_chunk(unknown, head, i, chunk) for i, chunk in enumerate(chunks)]
    end = container.pack_end(unknown, head, len(chunks), header.n_frames, header.n_samples)
    return head + b"".join(body) + end


def header_of(n_samples: int | None, sample_rate_hz: int = 16_000) -> Header:
    n_frames = None if n_samples is None else container.n_frames_for(n_samples, sample_rate_hz)
    return Header(240, 0, 32, n_frames, n_samples, sample_rate_hz)


# --- the same however it is done ------------------------------------------------------------


@pytest.mark.parametrize("n_payloads", [1, 2, 3, 5, 64])
def test_symbols_decoded_so_many_at_a_time_are_the_same(tiny_codec, sound, n_payloads):
    three = np.stack([sound(3 * CHUNK_SAMPLES + 3_000, seed=i) for i in range(3)])
    data = tiny_codec.encode(three, 16_000, keep_channels=True)
    parsed = container.unpack(data)
    pace = Pace(CHUNK_FRAMES, n_payloads)
    found = list(tiny_codec.decoder.symbols(parsed.header, parsed.chunks, pace))
    assert [piece.shape for piece in found] == [(3, 32, 80)] * 3 + [(3, 32, 2)]
    assert np.array_equal(np.concatenate(found, axis=-1), tiny_codec.symbols(data))
    latents = tiny_codec.latents(three, 16_000) / tiny_codec.model.base_step[:, None]
    assert np.array_equal(np.concatenate(found, axis=-1), np.rint(latents))


def test_symbols_come_as_soon_as_their_chunk_does(tiny_codec, coded_minute):
    parsed = container.unpack(coded_minute)
    n_taken = 0

    def chunks():
        nonlocal n_taken
        for chunk in parsed.chunks:
            n_taken += 1
            yield chunk

    for n_given, _ in enumerate(tiny_codec.decoder.symbols(parsed.header, chunks(), LIVE), 1):
        assert n_taken == n_given


def test_samples_in_small_windows_are_the_waveform_of_the_whole(tiny_codec, coded_minute):
    whole = decoded(tiny_codec, coded_minute, pace=ONE_WINDOW)
    for core_frames in (17, CHUNK_FRAMES, 3 * CHUNK_FRAMES):
        for n_payloads in (1, 4):
            found = decoded(tiny_codec, coded_minute, pace=Pace(core_frames, n_payloads))
            assert np.abs(found - whole).max() < 1e-4


def test_samples_with_one_and_two_threads_are_the_same(tiny_codec, coded_minute, n_threads):
    n_threads(1)
    one = decoded(tiny_codec, coded_minute)
    n_threads(2)
    assert np.abs(decoded(tiny_codec, coded_minute) - one).max() < 1e-5


def test_samples_equal_one_synthesis_of_all_symbols(tiny_codec, minute, coded_minute):
    y_hat = quantize.to_latent(tiny_codec.symbols(coded_minute), tiny_codec.model.base_step)
    gain_half_db = container.unpack(coded_minute).chunks[0].gain_half_db
    whole = run(tiny_codec.decoder._synthesis, y_hat, "cpu") / linear_gain(gain_half_db)
    found = decoded(tiny_codec, coded_minute)
    assert np.abs(found - whole[:, : len(minute)]).max() < 1e-4


def test_samples_have_no_jump_where_chunks_or_windows_meet(tiny_codec, coded_minute):
    samples = decoded(tiny_codec, coded_minute, pace=Pace(100, 64))[0]
    slope = np.abs(np.diff(samples))
    borders = [*range(80, 480, 80), *range(100, 480, 100)]
    for border in (HOP * frame for frame in borders):
        nearby = np.concatenate([slope[border - 4_000 : border - 3], slope[border + 3 :][:4_000]])
        assert slope[border - 3 : border + 3].max() <= nearby.max()


def test_samples_of_a_streamed_file_equal_those_of_known_length(tiny_codec, coded_minute):
    parsed = container.unpack(coded_minute)
    data = streamed(parsed.header, parsed.chunks)
    assert np.array_equal(tiny_codec.symbols(data), tiny_codec.symbols(coded_minute))
    assert np.array_equal(decoded(tiny_codec, data), decoded(tiny_codec, coded_minute))


def test_samples_of_short_chunks_equal_those_of_long_ones(tiny_codec, sound):
    x = sound(60_000)
    whole = tiny_codec.encode(x, 16_000)
    symbols = tiny_codec.symbols(whole)
    header, (chunk,) = container.unpack(whole).header, container.unpack(whole).chunks
    chunks, start = [], 0
    for n_frames in (1, 12, 2, 15):
        piece = np.ascontiguousarray(symbols[0][:, start : start + n_frames])
        payload = tiny_codec.model.prior.encode(piece, header.step_index)
        chunks.append(Chunk(n_frames, (payload,), chunk.gain_half_db))
        start += n_frames
    data = streamed(header, chunks)
    assert np.array_equal(tiny_codec.symbols(data), symbols)
    assert np.array_equal(decoded(tiny_codec, data), decoded(tiny_codec, whole))


# --- gains and steps ------------------------------------------------------------------------


def test_samples_of_every_chunk_have_its_own_gain_taken_off(tiny_codec, coded_minute):
    parsed = container.unpack(coded_minute)
    gains = [0, -24, 40, 7, 0, -1, 12]
    flat, changed = (
        [
            dataclasses.replace(c, gain_half_db=g * k)
            for c, g in zip(parsed.chunks, gains, strict=True)
        ]
        for k in (0, 1)
    )
    plain = decoded(tiny_codec, container.pack(parsed.header, flat))
    found = decoded(tiny_codec, container.pack(parsed.header, changed))
    for i, gain_half_db in enumerate(gains):
        of_chunk = np.s_[:, i * CHUNK_SAMPLES : (i + 1) * CHUNK_SAMPLES]
        expected = plain[of_chunk] * np.float32(10.0 ** (-gain_half_db / 40.0))
        assert np.allclose(found[of_chunk], expected, rtol=1e-5, atol=0.0)


def test_samples_with_step_offsets_use_a_step_per_dimension(tiny_codec, sound):
    parsed = container.unpack(tiny_codec.encode(sound(20_000), 16_000))
    plain = decoded(tiny_codec, container.pack(parsed.header, parsed.chunks))

    def with_offsets(offsets: tuple[int, ...]) -> FloatArray:
        header = dataclasses.replace(parsed.header, step_offsets=offsets)
        return decoded(tiny_codec, container.pack(header, parsed.chunks))

    assert np.array_equal(with_offsets((0,) * 32), plain)
    assert not np.allclose(with_offsets((0,) * 31 + (8,)), plain, atol=1e-4)


@pytest.mark.parametrize("payload", [b"\xff" * 3, b"\x00" * 900])
def test_samples_of_a_payload_that_nobody_coded_are_samples_or_corrupt(tiny_codec, payload):
    header = header_of(20_000)
    try:
        found = joined(tiny_codec.decoder.samples(lambda: header, [Chunk(10, (payload,))], 16_000))
    except CorruptError:
        return
    assert found.shape == (1, 20_000)


# --- how many samples -----------------------------------------------------------------------


@pytest.mark.parametrize("rate_hz", [1_000, 8_000, 44_100, 48_000, 768_000])
def test_n_samples_in_a_file_at_any_rate_cover_its_duration(rate_hz):
    n_samples = n_samples_in(header_of(48_001, 44_100), rate_hz)
    assert n_samples / rate_hz >= 48_001 / 44_100 > (n_samples - 1) / rate_hz


@given(st.integers(1, 10**9), st.integers(1_000, 768_000))
def test_n_samples_in_a_file_at_its_own_rate_are_the_original_s(n_samples, rate_hz):
    assert n_samples_in(header_of(n_samples, rate_hz), rate_hz) == n_samples


@given(
    st.integers(1, 10**6),
    st.sampled_from([8_000, 16_000, 44_100]),
    st.lists(st.integers(1, 10**6), max_size=6).map(sorted),
)
def test_n_samples_in_spans_side_by_side_add_up_to_the_file(n_samples, rate_hz, cuts):
    header = header_of(n_samples)
    whole = n_samples_in(header, rate_hz)
    borders = sorted({0, *(cut for cut in cuts if cut < whole), whole})
    for start, end in pairwise(borders):
        span = Span(start / rate_hz, (end - start) / rate_hz)
        assert n_samples_in(header, rate_hz, span) == end - start


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (EVERYTHING, 40_000),
        (Span(0.0, 1.0), 16_000),
        (Span(1.0), 24_000),
        (Span(2.0, 0.5), 8_000),
        (Span(2.0, 99.0), 8_000),
        (Span(2.4999), 2),
    ],
)
def test_n_samples_in_a_span_end_with_the_file(span, expected):
    assert n_samples_in(header_of(40_000), 16_000, span) == expected


@pytest.mark.parametrize("start_s", [2.5, 2.6, 1e9])
def test_n_samples_in_a_span_beyond_the_end_raises(start_s):
    for duration_s in (None, 1.0):
        with pytest.raises(OutOfRangeError, match=r"it lasts 2\.5 s"):
            n_samples_in(header_of(40_000), 16_000, Span(start_s, duration_s))


def test_n_samples_in_a_stream_are_not_known_before_its_end():
    assert n_samples_in(header_of(None), 16_000) is None
    assert n_samples_in(header_of(None), 16_000, Span(5.0, 2.0)) is None
