"""Any bytes: the container gives a file or a FormatError, and a file survives what is done to it.

usage: fuzz_container.py [LIBFUZZER_OPTION...] [CORPUS_FOLDER...]
"""

from __future__ import annotations

if __name__ == "__main__":
    from libfuzzer import fuzz

    fuzz("fuzz_container")


from sealing import resealed

from hzc import container
from hzc.container import Chunk, Container
from hzc.errors import FormatError, OutOfRangeError


class ShortReads:
    """A stream that gives less than it is asked for, in a rhythm that the data tell."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at, self._turn = data, 0, len(data)

    def read(self, n_bytes: int, /) -> bytes:
        self._turn = (self._turn * 5 + 3) % 64
        end = self._at + max(1, min(n_bytes, self._turn % 7))
        piece, self._at = self._data[self._at : end], end
        return piece if n_bytes else b""


def check(data: bytes) -> None:
    """Raise AssertionError, or whatever is no FormatError, if the container is at fault."""
    check_file(data)
    sealed = resealed(data)
    if sealed != data:
        check_file(sealed)


def check_file(data: bytes) -> None:
    try:
        parsed, refusal = container.unpack(data), None
    except FormatError as error:
        parsed, refusal = None, error
    check_short_reads(data, parsed, refusal)
    check_salvage(data, parsed)
    if parsed is not None:
        assert parsed.packed() == data, "packing what was unpacked gives other bytes"
        check_joined(parsed)
        check_cut(parsed, data[-1] / 8, data[-2] / 8)


def check_short_reads(data: bytes, parsed: Container | None, refusal: FormatError | None) -> None:
    try:
        reader, refused = container.Reader(ShortReads(data)), None
        chunks = tuple(reader.chunks())
    except FormatError as error:
        refused = error
    assert repr(refused) == repr(refusal), "pieces are read in another way than the whole"
    if parsed is None:
        return
    assert (reader.header, chunks) == (parsed.header, parsed.chunks)
    assert reader.n_bytes == len(data)
    assert reader.payload_bytes == parsed.payload_bytes


def check_salvage(data: bytes, parsed: Container | None) -> None:
    try:
        left = container.salvage(data)
    except FormatError:
        assert parsed is None, "a valid file cannot be salvaged"
        return
    assert sum(piece.n_frames for piece in left.pieces) == left.header.n_frames
    assert all(piece.n_frames > 0 for piece in left.pieces)
    chunks = [piece for piece in left.pieces if isinstance(piece, Chunk)]
    assert chunks
    for chunk in chunks:
        container.pack_chunk(left.header, bytes(container.FIXED_BYTES), 0, chunk)
    left.summary()
    ends = [time for span in left.lost_s for time in span]
    assert ends == sorted(ends)
    if parsed is not None:
        assert left.is_whole
        assert (left.header, left.pieces) == (parsed.header, parsed.chunks)


def check_joined(parsed: Container) -> None:
    alone = container.unpack(container.joined([parsed]).packed())
    assert (alone.header, alone.chunks) == (parsed.header, parsed.chunks)
    twice = container.unpack(container.joined([parsed, parsed]).packed())
    assert twice.chunks == parsed.chunks * 2
    assert twice.header.n_frames == 2 * parsed.header.n_frames


def check_cut(parsed: Container, start_s: float, duration_s: float) -> None:
    try:
        part, from_s, until_s = container.cut(parsed, start_s, start_s + duration_s)
    except OutOfRangeError:
        return
    assert from_s <= start_s
    piece = container.unpack(part.packed())
    # Where a frame is no whole number of samples, the times lie between samples.
    assert abs(piece.header.duration_s - (until_s - from_s)) * piece.header.sample_rate_hz < 1.0
    first = next(i for i in range(len(parsed.chunks)) if begins_s(parsed, i) == from_s)
    assert piece.chunks == parsed.chunks[first : first + len(piece.chunks)]


def begins_s(file: Container, index: int) -> float:
    return sum(chunk.n_frames for chunk in file.chunks[:index]) / container.FRAME_RATE_HZ
