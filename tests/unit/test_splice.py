"""Files joined and cut: no payload changes, and what does not belong together is refused."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hzc.container import CHUNK_FRAMES, Chunk, Container, Header, cut, joined, n_frames_for, unpack
from hzc.errors import IncompatibleError

RATES_HZ = (8_000, 11_025, 16_000, 37_801, 44_100)


def made(
    n_samples: int, rate_hz: int = 16_000, seed: int = 0, n_channels: int = 1, **fields: object
) -> Container:
    """Return a file of known length with small random payloads."""
    rng = Random(seed)
    n_frames = n_frames_for(n_samples, rate_hz)
    header = replace(Header(7, 99, 4, n_frames, n_samples, rate_hz, n_channels), **fields)
    full, rest = divmod(n_frames, CHUNK_FRAMES)
    chunks = tuple(
        Chunk(n, tuple(rng.randbytes(rng.randint(0, 9)) for _ in range(n_channels)), seed)
        for n in [CHUNK_FRAMES] * full + [rest] * (rest > 0)
    )
    return Container(header, chunks, is_streamed=False)


def all_chunks(files: list[Container]) -> tuple[Chunk, ...]:
    return tuple(chunk for file in files for chunk in file.chunks)


# --- joining --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model_id", 8), ("fingerprint", 98), ("n_latent", 5), ("step_index", 1),
        ("step_offsets", (0, 1, 2, 3)), ("n_channels", 2), ("sample_rate_hz", 8_000),
    ],
)  # fmt: skip
def test_joined_files_of_another_kind_raise_and_say_how_they_differ(field, value):
    one = made(20_000)
    other = replace(one, header=replace(one.header, **{field: value}))
    says = rf"file 3 has {field.replace('_', ' ')} .*, file 1 has"
    with pytest.raises(IncompatibleError, match=says) as caught:
        joined([one, one, other])
    assert "decode both" in caught.value.hint


# --- cutting --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start_s", "end_s", "first", "last"),
    [
        (0.0, None, 0, 4),
        (0.0, 10.0, 0, 1),
        (0.0, 10.001, 0, 2),
        (9.999, 10.0, 0, 1),
        (10.0, 20.0, 1, 2),
        (15.0, 25.0, 1, 3),
        (29.999, 30.001, 2, 4),
        (30.0, 99.0, 3, 4),
        (34.499, None, 3, 4),
    ],
)
def test_cut_gives_the_chunks_that_touch_the_part(start_s, end_s, first, last):
    file = made(552_000)
    found, from_s, until_s = cut(file, start_s, end_s)
    assert found.chunks == file.chunks[first:last]
    assert (from_s, until_s) == (10.0 * first, min(10.0 * last, 34.5))
    assert found.header.duration_s == pytest.approx(until_s - from_s)
    assert not found.is_streamed


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("n_channels", [1, 2])
def test_parts_joined_again_are_the_file(rate_hz, n_channels):
    for n_samples in (35 * rate_hz + 1, 30 * rate_hz, 30 * rate_hz + 1, 40 * rate_hz - 1):
        file = made(n_samples, rate_hz, n_channels=n_channels)
        for borders_s in ((10.0,), (20.0,), (10.0, 20.0, 30.0 - 1 / rate_hz)):
            parts, at = [], 0.0
            for end_s in [*borders_s, None]:
                if at < file.header.duration_s:
                    part, from_s, until_s = cut(file, at, end_s)
                    assert from_s == at
                    parts.append(part)
                    at = until_s
            assert joined(parts) == file


lengths = st.lists(st.integers(1, 30 * 11_025), min_size=1, max_size=5)


@given(st.sampled_from(RATES_HZ), lengths, st.data())
def test_splicing_any_files_anywhere_gives_files(rate_hz, n_samples, data):
    files = [made(n, rate_hz, seed) for seed, n in enumerate(n_samples)]
    whole = joined(files)
    assert unpack(whole.packed()) == whole
    assert whole.chunks == all_chunks(files)
    filled = sum(file.header.n_frames for file in files[:-1])
    # Where a frame is no whole number of samples, one sample may be missing.
    assert abs(whole.header.n_samples - (filled * rate_hz // 8 + n_samples[-1])) <= 1
    duration_s = whole.header.duration_s
    start_s = data.draw(st.floats(0.0, duration_s, exclude_max=True))
    end_s = data.draw(st.none() | st.floats(start_s, duration_s + 1, exclude_min=True))
    found, from_s, until_s = cut(whole, start_s, end_s)
    assert unpack(found.packed()) == found
    assert from_s <= start_s
    assert until_s >= min(duration_s, until_s if end_s is None else end_s)
    assert found.header.duration_s == pytest.approx(until_s - from_s, abs=1.01 / rate_hz)
    starts = list(accumulate((chunk.n_frames for chunk in whole.chunks), initial=0))
    first = starts.index(round(from_s * 8))
    assert found.chunks == whole.chunks[first : first + len(found.chunks)]


# --- what is heard --------------------------------------------------------------------------


def test_joined_and_cut_recordings_decode_to_what_the_parts_do(tiny_codec, sound):
    sounds = [sound(round(s * 16_000), seed=i) * 0.2**i for i, s in enumerate((13.25, 4.5, 21.0))]
    coded = [tiny_codec.encode(samples, 16_000) for samples in sounds]
    file = joined([unpack(data) for data in coded])
    whole, _ = tiny_codec.decode(file.packed())
    assert len(whole) == sum(map(len, sounds))
    part, from_s, _ = cut(file, 18.0, 30.0)
    at, margin = 0, tiny_codec.model.config.synthesis_context_frames * 2_000
    for data, start in (*((data, None) for data in coded), (part.packed(), from_s * 16_000)):
        alone, _ = tiny_codec.decode(data)
        start = at if start is None else round(start)
        inner = slice(margin, len(alone) - margin)
        assert np.abs(whole[start : start + len(alone)][inner] - alone[inner]).max() < 1e-4
        at += len(alone)
