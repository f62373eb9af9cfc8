"""What is left of a damaged file: every whole chunk, each in its place in time.

Chunks are read one after the other. After a damaged one, reading continues at the next chunk that
random bytes are unlikely to resemble.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from math import log2
from typing import TYPE_CHECKING

from hzc.container.chunks import Chunk
from hzc.container.fields import Cursor
from hzc.container.header import (
    CHUNK_FRAMES,
    FRAME_RATE_HZ,
    MAX_FRAMES,
    AnyHeader,
    Header,
    take_header,
)
from hzc.errors import CorruptError

if TYPE_CHECKING:
    from hzc.container.records import Records

MAX_LOST = 8192
"""Chunks that may be missing before an end record."""
TYPICAL_BYTES = 1250
"""Of a chunk, where nothing is known: 10 s at 1 kbit/s."""
NEEDED_BITS = 10.0
"""A chunk is believed if random bytes look like it less than once in 2^10 times."""
CRC_BITS, SURE_BITS = 16.0, 32.0
"""Of one checksum that holds, and of two in a row or more."""
BYTE_BITS, SIZE_BITS, MAX_USUAL_BITS = 8.0, 5.0, 12.0
"""Of a byte for frames or gain, and of a size, like those of other chunks; and of all of them."""
JUMP_WEIGHT = 2.5
MAX_END_BYTES = 13
"""Of an end record."""
MIN_RECORD_BYTES = 4
"""Of a record without a payload; one more in a streamed file."""
MAX_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Gap:
    """One or more chunks in a row that are lost."""

    n_frames: int


@dataclass(frozen=True)
class Salvaged:
    """What is left of a file."""

    header: Header
    """Its length is that of all pieces."""
    pieces: tuple[Chunk | Gap, ...]
    """In time order, no two gaps in a row."""
    has_end: bool
    """Whether the length of the original is known."""
    cut_s: float = 0.0
    """Seconds of silence that were left out, because the file has too few bytes to hold them."""

    @property
    def lost_s(self) -> tuple[tuple[float, float], ...]:
        """Start and end of every gap, in seconds."""
        spans, at = [], 0
        for piece in self.pieces:
            start_s, at = at / FRAME_RATE_HZ, at + piece.n_frames
            if isinstance(piece, Gap):
                spans.append((start_s, min(at / FRAME_RATE_HZ, self.header.duration_s)))
        return tuple(spans)

    @property
    def is_whole(self) -> bool:
        """Whether nothing is lost."""
        return self.has_end and not self.lost_s and not self.cut_s

    def summary(self) -> str:
        """Return one line that says what is lost."""
        spans = self.lost_s
        lost_s = sum(end_s - start_s for start_s, end_s in spans)
        said = [f"{lost_s:.2f} of {self.header.duration_s:.2f} s lost"] if spans else []
        said += [f"{start_s:.2f}–{end_s:.2f} s" for start_s, end_s in spans[:MAX_SHOWN]]
        said += [f"and {len(spans) - MAX_SHOWN} more"] if len(spans) > MAX_SHOWN else []
        if self.cut_s:
            said.append(f"{self.cut_s:.2f} s of silence left out: the file is too short for them")
        if not self.has_end:
            said.append("the end is missing, and how long it was is not known")
        return ", ".join(said)


def salvage(data: bytes, *, is_limited: bool = True) -> Salvaged:
    """Return what is left of a damaged file; a valid one comes back whole.

    Time and memory are linear in the bytes. The header must be intact.

    Args:
        data: The file.
        is_limited: Whether gaps are cut to what a file of this size can hold.

    Raises:
        FormatError: the header is damaged, or no whole chunk is left.
    """
    from hzc.container.records import Records

    cursor = Cursor(BytesIO(data))
    header = take_header(cursor)
    packed_header = bytes(cursor.marked)
    search = _Search(Records(data, header, packed_header), header, len(packed_header))
    search.walk()
    if not search.chunks:
        raise CorruptError("nothing can be salvaged: no whole chunk is left")
    return search.assembled(is_limited=is_limited)


class _Search:
    """Looks for the chunks of one file."""

    def __init__(self, records: Records, header: AnyHeader, first: int) -> None:
        self._records, self._header, self._first = records, header, first
        self.chunks: dict[int, Chunk] = {}
        self._seen: tuple[set[int], ...] = (set(), set())
        """Their first bytes: frames, where they are given, and gain."""
        self._end: tuple[Header, int] | None = None
        """Complete header and number of chunks, once they are known."""
        if isinstance(header, Header):
            self._end = header, -(-header.n_frames // CHUNK_FRAMES)

    def walk(self) -> None:
        """Find all chunks."""
        offset, index = self._first, 0
        while offset < self._records.n_bytes and not self._is_end(offset, index):
            edges = self._records.matched(offset, index)
            if not edges:
                edges, index = self._next(offset, index)
            if not edges:
                return self._look_for_end(offset, index)
            chunk = self._records.chunk(edges, index)
            if chunk:
                self.chunks[index] = chunk
                for seen, byte in self._first_bytes(edges[0]):
                    seen.add(byte)
            offset, index = edges[-1], index + 1

    def _next(self, offset: int, index: int) -> tuple[list[int], int]:
        """Return edges and number of the next chunk that can be believed; no edges at the end."""
        usual_bytes = (offset - self._first) / index if index else TYPICAL_BYTES
        for start, chunk in self._records.candidates(offset, index):
            edges = self._records.matched(start, chunk)
            if not edges:
                continue
            n_skipped, bits = start - offset, SURE_BITS
            if self._header.n_channels == 1 and not self._is_followed(edges[-1], chunk + 1):
                bits = CRC_BITS - log2(n_skipped + 1) + self._usual_bits(edges, usual_bytes)
            surprise = abs(chunk - index - n_skipped / usual_bytes)
            if bits - JUMP_WEIGHT * log2(1.0 + surprise) >= NEEDED_BITS:
                return edges, chunk
        return [], index

    def _usual_bits(self, edges: list[int], usual_bytes: float) -> float:
        """Return the evidence from size, frames and gain, in bits: are they like other chunks'?"""
        start, end = edges
        bits = SIZE_BITS if usual_bytes / 2 < end - start < usual_bytes * 2 else 0.0
        for seen, byte in self._first_bytes(start):
            bits += BYTE_BITS - log2(len(seen)) if byte in seen else 0.0
        return min(bits, MAX_USUAL_BITS)

    def _first_bytes(self, start: int) -> Iterator[tuple[set[int], int]]:
        """Return each first byte of a record, with those seen in its place."""
        return zip(self._seen, self._records.first_bytes(start), strict=False)

    def _is_followed(self, offset: int, index: int) -> bool:
        """Return whether a chunk, an end record or the end of the file matches here."""
        is_last = self._end is not None and (offset, index) == (self._records.n_bytes, self._end[1])
        is_end = is_last or self._records.end_record(offset, index) is not None
        return is_end or bool(self._records.matched(offset, index))

    def _is_end(self, offset: int, index: int) -> bool:
        """Return whether no chunk is due here; note the length if an end record gives it."""
        if self._end is None:
            whole = self._records.end_record(offset, index)
            self._end = (whole, index) if whole else None
        return self._end is not None and index >= self._end[1]

    def _look_for_end(self, offset: int, index: int) -> None:
        """Look for an end record in the last bytes, after damaged chunks."""
        n_bytes = self._records.n_bytes
        n_lost = (n_bytes - offset) * index // (offset - self._first) if index else 0
        for start in range(max(offset, n_bytes - MAX_END_BYTES), n_bytes):
            for n_chunks in range(index, index + min(2 * n_lost, MAX_LOST) + 16):
                if self._end is None:
                    self._is_end(start, n_chunks)

    def assembled(self, *, is_limited: bool) -> Salvaged:
        """Return the chunks in their places, and gaps where one is lost."""
        whole, n_chunks = self._end or (None, max(self.chunks) + 1)
        found = {i: self.chunks[i] for i in sorted(self.chunks) if i < n_chunks}
        n_lost, n_found = n_chunks - len(found), sum(chunk.n_frames for chunk in found.values())
        n_missing = whole.n_frames - n_found if whole else n_lost * CHUNK_FRAMES
        if not n_lost <= n_missing <= n_lost * CHUNK_FRAMES:
            whole, n_missing = None, n_lost * CHUNK_FRAMES
        n_left = (self._most_frames() if is_limited else MAX_FRAMES) - n_found
        n_cut = max(0, n_missing - n_left)
        pieces = tuple(_with_gaps(found, n_chunks, n_missing, n_left))
        header, like = whole, self._header
        if header is None or n_cut:
            start = like.without_length() if isinstance(like, Header) else like
            header = start.with_length(sum(piece.n_frames for piece in pieces), 0)
        return Salvaged(header, pieces, whole is not None, n_cut / FRAME_RATE_HZ)

    def _most_frames(self) -> int:
        """Return how many frames a file of this size can have at most."""
        is_streamed = not isinstance(self._header, Header)
        least_bytes = (MIN_RECORD_BYTES + is_streamed) * self._header.n_channels
        return (self._records.n_bytes - self._first) // least_bytes * CHUNK_FRAMES


def _with_gaps(
    found: dict[int, Chunk], n_chunks: int, n_missing: int, n_left: int
) -> Iterator[Chunk | Gap]:
    """Yield chunks with gaps of `n_missing` frames in all between them, cut to `n_left`."""
    n_lost, before = n_chunks - len(found), 0
    for index in [*found, n_chunks]:
        n_lost -= index - before
        n_frames = min((index - before) * CHUNK_FRAMES, n_missing - n_lost)
        n_missing -= n_frames
        if n_frames and n_left:
            yield Gap(min(n_frames, n_left))
            n_left -= min(n_frames, n_left)
        if index < n_chunks:
            yield found[index]
        before = index + 1
