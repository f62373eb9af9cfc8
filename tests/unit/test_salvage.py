"""What is left of damaged files: every whole chunk in its place, in linear time."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from itertools import accumulate
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hzc import container
from hzc.container import CHUNK_FRAMES, MAX_FRAMES, Chunk, Container, Gap, Header, Salvaged, salvage
from hzc.container.records import Records
from hzc.errors import CorruptError, FormatError

N_CHUNKS = 40


class File:
    """A file in parts, to be damaged; payloads are random bytes of usual lengths."""

    def __init__(
        self, seed: object, n_chunks: int = N_CHUNKS, *, n_channels: int = 1,
        is_streamed: bool = False, is_irregular: bool = False, rate_hz: int = 16_000,
    ) -> None:  # fmt: skip
        """Short chunks lie between others where it is irregular."""
        rng = Random(seed)
        short = set(rng.sample(range(n_chunks), n_chunks // 3)) if is_irregular else set()
        self.chunks = []
        gain_half_db = rng.randint(-40, 40)
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
        self.data = Container(self.header, tuple(self.chunks), is_streamed).packed()
        start = self.header.without_length() if is_streamed else self.header
        self.head = container.pack_header(start)
        self.records = [
            container.pack_chunk(start, self.head, i, c) for i, c in enumerate(self.chunks)
        ]
        self.ends = list(accumulate(map(len, self.records), initial=len(self.head)))
        self.end = self.data[self.ends[-1] :]

    def of(self, records: list[bytes]) -> bytes:
        return self.head + b"".join(records) + self.end

    def damaged(self, rng: Random, bad: set[int], kinds: list[str]) -> bytes:
        parts = enumerate(self.records)
        return self.of([DAMAGE[rng.choice(kinds)](rng, r) if i in bad else r for i, r in parts])


def flipped(rng: Random, record: bytes) -> bytes:
    bit = rng.randrange(8 * 8, 8 * len(record))
    return changed(record, bit // 8, record[bit // 8] ^ 1 << bit % 8)


def changed(data: bytes, at: int, byte: int) -> bytes:
    return data[:at] + bytes([byte]) + data[at + 1 :]


def with_other_length(rng: Random, record: bytes) -> bytes:
    """Damage one of the bytes for frames, gain and length."""
    at = rng.randrange(4)
    return changed(record, at, record[at] ^ rng.randint(1, 255))


def with_a_hole(rng: Random, record: bytes) -> bytes:
    at = rng.randrange(len(record))
    return record[:at] + record[at + rng.randint(1, len(record)) :]


DAMAGE = {
    "flip": flipped,
    "length": with_other_length,
    "noise": lambda rng, record: rng.randbytes(len(record)),
    "zeros": lambda rng, record: bytes(len(record)),
    "longer": lambda rng, record: rng.randbytes(len(record) + rng.randint(1, 3_000)),
    "hole": with_a_hole,
    "gone": lambda rng, record: b"",
}
LAYOUTS = {
    "mono": {},
    "stereo": {"n_channels": 2},
    "streamed": {"is_streamed": True, "rate_hz": 44_100},
    "streamed-stereo": {"n_channels": 2, "is_streamed": True},
    "irregular": {"is_streamed": True, "is_irregular": True},
}
layouts = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
regular = pytest.mark.parametrize("layout", list(LAYOUTS.values())[:4], ids=list(LAYOUTS)[:4])


def assert_left(file: File, left: Salvaged, bad: set[int]) -> None:
    """Every chunk but the bad ones is in its place, and the times are right."""
    starts = [at / 8 for at in accumulate((c.n_frames for c in file.chunks), initial=0)]
    spans: list[tuple[float, float]] = []
    for index in sorted(bad):
        start_s = spans.pop()[0] if spans and spans[-1][1] == starts[index] else starts[index]
        spans.append((start_s, min(starts[index + 1], file.header.duration_s)))
    assert left.lost_s == tuple(spans)
    assert left.header == file.header
    assert left.has_end
    kept = [chunk for index, chunk in enumerate(file.chunks) if index not in bad]
    assert [piece for piece in left.pieces if isinstance(piece, Chunk)] == kept
    assert left.is_whole == (not bad) == (left.summary() == "")


# --- chunks -------------------------------------------------------------------------------------


@layouts
@pytest.mark.parametrize("n_chunks", [1, 2, 3, N_CHUNKS])
def test_salvage_of_a_valid_file_returns_all_of_it(layout, n_chunks):
    file = File(n_chunks, n_chunks, **layout)
    assert_left(file, salvage(file.data), set())


@layouts
@pytest.mark.parametrize("kind", DAMAGE)
def test_salvage_with_one_chunk_damaged_loses_that_chunk(layout, kind):
    rng, file = Random(kind), File(kind, 6, **layout)
    for index in range(6):
        assert_left(file, salvage(file.damaged(rng, {index}, [kind])), {index})


@regular
@pytest.mark.parametrize("kind", DAMAGE)
def test_salvage_with_several_chunks_damaged_loses_these_chunks(layout, kind):
    rng, file = Random(kind), File(kind, **layout)
    bad = set(rng.sample(range(N_CHUNKS), 7))
    assert_left(file, salvage(file.damaged(rng, bad, [kind])), bad)


@regular
def test_salvage_with_chunks_elsewhere_or_bytes_between_loses_no_other_chunk(layout):
    rng, file = Random(8), File(8, 8, **layout)
    a, b, c, d, *rest = file.records
    assert_left(file, salvage(file.of([a, b, c, c, d, *rest])), set())
    junk = [record + rng.randbytes(rng.randint(0, 40)) for record in file.records[:-1]]
    assert_left(file, salvage(file.of([*junk, file.records[-1]])), set())
    kept = [p for p in salvage(file.of([a, c, b, d, *rest])).pieces if isinstance(p, Chunk)]
    assert set(file.chunks) - set(kept) <= set(file.chunks[1:3])
    other = File(12, 8, **layout)
    mixed = [*file.records[:3], *other.records[3:5], *file.records[5:]]
    assert_left(file, salvage(file.of(mixed)), {3, 4})


@regular
@pytest.mark.parametrize("garbage", [b"\0", bytes(5_000), Random(14).randbytes(5_000), None])
def test_salvage_with_garbage_after_the_end_loses_nothing(layout, garbage):
    file = File(13, 5, **layout)
    assert_left(file, salvage(file.data + (file.data if garbage is None else garbage)), set())


@regular
def test_salvage_with_300_chunks_in_a_row_gone_finds_what_follows(layout):
    file = File(16, 400, **layout)
    left = salvage(file.of([*file.records[:50], *file.records[-50:]]))
    assert_left(file, left, set(range(50, 350)))


@regular
def test_salvage_without_a_stretch_of_any_length_anywhere_returns_what_is_whole(layout):
    rng, file = Random(18), File(18, 12, **layout)
    for n_bytes in (1, 512, 4_096, 4_096, 4_096):
        first = rng.randrange(len(file.head), file.ends[-1] - 1)
        last = min(first + n_bytes, file.ends[-1])
        bad = {i for i in range(12) if file.ends[i] < last and file.ends[i + 1] > first}
        for between in (b"", bytes(last - first)):
            data = file.data[:first] + between + file.data[last:]
            assert_left(file, salvage(data), bad)


# --- ends, headers, nothing left ----------------------------------------------------------------


@regular
def test_salvage_of_a_file_cut_at_any_byte_returns_what_is_whole(layout):
    rng, file = Random(17), File(17, 4, **layout)
    for length in [*file.ends, *(end - 1 for end in file.ends), *rng.sample(range(3_000), 9)]:
        n_whole = sum(end <= length for end in file.ends) - 1
        if n_whole < 1:
            with pytest.raises(FormatError):
                salvage(file.data[:length])
            continue
        left = salvage(file.data[:length])
        if file.end:
            assert left.pieces == tuple(file.chunks[:n_whole])
            assert not left.has_end
            assert "the end is missing" in left.summary()
        else:
            assert_left(file, left, set(range(n_whole, 4)))


def test_salvage_with_a_damaged_header_says_so():
    file = File(19, 6)
    for bit in range(8 * len(file.head)):
        with pytest.raises(FormatError) as caught:
            salvage(changed(file.data, bit // 8, file.data[bit // 8] ^ 1 << bit % 8))
        assert "no whole chunk" not in caught.value.message


@regular
def test_salvage_with_no_whole_chunk_left_raises(layout):
    rng, file = Random(26), File(26, 9, **layout)
    rests = [b"", bytes(3), bytes(6_000), b"\x01" * 6_000, b"\xff" * 500, rng.randbytes(5_000)]
    for data in [*(file.head + rest for rest in rests), file.damaged(rng, set(range(9)), ["flip"])]:
        with pytest.raises(CorruptError, match="no whole chunk is left"):
            salvage(data)


# --- silence --------------------------------------------------------------------------------


@pytest.mark.parametrize("n_channels", [1, 16])
def test_silence_is_cut_to_what_the_bytes_can_hold(n_channels):
    header = Header(7, 1, 4, MAX_FRAMES, MAX_FRAMES * 2_000, n_channels=n_channels)
    head, chunk = container.pack_header(header), Chunk(80, (b"abcd",) * n_channels)
    data = head + container.pack_chunk(header, head, 0, chunk)
    left = salvage(data)
    assert left.pieces == (chunk, Gap(80))  # a chunk has four bytes a channel or more
    assert left.header.duration_s == 20.0
    assert left.cut_s == MAX_FRAMES / 8 - 20.0
    assert "s of silence left out" in left.summary()
    whole = salvage(data, is_limited=False)
    assert whole.pieces == (chunk, Gap(MAX_FRAMES - 80))
    assert (whole.cut_s, whole.header) == (0.0, header)


# --- any bytes ------------------------------------------------------------------------------


def check_any(data: bytes) -> None:
    """Check that what is left fits together; anything but a FormatError goes through."""
    try:
        left = salvage(data)
    except FormatError:
        return
    assert left.header.n_frames == sum(piece.n_frames for piece in left.pieces) <= MAX_FRAMES
    assert left.header.n_frames <= 20 * len(data)
    assert any(isinstance(piece, Chunk) for piece in left.pieces)
    for piece in left.pieces:
        assert piece.n_frames >= 1
        if isinstance(piece, Chunk):
            assert piece.n_frames <= CHUNK_FRAMES
            assert len(piece.payloads) == left.header.n_channels
    ends = [time for span in left.lost_s for time in span]
    assert ends == sorted(ends)
    left.summary()


@st.composite
def mutated_files(draw):
    layout = draw(st.sampled_from(list(LAYOUTS.values())))
    data = bytearray(File(draw(st.integers(0, 99)), draw(st.integers(1, 4)), **layout).data)
    for _ in range(draw(st.integers(1, 5))):
        at, length = draw(st.integers(10, len(data))), draw(st.integers(1, 300))
        piece = draw(st.sampled_from([b"", bytes(length), bytes(data[at : at + length]) * 2]))
        data[at : at + length] = draw(st.binary(max_size=9)) + piece
    return bytes(data)


@given(mutated_files() | st.binary(max_size=400).map(lambda tail: File(1, 1).head + tail))
@settings(max_examples=80)
def test_salvage_of_any_bytes_fits_together_or_raises_format_error(data):
    check_any(data)


# --- files made to take long ----------------------------------------------------------------

HUGE = Header(7, 1, 255, MAX_FRAMES, MAX_FRAMES * 2_000, n_channels=16)
HUGE_STREAM = replace(HUGE.without_length(), n_channels=1)


def hostile_files(header: container.AnyHeader, n_bytes: int) -> dict[str, bytes]:
    head = container.pack_header(header)

    def records(payload: bytes) -> list[bytes]:
        chunk = Chunk(CHUNK_FRAMES, (payload,) * header.n_channels)
        n_chunks = n_bytes // (header.n_channels * (len(payload) + 5))
        return [container.pack_chunk(header, head, index, chunk) for index in range(n_chunks)]

    empty, small = records(b""), records(bytes(30))
    first = b"\x50\0" if header is HUGE_STREAM else b"\0"
    return {
        "zeros": bytes(n_bytes),
        "noise": Random(28).randbytes(n_bytes),
        "many short chunks": b"".join(empty),
        "one record over and over": small[0] * (n_bytes // len(small[0])),
        "every second record": b"".join(record + b"\1" for record in small[::2]),
        "pairs of records": b"".join(
            record + bytes(21 * (i % 3 == 1)) for i, record in enumerate(empty) if i % 3
        ),
        "long lengths everywhere": (first + b"\xf0\x9c\x06") * (n_bytes // 5),
    }


@pytest.mark.parametrize("header", [HUGE, HUGE_STREAM], ids=["16-channels", "streamed"])
@pytest.mark.parametrize("name", list(hostile_files(HUGE, 999)))
def test_salvage_of_any_file_takes_work_and_memory_in_proportion_to_its_bytes(
    name, header, monkeypatch
):
    counts = dict.fromkeys(("matched", "end_record", "chunk"), 0)
    for method in counts:
        monkeypatch.setattr(Records, method, counted(getattr(Records, method), counts, method))
    data = container.pack_header(header) + hostile_files(header, 20_000)[name]
    tracemalloc.start()
    try:
        check_any(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(counts.values()) <= 6 * len(data)
    assert peak <= 150 * len(data) + 2**20


def counted(method, counts, name):
    def call(*args):
        counts[name] += 1
        return method(*args)

    return call
