"""The .hzc container: layout, limits, canonical forms, and one error class per defect."""

from __future__ import annotations

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
    SAMPLE_RATES_HZ,
    Chunk,
    Container,
    Header,
    Reader,
    n_frames_for,
    pack,
    pack_chunk,
    pack_end,
    pack_header,
    read_header,
    unpack,
)
from hzc.errors import (
    CorruptError,
    FormatError,
    LimitError,
    NotHzcError,
)

EVERY_RATE_HZ = (*SAMPLE_RATES_HZ[1:], 1_000, 1_001, 37_800, 767_999, 768_000)
OVERLONG_ZERO = b"\x80\x00"
SIX_BYTE_VARINT = b"\x80\x80\x80\x80\x80\x01"
FIVE_BYTE_VARINT = b"\xff\xff\xff\xff\x7f"


def crc16(data: bytes, crc: int = 0xFFFF) -> bytes:
    """CRC-16/CCITT-FALSE one bit at a time, big-endian."""
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc.to_bytes(2, "big")


def leb128(value: int) -> bytes:
    low, high = value % 128, value // 128
    return bytes([low]) if high == 0 else bytes([low | 128]) + leb128(high)


def raw_header(
    *,
    magic: bytes = b"hzc",
    version_flags: int = 0x10,
    model_id: int = 7,
    fingerprint: int = 0xABCD,
    rate_channels: int = 0x40,
    step_index: int = 0,
    n_latent: int = 32,
    explicit: bytes = b"",
    length: bytes = b"\x01\x00",
) -> bytes:
    """A header byte by byte, whatever the fields, with a checksum that holds."""
    head = magic + bytes([version_flags, model_id]) + fingerprint.to_bytes(2, "big")
    head += bytes([rate_channels, step_index % 256, n_latent])
    head += explicit + length
    return head + crc16(head)


def raw_record(head: bytes, index: int, channel: int, record: bytes) -> bytes:
    """A record with a checksum that holds."""
    place = head[-2:] + index.to_bytes(4, "big") + bytes([channel])
    return record + crc16(place + record)


def raw_stream_header(**changes: int) -> bytes:
    return raw_header(version_flags=0x11, length=b"", **changes)


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


def chunks_of(header: Header, *, payload: bytes = b"\x5a\xc3") -> list[Chunk]:
    """Chunks that fill the header; every payload and every gain differs."""
    full, rest = divmod(header.n_frames, CHUNK_FRAMES)
    counts = [CHUNK_FRAMES] * full + [rest] * (rest > 0)
    return [
        Chunk(count, tuple(payload + bytes([i, c]) for c in range(header.n_channels)), 7 - 9 * i)
        for i, count in enumerate(counts)
    ]


def pack_stream(header: Header, chunks: Sequence[Chunk]) -> bytes:
    """A streamed file of a header that knows its length."""
    return Container(header, tuple(chunks), is_streamed=True).packed()


def one_frame_file(payload: bytes = b"\x5a\xc3") -> bytes:
    return pack(header_of(1_500), [Chunk(1, (payload,))])


def test_constants_are_those_of_version_1():
    assert (
        *(0, 8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000),
        *(44_100, 48_000, 64_000, 88_200, 96_000, 176_400, 192_000),
    ) == SAMPLE_RATES_HZ
    assert (container.MAGIC, container.VERSION) == (b"hzc", 1)
    assert (FRAME_RATE_HZ, CHUNK_FRAMES, MAX_FRAMES) == (8, 80, 134_217_728)
    assert (container.MAX_CHANNELS, container.MAX_SYMBOL_BYTES) == (16, 5)
    assert (container.MAX_GAIN_HALF_DB, container.MAX_STEP_INDEX) == (120, 64)


# --- layout ---------------------------------------------------------------------------------


def test_crc16_of_the_check_string_is_the_published_value():
    assert crc16(b"123456789") == b"\x29\xb1"


def test_pack_one_frame_gives_the_golden_bytes():
    head = bytes.fromhex("687a63 10 07 abcd 40 00 20 01 f403")
    head += crc16(head)
    golden = head + raw_record(head, 0, 0, bytes.fromhex("00 02 5ac3"))
    assert one_frame_file() == golden
    assert golden.hex(" ") == "68 7a 63 10 07 ab cd 40 00 20 01 f4 03 37 25 00 02 5a c3 9f b3"


