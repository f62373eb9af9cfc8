"""unpack is total and frugal on any bytes; valid files survive every round trip."""

from __future__ import annotations

import tracemalloc
from binascii import crc_hqx
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
    pack_chunk,
    pack_end,
    pack_header,
    read_header,
    unpack,
)
from hzc.errors import FormatError

MAX_TEST_FRAMES = 3 * CHUNK_FRAMES


def write(header: Header, chunks: tuple[Chunk, ...], is_streamed: bool) -> bytes:
    """A file of either kind, from a header that knows its length."""
    if not is_streamed:
        return pack(header, chunks)
    assert header.n_frames is not None
    assert header.n_samples is not None
    streamed = replace(header, n_frames=None, n_samples=None)
    head = pack_header(streamed)
    body = [pack_chunk(streamed, head, i, chunk) for i, chunk in enumerate(chunks)]
    end = pack_end(streamed, head, len(chunks), header.n_frames, header.n_samples)
    return head + b"".join(body) + end


def rewrite(container: Container) -> bytes:
    return write(container.header, container.chunks, container.is_streamed)


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


def seal(data: bytes) -> bytes:
    return data + crc_hqx(data, 0xFFFF).to_bytes(2, "big")


def seal_record(head: bytes, index: int, channel: int, record: bytes) -> bytes:
    place = head[-2:] + index.to_bytes(4, "big") + bytes([channel])
    return record + crc_hqx(place + record, 0xFFFF).to_bytes(2, "big")


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
    return header, tuple(chunks), is_streamed


@st.composite
def mutated_files(draw):
    data = bytearray(write(*draw(valid_files())))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(3, max(3, len(data))))
        kind = draw(st.sampled_from(["flip", "set", "insert", "cut", "repeat"]))
        if kind == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=9))
        elif kind == "cut":
            del data[at : at + draw(st.integers(1, 9))]
        elif kind == "repeat":
            data[at:at] = data[at : at + draw(st.integers(1, 40))]
        elif at < len(data):
            value = data[at] ^ 1 << draw(st.integers(0, 7)) if kind == "flip" else None
            data[at] = draw(st.integers(0, 255)) if value is None else value
    return bytes(data)


HEADER_FIELDS = ("flags", "ids", "rate", "steps", "latent", "offsets", "frames", "trim")
RECORD_FIELDS = ("count", "gain", "length", "end")


@st.composite
def sealed_files(draw):
    """Valid but for up to two odd fields, under checksums that hold: every check is reached."""
    odd = draw(st.sets(st.sampled_from(HEADER_FIELDS + RECORD_FIELDS), max_size=2))

    def field(name, usual, anything):
        return draw(anything if name in odd else usual)

    def varint_bytes(name, usual):
        return field(name, usual.map(lambda value: bytes([value])), st.binary(max_size=6))

    streamed, explicit = draw(st.booleans()), draw(st.booleans())
    n_channels = draw(st.integers(1, 3))
    n_frames = draw(st.integers(1, 127))
    flags = field("flags", st.just(streamed + 2 * explicit), st.integers(0, 15))
    n_latent = field("latent", st.integers(1, 4), st.integers(0, 255))
    head = b"hzc" + bytes([0x10 | flags])
    head += field("ids", st.just(b"\x01\x02\x03"), st.binary(min_size=3, max_size=3))
    code = field("rate", st.integers(0, 14), st.integers(0, 15))
    head += bytes([code << 4 | (n_channels - 1)])
    head += field("steps", st.just(b"\x07"), st.binary(min_size=1, max_size=1))
    head += bytes([n_latent])
    if code == 0:
        rate = field("rate", st.integers(1_000, 7_999), st.integers(0, 2**32 - 1))
        head += rate.to_bytes(4, "big")
    if explicit:
        offset = field("offsets", st.integers(0, 57), st.integers(0, 255))
        head += bytes([offset] * n_latent)
    if not streamed:
        head += varint_bytes("frames", st.just(n_frames))
        head += varint_bytes("trim", st.integers(0, 124))
    packed = head = seal(head)
    first = CHUNK_FRAMES
    if streamed:
        first = draw(st.integers(max(1, n_frames - CHUNK_FRAMES), min(n_frames, CHUNK_FRAMES)))
    counts = [n for n in (min(first, n_frames), n_frames - first) if n > 0]
    for index, count in enumerate(counts):
        for channel in range(n_channels):
            payload = draw(st.binary(max_size=9))
            record = b""
            if streamed:
                record = bytes([field("count", st.just(count), st.integers(0, 255))])
            record += bytes([field("gain", st.just(0x88), st.integers(0, 255))])
            record += varint_bytes("length", st.just(len(payload))) + payload
            packed += seal_record(head, index, channel, record)
    if streamed:
        record = b"\x00" + varint_bytes("end", st.just(n_frames))
        record += varint_bytes("end", st.integers(0, 124))
        packed += seal_record(head, len(counts), 0, record)
    return packed


# --- totality -------------------------------------------------------------------------------


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda tail: b"hzc\x10" + tail))
def test_unpack_any_bytes_returns_or_raises_format_error_in_little_memory(data):
    assert peak_bytes(data) <= 10 * len(data) + 2**20


@given(mutated_files())
def test_unpack_mutated_file_returns_its_own_bytes_or_raises_format_error(data):
    found = unpack_or_none(data)
    if found is not None:
        assert rewrite(found) == data
    assert peak_bytes(data) <= 10 * len(data) + 2**20


@given(sealed_files())
def test_unpack_sealed_file_returns_its_own_bytes_or_raises_format_error(data):
    found = unpack_or_none(data)
    if found is not None:
        assert rewrite(found) == data
    assert peak_bytes(data) <= 10 * len(data) + 2**20


@given(st.binary(max_size=60), st.integers(0, 2**32 - 1))
def test_unpack_header_of_any_length_with_little_behind_it_stays_small(tail, seed):
    n_frames = 1 + seed % MAX_FRAMES
    header = Header(1, 0, 32, n_frames, n_frames * 2_000, n_channels=16)
    data = pack_header(header) + tail
    assert peak_bytes(data) <= 10 * len(data) + 2**20


def test_unpack_large_payloads_stay_in_the_memory_budget():
    header = Header(1, 0, 32, 400 * CHUNK_FRAMES, 400 * CHUNK_FRAMES * 2_000)
    data = pack(header, [Chunk(CHUNK_FRAMES, (bytes(10_000),))] * 400)
    assert peak_bytes(data) <= 3 * len(data) + 2**20


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
    streamed = replace(header, n_frames=None, n_samples=None)
    packed = pack_header(streamed)
    assert read_header(packed) == (streamed, len(packed))


@given(valid_files())
def test_unpack_of_any_written_file_returns_its_parts(file):
    header, chunks, is_streamed = file
    data = write(header, chunks, is_streamed)
    found = unpack(data)
    assert (found.header, found.chunks, found.is_streamed) == file
    assert data[: found.header_bytes] == data[: read_header(data)[1]]
    assert found.payload_bytes == sum(len(p) for chunk in chunks for p in chunk.payloads)


@given(valid_files())
def test_rewriting_an_unpacked_file_returns_its_bytes(file):
    data = write(*file)
    assert rewrite(unpack(data)) == data
