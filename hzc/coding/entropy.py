"""Symbols and table indexes to payload bytes and back; the only importer of constriction.

A payload is one range-coder stream: 32-bit words, big-endian, trailing zero bytes left out (the
decoder reads zeros past the end). Specification: formats/hzc-1.md, section 7.
"""

from __future__ import annotations

import constriction
import numpy as np
import numpy.typing as npt

from hzc.errors import CorruptError

IntArray = npt.NDArray[np.int32]
CountArray = npt.NDArray[np.float64]

PRECISION_BITS = 24
"""constriction's fixed-point precision of a probability."""
MIN_VALUE, MAX_VALUE = -(2**15), 2**15 - 1
"""Range of a symbol: what an escape can spell out."""

_CATEGORICAL = constriction.stream.model.Categorical(perfect=False)
_BYTE_COUNTS = np.full(256, 2.0 ** (PRECISION_BITS - 8) - 1.0)


def coder_counts(frequencies: npt.NDArray[np.uint16]) -> CountArray:
    """Return what makes constriction use exactly these frequencies.

    constriction gives every symbol one unit of 2^-24 and shares the rest out in proportion to the
    numbers it gets. Numbers that are one less than 24-bit frequencies, and so sum to what is left,
    are shared out unchanged: the model is exactly the table, by integer arithmetic alone.

    Args:
        frequencies: uint16 [..., n_entries], each >= 1, each row summing to 2^16.

    Returns:
        float64 of the same shape, whole numbers.
    """
    return frequencies.astype(np.float64) * 2.0 ** (PRECISION_BITS - 16) - 1.0


class PayloadEncoder:
    """Range encoder of one payload; symbols in coding order."""

    def __init__(self) -> None:
        """Start an empty stream."""
        self._coder = constriction.stream.queue.RangeEncoder()

    def put(self, entries: IntArray, counts: CountArray) -> None:
        """Code table entries, int32 [n], under one row of counts each, float64 [n, n_entries]."""
        self._coder.encode(np.ascontiguousarray(entries, dtype=np.int32), _CATEGORICAL, counts)

    def put_value(self, value: int) -> None:
        """Code an escaped symbol in full: value + 32768 as two equiprobable bytes, high first."""
        high_low = np.array(divmod(value - MIN_VALUE, 256), dtype=np.int32)
        self.put(high_low, np.stack([_BYTE_COUNTS] * 2))

    def finish(self) -> bytes:
        """Return the payload: the shortest bytes that name a number in the coder's last interval.

        constriction closes an interval with whole words; choosing the bytes here saves 13 bits a
        payload on average and changes nothing for the decoder.
        """
        words = self._coder.get_compressed()
        n_words, (lower, span) = self._coder.pos()
        n_bits = 32 * (n_words + 2)
        closed = int.from_bytes(words.astype(">u4").tobytes(), "big") << n_bits - 32 * len(words)
        low = closed - (closed - lower) % 2**64  # the interval is [low, low + span)
        n_bytes, code = n_bits // 8, low
        while n_bytes:
            unit_bits = n_bits - 8 * (n_bytes - 1)  # of the last byte, were there one byte less
            shorter = -(-low >> unit_bits)
            if shorter << unit_bits >= low + span:
                break
            n_bytes, code = n_bytes - 1, shorter
        return bytes(code.to_bytes(n_bytes, "big").rstrip(b"\0"))


class PayloadDecoder:
    """Range decoder of one payload."""

    def __init__(self, payload: bytes) -> None:
        """Start at the beginning of `payload`."""
        padded = payload + bytes(-len(payload) % 4)
        words = np.frombuffer(padded, dtype=">u4").astype(np.uint32)
        self._coder = constriction.stream.queue.RangeDecoder(words)

    def take(self, counts: CountArray) -> IntArray:
        """Return the next table entries, int32 [n], under counts float64 [n, n_entries].

        Raises:
            CorruptError: the payload cannot be a coded stream.
        """
        try:
            entries: IntArray = self._coder.decode(_CATEGORICAL, counts)
        except AssertionError as error:
            raise CorruptError("payload is not a coded stream") from error
        return entries

    def take_value(self) -> int:
        """Return an escaped symbol.

        Raises:
            CorruptError: the payload cannot be a coded stream.
        """
        high, low = self.take(np.stack([_BYTE_COUNTS] * 2))
        return int(high) * 256 + int(low) + MIN_VALUE