def test_pack_every_field_gives_its_bytes_in_order():
    header = header_of(
        5_000,
        sample_rate_hz=37_800,
        n_channels=2,
        n_latent=3,
        step_index=-5,
        step_offsets=(0, -59, 69),
    )
    head = bytes.fromhex("687a63 12 07 abcd 01 fb 03 000093a8 00c545 02 e222")
    head += crc16(head)
    packed = pack(header, [Chunk(2, (b"\x01", b""), gain_half_db=-120)])
    second = raw_record(head, 0, 1, b"\x88\x00")
    assert packed == head + raw_record(head, 0, 0, b"\x88\x01\x01") + second


def test_pack_streamed_file_gives_frame_counts_and_an_end_record():
    chunks = [Chunk(80, (b"\x01",), gain_half_db=120), Chunk(2, (b"\x02\x03",), gain_half_db=-1)]
    head = raw_stream_header()
    golden = head + raw_record(head, 0, 0, b"\x50\x78\x01\x01")
    golden += raw_record(head, 1, 0, b"\x02\xff\x02\x02\x03")
    golden += raw_record(head, 2, 0, b"\x00\x52\xcf\x0f")
    assert pack_stream(header_of(162_001), chunks) == golden


# --- round trips ----------------------------------------------------------------------------


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize("n_channels", [1, 2, 16])
@pytest.mark.parametrize("n_samples", [1, 2_000, 2_001, 160_000, 160_001, 480_000, 500_123])
def test_unpack_returns_what_was_packed(n_samples, n_channels, is_streamed):
    header = header_of(n_samples, n_channels=n_channels)
    file = Container(header, tuple(chunks_of(header)), is_streamed)
    assert unpack(file.packed()) == file


def test_unpack_reports_header_and_payload_sizes():
    header = header_of(162_000, n_channels=2)
    packed = pack(header, chunks_of(header, payload=bytes(130)))
    found = unpack(packed)
    assert found.payload_bytes == 4 * 132
    overhead_per_record = 1 + 2 + 2
    assert len(packed) == found.header_bytes + found.payload_bytes + 4 * overhead_per_record


@pytest.mark.parametrize("rate", EVERY_RATE_HZ)
def test_unpack_every_sample_rate_returns_it(rate):
    header = header_of(rate + 1, sample_rate_hz=rate)
    assert header.n_frames == FRAME_RATE_HZ + 1
    assert unpack(pack(header, chunks_of(header))).header == header


@pytest.mark.parametrize(("code", "rate"), list(enumerate(SAMPLE_RATES_HZ))[1:])
def test_pack_header_listed_rate_uses_its_code(code, rate):
    packed = pack_header(header_of(rate, sample_rate_hz=rate))
    assert packed[7] >> 4 == code
    assert len(packed) == len(pack_header(header_of(37_800, sample_rate_hz=37_800))) - 4


@pytest.mark.parametrize("n_frames", [1, 127, 128, 16_383, 16_384, 2**21 - 1, 2**21, MAX_FRAMES])
def test_read_header_at_varint_borders_returns_the_frames(n_frames):
    header = header_of(n_frames * 2_000)
    packed = pack_header(header)
    assert read_header(packed) == (header, len(packed))
    assert packed[10:-3] == leb128(n_frames)


def test_read_header_ignores_what_follows():
    packed = pack_header(header_of(1_234))
    assert read_header(packed + b"anything") == (header_of(1_234), len(packed))


def test_read_header_of_streamed_file_has_no_length():
    header, n_bytes = read_header(pack_stream(header_of(9_999), chunks_of(header_of(9_999))))
    assert header == header_of(9_999).without_length()
    assert header.n_frames is header.n_samples is header.duration_s is None
    assert n_bytes == 12


# --- frames, samples and the trim -----------------------------------------------------------


@pytest.mark.parametrize("rate", EVERY_RATE_HZ)
def test_n_frames_for_any_length_is_the_exact_ceiling(rate):
    hop = Fraction(rate, FRAME_RATE_HZ)
    around = {max(0, int(k * hop) + d) for k in (0, 1, 2, 7, 8, 10**6) for d in (-1, 0, 1, 2)}
    for n_samples in around:
        assert n_frames_for(n_samples, rate) == ceil(n_samples / hop)


