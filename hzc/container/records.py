"""Finds the sound records of a damaged file.

The checksum of a record starts from its place, so a sound record tells which chunk it belongs to
wherever it is found. Where the next record does not match, the walk goes on at the place that its
length tells, or else at the first byte from which several records in a row match; last, between the
places so lost, the likeliest row of single records is looked for.
"""

from __future__ import annotations

from array import array
from binascii import crc_hqx
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import accumulate, pairwise
from math import log2
from statistics import median

from hzc.container.chunks import END_MARK, max_payload_bytes, place_crc
from hzc.container.fields import MAX_VARINT_BYTES
from hzc.container.header import (
    CHUNK_FRAMES,
    CRC_BYTES,
    MAX_FRAMES,
    MAX_GAIN_HALF_DB,
    Header,
    with_length,
)
from hzc.errors import FormatError

MIN_RECORD_BYTES = 4
NEAR, FAR = 256, 2**16 - 1
"""Records that may be missing in one place: were any place allowed, any checksum would fit one."""
IN_A_ROW = {NEAR: 2, FAR: 4}
"""Records in a row that speak for each other after so long a jump."""
MAX_HOPS = 256
SURE_HOPS = 3
"""A single sound record is believed if it is among so many that damaged lengths lead to."""
ISOLATION_BITS = 6.0
"""How much less likely a record is that no other speaks for."""
TYPICAL_BYTES = 1250.0
"""Of a payload, where nothing is known of the file: 10 s at 1 kbit/s."""
CANDIDATES_BACK = 64
"""What is compared with so many before it, so that no file takes for ever."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record whose checksum fits a place of the file."""

    start: int
    body: int
    """Where the payload starts; it ends before the checksum."""
    end: int
    place: int
    """Chunk times number of channels plus channel."""
    n_frames: int
    """Of the chunk; of the whole file in an end record."""
    gain_half_db: int = 0
    is_end: bool = False
    trim: int = 0
    is_sound: bool = True
    """False for a damaged record that its neighbours show to have the right length."""

    @property
    def n_bytes(self) -> int:
        """Length of the payload."""
        return self.end - CRC_BYTES - self.body


@dataclass(frozen=True)
class _Usual:
    """What the records of a file are like."""

    n_bytes: float
    """Payload of a chunk of full length."""
    gains_half_db: frozenset[int]
    is_streamed: bool

    @classmethod
    def of(cls, records: list[Record], is_streamed: bool) -> _Usual:
        """Return what is usual among sound records."""
        sizes = [record.n_bytes * CHUNK_FRAMES / record.n_frames for record in records]
        return cls(
            n_bytes=max(1.0, median(sizes)) if sizes else TYPICAL_BYTES,
            gains_half_db=frozenset(record.gain_half_db for record in records),
            is_streamed=is_streamed,
        )

    def bits_in_favour(self, before: Record, record: Record) -> float:
        """Return how much likelier a record was written than that it matches by chance.

        The checksum's 16 bits speak for it; every byte passed over was one more chance to match;
        and what was passed over should make about as many records as there are places between.
        Random bytes seldom read as the length of a usual payload, or as a usual gain.
        """
        n_passed, n_missing = record.start - before.end, record.place - before.place - 1
        bits = (
            16.0 - log2(n_passed + 1) - 2.0 * log2(1.0 + abs(n_missing - n_passed / self.n_bytes))
        )
        if record.is_end:
            return bits
        size = record.n_bytes * CHUNK_FRAMES / record.n_frames
        bits += 4.0 if self.n_bytes / 4 < size < self.n_bytes * 4 else -4.0
        if self.gains_half_db:
            bits += 6.0 if record.gain_half_db in self.gains_half_db else -4.0
        if self.is_streamed:
            bits += 6.0 if record.n_frames == CHUNK_FRAMES else -3.0
        return bits - ISOLATION_BITS


