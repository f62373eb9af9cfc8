"""What is left of a damaged file: every whole chunk, each in its place in time.

The checksum of a record starts from its place, so a sound record tells which chunk it belongs to
wherever it is found. Where the next record does not match, the walk goes on at the place that its
length tells, or else at the first byte from which two records in a row match; last, sound records
are looked for between the places so lost. Specification: formats/hzc-1.md, section 5.
"""

from __future__ import annotations

from binascii import crc_hqx
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce
from io import BytesIO
from itertools import pairwise
from operator import xor
from statistics import median

from hzc.container.chunks import END_MARK, Chunk, max_payload_bytes, place_crc, take_payload
from hzc.container.fields import Cursor
from hzc.container.header import (
    CHUNK_FRAMES,
    CRC_BYTES,
    FRAME_RATE_HZ,
    MAX_FRAMES,
    MAX_GAIN_HALF_DB,
    Header,
    take_header,
    with_length,
)
from hzc.errors import CorruptError, FormatError

REPAIRABLE_BYTES = 32
"""One wrong byte is found by trying: this is more than a header without explicit steps has."""
MAX_HEADER_BYTES = 512
MIN_RECORD_BYTES = 4
MAX_RECORD_BYTES = 2**17
"""80 frames of 255 dimensions at 5 bytes each, and the record's own fields."""
LONGEST_JUMP = 256
"""Records that may be missing in one place: were any place allowed, any checksum would fit one."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A chunk that is lost."""

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
        records = _Records(data, header, packed_header)
        found = records.found()
        if any(not record.is_end for record in found):
            return _assembled(header, found, is_repaired)
    raise CorruptError("nothing can be salvaged: no whole chunk is left")


def _headers(data: bytes) -> Iterator[tuple[Header, bytes, bool]]:
    """Yield the header and its bytes; where it is damaged, each one that differs in one byte."""
    try:
        yield (*_header(data), False)
        return
    except FormatError as error:
        damage = error
    for position in range(min(REPAIRABLE_BYTES, len(data))):
        for value in range(256):
            repaired = data[:position] + bytes([value]) + data[position + 1 : MAX_HEADER_BYTES]
            try:
                yield (*_header(repaired), True)
            except FormatError:
                continue
    raise damage


def _header(data: bytes) -> tuple[Header, bytes]:
    cursor = Cursor(BytesIO(data))
    header = take_header(cursor)
    return header, bytes(cursor.marked)


@dataclass(frozen=True, slots=True)
class _Record:
    """A record whose checksum fits a place of the file."""

    start: int
    end: int
    place: int
    """Chunk times number of channels plus channel."""
    n_frames: int
    """Of the chunk; of the whole file in an end record."""
    gain_half_db: int
    payload: bytes
    is_end: bool = False
    trim: int = 0


