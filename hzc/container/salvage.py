"""What is left of a damaged file: every whole chunk, each in its place in time.

How its records are found is told in `hzc.container.records`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

from hzc.container.chunks import Chunk, max_payload_bytes
from hzc.container.fields import Cursor
from hzc.container.header import (
    CHUNK_FRAMES,
    CRC_BYTES,
    FRAME_RATE_HZ,
    Header,
    take_header,
    with_length,
)
from hzc.container.records import Record, Search
from hzc.errors import CorruptError, FormatError

REPAIRABLE_BYTES = 32
"""One wrong byte is found by trying: this is more than a header without explicit steps has."""
MAX_HEADER_BYTES = 512


@dataclass(frozen=True, slots=True)
class Gap:
    """One or more chunks in a row that are lost."""

    n_frames: int


@dataclass(frozen=True)
class Salvaged:
    """What is left of a file."""

    header: Header
    """Complete; of a streamed file without its end, the length is that of what was found."""
    pieces: tuple[Chunk | Gap, ...]
    """In time order, without holes."""
    is_header_repaired: bool
    has_end: bool
    """Whether the whole length of the original is known."""

    @property
    def lost_s(self) -> tuple[tuple[float, float], ...]:
        """Start and end of every stretch of lost time, in seconds."""
        spans: list[tuple[float, float]] = []
        at = 0
        assert self.header.duration_s is not None
        for piece in self.pieces:
            start_s, at = at / FRAME_RATE_HZ, at + piece.n_frames
            if isinstance(piece, Gap):
                if spans and spans[-1][1] == start_s:
                    start_s = spans.pop()[0]
                spans.append((start_s, min(at / FRAME_RATE_HZ, self.header.duration_s)))
        return tuple(spans)

    @property
    def is_whole(self) -> bool:
        """Whether nothing is lost."""
        return not self.lost_s and not self.is_header_repaired and self.has_end

    def summary(self) -> str:
        """Return one line that says what is lost."""
        assert self.header.duration_s is not None
        lost = sum(end - start for start, end in self.lost_s)
        said = [f"{lost:.2f} of {self.header.duration_s:.2f} s lost"] if lost else []
        said += [f"{start:.2f}–{end:.2f} s" for start, end in self.lost_s]
        if self.is_header_repaired:
            said.append("a damaged byte of the header was repaired")
        if not self.has_end:
            said.append("the end is missing, and how long it was is not known")
        return ", ".join(said)


def salvage(data: bytes) -> Salvaged:
    """Return what is left of a damaged file; a sound one comes back whole.

    Raises:
        FormatError: no whole chunk is left, or the header is beyond repair.
    """
    for header, packed_header, is_repaired in _headers(data):
        found = Search(data, header, packed_header).found(is_sure=not is_repaired)
        whole = _whole_chunks(data, header, found)
        if whole:
            return _assembled(header, found, whole, is_repaired)
    raise CorruptError("nothing can be salvaged: no whole chunk is left")


def _headers(data: bytes) -> Iterator[tuple[Header, bytes, bool]]:
    """Yield the header and its bytes; where it is damaged, each one that differs in one byte.

    Those that differ in the fewest bits come first: never two in a single one.
    """
    try:
        yield (*_header(data), False)
        return
    except FormatError as error:
        damage = error
    for pattern in sorted(range(1, 256), key=int.bit_count):
        for position in range(min(REPAIRABLE_BYTES, len(data))):
            repaired = bytearray(data[:MAX_HEADER_BYTES])
            repaired[position] ^= pattern
            try:
                yield (*_header(bytes(repaired)), True)
            except FormatError:
                continue
    raise damage


def _header(data: bytes) -> tuple[Header, bytes]:
    cursor = Cursor(BytesIO(data))
    header = take_header(cursor)
    return header, bytes(cursor.marked)


def _whole_chunks(data: bytes, header: Header, found: list[Record]) -> dict[int, Chunk]:
    """Return the chunks whose records are all sound, by number."""
    by_chunk: defaultdict[int, list[Record]] = defaultdict(list)
    for record in found:
        if record.is_sound and not record.is_end:
            by_chunk[record.place // header.n_channels].append(record)
    whole = {}
    for index, records in by_chunk.items():
        n_frames, gain_half_db = records[0].n_frames, records[0].gain_half_db
        if header.n_frames is not None:
            n_frames = min(CHUNK_FRAMES, header.n_frames - index * CHUNK_FRAMES)
        shapes = {(record.n_frames, record.gain_half_db) for record in records}
        if len(records) == header.n_channels and len(shapes) == 1:
            payloads = tuple(data[record.body : record.end - CRC_BYTES] for record in records)
            if max(map(len, payloads)) <= max_payload_bytes(header, n_frames):
                whole[index] = Chunk(n_frames, payloads, gain_half_db)
    return whole


def _assembled(
    header: Header, found: list[Record], whole: dict[int, Chunk], is_repaired: bool
) -> Salvaged:
    """Put the chunks in their places, and gaps where one is lost."""
    end = found[-1] if found[-1].is_end else None
    n_frames, n_chunks = header.n_frames, -(-(found[-1].place + 1) // header.n_channels)
    if n_frames is not None:
        n_chunks = -(-n_frames // CHUNK_FRAMES)
    elif end is not None:
        n_frames, n_chunks = end.n_frames, end.place // header.n_channels
    lengths = {index: chunk.n_frames for index, chunk in whole.items()}
    if header.is_streamed:
        by_trust = sorted(found, key=lambda record: record.is_sound)
        told = {record.place // header.n_channels: record.n_frames for record in by_trust}
        told = {index: length for index, length in told.items() if index < n_chunks}
        if _may_make(told | lengths, n_chunks, n_frames):
            lengths = told | lengths
        elif not _may_make(lengths, n_chunks, n_frames):
            n_frames = None
    pieces = tuple(_with_gaps(whole, lengths, n_chunks, n_frames))
    if header.is_streamed:
        trim = end.trim if end and n_frames else 0
        header = with_length(header, sum(piece.n_frames for piece in pieces), trim)
    return Salvaged(header, pieces, is_repaired, has_end=n_frames is not None)


def _may_make(lengths: dict[int, int], n_chunks: int, n_frames: int | None) -> bool:
    """Whether chunks of which some lengths are known may have so many frames together."""
    n_unknown, known = n_chunks - len(lengths), sum(lengths.values())
    return n_frames is None or known + n_unknown <= n_frames <= known + n_unknown * CHUNK_FRAMES


def _with_gaps(
    whole: dict[int, Chunk], lengths: dict[int, int], n_chunks: int, n_frames: int | None
) -> Iterator[Chunk | Gap]:
    """Yield the chunks with gaps between them, which share out the frames that are missing."""
    n_unknown = n_chunks - len(lengths)
    unknown = n_unknown * CHUNK_FRAMES
    if n_frames is not None:
        unknown = n_frames - sum(lengths.values())
    gap = before = 0
    for index in [*sorted(lengths), n_chunks]:
        n_here = index - before
        n_unknown -= n_here
        share = min(n_here * CHUNK_FRAMES, unknown - n_unknown)
        unknown -= share
        gap += share
        before = index + 1
        if index in whole or index == n_chunks:
            if gap:
                yield Gap(gap)
            gap = 0
        if index in whole:
            yield whole[index]
        elif index < n_chunks:
            gap += lengths[index]
