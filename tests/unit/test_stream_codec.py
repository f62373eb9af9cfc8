"""Recordings of any length through encoder and decoder as they come."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest

from hzc import container
from hzc.audio import level, sources
from hzc.bitrate import Rate
from hzc.blocks import FloatArray, joined
from hzc.codec import Codec
from hzc.coding.prior import Prior
from hzc.container import CHUNK_FRAMES, Chunk, Container, Reader
from hzc.decoder import LIVE
from hzc.encoder import MAX_LIVE_GAIN_HALF_DB, STREAM_AFTER_S, TARGET_LEVEL_DB
from hzc.errors import CorruptError, DesyncError, TruncatedError, UnsupportedAudioError

HOP = 2_000
CHUNK_SAMPLES = CHUNK_FRAMES * HOP
BLOCK = 16_000


def in_blocks(samples: np.ndarray, sizes: Sequence[int], rate_hz: int = 16_000) -> sources.Source:
    """Return samples [channel, sample] as a pipe whose blocks have the sizes, in turn."""
    samples = np.atleast_2d(samples)

    def blocks() -> Iterator[FloatArray]:
        start = turn = 0
        while start < samples.shape[1]:
            size = sizes[turn % len(sizes)]
            yield samples[:, start : start + size]
            start, turn = start + size, turn + 1

    return once(blocks(), len(samples), rate_hz)


def once(
    blocks: Iterator[FloatArray], n_channels: int = 1, rate_hz: int = 16_000
) -> sources.Source:
    """Return blocks as a source that can be gone through once."""
    rest = [blocks]
    return sources.Source(rate_hz, n_channels, None, lambda: rest.pop())


def streamed(codec: Codec, source: sources.Source, **options: object) -> tuple[bytes, Rate]:
    """Return what encode_stream writes, and the rate that it tells."""
    written: list[bytes] = []
    rate = codec.encoder.encode_stream(source, written.append, **options)
    return b"".join(written), rate


def heard(codec: Codec, data: bytes, rate_hz: int = 16_000) -> FloatArray:
    """Return what comes out of a pipe, float32 [channel, sample]."""
    reader = Reader(io.BytesIO(data))
    return joined(codec.decoder.samples(lambda: reader.header, reader.chunks(), rate_hz, pace=LIVE))


def gains(parsed: Container) -> list[int]:
    return [chunk.gain_half_db for chunk in parsed.chunks]


def level_db(samples: np.ndarray) -> float:
    return 10.0 * float(np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-20))


# --- how long it is -------------------------------------------------------------------------


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 44_100])
@pytest.mark.parametrize("beyond", [-1, 0, 1])
def test_encode_stream_of_about_twelve_seconds_is_streamed_beyond_them_only(
    tiny_codec, sound, rate_hz, beyond
):
    samples = sound(round(STREAM_AFTER_S * rate_hz) + beyond, rate_hz)
    data, rate = streamed(tiny_codec, in_blocks(samples, [rate_hz // 10], rate_hz))
    parsed = container.unpack(data)
    assert parsed.is_streamed == (beyond > 0)
    assert parsed.header.n_samples == len(samples)
    assert (rate.n_bytes, rate.payload_bytes) == (len(data), parsed.payload_bytes)
    assert rate.duration_s == parsed.header.duration_s
    if beyond <= 0:
        assert data == tiny_codec.encode(samples, rate_hz)
    assert heard(tiny_codec, data, rate_hz).shape == (1, len(samples))


@pytest.mark.parametrize("rate_hz", [11_025, 16_000, 44_100])
@pytest.mark.parametrize("n_chunks", [2, 3])
@pytest.mark.parametrize("beyond", [-1, 0, 1])
def test_encode_stream_that_ends_at_a_chunk_s_border_keeps_every_sample(
    tiny_codec, sound, rate_hz, n_chunks, beyond
):
    n_samples = n_chunks * 10 * rate_hz + beyond
    data, _ = streamed(tiny_codec, in_blocks(sound(n_samples, rate_hz), [rate_hz], rate_hz))
    parsed = container.unpack(data)
    assert [c.n_frames for c in parsed.chunks] == [80] * n_chunks + [1] * (beyond > 0)
    assert parsed.header.n_samples == n_samples
    assert heard(tiny_codec, data, rate_hz).shape == (1, n_samples)


@pytest.mark.parametrize("n_samples", [HOP * 97, HOP * 97 + 1, HOP * 98 - 1])
def test_encode_stream_that_ends_about_a_frame_keeps_every_sample(tiny_codec, sound, n_samples):
    data, _ = streamed(tiny_codec, in_blocks(sound(n_samples), [4_000]))
    parsed = container.unpack(data)
    assert parsed.header.n_samples == n_samples
    assert parsed.header.n_frames == -(-n_samples // HOP)
    assert heard(tiny_codec, data).shape == (1, n_samples)


# --- the same however it comes --------------------------------------------------------------


@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
def test_encode_stream_in_blocks_of_any_size_gives_the_same_bytes(tiny_codec, sound, rate_hz):
    samples = sound(25 * rate_hz + 123, rate_hz)
    samples[12 * rate_hz :] *= 0.01
    usual, _ = streamed(tiny_codec, in_blocks(samples, [rate_hz], rate_hz))
    for sizes in ([len(samples)], [7_919], [1, 20 * rate_hz], [10 * rate_hz], [500, 0, 90_001]):
        assert streamed(tiny_codec, in_blocks(samples, sizes, rate_hz))[0] == usual
    assert container.unpack(usual).is_streamed


def test_encode_stream_codes_the_symbols_of_encode_where_the_gain_is_the_same(tiny_codec, minute):
    # The level of every chunk is about the same, and so is the gain of all.
    data, _ = streamed(tiny_codec, in_blocks(minute, [BLOCK]))
    parsed, whole = container.unpack(data), container.unpack(tiny_codec.encode(minute, 16_000))
    assert len(set(gains(parsed))) == 1
    if gains(parsed) != gains(whole):
        there = minute * np.float32(10 ** ((gains(parsed)[0] - gains(whole)[0]) / 40))
        whole = container.unpack(tiny_codec.encode(there, 16_000))
    assert [c.payloads for c in parsed.chunks] == [c.payloads for c in whole.chunks]


def test_encode_stream_decodes_to_the_sound_of_encode(tiny_codec, minute):
    data, _ = streamed(tiny_codec, in_blocks(minute, [BLOCK]))
    through_pipe = heard(tiny_codec, data)[0]
    from_file, _ = tiny_codec.decode(data)
    assert np.abs(through_pipe - from_file).max() < 1e-4
    of_file, _ = tiny_codec.decode(tiny_codec.encode(minute, 16_000))
    assert level_db(through_pipe - of_file) < level_db(of_file) - 6.0


def test_encode_stream_keeping_channels_codes_each(tiny_codec, sound):
    three = np.stack([sound(250_000, seed=i) for i in range(3)])
    data, rate = streamed(tiny_codec, in_blocks(three, [BLOCK]), keep_channels=True)
    parsed = container.unpack(data)
    assert (parsed.header.n_channels, rate.n_bytes) == (3, len(data))
    assert heard(tiny_codec, data).shape == (3, 250_000)
    mixed, _ = streamed(tiny_codec, in_blocks(three, [BLOCK]))
    assert mixed == streamed(tiny_codec, in_blocks(three.mean(axis=0), [BLOCK]))[0]
    assert container.unpack(mixed).header.n_channels == 1


def test_encode_stream_of_sixteen_channels_keeps_them_all(tiny_codec, sound):
    many = np.stack([sound(13 * 8_000, 8_000, seed=i) for i in range(16)])
    data, _ = streamed(tiny_codec, in_blocks(many, [8_000], 8_000), keep_channels=True)
    assert heard(tiny_codec, data, 8_000).shape == (16, 13 * 8_000)
    too_many = np.concatenate([many, many[:1]])
    with pytest.raises(UnsupportedAudioError, match="17 channels"):
        streamed(tiny_codec, in_blocks(too_many, [8_000], 8_000), keep_channels=True)


# --- levels ---------------------------------------------------------------------------------


def test_encode_stream_of_quiet_speech_then_loud_follows_the_level(tiny_codec, sound):
    samples = sound(60 * 16_000)
    samples[: 30 * 16_000] *= 0.05
    data, _ = streamed(tiny_codec, in_blocks(samples, [BLOCK]))
    found = gains(container.unpack(data))
    # The chunk after the change has the gain that the one before it asked for.
    assert len(set(found[:4])) == 1
    assert len(set(found[4:])) == 1
    assert found[0] - found[4] == pytest.approx(52, abs=3)
    out = heard(tiny_codec, data)[0]
    assert np.isfinite(out).all()
    known = tiny_codec.encode(samples[30 * 16_000 :], 16_000)
    settled = out[41 * 16_000 : 59 * 16_000]
    same, _ = tiny_codec.decode(known)
    assert level_db(settled) == pytest.approx(level_db(same[11 * 16_000 : 29 * 16_000]), abs=1.0)


def test_encode_stream_of_nearly_level_speech_never_changes_the_gain(tiny_codec, sound):
    samples = sound(80 * 16_000)
    samples *= np.repeat(np.float32([1, 0.4, 1.5, 0.5, 1, 0.3, 1, 2]), CHUNK_SAMPLES)
    data, _ = streamed(tiny_codec, in_blocks(samples, [BLOCK]))
    assert len(set(gains(container.unpack(data)))) == 1


def test_encode_stream_that_starts_silent_has_no_gain_until_something_is_heard(tiny_codec, sound):
    samples = np.concatenate([np.zeros(20 * 16_000, np.float32), 0.01 * sound(40 * 16_000)])
    data, _ = streamed(tiny_codec, in_blocks(samples, [BLOCK]))
    found = gains(container.unpack(data))
    assert found[:3] == [0, 0, 0]
    assert found[3] > 20
    assert len(set(found[3:])) == 1


def test_encode_stream_with_a_silent_stretch_keeps_its_gain_through_it(tiny_codec, sound):
    samples = 0.03 * sound(60 * 16_000)
    samples[20 * 16_000 : 40 * 16_000] = 0.0
    found = gains(container.unpack(streamed(tiny_codec, in_blocks(samples, [BLOCK]))[0]))
    assert found[0] > 10
    assert set(found) == {found[0]}


def test_encode_stream_of_faint_noise_limits_the_gain(tiny_codec):
    noise = np.random.default_rng(0).normal(0, 5e-4, 15 * 16_000).astype(np.float32)
    found = gains(container.unpack(streamed(tiny_codec, in_blocks(noise, [BLOCK]))[0]))
    assert set(found) == {MAX_LIVE_GAIN_HALF_DB}


def test_encode_stream_of_shouting_has_a_negative_gain(tiny_codec, sound):
    samples = 3.0 * sound(15 * 16_000)
    found = gains(container.unpack(streamed(tiny_codec, in_blocks(samples, [BLOCK]))[0]))
    measured = level.survey(sources.array_source(samples[:CHUNK_SAMPLES], 16_000)).level_db
    assert found[0] == round(2 * (TARGET_LEVEL_DB - measured)) < 0


def test_encode_stream_of_silence_is_small_and_silent(static_codec):
    data, _ = streamed(static_codec, in_blocks(np.zeros(30 * 16_000, np.float32), [BLOCK]))
    assert gains(container.unpack(data)) == [0, 0, 0]
    assert heard(static_codec, data).shape == (1, 30 * 16_000)


# --- what goes wrong on the way -------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at_s", [0.0, 11.999, 12.5, 31.25])
def test_encode_stream_with_no_number_in_it_raises_and_says_where(tiny_codec, sound, value, at_s):
    pair = np.stack([sound(40 * 16_000)] * 2)
    pair[1, round(at_s * 16_000)] = value
    written: list[bytes] = []
    for keep_channels in (False, True):
        with pytest.raises(UnsupportedAudioError, match=rf"sample at {at_s:.3f} s is NaN or inf"):
            tiny_codec.encoder.encode_stream(
                in_blocks(pair, [BLOCK]), written.append, keep_channels=keep_channels
            )
    if at_s < 12.0:
        assert written == []


def test_encode_stream_whose_source_fails_raises_that_and_ends_no_file(tiny_codec, sound):
    samples = sound(25 * 16_000)[None]

    def failing() -> Iterator[FloatArray]:
        yield from np.split(samples, 25, axis=1)
        raise UnsupportedAudioError("the cable is out")

    written: list[bytes] = []
    with pytest.raises(UnsupportedAudioError, match="cable"):
        tiny_codec.encoder.encode_stream(once(failing()), written.append)
    with pytest.raises(TruncatedError):
        container.unpack(b"".join(written))
    left = container.salvage(b"".join(written))
    assert not left.has_end
    assert [piece.n_frames for piece in left.pieces] == [80, 80]


def test_encode_stream_whose_target_fails_raises_that(tiny_codec, sound):
    def full(data: bytes) -> None:
        raise OSError("no space left")

    for seconds in (1, 20):
        source = in_blocks(sound(seconds * 16_000), [BLOCK])
        with pytest.raises(OSError, match="no space left"):
            tiny_codec.encoder.encode_stream(source, full)


def test_encode_stream_that_verifies_and_gets_other_symbols_raises(tiny_codec, sound, monkeypatch):
    samples = sound(25 * 16_000)
    right = Prior.decode
    expected, _ = streamed(tiny_codec, in_blocks(samples, [BLOCK]))
    assert streamed(tiny_codec, in_blocks(samples, [BLOCK]), verify=True)[0] == expected
    monkeypatch.setattr(Prior, "decode", lambda *a: [symbols + 1 for symbols in right(*a)])
    with pytest.raises(DesyncError):
        streamed(tiny_codec, in_blocks(samples, [BLOCK]), verify=True)


def test_encode_stream_tells_the_seconds_that_it_did(tiny_codec, sound):
    told: list[float] = []
    streamed(tiny_codec, in_blocks(sound(25 * 16_000), [BLOCK]), progress=told.append)
    assert told == [10.0, 10.0, 5.0]


def test_samples_of_a_damaged_stream_are_given_up_to_the_damage(tiny_codec, minute):
    data, _ = streamed(tiny_codec, in_blocks(minute, [BLOCK]))
    middle = len(data) // 2
    reader = Reader(io.BytesIO(data[:middle] + b"\0\0\0" + data[middle + 3 :]))
    n_samples = 0
    blocks = tiny_codec.decoder.samples(lambda: reader.header, reader.chunks(), 16_000, pace=LIVE)
    with pytest.raises(CorruptError, match="checksum of chunk 3"):  # noqa: PT012
        for block in blocks:
            n_samples += block.shape[1]
    assert n_samples >= CHUNK_SAMPLES


# --- how long it takes ----------------------------------------------------------------------


def stalling(n_s: int, sound: Callable[..., FloatArray], taken: list[float]) -> sources.Source:
    """Return a source that tells how many seconds were taken from it, a tenth at a time."""

    def blocks() -> Iterator[FloatArray]:
        for block in np.split(sound(n_s * 16_000)[None], 10 * n_s, axis=1):
            taken[0] += 0.1
            yield block

    return once(blocks())


def test_encode_stream_writes_a_chunk_soon_after_it_was_heard(tiny_codec, sound):
    taken, at_s, sizes = [0.0], [], []

    def write(data: bytes) -> None:
        at_s.append(taken[0])
        sizes.append(len(data))

    tiny_codec.encoder.encode_stream(stalling(60, sound, taken), write)
    header_s, *chunks_s, end_s = at_s
    assert sizes[0] == 12
    assert len(chunks_s) == 6
    assert header_s < 15.0
    for index, chunk_s in enumerate(chunks_s):
        assert chunk_s < max(15.0, 10.0 * index + 12.0)
    assert end_s == pytest.approx(60.0)


def test_samples_of_a_stream_come_before_its_last_bytes(tiny_codec, minute):
    data, _ = streamed(tiny_codec, in_blocks(minute, [BLOCK]))
    n_taken = 0

    def chunks() -> Iterator[Chunk]:
        nonlocal n_taken
        for chunk in reader.chunks():
            n_taken += 1
            yield chunk

    reader = Reader(io.BytesIO(data))
    n_samples = 0
    for block in tiny_codec.decoder.samples(lambda: reader.header, chunks(), 16_000, pace=LIVE):
        # The transform looks a few frames ahead of the chunk that it gives.
        assert n_taken <= (n_samples + 2 * HOP) // CHUNK_SAMPLES + 2
        n_samples += block.shape[1]
    assert n_samples == len(minute)
    assert n_taken == 7


# --- how much it holds ----------------------------------------------------------------------


def peak_mb(work: Callable[[], object]) -> float:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_streams_of_any_length_take_the_same_memory(tiny_codec, sound):
    second = sound(16_000)[None]
    files: dict[int, bytes] = {}

    def there(minutes: int) -> None:
        source = once(second * np.float32(1 + i % 3) for i in range(60 * minutes))
        files[minutes] = streamed(tiny_codec, source)[0]

    def back(minutes: int) -> None:
        reader = Reader(io.BytesIO(files[minutes]))
        blocks = tiny_codec.decoder.samples(
            lambda: reader.header, reader.chunks(), 16_000, pace=LIVE
        )
        assert sum(block.shape[1] for block in blocks) == 960_000 * minutes

    for work in (there, back):
        short, long = (peak_mb(lambda m=m, w=work: w(m)) for m in (1, 20))
        assert long < short + 3.0