class _Records:
    """Looks for the records of one file."""

    def __init__(self, data: bytes, header: Header, packed_header: bytes) -> None:
        self._data, self._header, self._packed = data, header, packed_header
        if header.n_frames is None:
            self._n_places = min(len(data), MAX_FRAMES) * header.n_channels
        else:
            self._n_places = -(-header.n_frames // CHUNK_FRAMES) * header.n_channels
        self._places: defaultdict[int, list[int]] = defaultdict(list)
        for place in range(min(self._n_places, 4 * len(data))):
            self._places[self._place_crc(place)].append(place)

    def found(self) -> list[_Record]:
        """Return all sound records, in order."""
        walked = list(self._walk())
        sizes = [len(r.payload) for r in walked if not r.is_end]
        typical = median(sizes) if sizes else None
        all_found = []
        start = self._sentinel(len(self._packed), -1)
        end = self._sentinel(len(self._data), self._n_places)
        for before, after in pairwise([start, *walked, end]):
            if before is not start:
                all_found.append(before)
            all_found += self._between(before, after, typical)
        return all_found

    @staticmethod
    def _sentinel(offset: int, place: int) -> _Record:
        return _Record(offset, offset, place, 0, 0, b"")

    def _walk(self) -> Iterator[_Record]:
        """Yield records that the one before them, or the one after them, speaks for."""
        offset, place = len(self._packed), 0
        while offset < len(self._data):
            record = self._at(offset, place, is_exact=True) or self._next(offset, place)
            if record is None:
                return
            yield record
            offset, place = record.end, record.place + 1

    def _next(self, offset: int, place: int) -> _Record | None:
        """Return the first trustworthy record after a damaged or missing one."""
        hop, hops = self._declared_end(offset), 1
        while hop is not None:
            if record := self._at(hop, place + hops, is_exact=True):
                return record
            hop, hops = self._declared_end(hop), hops + 1
        for start in range(offset, len(self._data) - MIN_RECORD_BYTES + 1):
            record = self._at(start, place)
            if record and (
                record.is_end
                or (record.place == self._n_places - 1 and record.end == len(self._data))
                or self._at(record.end, record.place + 1, is_exact=True)
            ):
                return record
        return None

    def _between(self, before: _Record, after: _Record, typical: float | None) -> Iterator[_Record]:
        """Yield records that nothing speaks for but their checksum, place and likely size."""
        start, place = before.end, before.place + 1
        while place < after.place and start < after.start:
            record = self._at(start, place)
            likely = record is not None and (
                typical is None or typical / 3 <= len(record.payload) <= typical * 3
            )
            if record and likely and record.end <= after.start and record.place < after.place:
                yield record
                start, place = record.end, record.place + 1
            else:
                start += 1

    def _declared_end(self, offset: int) -> int | None:
        """Return where the record at an offset ends if its length is right."""
        record = self._parsed(offset)
        return None if record is None or record.is_end else record.end

    def _at(self, offset: int, place: int, *, is_exact: bool = False) -> _Record | None:
        """Return the record at an offset if its checksum fits `place`, or one after it."""
        record = self._parsed(offset)
        if record is None:
            return None
        body = self._data[record.start : record.end - CRC_BYTES]
        stored = int.from_bytes(self._data[record.end - CRC_BYTES : record.end], "big")
        if is_exact:
            fits = place if crc_hqx(body, self._place_crc(place)) == stored else None
        else:
            places = self._places.get(_unwound(stored ^ crc_hqx(body, 0), len(body)), [])
            first = bisect_left(places, place)
            is_near = first < len(places) and places[first] <= place + LONGEST_JUMP
            fits = places[first] if is_near else None
        if fits is None or (record.is_end and fits % self._header.n_channels):
            return None
        return replace(record, place=fits)

    def _parsed(self, offset: int) -> _Record | None:
        """Return what the bytes at an offset say if a record starts there, without a place."""
        header = self._header
        window = self._data[offset : offset + max_payload_bytes(header, CHUNK_FRAMES) + 16]
        cursor = Cursor(BytesIO(window))
        try:
            n_frames = CHUNK_FRAMES
            if header.n_frames is None:
                n_frames = cursor.unsigned()
                if n_frames == END_MARK:
                    total, trim = cursor.varint(), cursor.varint()
                    end = offset + cursor.offset + CRC_BYTES
                    if end != len(self._data):
                        return None
                    return _Record(offset, end, -1, total, 0, b"", is_end=True, trim=trim)
            gain_half_db = cursor.signed()
            if not 1 <= n_frames <= CHUNK_FRAMES or abs(gain_half_db) > MAX_GAIN_HALF_DB:
                return None
            payload = take_payload(cursor, header, n_frames)
            cursor.take(CRC_BYTES)
        except FormatError:
            return None
        return _Record(offset, offset + cursor.offset, -1, n_frames, gain_half_db, payload)

    def _place_crc(self, place: int) -> int:
        return place_crc(self._packed, *divmod(place, self._header.n_channels))


def _before_zero_byte(crc: int) -> int:
    """Return the CRC-16 that becomes `crc` after one zero byte."""
    high = _HIGH_BYTE[crc & 0xFF]
    return high << 8 | (crc ^ _CRC_TABLE[high]) >> 8


def _applied(images: list[int], crc: int) -> int:
    """Return what a linear map does to a CRC, given what it does to each of its bits."""
    return reduce(xor, (image for bit, image in enumerate(images) if crc >> bit & 1), 0)


def _unwound(crc: int, n_bytes: int) -> int:
    """Return the CRC-16 that becomes `crc` after n_bytes zero bytes.

    A CRC is linear: that of a record is that of the same record from a start of 0, XOR that of as
    many zero bytes from the true start. So the start, and with it the place, can be told.
    """
    for power, images in enumerate(_UNWINDING):
        if n_bytes >> power & 1:
            crc = _applied(images, crc)
    return crc


_CRC_TABLE = [crc_hqx(bytes([value]), 0) for value in range(256)]
_HIGH_BYTE = {step & 0xFF: value for value, step in enumerate(_CRC_TABLE)}
_UNWINDING = [[_before_zero_byte(1 << bit) for bit in range(16)]]
"""For 1, 2, 4, 8, … zero bytes: what becomes of every bit when they are unwound."""
while len(_UNWINDING) < MAX_RECORD_BYTES.bit_length():
    _UNWINDING.append([_applied(_UNWINDING[-1], image) for image in _UNWINDING[-1]])


def _assembled(header: Header, found: list[_Record], is_repaired: bool) -> Salvaged:
    """Put the records in their places, and gaps where a chunk lacks one."""
    end = found[-1] if found[-1].is_end else None
    n_frames, n_channels = header.n_frames, header.n_channels
    n_chunks = found[-1].place // n_channels + (end is None)
    if n_frames is not None:
        n_chunks = -(-n_frames // CHUNK_FRAMES)
    by_chunk: list[list[_Record]] = [[] for _ in range(n_chunks)]
    for record in found:
        if not record.is_end:
            by_chunk[record.place // n_channels].append(record)
    whole = {
        index: Chunk(
            n_frames=records[0].n_frames,
            payloads=tuple(record.payload for record in records),
            gain_half_db=records[0].gain_half_db,
        )
        for index, records in enumerate(by_chunk)
        if len(records) == n_channels
    }
    if n_frames is not None and n_chunks - 1 in whole:
        rest = n_frames - (n_chunks - 1) * CHUNK_FRAMES
        whole[n_chunks - 1] = replace(whole[n_chunks - 1], n_frames=rest)
    if end is not None:
        n_frames = end.n_frames
    pieces = tuple(_with_gaps(whole, n_chunks, n_frames))
    if header.n_frames is None:
        header = with_length(header, sum(p.n_frames for p in pieces), end.trim if end else 0)
    return Salvaged(header, pieces, is_repaired, has_end=n_frames is not None)


def _with_gaps(
    whole: dict[int, Chunk], n_chunks: int, n_frames: int | None
) -> Iterator[Chunk | Gap]:
    """Yield every chunk or a gap in its place; gaps share out the frames that are missing."""
    n_gaps = n_chunks - len(whole)
    missing = n_gaps * CHUNK_FRAMES
    if n_frames is not None:
        missing = n_frames - sum(chunk.n_frames for chunk in whole.values())
    for index in range(n_chunks):
        if index in whole:
            yield whole[index]
            continue
        n_gaps -= 1
        length = max(1, min(CHUNK_FRAMES, missing - n_gaps))
        missing -= length
        yield Gap(length)
