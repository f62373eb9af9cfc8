"""Valid files survive every round trip."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from hzc.container import (
    CHUNK_FRAMES,
    MAX_FRAMES,
    MAX_STEP_INDEX,
    SAMPLE_RATES_HZ,
    Chunk,
    Container,
    Header,
    n_frames_for,
    pack_header,
    read_header,
    unpack,
)

MAX_TEST_FRAMES = 3 * CHUNK_FRAMES


# --- strategies -----------------------------------------------------------------------------


@st.composite
def headers(draw, max_frames=MAX_FRAMES, max_latent=255):
    rate = draw(st.sampled_from(SAMPLE_RATES_HZ[1:]) | st.integers(1_000, 768_000))
    n_samples = draw(st.integers(1, max_frames * rate // 8))
    n_latent = draw(st.integers(1, max_latent))
    step_index = draw(st.integers(-MAX_STEP_INDEX, MAX_STEP_INDEX))
    lowest, highest = -MAX_STEP_INDEX - step_index, MAX_STEP_INDEX - step_index
    offset = st.integers(lowest, min(highest, 127))
    return Header(
        model_id=draw(st.integers(1, 255)),
        fingerprint=draw(st.integers(0, 65_535)),
        n_latent=n_latent,
        n_frames=n_frames_for(n_samples, rate),
        n_samples=n_samples,
        sample_rate_hz=rate,
        n_channels=draw(st.integers(1, 16)),
        step_index=step_index,
        step_offsets=draw(
            st.none() | st.lists(offset, min_size=n_latent, max_size=n_latent).map(tuple)
        ),
    )


@st.composite
def valid_files(draw):
    header = replace(
        draw(headers(max_frames=MAX_TEST_FRAMES, max_latent=6)),
        n_channels=draw(st.integers(1, 3)),
    )
    is_streamed = draw(st.booleans())
    payload = st.binary(max_size=5 * header.n_latent + 8)
    chunks = []
    while (rest := header.n_frames - sum(chunk.n_frames for chunk in chunks)) > 0:
        longest = min(CHUNK_FRAMES, rest)
        # Short chunks between others are for streamed files alone, and few of them are enough.
        is_short = is_streamed and len(chunks) < 4
        n_frames = draw(st.integers(1, longest)) if is_short else longest
        payloads = tuple(draw(payload) for _ in range(header.n_channels))
        chunks.append(Chunk(n_frames, payloads, draw(st.integers(-120, 120))))
    return Container(header, tuple(chunks), is_streamed)


# --- round trips ----------------------------------------------------------------------------


@given(headers())
def test_read_header_of_any_packed_header_returns_it(header):
    packed = pack_header(header)
    assert read_header(packed) == (header, len(packed))
    start = header.without_length()
    packed = pack_header(start)
    assert read_header(packed) == (start, len(packed))
    assert start.with_length(header.n_frames, header.trim) == header


@given(valid_files())
def test_unpack_of_any_written_file_returns_it(file):
    data = file.packed()
    assert unpack(data) == file
    assert file.header_bytes == read_header(data)[1]
