"""A part of a file is what the whole has there, at the price of the part."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from hzc import container
from hzc.blocks import FloatArray, joined
from hzc.codec import Codec
from hzc.coding.prior import Prior
from hzc.container import CHUNK_FRAMES, Chunk, Container, Gap, Reader, unpack
from hzc.decoder import EVERYTHING, LIVE, WHOLE, Pace, Span
from hzc.errors import OutOfRangeError

RATES_HZ = (8_000, 16_000, 44_100)
TOLERANCE = 1e-4
SPANS = [
    Span(start_s, duration_s)
    for start_s, durations_s in {
        0.0: (0.001, 10.0, 25.0, None),
        0.3: (0.001, 9.7, 9.701),
        2.345: (0.1, 9.999),
        8.9: (1.0,),
        9.99999: (0.001, 10.001),
        10.0: (0.001, 1.0, 10.0),
        10.0001: (1.0, None),
        19.5: (0.5, 0.501),
        33.33: (12.0,),
        49.99: (10.02, None),
        59.9: (0.1, None),
    }.items()
    for duration_s in durations_s
]


def part(
    codec: Codec,
    parsed: Container,
    rate_hz: int,
    span: Span = EVERYTHING,
    pace: Pace = WHOLE,
    pieces: Iterable[Chunk | Gap] | None = None,
) -> FloatArray:
    """Return a part of a file, float32 [channel, sample]."""
    pieces = parsed.chunks if pieces is None else pieces
    return joined(codec.decoder.samples(lambda: parsed.header, pieces, rate_hz, span, pace))


def slice_of(whole: FloatArray, span: Span, rate_hz: int) -> FloatArray:
    """Return what `part` should give."""
    start = round(span.start_s * rate_hz)
    if span.duration_s is None:
        return whole[:, start:]
    return whole[:, start : start + round(span.duration_s * rate_hz)]


def assert_is_slice(found: FloatArray, whole: FloatArray, span: Span, rate_hz: int) -> None:
    expected = slice_of(whole, span, rate_hz)
    assert found.shape == expected.shape, span
    assert np.abs(found - expected).max() < TOLERANCE, span


@pytest.fixture(scope="module")
def known(tiny_codec, minute) -> Container:
    """A minute and a bit."""
    return unpack(tiny_codec.encode(minute, 16_000))


@pytest.fixture(scope="module")
def irregular(tiny_codec, sound) -> Container:
    """Recordings of 13.2, 3.05, 21.9 and 7.77 s one after the other, each with a gain."""
    parts = [
        tiny_codec.encode(sound(round(seconds * 16_000), seed=i) * 0.3**i, 16_000)
        for i, seconds in enumerate((13.2, 3.05, 21.9, 7.77))
    ]
    found = container.joined([unpack(data) for data in parts])
    assert found.is_streamed
    assert len({chunk.n_frames for chunk in found.chunks}) > 3
    assert len({chunk.gain_half_db for chunk in found.chunks}) > 3
    return found


# --- known length ---------------------------------------------------------------------------


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("pace", [WHOLE, LIVE])
def test_span_of_a_file_is_the_slice_of_the_whole(tiny_codec, known, rate_hz, pace):
    whole = part(tiny_codec, known, rate_hz)
    for span in SPANS if (rate_hz, pace) == (16_000, WHOLE) else SPANS[1::4]:
        assert_is_slice(part(tiny_codec, known, rate_hz, span, pace), whole, span, rate_hz)


def test_span_at_any_start_within_a_frame_is_the_slice_of_the_whole(tiny_codec, known):
    whole = part(tiny_codec, known, 44_100)
    for start in [*range(441_000 - 3, 441_000 + 4), 441_000 - 5_513, 441_000 + 5_512]:
        span = Span(start / 44_100, 0.05)
        found = part(tiny_codec, known, 44_100, span)
        assert np.abs(found - whole[:, start : start + round(0.05 * 44_100)]).max() < TOLERANCE


def test_spans_side_by_side_are_the_whole(tiny_codec, known):
    whole = part(tiny_codec, known, 44_100)
    spans = [Span(start_s, 7.5) for start_s in np.arange(0.0, 60.0, 7.5)] + [Span(60.0)]
    found = np.concatenate([part(tiny_codec, known, 44_100, span) for span in spans], axis=1)
    assert found.shape == whole.shape
    assert np.abs(found - whole).max() < TOLERANCE


def test_span_from_the_start_is_the_start(tiny_codec, known):
    whole = part(tiny_codec, known, 16_000)
    assert_is_slice(part(tiny_codec, known, 16_000, Span(0.0, 1e6)), whole, Span(), 16_000)
    assert np.array_equal(part(tiny_codec, known, 16_000, Span(0.0, None)), whole)


def test_span_beyond_the_end_ends_with_the_file(tiny_codec, known):
    n_samples = known.header.n_samples
    for rate_hz in RATES_HZ:
        whole = part(tiny_codec, known, rate_hz)
        for span in (Span(55.0, 100.0), Span(60.0, 0.1), Span(60.04)):
            assert_is_slice(part(tiny_codec, known, rate_hz, span), whole, span, rate_hz)
    last = Span((n_samples - 1) / 16_000)
    assert part(tiny_codec, known, 16_000, last).shape == (1, 1)


@pytest.mark.parametrize("start_s", [60.0486, 60.1, 61.0, 70.0, 1e6])
@pytest.mark.parametrize("duration_s", [None, 1.0])
@pytest.mark.parametrize("pace", [WHOLE, LIVE])
def test_span_that_starts_beyond_the_end_raises(tiny_codec, known, start_s, duration_s, pace):
    with pytest.raises(OutOfRangeError, match="nothing is left at"):
        part(tiny_codec, known, 16_000, Span(start_s, duration_s), pace)


def test_decode_of_a_span_is_the_slice_of_the_whole(tiny_codec, minute):
    data = tiny_codec.encode(np.stack([minute, minute[::-1]]), 16_000, keep_channels=True)
    whole, _ = tiny_codec.decode(data)
    found, rate_hz = tiny_codec.decode(data, start_s=12.5, duration_s=20.0)
    assert rate_hz == 16_000
    assert found.shape == (2, 320_000)
    assert np.abs(found - whole[:, 200_000:520_000]).max() < TOLERANCE


# --- irregular, streamed --------------------------------------------------------------------


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_span_of_an_irregular_file_is_the_slice_of_the_whole(tiny_codec, irregular, rate_hz):
    whole = part(tiny_codec, irregular, rate_hz)
    borders_s = np.cumsum([chunk.n_frames for chunk in irregular.chunks])[:-1] / 8
    for start_s in (0.0, *borders_s, *(borders_s - 0.02)):
        for duration_s in (0.2, 11.0):
            span = Span(float(start_s), duration_s)
            assert_is_slice(part(tiny_codec, irregular, rate_hz, span), whole, span, rate_hz)


def open_pipe(file: Container) -> Reader:
    """Return a file as a stream, its length not known."""
    unknown = file.header.without_length()
    head = container.pack_header(unknown)
    records = [container.pack_chunk(unknown, head, i, c) for i, c in enumerate(file.chunks)]
    end = container.pack_end(
        unknown, head, len(records), file.header.n_frames, file.header.n_samples
    )
    return Reader(io.BytesIO(head + b"".join(records) + end))


@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
@pytest.mark.parametrize("kind", ["known", "irregular"])
def test_span_of_a_stream_is_the_slice_of_the_whole(tiny_codec, request, kind, rate_hz):
    file = request.getfixturevalue(kind)
    whole = part(tiny_codec, file, rate_hz)
    for start_s, duration_s in ((0, 1), (0, 10), (9.9, 0.2), (13.3, 5), (30, None), (45, 99)):
        span = Span(start_s, duration_s)
        reader = open_pipe(file)
        blocks = tiny_codec.decoder.samples(
            lambda reader=reader: reader.header, reader.chunks(), rate_hz, span, LIVE
        )
        assert_is_slice(joined(blocks), whole, span, rate_hz)


def test_span_that_starts_beyond_the_end_of_a_stream_raises(tiny_codec, irregular):
    for start_s in (46.15, 46.2, 47.0, 500.0):
        reader = open_pipe(irregular)
        blocks = tiny_codec.decoder.samples(
            lambda reader=reader: reader.header, reader.chunks(), 16_000, Span(start_s), LIVE
        )
        with pytest.raises(OutOfRangeError, match=r"it lasts 46\.1"):
            joined(blocks)


# --- only what is needed --------------------------------------------------------------------


class Counted:
    """Gives pieces and says how many were taken."""

    def __init__(self, pieces: Iterable[Chunk | Gap]) -> None:
        self.pieces, self.n_taken = pieces, 0

    def __iter__(self) -> Iterator[Chunk | Gap]:
        for piece in self.pieces:
            self.n_taken += 1
            yield piece


@pytest.fixture
def n_decoded(monkeypatch) -> Callable[[], int]:
    """How many payloads were decoded since it was last asked."""
    right, n_seen = Prior.decode, [0]

    def counting(self, payloads, *args):
        n_seen[0] += len(payloads)
        return right(self, payloads, *args)

    def told() -> int:
        n_seen[0], n = 0, n_seen[0]
        return n

    monkeypatch.setattr(Prior, "decode", counting)
    return told


@pytest.mark.parametrize(
    ("span", "n_taken", "n_needed"),
    [
        (Span(0.0, 1.0), 1, 1),
        (Span(0.0, 7.8), 1, 1),
        (Span(0.0, 9.0), 2, 2),
        (Span(4.0, 3.0), 1, 1),
        (Span(14.0, 2.0), 2, 1),
        (Span(29.0, 2.0), 4, 2),
        (Span(30.0, 10.0), 5, 3),
        (Span(44.0, 2.0), 5, 1),
        (Span(59.0, None), 7, 2),
    ],
)
@pytest.mark.parametrize("pace", [WHOLE, LIVE])
def test_span_takes_no_more_chunks_than_it_needs(
    tiny_codec, known, n_decoded, span, n_taken, n_needed, pace
):
    assert tiny_codec.model.config.synthesis_context_frames <= 8
    pieces = Counted(known.chunks)
    part(tiny_codec, known, 16_000, span, pace, pieces)
    assert (pieces.n_taken, n_decoded()) == (n_taken, n_needed)


def test_span_of_a_long_file_is_decoded_from_a_few_chunks(tiny_codec, known, n_decoded):
    chunk = known.chunks[1]
    n_frames = CHUNK_FRAMES * 1_000
    header = replace(known.header, n_frames=n_frames, n_samples=n_frames * 2_000)
    pieces = Counted([chunk] * 1_000)
    found = joined(tiny_codec.decoder.samples(lambda: header, pieces, 16_000, Span(5_004.0, 2.0)))
    assert found.shape == (1, 32_000)
    assert (pieces.n_taken, n_decoded()) == (501, 1)


# --- with gaps ------------------------------------------------------------------------------


def with_gaps(file: Container, lost: set[int]) -> list[Chunk | Gap]:
    return [Gap(c.n_frames) if i in lost else c for i, c in enumerate(file.chunks)]


@pytest.mark.parametrize(
    ("lost", "rate_hz"),
    [({0}, 16_000), ({1, 2}, 44_100), ({0, 3, 5, 6}, 16_000), ({0, 1, 2, 3, 4, 5}, 8_000)],
)
def test_span_of_a_file_with_gaps_is_the_slice_of_the_whole(tiny_codec, known, lost, rate_hz):
    pieces = with_gaps(known, lost)
    whole = part(tiny_codec, known, rate_hz, pieces=pieces)
    for start_s in (0.0, 5.0, 9.999, 10.0, 25.0, 48.7, 58.0):
        for duration_s in (0.3, 15.0):
            span = Span(start_s, duration_s)
            found = part(tiny_codec, known, rate_hz, span, pieces=pieces)
            assert_is_slice(found, whole, span, rate_hz)


def test_samples_in_a_gap_are_silent_and_the_others_are_the_file_s(tiny_codec, known):
    sound_part = part(tiny_codec, known, 16_000)
    found = part(tiny_codec, known, 16_000, pieces=with_gaps(known, {2, 3}))
    assert found.shape == sound_part.shape
    assert not found[:, 320_000:640_000].any()
    # What the transform sees beyond a chunk's end is no more there: 5 frames and the fade.
    for piece in (slice(0, 320_000 - 12_000), slice(640_000 + 12_000, None)):
        assert np.abs(found[:, piece] - sound_part[:, piece]).max() < TOLERANCE


def test_samples_beside_a_gap_come_from_and_go_to_silence(tiny_codec, known):
    found = part(tiny_codec, known, 16_000, pieces=with_gaps(known, {2}))[0]
    loud = np.abs(found[300_000:318_000]).max()
    assert np.abs(found[320_000 - 8 : 320_000]).max() < 0.1 * loud
    assert np.abs(found[480_000 : 480_000 + 8]).max() < 0.1 * loud
    assert np.abs(found[:8]).max() > 0.0


def test_samples_of_a_long_gap_are_as_many_as_of_short_ones(tiny_codec, known):
    one = [known.chunks[0], Gap(4 * CHUNK_FRAMES), *known.chunks[5:]]
    several = with_gaps(known, {1, 2, 3, 4})
    found = [part(tiny_codec, known, 16_000, pieces=pieces) for pieces in (one, several)]
    assert np.array_equal(*found)


def test_samples_of_nothing_but_gaps_are_silence(tiny_codec, known):
    found = part(tiny_codec, known, 8_000, pieces=[Gap(c.n_frames) for c in known.chunks])
    assert found.shape == (1, -(-known.header.n_samples // 2))
    assert not found.any()


def test_samples_of_several_channels_with_gaps_have_them_in_all(tiny_codec, sound):
    pair = np.stack([sound(30 * 16_000, seed=1), sound(30 * 16_000, seed=2)])
    file = unpack(tiny_codec.encode(pair, 16_000, keep_channels=True))
    found = part(tiny_codec, file, 16_000, Span(5.0, 20.0), pieces=with_gaps(file, {1}))
    assert found.shape == (2, 320_000)
    assert not found[:, 80_000:240_000].any()
    assert found[:, :70_000].any(axis=1).all()
    assert found[:, 250_000:].any(axis=1).all()
