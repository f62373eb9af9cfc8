"""Where the records of a damaged file may lie, and the places that their checksums name.

The CRC-16 of a record starts from its place. A valid record, its CRC included, ends at a remainder
of zero. So the CRC of its place follows from its bytes. All stretches that
may be records are computed at once, hence numpy.

A CRC is a remainder modulo a polynomial P over bits, and a zero byte multiplies it by x^8. P is
(x + 1) Q; the powers of x are all remainders with an odd number of bits but Q. Adding Q makes an
even number odd, and x Q = Q mod P.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Iterator
from functools import cache
from io import BytesIO
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from hzc.container.chunks import END_MARK, Chunk, max_payload_bytes, place_crc
from hzc.container.fields import Cursor
from hzc.container.header import CHUNK_FRAMES, CRC_BYTES, AnyHeader, Header
from hzc.container.salvage import MAX_END_BYTES
from hzc.errors import FormatError

POLYNOMIAL, Q, ORDER = 0x11021, 0xF01F, 2**15 - 1
"""x^ORDER = 1 modulo P."""
MAX_JUMP = 4096
"""Chunks that may be missing in one place, 11 hours."""
BLOCK_BYTES = 1 << 16

CrcArray = npt.NDArray[np.uint16]


class Records:
    """The bytes of a file; any stretch of them may be a record."""

    def __init__(self, data: bytes, header: AnyHeader, packed_header: bytes) -> None:
        """Look at every stretch, in time linear in the bytes."""
        self.n_bytes, self._header, self._packed_header = len(data), header, packed_header
        self._data = data + bytes(MAX_END_BYTES)
        self._is_streamed = not isinstance(header, Header)
        self._ends = np.zeros(len(data) + 1, dtype=np.int64)
        """Where a record that starts here would end; 0 where none can."""
        self._places = np.zeros(len(data) + 1, dtype=np.uint16)
        """CRC of the place that it would have."""
        self._numbers = np.zeros(len(data) + 1, dtype=np.uint16)
        """CRC after the upper half of its chunk's number, plus the lower half."""
        values = np.frombuffer(self._data, np.uint8)
        blocks = [
            slice(i, min(i + BLOCK_BYTES, len(data))) for i in range(0, len(data), BLOCK_BYTES)
        ]
        before = np.zeros(
            len(data) + 1, dtype=np.uint16
        )  # CRC of all bytes before, over x^8 for each
        for block in blocks:
            at = np.arange(block.start, block.stop)
            terms = _times_x(_CRC_OF_BYTE[values[block]], -8 * (at + 1))
            terms[0] ^= before[block.start]
            np.bitwise_xor.accumulate(terms, out=before[block.start + 1 : block.stop + 1])
        for block in blocks:
            at = np.arange(block.start, block.stop)
            ends = self._ends[block] = self._find_ends(values, at)
            places = self._places[block] = _times_x(before[block] ^ before[ends], 8 * at)
            self._numbers[block] = _times_x(
                places, -24
            )  # of the number's lower half and the channel

    def _find_ends(
        self, values: npt.NDArray[np.uint8], at: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        at = at + self._is_streamed
        gain = values[at]
        length, second, third = (values[at + i].astype(np.int64) for i in (1, 2, 3))
        is_long = length > 127
        length += np.where(is_long, second - 1 << 7, 0)
        is_longer = length >= 2**14
        length += np.where(is_longer, third - 1 << 14, 0)
        ends = at + 2 + is_long + is_longer + length + CRC_BYTES
        is_possible = (gain <= 120) | (gain >= 136)
        is_possible &= length <= max_payload_bytes(self._header, CHUNK_FRAMES)
        return np.where(is_possible & (ends <= self.n_bytes), ends, 0)

    def candidates(self, first: int, chunk: int) -> Iterator[tuple[int, int]]:
        """Yield where the first record of a chunk may start, and the chunk's number.

        Only of chunks from `chunk` on that have the upper 16 bits of their number in common.
        """
        max_jump = MAX_JUMP
        if isinstance(self._header, Header):
            max_jump = min(max_jump, -(-self._header.n_frames // CHUNK_FRAMES) - chunk)
        upper = crc_hqx(self._packed_header[-CRC_BYTES:] + (chunk >> 16).to_bytes(2, "big"), 0xFFFF)
        n_bytes = 64
        while first < self.n_bytes:
            block = slice(first, first + n_bytes)
            jumps = (self._numbers[block] ^ np.uint16(upper)) - np.uint16(chunk & 0xFFFF)
            for i in np.flatnonzero((jumps < max_jump) & (self._ends[block] > 0)).tolist():
                yield first + i, chunk + int(jumps[i])
            first, n_bytes = first + n_bytes, min(2 * n_bytes, BLOCK_BYTES)

    def matched(self, start: int, chunk: int) -> list[int]:
        """Return the edges of the records of the chunk that starts here; none if one is damaged."""
        edges, first = [start], self.first_bytes(start)
        for channel in range(self._header.n_channels):
            at = edges[-1]
            end = int(self._ends[at])
            place = place_crc(self._packed_header, chunk, channel)
            if not (end and self._places[at] == place and self._data.startswith(first, at)):
                return []
            edges.append(end)
        return edges

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
        place = place_crc(self._packed_header, n_chunks, 0)
        return whole if is_possible and crc_hqx(self._data[start:end], place) == 0 else None


def _times_x(crcs: CrcArray, n_bits: npt.NDArray[np.int64] | int) -> CrcArray:
    """Return CRCs times x^n_bits."""
    powers, logs, evens = _tables()
    products = powers[(logs[crcs] + n_bits) % ORDER] ^ evens[crcs]
    return np.where((crcs == 0) | (crcs == Q), crcs, products)


@cache
def _tables() -> tuple[CrcArray, npt.NDArray[np.int64], CrcArray]:
    """Return x^n for each n; of each remainder n, and Q where its number of bits is even."""
    powers = np.zeros(ORDER, dtype=np.uint16)
    power = 1
    for n in range(ORDER):
        powers[n] = power
        power = power << 1 ^ (POLYNOMIAL if power & 0x8000 else 0)
    logs, evens = np.zeros(2**16, dtype=np.int64), np.zeros(2**16, dtype=np.uint16)
    logs[powers] = logs[powers ^ Q] = np.arange(ORDER)
    evens[powers ^ Q] = Q
    return powers, logs, evens


_CRC_OF_BYTE = np.array([crc_hqx(bytes([value]), 0) for value in range(256)], dtype=np.uint16)
