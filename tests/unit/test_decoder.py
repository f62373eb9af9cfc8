"""Decoding: windows, spans, gaps, gains, hostile files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hzc import container, decoder
from hzc.coding import quantize
from hzc.container import Chunk, Gap, Header
from hzc.decoder import Span, n_samples_in
from hzc.errors import CorruptError

RATE_HZ, HOP = 16_000, 2_000


@pytest.fixture(scope="module")
def known(tiny_codec, sound):
    """A file of 60 s and a bit, parsed."""
    return container.unpack(tiny_codec.encode(sound(60 * RATE_HZ + 777), RATE_HZ))


@pytest.fixture(scope="module")
def irregular(known):
    """The same frames in chunks of odd lengths and gains, as `hzc cat` makes them."""
    chunks = [replace(c, gain_half_db=12 * (i % 3)) for i, c in enumerate(known.chunks)]
    short = tuple(chunks[:2] + chunks[-1:] + chunks[2:-1])
    n_frames = sum(chunk.n_frames for chunk in short)
    header = replace(known.header, n_frames=n_frames, n_samples=n_frames * HOP - 5)
    return replace(known, header=header, chunks=short)


def samples(codec, file, sample_rate_hz=RATE_HZ, span=decoder.EVERYTHING):
    return np.concatenate(list(codec.decoder.samples(file, sample_rate_hz, span)), axis=1)


def with_gaps(file, lost):
    """Return what is left of a file without some of its chunks."""
    pieces = tuple(Gap(c.n_frames) if i in lost else c for i, c in enumerate(file.chunks))
    return container.Salvaged(file.header, pieces, has_end=True)


def test_small_windows_give_the_waveform_of_the_whole(tiny_codec, known, monkeypatch):
    whole = samples(tiny_codec, known)
    monkeypatch.setattr(decoder, "CORE_FRAMES", 9)
    monkeypatch.setattr("hzc.coding.chunks.PAYLOADS_AT_ONCE", 2)
    assert np.abs(samples(tiny_codec, known) - whole).max() < 1e-5


def test_samples_are_one_synthesis_of_all_symbols_with_each_gain_undone(tiny_codec, irregular):
    step = quantize.steps(tiny_codec.model.base_step, irregular.header.step_index)
    symbols = tiny_codec.decoder.symbols(irregular)
    whole = tiny_codec.decoder._networks.waveform(quantize.to_latent(symbols, step), 0)
    gains = [np.full(c.n_frames * HOP, 10.0 ** (-c.gain_half_db / 40)) for c in irregular.chunks]
    expected = (whole * np.concatenate(gains))[:, : irregular.header.n_samples]
    assert np.abs(samples(tiny_codec, irregular) - expected).max() < 1e-5


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100])
@pytest.mark.parametrize("kind", ["known", "irregular"])
@pytest.mark.parametrize(
    "span", [Span(0.0, 3.0), Span(7.03, 9.1), Span(31.0001), Span(59.9, 5.0), Span(12.5, 0.01)]
)
def test_a_span_is_the_slice_of_the_whole(tiny_codec, request, kind, rate_hz, span):
    file = request.getfixturevalue(kind)
    whole = samples(tiny_codec, file, rate_hz)
    start, end = span.samples(rate_hz)
    part = samples(tiny_codec, file, rate_hz, span)
    assert part.shape == whole[:, start:end].shape
    assert np.abs(part - whole[:, start:end]).max() < 2e-5


def test_a_span_decodes_no_more_chunks_than_it_needs(tiny_codec, known, monkeypatch):
    n_decoded, prior = [], type(tiny_codec.model.prior)
    decode = prior.decode

    def counting(self, payloads, *rest):
        n_decoded.append(len(payloads))
        return decode(self, payloads, *rest)

    monkeypatch.setattr(prior, "decode", counting)
    samples(tiny_codec, known, span=Span(31.0, 2.0))
    assert sum(n_decoded) <= 2


@pytest.mark.parametrize("lost", [{0}, {6}, {2, 3}, {0, 2, 4}, set(range(7))])
@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
def test_a_gap_is_silence_in_its_place(tiny_codec, known, lost, rate_hz):
    found = samples(tiny_codec, with_gaps(known, lost), rate_hz)
    whole = samples(tiny_codec, known, rate_hz)
    assert found.shape == whole.shape
    for i in range(6):
        middle = slice(round((10 * i + 3) * rate_hz), round((10 * i + 7) * rate_hz))
        if i in lost:
            assert not found[:, middle].any()
        else:
            # The network reaches 2 s over the borders of a chunk; the tiny one less.
            assert np.abs(found[:, middle] - whole[:, middle]).max() < 2e-5


def test_sound_next_to_a_gap_is_faded(tiny_codec, known):
    found = samples(tiny_codec, with_gaps(known, {2}))[0]
    assert np.abs(found[20 * RATE_HZ - 3 : 20 * RATE_HZ]).max() < 0.05 * np.abs(found).max()
    assert np.abs(found[30 * RATE_HZ : 30 * RATE_HZ + 3]).max() < 0.05 * np.abs(found).max()


def test_vetting_drops_chunks_that_were_never_coded(tiny_codec, known):
    pieces = (Chunk(80, (b"\x12\x34\x56",)), *known.chunks[1:])
    salvaged = replace(with_gaps(known, set()), pieces=pieces)
    assert tiny_codec.decoder.vetted(salvaged).pieces == (Gap(80), *known.chunks[1:])
    with pytest.raises(CorruptError, match="no whole chunk"):
        tiny_codec.decoder.vetted(replace(salvaged, pieces=pieces[:1]))


@given(st.integers(1, 10**9), st.integers(1_000, 768_000))
def test_a_file_at_its_own_rate_has_the_samples_of_the_original(n_samples, rate_hz):
    n_frames = container.n_frames_for(n_samples, rate_hz)
    header = Header(1, 0, 32, n_frames, n_samples, rate_hz)
    assert n_samples_in(header, rate_hz) == n_samples


def test_memory_of_many_channels_at_a_high_rate_is_bounded(tiny_codec):
    import tracemalloc

    symbols = np.zeros((16, 32, 80), dtype=np.int32)
    payloads = tuple(tiny_codec.model.prior.encode(channel, 0) for channel in symbols)
    header = Header(
        240, tiny_codec.model.prior.fingerprint, 32, 80, 7_680_000, 768_000, n_channels=16
    )
    file = container.unpack(container.pack(header, [Chunk(80, payloads)]))
    tracemalloc.start()
    n = sum(b.shape[1] for b in tiny_codec.decoder.samples(file, 768_000, Span(0.0, 3.0)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert n == 3 * 768_000
    assert peak < 600 << 20