@pytest.mark.parametrize("rate", [1_000, 1_001, 11_025, 22_050])
def test_unpack_every_short_length_returns_the_exact_sample_count(rate):
    for n_samples in range(1, 3 * rate // FRAME_RATE_HZ + 3):
        header = header_of(n_samples, sample_rate_hz=rate)
        assert read_header(pack_header(header))[0].n_samples == n_samples


# --- limits ---------------------------------------------------------------------------------

ALLOWED = [
    ("model_id", 1),
    ("model_id", 255),
    ("fingerprint", 0),
    ("fingerprint", 65_535),
    ("n_latent", 1),
    ("n_latent", 255),
    ("n_channels", 1),
    ("n_channels", 16),
    ("step_index", -64),
    ("step_index", 64),
]
REFUSED = [
    ("model_id", 0, "model id"),
    ("model_id", 256, "model id"),
    ("fingerprint", -1, "fingerprint"),
    ("fingerprint", 65_536, "fingerprint"),
    ("n_latent", 0, "latent dimensions"),
    ("n_latent", 256, "latent dimensions"),
    ("n_channels", 0, "channels"),
    ("n_channels", 17, "channels"),
    ("step_index", -65, "step index"),
    ("step_index", 65, "step index"),
    ("sample_rate_hz", 0, "sample rate"),
    ("sample_rate_hz", 999, "sample rate"),
    ("sample_rate_hz", 768_001, "sample rate"),
]


@pytest.mark.parametrize(("field", "value"), ALLOWED)
def test_read_header_field_at_its_limit_returns_it(field, value):
    header = header_of(1_500, **{field: value})
    assert read_header(pack_header(header))[0] == header


@pytest.mark.parametrize(("field", "value", "name"), REFUSED)
def test_pack_header_field_beyond_its_limit_raises_value_error(field, value, name):
    with pytest.raises(ValueError, match=name) as caught:
        pack_header(replace(header_of(1_500), **{field: value}))
    assert not isinstance(caught.value, FormatError)


@pytest.mark.parametrize(
    "changes",
    [
        {"model_id": 0},
        {"n_latent": 0},
        {"step_index": -65},
        {"step_index": 65},
        {"step_index": -128},
        {"rate_channels": 0x00, "explicit": (0).to_bytes(4, "big")},
        {"rate_channels": 0x00, "explicit": (999).to_bytes(4, "big")},
        {"rate_channels": 0x00, "explicit": (768_001).to_bytes(4, "big")},
        {"rate_channels": 0x00, "explicit": b"\xff\xff\xff\xff"},
        {"length": b"\x00\x00"},
        {"length": leb128(MAX_FRAMES + 1) + b"\x00"},
        {"length": FIVE_BYTE_VARINT + b"\x00"},
        {"length": SIX_BYTE_VARINT + b"\x00"},
        {"length": b"\x01" + SIX_BYTE_VARINT},
        {"version_flags": 0x12, "n_latent": 1, "explicit": b"\x41"},
        {"version_flags": 0x12, "n_latent": 1, "explicit": b"\xbf"},
        {"version_flags": 0x12, "n_latent": 2, "explicit": b"\x00\x01", "step_index": 64},
        {"version_flags": 0x12, "n_latent": 2, "explicit": b"\xff\x00", "step_index": -64},
        {"version_flags": 0x11, "model_id": 0, "length": b""},
    ],
)
def test_read_header_field_beyond_its_limit_raises_limit(changes):
    with pytest.raises(LimitError):
        read_header(raw_header(**changes))


@pytest.mark.parametrize(
    ("n_frames", "n_samples", "message"),
    [
        (1, 0, "samples do not make"),
        (1, 2_001, "samples do not make"),
        (2, 2_000, "samples do not make"),
        (0, 0, "frames are outside"),
        (-1, -2_000, "frames are outside"),
        (MAX_FRAMES + 1, (MAX_FRAMES + 1) * 2_000, "frames are outside"),
    ],
)
def test_pack_header_impossible_length_raises_value_error(n_frames, n_samples, message):
    header = replace(header_of(2_000), n_frames=n_frames, n_samples=n_samples)
    with pytest.raises(ValueError, match=message):
        pack_header(header)


@pytest.mark.parametrize(
    ("step_index", "offsets"),
    [(0, (-64, 64)), (64, (-128, 0)), (-64, (0, 127)), (-5, (-59, 69)), (5, (59, -69))],
)
def test_read_header_step_offsets_at_their_limits_returns_them(step_index, offsets):
    header = header_of(1, n_latent=2, step_index=step_index, step_offsets=offsets)
    assert read_header(pack_header(header))[0] == header


@pytest.mark.parametrize(
    ("step_index", "offsets"),
    [
        (0, (0, 65)),
        (0, (-65, 0)),
        (64, (0, 1)),
        (-64, (-1, 0)),
        (-64, (128, 0)),
        (0, (0,)),
        (0, (0, 0, 0)),
        (0, ()),
    ],
)
def test_pack_header_impossible_step_offsets_raises_value_error(step_index, offsets):
    header = header_of(1, n_latent=2, step_index=step_index, step_offsets=offsets)
    with pytest.raises(ValueError, match="step offset"):
        pack_header(header)


def test_unpack_payload_at_its_limit_returns_it():
    limit = 3 * 32 * container.MAX_SYMBOL_BYTES + 8
    header = header_of(6_000)
    assert unpack(pack(header, [Chunk(3, (bytes(limit),))])).payload_bytes == limit


@pytest.mark.parametrize("excess", [1, 10**9])
def test_unpack_payload_beyond_its_limit_raises_limit_before_it_is_read(excess):
    limit = 3 * 32 * container.MAX_SYMBOL_BYTES + 8
    with pytest.raises(LimitError, match="are declared for 3 frames"):
        unpack(raw_header(length=b"\x03\x00") + b"\x00" + leb128(limit + excess))


def test_pack_payload_beyond_its_limit_raises_value_error():
    payload = bytes(32 * container.MAX_SYMBOL_BYTES + 9)
    with pytest.raises(ValueError, match="bytes"):
        pack(header_of(2_000), [Chunk(1, (payload,))])


@pytest.mark.parametrize("gain_half_db", range(-120, 121))
def test_unpack_every_allowed_gain_returns_it(gain_half_db):
    chunk = Chunk(1, (b"\x5a", b""), gain_half_db)
    header = header_of(2_000, n_channels=2)
    for packed in (pack(header, [chunk]), pack_stream(header, [chunk])):
        assert unpack(packed).chunks == (chunk,)


@pytest.mark.parametrize("gain_half_db", [-121, 121, 300])
def test_pack_gain_beyond_its_limit_raises_value_error(gain_half_db):
    with pytest.raises(ValueError, match=f"gain {gain_half_db} is outside"):
        pack(header_of(2_000), [Chunk(1, (b"",), gain_half_db)])


# --- what pack refuses ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_samples", "counts", "message"),
    [
        (2_000, [], "header says"),
        (2_000, [2], "header says"),
        (2_000, [1, 1], "header says"),
        (322_000, [80, 80], "header says"),
        (322_000, [79, 80, 2], "every chunk but the last"),
        (322_000, [80, 1, 80], "every chunk but the last"),
        (322_000, [161], "does not fit"),
        (162_000, [81], "does not fit"),
        (160_000, [80, 0], "does not fit"),
    ],
)
def test_pack_wrong_chunk_lengths_raises_value_error(n_samples, counts, message):
    with pytest.raises(ValueError, match=message):
        pack(header_of(n_samples), [Chunk(count, (b"",)) for count in counts])


