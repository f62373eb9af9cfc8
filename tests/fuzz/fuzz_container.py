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
from hzc.errors import FormatError


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
