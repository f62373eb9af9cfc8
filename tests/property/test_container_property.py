"""unpack is total and frugal on any bytes; valid files survive every round trip."""

from __future__ import annotations

import tracemalloc
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
    pack,
    pack_header,
    read_header,
    unpack,
)
from hzc.errors import FormatError

MAX_TEST_FRAMES = 3 * CHUNK_FRAMES


def unpack_or_none(data: bytes) -> Container | None:
    """The container, or None where a FormatError was raised; anything else goes through."""
    try:
        return unpack(data)
    except FormatError:
        return None


def peak_bytes(data: bytes) -> int:
    """Most memory that unpack held at any time."""
    tracemalloc.start()
    try:
        kept = unpack_or_none(data)
        peak = tracemalloc.get_traced_memory()[1]
        del kept
    finally:
        tracemalloc.stop()
    return peak


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


@st.composite
def mutated_files(draw):
    data = bytearray(draw(valid_files()).packed())
    for _ in range(draw(st.integers(1, 4))):
        at, length = draw(st.integers(3, max(3, len(data)))), draw(st.integers(0, 9))
        data[at : at + length] = draw(st.binary(max_size=9) | st.just(bytes(data[at : at + 40])))
    return bytes(data)


# --- totality -------------------------------------------------------------------------------


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda tail: b"hzc\x10" + tail))
def test_unpack_any_bytes_returns_or_raises_format_error_in_little_memory(data):
    assert peak_bytes(data) <= 10 * len(data) + 2**20


@given(mutated_files())
def test_unpack_mutated_file_returns_its_own_bytes_or_raises_format_error(data):
    found = unpack_or_none(data)
    if found is not None:
        assert found.packed() == data
    assert peak_bytes(data) <= 10 * len(data) + 2**20


@given(st.binary(max_size=60), st.integers(0, 2**32 - 1))
def test_unpack_header_of_any_length_with_little_behind_it_stays_small(tail, seed):
    n_frames = 1 + seed % MAX_FRAMES
    header = Header(1, 0, 32, n_frames, n_frames * 2_000, n_channels=16)
    data = pack_header(header) + tail
    assert peak_bytes(data) <= 10 * len(data) + 2**20


def test_unpack_many_empty_payloads_stay_in_the_memory_budget():
    header = Header(1, 0, 32, 15_000 * CHUNK_FRAMES, 15_000 * CHUNK_FRAMES * 2_000)
    data = pack(header, [Chunk(CHUNK_FRAMES, (b"",))] * 15_000)
    n_bytes_per_record = 160
    assert peak_bytes(data) <= 10 * len(data) + 15_000 * n_bytes_per_record + 2**20


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
