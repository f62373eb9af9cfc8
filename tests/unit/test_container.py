"""The .hzc container: what writers refuse, places of records, one chunk at a time, overhead.

The layout is guarded by the vectors, and by the second decoder on files of every kind.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from math import ceil

import pytest

from hzc import container
from hzc.container import (
    CHUNK_FRAMES,
    FRAME_RATE_HZ,
    MAX_FRAMES,
    Chunk,
    Container,
    Header,
    Reader,
    n_frames_for,
    pack,
    pack_chunk,
    pack_end,
    pack_header,
    unpack,
)
from hzc.errors import CorruptError, FormatError, LimitError


def header_of(n_samples: int, **changes: object) -> Header:
    """A header of a known length; keyword arguments as in Header."""
    rate = changes.get("sample_rate_hz", 16_000)
    known = Header(
        model_id=7,
        fingerprint=0xABCD,
        n_latent=32,
        n_frames=n_frames_for(n_samples, rate),
        n_samples=n_samples,
    )
    return replace(known, **changes)


def chunks_of(header: Header) -> list[Chunk]:
    """Chunks that fill the header; every payload and every gain differs."""
    full, rest = divmod(header.n_frames, CHUNK_FRAMES)
    counts = [CHUNK_FRAMES] * full + [rest] * (rest > 0)
    return [
        Chunk(
            count, tuple(b"\x5a\xc3" + bytes([i, c]) for c in range(header.n_channels)), 7 - 9 * i
        )
        for i, count in enumerate(counts)
    ]


def pack_stream(header: Header, chunks: Sequence[Chunk]) -> bytes:
    """A streamed file of a header that knows its length."""
    return Container(header, tuple(chunks), is_streamed=True).packed()


@pytest.mark.parametrize("rate", [1_000, 1_001, 11_025, 16_000, 37_800, 44_100, 767_999])
def test_n_frames_for_any_length_is_the_exact_ceiling(rate):
    hop = Fraction(rate, FRAME_RATE_HZ)
    around = {max(0, int(k * hop) + d) for k in (0, 1, 2, 7, 8, 10**6) for d in (-1, 0, 1, 2)}
    for n_samples in around:
        assert n_frames_for(n_samples, rate) == ceil(n_samples / hop)


# --- what writers refuse --------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"model_id": 0},
        {"model_id": 256},
        {"fingerprint": -1},
        {"fingerprint": 65_536},
        {"n_latent": 0},
        {"n_latent": 256},
        {"n_channels": 0},
        {"n_channels": 17},
        {"step_index": -65},
        {"step_index": 65},
        {"sample_rate_hz": 999},
        {"sample_rate_hz": 768_001},
        {"n_samples": 0},
        {"n_samples": 2_001},
        {"n_frames": 2},
        {"n_frames": MAX_FRAMES + 1, "n_samples": (MAX_FRAMES + 1) * 2_000},
        {"n_latent": 2, "step_offsets": (0, 65)},
        {"n_latent": 2, "step_offsets": (0, -1), "step_index": -64},
        {"n_latent": 2, "step_offsets": (128, 0), "step_index": -64},
        {"n_latent": 2, "step_offsets": (0,)},
    ],
    ids=str,
)
def test_pack_header_of_a_field_beyond_its_limit_raises_value_error(changes):
    with pytest.raises(ValueError, match=r"\d") as caught:
        pack_header(replace(header_of(2_000), **changes))
    assert not isinstance(caught.value, FormatError)


@pytest.mark.parametrize(
    ("n_samples", "chunks"),
    [
        (2_000, []),
        (2_000, [Chunk(2, (b"",))]),
        (322_000, [Chunk(80, (b"",))] * 2),
        (322_000, [Chunk(80, (b"",)), Chunk(1, (b"",)), Chunk(80, (b"",))]),
        (322_000, [Chunk(161, (b"",))]),
        (160_000, [Chunk(80, (b"",)), Chunk(0, (b"",))]),
        (2_000, [Chunk(1, ())]),
        (2_000, [Chunk(1, (b"", b""))]),
        (2_000, [Chunk(1, (bytes(32 * 5 + 9),))]),
        (2_000, [Chunk(1, (b"",), 121)]),
        (2_000, [Chunk(1, (b"",), -121)]),
    ],
    ids=range(11),
)
def test_pack_of_chunks_that_do_not_fit_raises_value_error(n_samples, chunks):
    with pytest.raises(ValueError, match=r"\d"):
        pack(header_of(n_samples), chunks)


def test_pack_end_of_an_impossible_length_raises_value_error():
    header = header_of(2_000).without_length()
    for n_frames, n_samples in ((1, 2_001), (1, 0), (0, 0), (MAX_FRAMES + 1, 2_000)):
        with pytest.raises(ValueError, match="frames"):
            pack_end(header, pack_header(header), 1, n_frames, n_samples)


# --- records --------------------------------------------------------------------------------


@pytest.mark.parametrize(("excess", "error"), [(0, None), (1, LimitError)])
def test_payload_is_refused_beyond_its_limit_only(excess, error, monkeypatch):
    limit = 3 * 32 * container.MAX_SYMBOL_BYTES + 8
    assert limit == 488
    with monkeypatch.context() as patch:
        patch.setattr("hzc.container.chunks.MAX_SYMBOL_BYTES", 99)
        data = pack(header_of(6_000), [Chunk(3, (bytes(limit + excess),))])
    if error is None:
        assert unpack(data).payload_bytes == limit
    else:
        with pytest.raises(error):
            unpack(data)


@pytest.mark.parametrize("is_streamed", [False, True])
def test_unpack_any_two_swapped_records_raises_corrupt(is_streamed):
    known = header_of(480_000, n_channels=2)
    chunks = [Chunk(80, (b"same", b"same"))] * 3
    header = known.without_length() if is_streamed else known
    head = pack_header(header)
    packed = [pack_chunk(header, head, index, chunk) for index, chunk in enumerate(chunks)]
    halves = [slice(0, len(packed[0]) // 2), slice(len(packed[0]) // 2, None)]
    records = [chunk[half] for chunk in packed for half in halves]
    end = pack_end(header, head, 3, 240, 480_000) if is_streamed else b""
    assert unpack(head + b"".join(records) + end).chunks == tuple(chunks)
    for i in range(len(records)):
        for j in range(i):
            swapped = list(records)
            swapped[i], swapped[j] = records[j], records[i]
            with pytest.raises(CorruptError, match="checksum of chunk"):
                unpack(head + b"".join(swapped) + end)


# --- one chunk at a time --------------------------------------------------------------------


@pytest.mark.parametrize("write", [pack, pack_stream])
def test_reader_reads_no_further_than_the_chunk_asked_for(write):
    header = header_of(479_999)
    packed = write(header, chunks_of(header))
    stream = io.BytesIO(packed)
    reader = Reader(stream)
    is_streamed = write is pack_stream
    start = header.without_length() if is_streamed else header
    record_bytes = 1 + 1 + 4 + 2 + is_streamed
    chunks = reader.chunks()
    for n_taken in range(3):
        assert (reader.header, reader.is_streamed) == (start, is_streamed)
        assert stream.tell() == reader.n_bytes == reader.header_bytes + n_taken * record_bytes
        assert reader.payload_bytes == n_taken * 4
        next(chunks)
    assert list(chunks) == []
    assert (reader.header, reader.n_bytes) == (header, len(packed))


def test_reader_gives_the_chunks_before_a_damaged_one():
    header = header_of(480_000)
    packed = bytearray(pack(header, chunks_of(header)))
    packed[-1] ^= 1
    chunks = Reader(io.BytesIO(packed)).chunks()
    assert [next(chunks), next(chunks)] == chunks_of(header)[:2]
    with pytest.raises(CorruptError, match="checksum of chunk 2"):
        next(chunks)


# --- size -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "limit_bytes"), [(3, 20), (30, 37), (600, 450)])
@pytest.mark.parametrize("rate", [16_000, 37_800])
def test_overhead_at_1_kbit_s_is_small(seconds, limit_bytes, rate):
    header = header_of(seconds * rate - 999, sample_rate_hz=rate)
    sizes = [chunk.n_frames * 125 // FRAME_RATE_HZ for chunk in chunks_of(header)]
    chunks = [Chunk(c.n_frames, (bytes(n),)) for c, n in zip(chunks_of(header), sizes, strict=True)]
    explicit_rate_bytes = 4 * (rate == 37_800)
    assert len(pack(header, chunks)) - sum(sizes) <= limit_bytes + explicit_rate_bytes
