"""What is left of damaged files: every whole chunk in its place, and nothing else."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hzc import container
from hzc.codec import Codec
from hzc.container import (
    CHUNK_FRAMES,
    MAX_FRAMES,
    Chunk,
    Gap,
    Header,
    Salvaged,
    pack_chunk,
    pack_end,
    pack_header,
    salvage,
    unpack,
)
from hzc.errors import CorruptError, FormatError

N_CHUNKS = 40


class File:
    """A file in parts, to be damaged; payloads are random bytes of usual lengths."""

    def __init__(
        self,
        rng: Random,
        n_chunks: int = N_CHUNKS,
        *,
        n_channels: int = 1,
        is_streamed: bool = False,
        is_irregular: bool = False,
        rate_hz: int = 16_000,
    ) -> None:
        """Short chunks lie between others where it is irregular."""
        short = set(rng.sample(range(n_chunks), n_chunks // 3)) if is_irregular else set()
        gain_half_db = rng.randint(-40, 40)
        self.chunks = []
        for index in range(n_chunks):
            n_frames = rng.randint(1, 79) if index in short | {n_chunks - 1} else CHUNK_FRAMES
            size = max(4, rng.randint(300, 1500) * n_frames // CHUNK_FRAMES)
            payloads = tuple(rng.randbytes(size) for _ in range(n_channels))
            if is_streamed and rng.random() < 0.1:
                gain_half_db = rng.randint(-40, 40)
            self.chunks.append(Chunk(n_frames, payloads, gain_half_db))
        n_frames = sum(chunk.n_frames for chunk in self.chunks)
        n_samples = n_frames * rate_hz // 8 - rng.randrange(rate_hz // 8)
        self.header = Header(7, rng.randrange(2**16), 32, n_frames, n_samples, rate_hz, n_channels)
        written = self.header
        if is_streamed:
            written = replace(written, n_frames=None, n_samples=None)
        self.head = pack_header(written)
        self.records = [pack_chunk(written, self.head, i, c) for i, c in enumerate(self.chunks)]
        self.end = b""
        if is_streamed:
            self.end = pack_end(written, self.head, n_chunks, n_frames, n_samples)

    def data(self, records: list[bytes] | None = None) -> bytes:
        """The file, or the file with other records."""
        return self.head + b"".join(self.records if records is None else records) + self.end

    def damaged(self, rng: Random, bad: set[int], kinds: list[str]) -> bytes:
        return self.data(
            [
                DAMAGE[rng.choice(kinds)](rng, record) if index in bad else record
                for index, record in enumerate(self.records)
            ]
        )

    def starts_s(self) -> list[float]:
        """Where each chunk starts, and where the last one ends."""
        return [at / 8 for at in accumulate((c.n_frames for c in self.chunks), initial=0)]

    def lost_s(self, bad: set[int]) -> tuple[tuple[float, float], ...]:
        """Stretches that are lost with these chunks."""
        starts, spans = self.starts_s(), []
        for index in sorted(bad):
            end = min(starts[index + 1], self.header.n_samples / self.header.sample_rate_hz)
            start = spans.pop()[0] if spans and spans[-1][1] == starts[index] else starts[index]
            spans.append((start, end))
        return tuple(spans)


def flipped(rng: Random, record: bytes) -> bytes:
    bit = rng.randrange(8 * 8, 8 * len(record))
    return changed(record, bit // 8, record[bit // 8] ^ 1 << bit % 8)


def changed(data: bytes, at: int, byte: int) -> bytes:
    return data[:at] + bytes([byte]) + data[at + 1 :]


def with_other_length(rng: Random, record: bytes) -> bytes:
    """Damage one of the bytes that tell frames, gain and length."""
    at = rng.randrange(4)
    return changed(record, at, record[at] ^ rng.randint(1, 255))


def with_a_hole(rng: Random, record: bytes) -> bytes:
    at = rng.randrange(len(record))
    return record[:at] + record[at + rng.randint(1, len(record)) :]


DAMAGE: dict[str, Callable[[Random, bytes], bytes]] = {
    "flip": flipped,
    "length": with_other_length,
    "noise": lambda rng, record: rng.randbytes(len(record)),
    "zeros": lambda rng, record: bytes(len(record)),
    "longer": lambda rng, record: rng.randbytes(len(record) + rng.randint(1, 3_000)),
    "hole": with_a_hole,
    "gone": lambda rng, record: b"",
}
KEEPING_TIME = [kind for kind in DAMAGE if kind != "longer"]
"""After them, the bytes passed over tell about how many chunks are missing."""
LAYOUTS = {
    "mono": {},
    "stereo": {"n_channels": 2},
    "streamed": {"is_streamed": True, "rate_hz": 44_100},
    "streamed-stereo": {"n_channels": 2, "is_streamed": True},
}
layouts = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())


def assert_left(file: File, left: Salvaged, bad: set[int]) -> None:
    """Every chunk but the bad ones is in its place, and the times are right."""
    whole = unpack(file.data()).header
    assert left.lost_s == file.lost_s(bad)
    assert left.header == whole
    assert left.has_end
    found, at = {}, 0
    for piece in left.pieces:
        if isinstance(piece, Chunk):
            found[at / 8] = piece
        at += piece.n_frames
    wanted = zip(file.starts_s()[:-1], file.chunks, strict=True)
    assert found == {start: chunk for i, (start, chunk) in enumerate(wanted) if i not in bad}
    assert at == whole.n_frames
    assert left.is_whole == (not bad)


# --- sound files ----------------------------------------------------------------------------


@layouts
@pytest.mark.parametrize("n_chunks", [1, 2, 3, N_CHUNKS])
def test_salvage_of_a_sound_file_returns_all_of_it(layout, n_chunks):
    file = File(Random(n_chunks), n_chunks, **layout)
    left = salvage(file.data())
    assert left.pieces == tuple(file.chunks)
    assert_left(file, left, set())
    assert left.summary() == ""


def test_salvage_of_a_sound_irregular_file_returns_all_of_it():
    file = File(Random(1), is_streamed=True, is_irregular=True)
    assert_left(file, salvage(file.data()), set())


# --- damaged chunks -------------------------------------------------------------------------


@layouts
@pytest.mark.parametrize("kind", DAMAGE)
def test_salvage_with_one_chunk_damaged_loses_that_chunk(layout, kind):
    rng = Random(kind)
    file = File(rng, 6, **layout)
    for index in range(6):
        assert_left(file, salvage(file.damaged(rng, {index}, [kind])), {index})


@layouts
@pytest.mark.parametrize("kinds", [*([kind] for kind in KEEPING_TIME), KEEPING_TIME], ids="-".join)
def test_salvage_with_many_chunks_damaged_loses_these_chunks(layout, kinds):
    rng = Random("".join(kinds))
    for n_bad in (7, 20):
        file = File(rng, **layout)
        bad = set(rng.sample(range(N_CHUNKS), n_bad))
        assert_left(file, salvage(file.damaged(rng, bad, kinds)), bad)


@layouts
@pytest.mark.parametrize("kind", ["flip", "noise", "gone"])
def test_salvage_with_every_second_chunk_damaged_returns_the_others(layout, kind):
    rng = Random(5)
    file = File(rng, **layout)
    bad = set(range(1, N_CHUNKS, 2))
    assert_left(file, salvage(file.damaged(rng, bad, [kind])), bad)


@pytest.mark.parametrize("kind", DAMAGE)
def test_salvage_of_an_irregular_file_with_one_chunk_damaged_puts_the_others_right(kind):
    rng = Random(kind)
    file = File(rng, 9, is_streamed=True, is_irregular=True)
    for index in range(9):
        assert_left(file, salvage(file.damaged(rng, {index}, [kind])), {index})


def test_salvage_of_an_irregular_file_with_flipped_bits_puts_the_others_right():
    rng = Random(2)
    for n_bad in (2, 7, 20):
        file = File(rng, is_streamed=True, is_irregular=True)
        bad = set(rng.sample(range(N_CHUNKS), n_bad))
        assert_left(file, salvage(file.damaged(rng, bad, ["flip"])), bad)


def test_salvage_of_an_irregular_file_learns_lengths_from_the_other_channel():
    rng = Random(3)
    file = File(rng, 12, n_channels=2, is_streamed=True, is_irregular=True)
    data = file.data()
    bad = {1, 4, 7, 11}
    starts = list(accumulate(map(len, file.records), initial=len(file.head)))
    for index in bad:
        n_bytes = len(file.chunks[index].payloads[0])
        data = data[: starts[index]] + rng.randbytes(n_bytes) + data[starts[index] + n_bytes :]
    assert_left(file, salvage(data), bad)


def test_salvage_of_an_irregular_file_with_chunks_gone_keeps_order_and_total():
    rng = Random(4)
    file = File(rng, is_streamed=True, is_irregular=True)
    bad = set(rng.sample(range(N_CHUNKS), 9))
    left = salvage(file.damaged(rng, bad, ["gone"]))
    assert [p for p in left.pieces if isinstance(p, Chunk)] == [
        chunk for index, chunk in enumerate(file.chunks) if index not in bad
    ]
    assert left.header.n_samples == file.header.n_samples
    assert sum(piece.n_frames for piece in left.pieces) == file.header.n_frames


@layouts
def test_salvage_with_a_bit_of_one_channel_s_record_flipped_loses_the_chunk(layout):
    rng = Random(6)
    file = File(rng, 3, **layout)
    start = len(file.head) + len(file.records[0])
    for _ in range(100):
        at = start + rng.randrange(len(file.records[1]))
        data = changed(file.data(), at, file.data()[at] ^ 1 << rng.randrange(8))
        assert_left(file, salvage(data), {1})


def test_salvage_of_a_chunk_whose_channels_disagree_loses_it():
    file = File(Random(7), 5, n_channels=2, is_streamed=True)
    header = replace(file.header, n_frames=None, n_samples=None)
    one = file.chunks[2]
    for other in (replace(one, n_frames=40), replace(one, gain_half_db=one.gain_half_db - 1)):
        records = list(file.records)
        half = pack_chunk(header, file.head, 2, other)
        n_first = len(records[2]) - len(records[2]) // 2
        n_first = len(one.payloads[0]) + 4 + (len(one.payloads[0]) > 127)
        half_first = len(other.payloads[0]) + 4 + 1 + (len(other.payloads[0]) > 127) - 1
        records[2] = records[2][: n_first + 1] + half[half_first + 1 :]
        assert_left(file, salvage(file.data(records)), {2})


# --- chunks in the wrong place, bytes that belong to nothing --------------------------------


@layouts
def test_salvage_with_a_chunk_twice_takes_it_once(layout):
    file = File(Random(8), 8, **layout)
    records = [*file.records[:4], file.records[3], *file.records[4:]]
    assert_left(file, salvage(file.data(records)), set())


@layouts
def test_salvage_with_bytes_between_chunks_loses_nothing(layout):
    rng = Random(9)
    file = File(rng, 8, **layout)
    records = [record + rng.randbytes(rng.randint(0, 40)) for record in file.records[:-1]]
    assert_left(file, salvage(file.data([*records, file.records[-1]])), set())


@layouts
def test_salvage_with_two_chunks_swapped_keeps_all_others(layout):
    file = File(Random(10), 8, **layout)
    records = list(file.records)
    records[3], records[4] = records[4], records[3]
    left = salvage(file.data(records))
    assert_left(file, left, {3, 4})


@layouts
def test_salvage_of_two_files_one_over_the_other_s_middle_takes_no_chunk_of_the_other(layout):
    one, other = File(Random(11), 9, **layout), File(Random(12), 9, **layout)
    records = [*one.records[:3], *other.records[3:5], *one.records[5:]]
    assert_left(one, salvage(one.data(records)), {3, 4})


@layouts
@pytest.mark.parametrize("garbage", [b"\0", b"\xff", bytes(512), bytes(5_000), b"noise"])
def test_salvage_with_garbage_after_the_end_loses_nothing(layout, garbage):
    file = File(Random(13), 5, **layout)
    if garbage == b"noise":
        garbage = Random(14).randbytes(5_000)
    assert_left(file, salvage(file.data() + garbage), set())


@layouts
def test_salvage_of_a_file_twice_in_a_row_is_the_file(layout):
    file = File(Random(15), 5, **layout)
    assert_left(file, salvage(file.data() * 2), set())


@pytest.mark.parametrize(("n_chunks", "n_left"), [(400, 50), (3_000, 10)])
@pytest.mark.parametrize("is_streamed", [False, True])
def test_salvage_with_many_chunks_in_a_row_gone_finds_what_follows(n_chunks, n_left, is_streamed):
    file = File(Random(16), n_chunks, is_streamed=is_streamed)
    bad = set(range(n_left, n_chunks - n_left))
    records = [*file.records[:n_left], *file.records[-n_left:]]
    assert_left(file, salvage(file.data(records)), bad)


# --- ends -----------------------------------------------------------------------------------


@layouts
def test_salvage_of_a_file_cut_at_any_byte_returns_what_is_whole(layout):
    rng = Random(17)
    file = File(rng, 4, **layout)
    data = file.data()
    ends = list(accumulate(map(len, file.records), initial=len(file.head)))
    starts = file.starts_s()
    for length in [*ends, *(end - 1 for end in ends), *rng.sample(range(len(data)), 25)]:
        n_whole = sum(end <= length for end in ends) - 1
        if n_whole < 1:
            with pytest.raises(FormatError):
                salvage(data[:length])
            continue
        left = salvage(data[:length])
        assert [p for p in left.pieces if isinstance(p, Chunk)] == file.chunks[:n_whole]
        if file.end:
            assert not left.has_end
            # A sound record of one channel tells that there was a chunk more.
            n_told = n_whole + bool(left.lost_s)
            assert left.lost_s in ((), ((starts[n_whole], starts[min(n_whole + 1, 4)]),))
            assert left.header.duration_s == starts[n_told]
            assert "the end is missing" in left.summary()
        else:
            assert_left(file, left, set(range(n_whole, 4)))
        assert not left.is_whole or n_whole == 4


@layouts
def test_salvage_without_a_stretch_of_any_length_anywhere_returns_what_is_whole(layout):
    rng = Random(18)
    file = File(rng, 12, **layout)
    ends = list(accumulate(map(len, file.records), initial=len(file.head)))
    for _ in range(12):
        first, last = sorted(rng.sample(range(len(file.head), ends[-1]), 2))
        bad = {i for i in range(12) if ends[i] < last and ends[i + 1] > first}
        if len(bad) < 12:
            assert_left(file, salvage(file.data()[:first] + file.data()[last:]), bad)


@layouts
@pytest.mark.parametrize("n_bytes", [512, 4_096])
def test_salvage_with_a_sector_of_zeros_loses_the_chunks_in_it(layout, n_bytes):
    rng = Random(n_bytes)
    file = File(rng, 16, **layout)
    data = file.data()
    ends = list(accumulate(map(len, file.records), initial=len(file.head)))
    n_sectors = ends[-1] // n_bytes
    for sector in rng.sample(range(1, n_sectors), min(5, n_sectors - 1)):
        first, last = sector * n_bytes, (sector + 1) * n_bytes
        bad = {i for i in range(16) if ends[i] < last and ends[i + 1] > first}
        assert_left(file, salvage(data[:first] + bytes(n_bytes) + data[last:]), bad)


# --- the header -----------------------------------------------------------------------------


@layouts
def test_salvage_with_any_bit_of_the_header_flipped_repairs_it(layout):
    file = File(Random(19), 2, **layout)
    for bit in range(8 * len(file.head)):
        data = changed(file.data(), bit // 8, file.head[bit // 8] ^ 1 << bit % 8)
        left = salvage(data)
        assert left.is_header_repaired
        assert not left.is_whole
        assert "a damaged byte of the header was repaired" in left.summary()
        assert_left(file, replace(left, is_header_repaired=False), set())


@layouts
def test_salvage_with_a_byte_of_the_header_and_chunks_damaged_returns_the_others(layout):
    rng = Random(20)
    for at in range(16):
        file = File(rng, 6, **layout)
        if at < len(file.head):
            bad = {rng.randrange(6)}
            data = file.damaged(rng, bad, ["noise"])
            left = salvage(changed(data, at, data[at] ^ 1 << rng.randrange(8)))
            assert_left(file, replace(left, is_header_repaired=False), bad)


@pytest.mark.parametrize("steps", [None, tuple(range(-16, 16))])
def test_salvage_with_any_byte_of_the_header_gone_wrong_returns_the_chunks(steps):
    file = File(Random(21), 3)
    header = replace(file.header, step_offsets=steps, sample_rate_hz=37_800, n_samples=None)
    header = replace(header, n_samples=header.n_frames * 37_800 // 8 - 11)
    data = container.pack(header, file.chunks)
    rng = Random(22)
    n_header = len(pack_header(header))
    for at in rng.sample(range(n_header), 9 if steps is None else 3):
        if at < 32:
            left = salvage(changed(data, at, data[at] ^ rng.randint(1, 255)))
            assert [p for p in left.pieces if isinstance(p, Chunk)] == file.chunks


def test_salvage_with_two_bytes_of_the_header_damaged_raises_or_returns_chunks_of_the_file():
    rng = Random(23)
    file = File(rng, 3)
    for _ in range(12):
        data = file.data()
        for at in rng.sample(range(len(file.head)), 2):
            data = changed(data, at, rng.randrange(256))
        try:
            left = salvage(data)
        except FormatError:
            continue
        payloads = {payload for chunk in file.chunks for payload in chunk.payloads}
        for piece in left.pieces:
            assert isinstance(piece, Gap) or set(piece.payloads) <= payloads


# --- nothing left ---------------------------------------------------------------------------


@layouts
@pytest.mark.parametrize("rest", [b"", bytes(3), bytes(6_000), b"\x01" * 6_000, b"\xff" * 500])
def test_salvage_of_a_header_with_nothing_behind_it_raises(layout, rest):
    with pytest.raises(FormatError):
        salvage(File(Random(24), 9, **layout).head + rest)


@layouts
def test_salvage_of_a_header_with_noise_behind_it_raises(layout):
    rng = Random(25)
    for _ in range(2):
        with pytest.raises(FormatError):
            salvage(File(rng, 9, **layout).head + rng.randbytes(5_000))


@layouts
def test_salvage_of_nothing_but_damaged_chunks_raises(layout):
    rng = Random(26)
    file = File(rng, 9, **layout)
    with pytest.raises(FormatError):
        salvage(file.damaged(rng, set(range(9)), ["flip"]))


@pytest.mark.parametrize("data", [b"", b"h", b"hzc", b"hzc\x10", b"RIFF" * 9, bytes(9_999)])
def test_salvage_of_no_hzc_file_raises(data):
    with pytest.raises(FormatError):
        salvage(data)


def test_salvage_of_random_bytes_raises():
    rng = Random(27)
    for _ in range(20):
        with pytest.raises(FormatError):
            salvage(rng.randbytes(rng.randint(1, 20_000)))


# --- any bytes ------------------------------------------------------------------------------


def salvaged_or_none(data: bytes) -> Salvaged | None:
    """What is left, or None where a FormatError was raised; anything else goes through."""
    try:
        left = salvage(data)
    except FormatError:
        return None
    n_frames = sum(piece.n_frames for piece in left.pieces)
    assert left.header.n_frames == n_frames <= MAX_FRAMES
    assert left.header.n_samples >= 1
    assert any(isinstance(piece, Chunk) for piece in left.pieces)
    for piece in left.pieces:
        assert piece.n_frames >= 1
        if isinstance(piece, Chunk):
            assert piece.n_frames <= CHUNK_FRAMES
            assert len(piece.payloads) == left.header.n_channels
    ends = [0.0]
    for start, end in left.lost_s:
        assert ends[-1] <= start < end <= left.header.duration_s
        ends.append(end)
    left.summary()
    return left


small_files = st.builds(
    lambda seed, n, n_channels, is_streamed: File(
        Random(seed), n, n_channels=n_channels, is_streamed=is_streamed, is_irregular=is_streamed
    ),
    st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 3), st.booleans(),
)  # fmt: skip


@st.composite
def mutated_files(draw):
    data = bytearray(draw(small_files).data())
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(data)))
        kind = draw(st.sampled_from(["set", "insert", "cut", "repeat", "zeros"]))
        length = draw(st.integers(1, 300))
        if kind == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=20))
        elif kind == "cut":
            del data[at : at + length]
        elif kind == "repeat":
            data[at:at] = data[at : at + length]
        elif kind == "zeros":
            data[at : at + length] = bytes(length)
        elif at < len(data):
            data[at] = draw(st.integers(0, 255))
    return bytes(data)


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda tail: b"hzc\x10" + tail))
@settings(max_examples=30)
def test_salvage_of_any_bytes_returns_or_raises_format_error(data):
    salvaged_or_none(data)


@given(small_files, st.binary(max_size=400), st.integers(0, 1_000))
@settings(max_examples=30)
def test_salvage_of_any_bytes_behind_a_header_returns_or_raises_format_error(file, tail, n_kept):
    salvaged_or_none(file.head + file.data()[len(file.head) :][:n_kept] + tail)


@given(mutated_files())
@settings(max_examples=40)
def test_salvage_of_a_mutated_file_returns_or_raises_format_error(data):
    salvaged_or_none(data)


# --- files that were made to take for ever --------------------------------------------------


def records_of(header: Header, payload: bytes, n_bytes: int) -> tuple[bytes, list[bytes]]:
    """Return a header, and sound records with one payload that fill so many bytes."""
    head = pack_header(header)
    chunk = Chunk(CHUNK_FRAMES, (payload,) * header.n_channels)
    n_chunks = n_bytes // (header.n_channels * (len(payload) + 6))
    return head, [pack_chunk(header, head, index, chunk) for index in range(n_chunks)]


def hostile_files(header: Header, n_bytes: int) -> dict[str, bytes]:
    head, empty = records_of(header, b"", n_bytes)
    _, small = records_of(header, bytes(30), n_bytes)
    first = bytes([CHUNK_FRAMES]) * header.is_streamed + b"\0"
    return {
        "zeros": head + bytes(n_bytes),
        "noise": head + Random(28).randbytes(n_bytes),
        "one record over and over": head + small[0] * (n_bytes // len(small[0])),
        "every second record": head + b"".join(record + b"\1" for record in small[::2]),
        "pairs of records": head + b"".join(
            record + bytes(21 * (index % 3 == 1)) for index, record in enumerate(empty) if index % 3
        ),
        "long lengths everywhere": (head + (first + b"\xf0\x9c\x06") * n_bytes)[:n_bytes],
    }  # fmt: skip


HUGE = Header(7, 1, 255, MAX_FRAMES, MAX_FRAMES * 2_000, n_channels=16)
HUGE_STREAM = replace(HUGE, n_frames=None, n_samples=None, n_channels=1)
HOSTILE = tuple(hostile_files(HUGE_STREAM, 99))

hostile = pytest.mark.parametrize("name", HOSTILE)
huge = pytest.mark.parametrize("header", [HUGE, HUGE_STREAM], ids=["16-channels", "streamed"])


def assert_quick(data: bytes, limit_s: float) -> None:
    started_s = time.process_time()
    left = salvaged_or_none(data)
    assert time.process_time() - started_s < limit_s
    assert left is None or len(left.pieces) < len(data)


@pytest.mark.slow
@hostile
@huge
def test_salvage_of_a_hostile_file_is_quick(name, header):
    assert_quick(hostile_files(header, 100_000)[name], 10.0)


@hostile
@huge
def test_salvage_of_a_small_hostile_file_is_quick(name, header):
    assert_quick(hostile_files(header, 10_000)[name], 3.0)


@pytest.mark.parametrize("name", ["noise", "pairs of records"])
@huge
def test_salvage_of_a_hostile_file_is_frugal(name, header):
    data = hostile_files(header, 2_500)[name]
    tracemalloc.start()
    try:
        salvaged_or_none(data)
        assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
    finally:
        tracemalloc.stop()


def test_salvage_of_194_days_of_which_a_chunk_is_left_returns_few_pieces():
    header = replace(HUGE, n_channels=1)
    head, (record,) = records_of(header, bytes(30), 36)
    left = salvage(head + record)
    assert [piece.n_frames for piece in left.pieces] == [CHUNK_FRAMES, MAX_FRAMES - CHUNK_FRAMES]
    assert left.lost_s == ((10.0, MAX_FRAMES / 8),)


# --- checksums that match by chance ---------------------------------------------------------


@pytest.fixture(scope="module")
def coded(tiny_codec, sound) -> container.Container:
    return unpack(tiny_codec.encode(sound(36 * 16_000), 16_000))


def test_vetted_keeps_what_was_coded(tiny_codec, coded):
    file = coded
    data = container.pack(file.header, file.chunks)
    start = len(pack_header(file.header)) + 200
    left = salvage(data[:start] + bytes(20) + data[start + 20 :])
    assert left.lost_s == ((0.0, 10.0),)
    assert tiny_codec.decoder.vetted(left) == left


def vetted_with(codec: Codec, file: container.Container, payload: bytes) -> Salvaged:
    """Return what is left of a file whose third chunk has another payload."""
    chunks = list(file.chunks)
    chunks[2] = replace(chunks[2], payloads=(payload,))
    left = salvage(container.pack(file.header, chunks))
    assert left.is_whole
    return codec.decoder.vetted(left)


@pytest.mark.parametrize("n_bytes", [0, 1, 300, 4_000, 7_000])
def test_vetted_takes_out_what_nobody_coded(tiny_codec, coded, n_bytes):
    for seed in range(2):
        vetted = vetted_with(tiny_codec, coded, Random(seed).randbytes(n_bytes))
        assert vetted.lost_s == ((20.0, 30.0),)
        assert vetted.pieces[:2] == coded.chunks[:2]
        assert vetted.pieces[3:] == coded.chunks[3:]


def test_vetted_takes_out_parts_of_payloads(tiny_codec, coded):
    (payload,) = coded.chunks[2].payloads
    half = len(payload) // 2
    # Of a few bytes less, the likeliest last symbols may well be what is decoded.
    for part in (payload[:-30], payload[1:], payload + b"\1", payload[:half], payload[half:]):
        vetted = vetted_with(tiny_codec, coded, part)
        assert vetted.lost_s == ((20.0, 30.0),)


def test_vetted_with_nothing_left_raises(tiny_codec, coded):
    chunks = [replace(c, payloads=(b"\1" * 700,)) for c in coded.chunks]
    left = salvage(container.pack(coded.header, chunks))
    with pytest.raises(CorruptError, match="no whole chunk is left"):
        tiny_codec.decoder.vetted(left)
