"""Files joined and cut: no payload changes, and what does not belong together is refused."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hzc import container
from hzc.container import (
    CHUNK_FRAMES,
    Chunk,
    Container,
    Header,
    cut,
    joined,
    n_frames_for,
    pack,
    unpack,
)
from hzc.errors import IncompatibleError, OutOfRangeError

RATES_HZ = (8_000, 11_025, 16_000, 37_801, 44_100)


def made(
    n_samples: int, rate_hz: int = 16_000, seed: int = 0, n_channels: int = 1, **fields: object
) -> Container:
    """Return a file of known length with small random payloads."""
    rng = Random(seed)
    n_frames = n_frames_for(n_samples, rate_hz)
    header = Header(7, 99, 4, n_frames, n_samples, rate_hz, n_channels)
    full, rest = divmod(n_frames, CHUNK_FRAMES)
    chunks = []
    for n in [CHUNK_FRAMES] * full + [rest] * (rest > 0):
        payloads = tuple(rng.randbytes(rng.randint(0, 9)) for _ in range(n_channels))
        chunks.append(Chunk(n, payloads, rng.randint(-9, 9)))
    return unpack(pack(replace(header, **fields), chunks))


def of_seconds(*seconds: float, rate_hz: int = 16_000) -> list[Container]:
    return [made(round(s * rate_hz), rate_hz, seed) for seed, s in enumerate(seconds)]


def all_chunks(files: list[Container]) -> tuple[Chunk, ...]:
    return tuple(chunk for file in files for chunk in file.chunks)


# --- joining --------------------------------------------------------------------------------


def test_joined_one_file_is_the_file():
    (file,) = of_seconds(34.5)
    assert joined([file]) == pack(file.header, file.chunks)


def test_joined_files_of_whole_chunks_have_a_known_length():
    files = of_seconds(20.0, 10.0, 30.0, 4.32)
    whole = unpack(joined(files))
    assert not whole.is_streamed
    assert whole.chunks == all_chunks(files)
    assert whole.header.duration_s == pytest.approx(64.32)


def test_joined_files_of_any_length_have_every_chunk_in_order():
    files = of_seconds(3.0, 12.34, 0.01, 10.0, 25.5)
    whole = unpack(joined(files))
    assert whole.is_streamed
    assert whole.chunks == all_chunks(files)
    # Each but the last is filled up to whole frames.
    expected_s = 3.0 + 12.375 + 0.125 + 10.0 + 25.5
    assert whole.header.duration_s == pytest.approx(expected_s)


def test_joined_last_file_keeps_its_last_sample():
    for n_samples in (1, 1_999, 2_000, 2_001, 159_999, 160_000, 160_001):
        files = [*of_seconds(10.0), made(n_samples)]
        assert unpack(joined(files)).header.n_samples == 160_000 + n_samples
        files = [*of_seconds(1.0), made(n_samples)]
        assert unpack(joined(files)).header.n_samples == 16_000 + n_samples


def test_joined_in_any_order_of_joining_is_the_same():
    a, b, c = of_seconds(12.0, 7.7, 31.0)
    left = joined([unpack(joined([a, b])), c])
    right = joined([a, unpack(joined([b, c]))])
    assert left == right == joined([a, b, c])


def test_joined_streams_and_files_mix():
    files = of_seconds(12.0, 7.7, 31.0)
    stream = unpack(joined(files))
    whole = unpack(joined([stream, *files, stream]))
    assert whole.chunks == stream.chunks * 3


def test_joined_files_of_several_channels_keep_them():
    files = [made(170_000, seed=i, n_channels=3) for i in range(3)]
    assert unpack(joined(files)).chunks == all_chunks(files)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model_id", 8),
        ("fingerprint", 98),
        ("n_latent", 5),
        ("step_index", 1),
        ("step_offsets", (0, 1, 2, 3)),
    ],
)
def test_joined_files_of_another_kind_raise_and_say_how_they_differ(field, value):
    one, other = made(20_000), made(20_000, **{field: value})
    says = rf"file 3 has {field.replace('_', ' ')} .*, file 1 has"
    with pytest.raises(IncompatibleError, match=says) as caught:
        joined([one, one, other])
    assert "decode both" in caught.value.hint


def test_joined_files_of_another_rate_or_number_of_channels_raise():
    one = made(20_000)
    with pytest.raises(IncompatibleError, match="file 2 has sample rate hz 8000, file 1 has 16000"):
        joined([one, made(20_000, 8_000)])
    with pytest.raises(IncompatibleError, match="file 2 has n channels 2, file 1 has 1"):
        joined([one, made(20_000, n_channels=2)])


def test_joined_files_of_other_lengths_and_gains_are_of_one_kind():
    files = [made(20_000), made(1), made(500_000)]
    assert len({chunk.gain_half_db for file in files for chunk in file.chunks}) > 1
    unpack(joined(files))


# --- cutting --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start_s", "end_s", "first", "last"),
    [
        (0.0, None, 0, 4),
        (0.0, 10.0, 0, 1),
        (0.0, 10.001, 0, 2),
        (9.999, 10.0, 0, 1),
        (10.0, 20.0, 1, 2),
        (10.0, None, 1, 4),
        (15.0, 25.0, 1, 3),
        (29.999, 30.001, 2, 4),
        (30.0, 99.0, 3, 4),
        (34.499, None, 3, 4),
    ],
)
def test_cut_gives_the_chunks_that_touch_the_part(start_s, end_s, first, last):
    (file,) = of_seconds(34.5)
    data, from_s, until_s = cut(file, start_s, end_s)
    found = unpack(data)
    assert found.chunks == file.chunks[first:last]
    assert (from_s, until_s) == (10.0 * first, min(10.0 * last, 34.5))
    assert found.header.duration_s == pytest.approx(until_s - from_s)
    assert not found.is_streamed


@pytest.mark.parametrize("start_s", [34.5, 34.51, 34.6, 35.0, 40.0, 1e9])
@pytest.mark.parametrize("end_s", [None, 1e10])
def test_cut_beyond_the_end_raises(start_s, end_s):
    (file,) = of_seconds(34.5)
    with pytest.raises(OutOfRangeError, match="nothing is left at"):
        cut(file, start_s, end_s)


def test_cut_beyond_the_end_within_the_last_frame_raises():
    # The last frame ends at 0.125 s, the recording at 0.0625 s.
    file = made(1_000)
    assert unpack(cut(file, 0.06, None)[0]).header.n_samples == 1_000
    with pytest.raises(OutOfRangeError):
        cut(file, 0.07, None)


def test_cut_of_an_irregular_file_follows_its_chunks():
    files = of_seconds(12.0, 7.75, 31.0)
    whole = unpack(joined(files))
    data, from_s, until_s = cut(whole, 11.0, 21.0)
    assert unpack(data).chunks == whole.chunks[1:4]
    assert (from_s, until_s) == (10.0, 29.75)
    assert unpack(data).is_streamed
    data, from_s, until_s = cut(whole, 20.0, None)
    assert unpack(data).chunks == whole.chunks[3:]
    assert not unpack(data).is_streamed
    assert (from_s, until_s) == (19.75, 50.75)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("n_channels", [1, 2])
def test_parts_joined_again_are_the_file(rate_hz, n_channels):
    for n_samples in (35 * rate_hz + 1, 30 * rate_hz, 30 * rate_hz + 1, 40 * rate_hz - 1):
        file = made(n_samples, rate_hz, n_channels=n_channels)
        for borders_s in ((10.0,), (20.0,), (10.0, 20.0, 30.0 - 1 / rate_hz)):
            edges = [0.0, *borders_s, None]
            parts = []
            at = 0.0
            for end_s in edges[1:]:
                data, from_s, at_next = cut(file, at, end_s)
                assert from_s == at
                at = at_next
                parts.append(unpack(data))
                if at >= file.header.duration_s:
                    break
            assert joined(parts) == pack(file.header, file.chunks)


def test_files_cut_out_of_the_joined_are_the_files():
    files = of_seconds(20.0, 10.0, 34.5)
    whole = unpack(joined(files))
    starts = list(accumulate((file.header.duration_s for file in files), initial=0.0))
    for file, start_s, end_s in zip(files, starts[:-1], starts[1:], strict=True):
        data, _, _ = cut(whole, start_s, end_s)
        assert data == pack(file.header, file.chunks)


lengths = st.lists(st.integers(1, 30 * 11_025), min_size=1, max_size=5)


@given(st.sampled_from(RATES_HZ), lengths, st.data())
def test_splicing_any_files_anywhere_gives_files(rate_hz, n_samples, data):
    files = [made(n, rate_hz, seed) for seed, n in enumerate(n_samples)]
    whole = unpack(joined(files))
    assert whole.chunks == all_chunks(files)
    last = files[-1].header
    filled = sum(file.header.n_frames for file in files[:-1])
    # Frames are no whole number of samples at every rate.
    assert abs(whole.header.n_samples - (filled * rate_hz // 8 + last.n_samples)) <= 1
    duration_s = whole.header.duration_s
    start_s = data.draw(st.floats(0.0, duration_s, exclude_max=True))
    end_s = data.draw(st.none() | st.floats(start_s, duration_s + 1, exclude_min=True))
    packed, from_s, until_s = cut(whole, start_s, end_s)
    found = unpack(packed)
    assert from_s <= start_s
    assert until_s >= min(duration_s, until_s if end_s is None else end_s)
    assert found.header.duration_s == pytest.approx(until_s - from_s, abs=1.01 / rate_hz)
    n_before = [file_chunk.n_frames for file_chunk in whole.chunks]
    first = list(accumulate(n_before, initial=0)).index(round(from_s * 8))
    assert found.chunks == whole.chunks[first : first + len(found.chunks)]


def test_joined_last_sample_where_frames_are_no_whole_samples_is_kept():
    # 11 025 Hz: 1378.125 samples a frame; the last frame of the whole is one sample shorter.
    files = [made(1_378 * k, 11_025) for k in (1, 3)] + [made(8 * 1_378 + 2, 11_025)]
    unpack(joined(files))
    for n_samples in range(1, 30_000, 1_378):
        for n_more in (0, 1, 2):
            unpack(joined([files[0], made(n_samples + n_more, 11_025)]))


# --- what is heard --------------------------------------------------------------------------


def test_joined_recordings_sound_like_each(tiny_codec, sound):
    sounds = [sound(round(s * 16_000), seed=i) * 0.2**i for i, s in enumerate((13.25, 4.5, 21.0))]
    coded = [tiny_codec.encode(samples, 16_000) for samples in sounds]
    whole, _ = tiny_codec.decode(joined([unpack(data) for data in coded]))
    assert len(whole) == sum(map(len, sounds))
    at = 0
    margin = tiny_codec.model.config.synthesis_context_frames * 2_000
    for data in coded:
        alone, _ = tiny_codec.decode(data)
        inner = slice(margin, len(alone) - margin)
        assert np.abs(whole[at : at + len(alone)][inner] - alone[inner]).max() < 1e-4
        at += len(alone)


def test_cut_recording_sounds_like_the_part(tiny_codec, sound):
    file = unpack(tiny_codec.encode(sound(45 * 16_000), 16_000))
    whole, _ = tiny_codec.decode(container.pack(file.header, file.chunks))
    data, from_s, until_s = cut(file, 12.0, 25.0)
    found, _ = tiny_codec.decode(data)
    assert (from_s, until_s) == (10.0, 30.0)
    inner = slice(20_000, -20_000)
    assert np.abs(found[inner] - whole[160_000:480_000][inner]).max() < 1e-4