@pytest.mark.parametrize("n_payloads", [0, 1, 3])
def test_pack_wrong_number_of_payloads_raises_value_error(n_payloads):
    with pytest.raises(ValueError, match="does not fit"):
        pack(header_of(2_000, n_channels=2), [Chunk(1, (b"",) * n_payloads)])


@pytest.mark.parametrize(
    ("n_frames", "n_samples"),
    [(1, 2_001), (2, 2_000), (1, 0), (0, 0), (0, -1), (MAX_FRAMES + 1, (MAX_FRAMES + 1) * 2_000)],
)
def test_pack_end_impossible_length_raises_value_error(n_frames, n_samples):
    header = header_of(2_000).without_length()
    with pytest.raises(ValueError, match="frames"):
        pack_end(header, pack_header(header), 1, n_frames, n_samples)


# --- checksums and places -------------------------------------------------------------------


def split_records(header: Header, chunks: Sequence[Chunk]) -> tuple[bytes, list[bytes]]:
    """The packed header, and every record of every chunk, all of equal payload lengths."""
    head = pack_header(header)
    records = []
    for index, chunk in enumerate(chunks):
        packed = pack_chunk(header, head, index, chunk)
        size = len(packed) // header.n_channels
        records += [packed[i : i + size] for i in range(0, len(packed), size)]
    return head, records


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("n_channels", [1, 2])
def test_unpack_any_two_swapped_records_raises_corrupt(streamed, n_channels):
    known = header_of(480_000, n_channels=n_channels)
    chunks = [Chunk(80, (b"same",) * n_channels)] * 3
    header = known.without_length() if streamed else known
    head, records = split_records(header, chunks)
    end = pack_end(header, head, 3, 240, 480_000) if streamed else b""
    assert unpack(head + b"".join(records) + end).chunks == tuple(chunks)
    for i in range(len(records)):
        for j in range(i):
            swapped = list(records)
            swapped[i], swapped[j] = records[j], records[i]
            with pytest.raises(CorruptError, match="checksum of chunk"):
                unpack(head + b"".join(swapped) + end)


