"""Records found by their checksums, where parts of a file are damaged.

The CRC-16 of a record starts from its place, so the number of its chunk follows from its bytes. A
CRC is a remainder modulo a polynomial P over bits, and a zero byte multiplies it by x^8; one
multiplication undoes that for a record of any length. P = (x + 1) Q; the powers of x are all
remainders with an odd number of bits but Q. Adding Q makes an even number odd, and x Q = Q mod P.
"""

from __future__ import annotations

from array import array
from binascii import crc_hqx
from collections.abc import Iterator
from functools import cache
from io import BytesIO
from itertools import accumulate, pairwise

from hzc.container.chunks import END_MARK, Chunk, max_payload_bytes
from hzc.container.fields import Cursor
from hzc.container.header import CHUNK_FRAMES, CRC_BYTES, AnyHeader, Header
from hzc.errors import FormatError

POLYNOMIAL, Q, ORDER = 0x11021, 0xF01F, 2**15 - 1
"""x^ORDER = 1 modulo P."""
MIN_RECORD_BYTES = 4
"""Of a record without a payload; one more in a streamed file."""
MAX_JUMP = 4096
"""Chunks that may be missing in one place, 11 hours."""
MAX_END_BYTES = 13
"""Of an end record."""


class Records:
    """The bytes of a file; any stretch of them may be a record."""

    def __init__(self, data: bytes, header: AnyHeader, packed_header: bytes) -> None:
        """Note the checksum of everything before each byte, in time linear in the bytes."""
        self.n_bytes, self._header, self._crc = len(data), header, packed_header[-CRC_BYTES:]
        self._data = data + bytes(MAX_END_BYTES)
        self._is_streamed = not isinstance(header, Header)
        self._powers, self._logs, self._evens = powers, logs, evens = _tables()
        self._starts = array("H", bytes(2 * len(data) + 2))
        for i, crc in enumerate(accumulate(data, _after_byte, initial=0)):
            # The CRC divided by x^8 for each byte.
            is_fixed = crc in (0, Q)
            self._starts[i] = crc if is_fixed else powers[(logs[crc] - 8 * i) % ORDER] ^ evens[crc]

    def first_records(self, first: int, last: int, chunk: int) -> Iterator[tuple[int, int]]:
        """Yield where the first record of a chunk may start, and the chunk's number.

        Only of chunks from `chunk` on that have the upper 16 bits of their number in common.
        """
        powers, logs, evens = self._powers, self._logs, self._evens
        starts, end_of = self._starts, self.end
        max_jump = MAX_JUMP
        if isinstance(self._header, Header):
            max_jump = min(max_jump, -(-self._header.n_frames // CHUNK_FRAMES) - chunk)
        upper = crc_hqx(self._crc + (chunk >> 16).to_bytes(2, "big"), 0xFFFF)
        for start in range(first, last):
            end = end_of(start)
            if end:
                crc = starts[start] ^ starts[end]
                if crc not in (0, Q):
                    # The low half of the chunk's number and the channel, 24 bits, follow `upper`.
                    crc = powers[(logs[crc] + 8 * start - 24) % ORDER] ^ evens[crc]
                jump = (crc ^ upper) - chunk & 0xFFFF
                if jump < max_jump:
                    yield start, chunk + jump

    def end(self, start: int) -> int:
        """Return where a record that starts here would end, or 0 if none can."""
        data, at = self._data, start + self._is_streamed
        if start >= self.n_bytes or 120 < data[at] < 136:  # the gain
            return 0
        length, at = data[at + 1], at + 2
        if length > 127:
            length, at = length + (data[at] - 1 << 7), at + 1
            if length >= 2**14:
                length, at = length + (data[at] - 1 << 14), at + 1
        end = at + length + CRC_BYTES
        return end if end <= self.n_bytes else 0

    def matched(self, start: int, chunk: int) -> list[int]:
        """Return the edges of the records of the chunk that starts here; none if one is damaged."""
        edges, first = [start], self.first_bytes(start)
        for channel in range(self._header.n_channels):
            at, end = edges[-1], self.end(edges[-1])
            is_like_first = self._data.startswith(first, at)
            if not (end and is_like_first and self._fits(at, end, chunk, channel)):
                return []
            edges.append(end)
        return edges

    def after(self, start: int) -> int:
        """Return where the chunk that starts here ends if its lengths are right, or 0."""
        for _ in range(self._header.n_channels):
            end = self.end(start)
            if end - start <= MIN_RECORD_BYTES + self._is_streamed:  # none, or zeros
                return 0
            start = end
        return start

    def first_bytes(self, start: int) -> bytes:
        """Return frames, in a streamed file, and gain of a record."""
        return self._data[start : start + 1 + self._is_streamed]

    def chunk(self, edges: list[int], index: int) -> Chunk | None:
        """Return the chunk of which the records have these edges, if it is valid."""
        first = self.first_bytes(edges[0])
        n_frames, gain = first[0], first[-1]
        if isinstance(self._header, Header):
            n_frames = min(CHUNK_FRAMES, self._header.n_frames - index * CHUNK_FRAMES)
        payloads = tuple(self._payload(start, end) for start, end in pairwise(edges))
        longest = max_payload_bytes(self._header, n_frames)
        if not 1 <= n_frames <= CHUNK_FRAMES or max(map(len, payloads)) > longest:
            return None
        return Chunk(n_frames, payloads, gain - (gain >> 7 << 8))

    def _payload(self, start: int, end: int) -> bytes:
        at = start + 1 + self._is_streamed
        while self._data[at] > 127:
            at += 1
        return self._data[at + 1 : end - CRC_BYTES]

    def end_record(self, start: int, n_chunks: int) -> Header | None:
        """Return the complete header if an end record after `n_chunks` chunks starts here."""
        header = self._header
        if isinstance(header, Header) or self._data[start] != END_MARK:
            return None
        cursor = Cursor(BytesIO(self._data[start + 1 : start + MAX_END_BYTES]))
        try:
            whole = header.with_length(cursor.varint(), cursor.varint())
        except FormatError:
            return None
        end = start + 1 + cursor.offset + CRC_BYTES
        is_possible = end <= self.n_bytes and n_chunks <= whole.n_frames <= n_chunks * CHUNK_FRAMES
        return whole if is_possible and self._fits(start, end, n_chunks, 0) else None

    def _fits(self, start: int, end: int, chunk: int, channel: int) -> bool:
        """Return whether the checksum of a record holds in this place."""
        crc = crc_hqx(self._crc + chunk.to_bytes(4, "big") + bytes((channel,)), 0xFFFF)
        if crc not in (0, Q):
            crc = self._powers[(self._logs[crc] - 8 * start) % ORDER] ^ self._evens[crc]
        return crc == self._starts[start] ^ self._starts[end]


@cache
def _tables() -> tuple[array[int], array[int], array[int]]:
    """Return x^n for each n; of each remainder n, and Q where its number of bits is even."""
    powers, logs, evens = array("H"), array("H", bytes(2**17)), array("H", bytes(2**17))
    power = 1
    for n in range(ORDER):
        powers.append(power)
        logs[power] = logs[power ^ Q] = n
        evens[power ^ Q] = Q
        power = power << 1 ^ (POLYNOMIAL if power & 0x8000 else 0)
    return powers, logs, evens


def _after_byte(crc: int, byte: int) -> int:
    return (crc & 0xFF) << 8 ^ _CRC_OF_BYTE[crc >> 8 ^ byte]


_CRC_OF_BYTE = [crc_hqx(bytes([value]), 0) for value in range(256)]