class Search:
    """Looks for the records of one file."""

    def __init__(self, data: bytes, header: Header, packed_header: bytes) -> None:
        """Look in `data`, which the header starts."""
        self._data, self._header, self._packed = data, header, packed_header
        self._start = _mark(len(packed_header), -1)
        self._n_places = MAX_FRAMES * header.n_channels
        if header.n_frames is not None:
            self._n_places = -(-header.n_frames // CHUNK_FRAMES) * header.n_channels
        self._near: tuple[int, int, dict[int, int]] = (0, 0, {})

    def found(self, *, is_sure: bool) -> list[Record]:
        """Return all sound records in order, and damaged ones whose length is known.

        Args:
            is_sure: Whether the header is certain. If not, nothing is returned unless records
                speak for each other.
        """
        walked = list(self._walk())
        if not walked and not is_sure:
            return []
        sound = [record for record in walked if record.is_sound and not record.is_end]
        usual = _Usual.of(sound, self._header.is_streamed)
        last = _mark(len(self._data), self._n_places)
        everything = []
        for before, after in pairwise([self._start, *walked, last]):
            if before is not self._start:
                everything.append(before)
            if not before.is_end:
                everything += self._between(before, after, usual)
        return everything

    def _walk(self) -> Iterator[Record]:
        """Yield records that the one before them, or those after them, speak for."""
        offset, place = len(self._packed), 0
        while offset < len(self._data):
            here = self._at(offset, place)
            records = [here] if here else self._next(offset, place)
            yield from records
            if not records or records[-1].is_end:
                return
            offset, place = records[-1].end, records[-1].place + 1

    def _next(self, offset: int, place: int) -> list[Record]:
        """Return the next trustworthy record, after the damaged ones that lead to it."""
        passed: list[Record] = []
        n_sound = 0
        hop = self._parsed(offset)
        while hop is not None and len(passed) < MAX_HOPS:
            sound = self._at(hop.start, place + len(passed))
            passed.append(sound or replace(hop, place=place + len(passed), is_sound=False))
            if sound:
                n_sound += 1
                if n_sound > 1 or len(passed) <= SURE_HOPS or self._is_followed(sound, 2):
                    return passed
            hop = None if hop.is_end else self._parsed(hop.end)
        for jump, in_a_row in IN_A_ROW.items():
            for start in range(offset, len(self._data) - MIN_RECORD_BYTES + 1):
                record = self._fitting(start, place, jump)
                if record and self._is_followed(record, in_a_row):
                    return [record]
            if place + jump >= self._n_places:
                break
        return []

    def _is_followed(self, record: Record, in_a_row: int) -> bool:
        """Whether so many records match in a row, this one counted, or all to the end."""
        for _ in range(in_a_row - 1):
            is_last = record.place == self._n_places - 1 and record.end == len(self._data)
            if is_last or record.is_end:
                return True
            following = self._at(record.end, record.place + 1)
            if following is None:
                return False
            record = following
        return True

    def _between(self, before: Record, after: Record, usual: _Usual) -> list[Record]:
        """Return the likeliest row of records that nothing speaks for but checksum and order."""
        jump = min(FAR, after.place - before.place - 2, NEAR + (after.start - before.end) // 64)
        if jump < 0:
            return []
        candidates = [before]
        best: list[tuple[float, int]] = [(0.0, 0)]  # bits in favour, and the one before
        for start in range(before.end, after.start - MIN_RECORD_BYTES + 1):
            record = self._fitting(start, before.place + 1, jump)
            if record is None or record.end > after.start:
                continue
            first = max(0, len(candidates) - CANDIDATES_BACK)
            ways = [
                (best[i][0] + usual.bits_in_favour(candidates[i], record), i)
                for i in {0, *range(first, len(candidates))}
                if candidates[i].end <= record.start and candidates[i].place < record.place
            ]
            candidates.append(record)
            best.append(max(ways))
        at = max(range(len(best)), key=lambda i: best[i][0])
        row: list[Record] = []
        while at:
            row.append(candidates[at])
            at = best[at][1]
        return row[::-1]

    def _at(self, offset: int, place: int) -> Record | None:
        """Return the record at an offset if its checksum fits the place."""
        record = self._parsed(offset)
        if record is None or not self._may_lie(record, place):
            return None
        crc = crc_hqx(self._data[offset : record.end - CRC_BYTES], self._place_crc(place))
        return replace(record, place=place) if crc == self._stored_crc(record) else None

    def _fitting(self, offset: int, place: int, jump: int) -> Record | None:
        """Return the record at an offset if its checksum fits a place from `place` on."""
        record = self._parsed(offset)
        if record is None or (record.is_end and record.end != len(self._data)):
            return None
        end = record.end - CRC_BYTES
        started = _unwound(self._stored_crc(record) ^ self._crcs[end], end - offset)
        found = self._places(place, jump).get(started ^ self._crcs[offset])
        if found is None or not self._may_lie(record, found):
            return None
        return replace(record, place=found)

    def _may_lie(self, record: Record, place: int) -> bool:
        """Whether a place can be this record's, its checksum aside."""
        if not record.is_end:
            return place < self._n_places
        n_chunks, channel = divmod(place, self._header.n_channels)
        if channel or not n_chunks <= record.n_frames <= n_chunks * CHUNK_FRAMES:
            return False
        try:
            with_length(self._header, record.n_frames, record.trim)
        except FormatError:
            return False
        return True

    def _parsed(self, offset: int) -> Record | None:
        """Return what the bytes at an offset say if a record starts there, without a place."""
        data, at, n_frames = self._data, offset, CHUNK_FRAMES
        if len(data) - at < MIN_RECORD_BYTES:
            return None
        if self._header.is_streamed:
            n_frames, at = data[at], at + 1
            if n_frames == END_MARK:
                return self._parsed_end(offset)
        gain_half_db = (data[at] ^ 128) - 128
        length, body = _varint(data, at + 1)
        end = body + length + CRC_BYTES
        if (
            n_frames > CHUNK_FRAMES
            or abs(gain_half_db) > MAX_GAIN_HALF_DB
            or not 0 <= length <= max_payload_bytes(self._header, n_frames)
            or end > len(data)
        ):
            return None
        return Record(offset, body, end, -1, n_frames, gain_half_db)

    def _parsed_end(self, offset: int) -> Record | None:
        n_frames, at = _varint(self._data, offset + 1)
        trim, at = _varint(self._data, at)
        if n_frames < 0 or trim < 0 or at + CRC_BYTES > len(self._data):
            return None
        return Record(offset, at, at + CRC_BYTES, -1, n_frames, is_end=True, trim=trim)

    @cached_property
    def _crcs(self) -> array[int]:
        """CRC-16 from a start of 0 of everything before each byte."""
        return array("H", accumulate(self._data, _after_byte, initial=0))

    def _stored_crc(self, record: Record) -> int:
        return int.from_bytes(self._data[record.end - CRC_BYTES : record.end], "big")

    def _place_crc(self, place: int) -> int:
        return place_crc(self._packed, *divmod(place, self._header.n_channels))

    def _places(self, first: int, jump: int) -> dict[int, int]:
        """Return which place every checksum stands for, from `first` to `jump` places on."""
        if self._near[:2] != (first, jump):
            last = min(first + jump, self._n_places)
            places = {self._place_crc(place): place for place in range(last, first - 1, -1)}
            self._near = (first, jump, places)
        return self._near[2]


def _mark(offset: int, place: int) -> Record:
    """Return an edge of the file."""
    return Record(offset, offset, offset, place, 0)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the LEB128 integer at an offset, negative if there is none, and where it ends."""
    value = 0
    for i, byte in enumerate(data[at : at + MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return (value if byte or not i else -1), at + i + 1
    return -1, at


def _unwound(crc: int, n_bytes: int) -> int:
    """Return the CRC-16 that becomes `crc` after n_bytes zero bytes.

    A CRC is linear: that of a record is that of the same record from a start of 0, XOR that of as
    many zero bytes from the true start. So the start, and with it the place, can be told.
    """
    power = 0
    while n_bytes:
        if n_bytes & 1:
            low, high = _unwinding(power)
            crc = low[crc & 0xFF] ^ high[crc >> 8]
        n_bytes, power = n_bytes >> 1, power + 1
    return crc


@cache
def _unwinding(power: int) -> tuple[list[int], list[int]]:
    """Return what becomes of a CRC's low byte, and of its high one, before 2^power zero bytes."""
    if not power:
        step = _before_zero_byte
        return [step(byte) for byte in range(256)], [step(byte << 8) for byte in range(256)]
    half = 1 << power - 1
    low, high = _unwinding(power - 1)
    return [_unwound(crc, half) for crc in low], [_unwound(crc, half) for crc in high]


def _after_byte(crc: int, byte: int) -> int:
    return (crc & 0xFF) << 8 ^ _CRC_TABLE[crc >> 8 ^ byte]


def _before_zero_byte(crc: int) -> int:
    high = _HIGH_BYTE[crc & 0xFF]
    return high << 8 | (crc ^ _CRC_TABLE[high]) >> 8


_CRC_TABLE = [crc_hqx(bytes([value]), 0) for value in range(256)]
_HIGH_BYTE = {step & 0xFF: value for value, step in enumerate(_CRC_TABLE)}