# --- streamed files -------------------------------------------------------------------------


@pytest.mark.parametrize("counts", [(1, 80), (79, 1), (80, 1, 1, 80, 80), (1,) * 300])
def test_unpack_stream_with_short_chunks_anywhere_returns_them(counts):
    chunks = tuple(Chunk(count, (bytes([i % 256]),), i % 120) for i, count in enumerate(counts))
    found = unpack(pack_stream(header_of(sum(counts) * 2_000 - 9), chunks))
    assert found.chunks == chunks
    assert (found.header.n_frames, found.header.n_samples) == (sum(counts), sum(counts) * 2_000 - 9)


# --- one chunk at a time --------------------------------------------------------------------


class Trickle:
    """A stream that gives a few bytes at a time, as a slow pipe does."""

    def __init__(self, data: bytes, n_at_once: int) -> None:
        self.rest, self.n_at_once = data, n_at_once

    def read(self, n_bytes: int, /) -> bytes:
        n_bytes = min(n_bytes, self.n_at_once)
        piece, self.rest = self.rest[:n_bytes], self.rest[n_bytes:]
        return piece


@pytest.mark.parametrize("n_at_once", [1, 3, 10**6])
@pytest.mark.parametrize("write", [pack, pack_stream])
def test_reader_of_a_trickle_finds_what_unpack_finds(write, n_at_once):
    header = header_of(500_123, n_channels=2)
    packed = write(header, chunks_of(header))
    reader, expected = Reader(Trickle(packed, n_at_once)), unpack(packed)
    assert tuple(reader.chunks()) == expected.chunks
    assert reader.header == expected.header == header
    assert (reader.is_streamed, reader.header_bytes) == (
        expected.is_streamed, expected.header_bytes,
    )  # fmt: skip
    assert (reader.n_bytes, reader.payload_bytes) == (len(packed), expected.payload_bytes)


@pytest.mark.parametrize("write", [pack, pack_stream])
def test_reader_reads_no_further_than_the_chunk_asked_for(write):
    header = header_of(480_000)
    packed = write(header, chunks_of(header))
    stream = Trickle(packed, 10**6)
    reader = Reader(stream)
    record_bytes = 1 + 1 + 4 + 2 + reader.is_streamed
    chunks = reader.chunks()
    for n_taken in range(3):
        assert reader.n_bytes == reader.header_bytes + n_taken * record_bytes
        assert len(stream.rest) == len(packed) - reader.n_bytes
        assert reader.payload_bytes == n_taken * 4
        next(chunks)


def test_reader_of_a_streamed_file_knows_its_length_at_the_end_only():
    header = header_of(9_999)
    reader = Reader(Trickle(pack_stream(header, chunks_of(header)), 10**6))
    assert (reader.header, reader.is_streamed) == (header.without_length(), True)
    chunks = reader.chunks()
    next(chunks)
    assert reader.header == header.without_length()
    assert list(chunks) == []
    assert (reader.header, reader.is_streamed) == (header, True)


def test_reader_gives_the_chunks_before_a_damaged_one():
    header = header_of(480_000)
    packed = bytearray(pack(header, chunks_of(header)))
    packed[-1] ^= 1
    chunks = Reader(Trickle(bytes(packed), 10**6)).chunks()
    assert [next(chunks), next(chunks)] == chunks_of(header)[:2]
    with pytest.raises(CorruptError, match="checksum of chunk 2"):
        next(chunks)


# --- size -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "limit_bytes"), [(3, 20), (30, 0.01 * 30 * 125), (600, 0.006 * 600 * 125)]
)
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("short_by", [0, 1, 999])
def test_overhead_at_1_kbit_s_is_small(seconds, limit_bytes, rate, short_by):
    header = header_of(seconds * rate - short_by, sample_rate_hz=rate)
    sizes = [chunk.n_frames * 125 // FRAME_RATE_HZ for chunk in chunks_of(header)]
    chunks = [Chunk(c.n_frames, (bytes(n),)) for c, n in zip(chunks_of(header), sizes, strict=True)]
    packed = pack(header, chunks)
    assert unpack(packed).header_bytes <= 17
    assert len(packed) - sum(sizes) <= limit_bytes + (rate != 16_000)


def test_check_magic_refuses_before_the_rest_is_read():
    for start in (b"hzc", b"hz", b"h", b"hzc\x10"):
        container.check_magic(start)
    for start in (b"", b"RIF", b"hzd", b"x"):
        with pytest.raises(NotHzcError):
            container.check_magic(start)
