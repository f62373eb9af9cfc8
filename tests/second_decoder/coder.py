"""The range coder (section 7)."""

from bisect import bisect_left, bisect_right

from .errors import Corrupt

PRECISION = 24
BYTE_CUMULATIVES = [value << 16 for value in range(257)]
_MASK = 2**64 - 1
_RANGE_MIN = 2**32


class Decoder:
    """Finds the entries of a payload (section 7.3)."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._at = 0
        self._lower = 0
        self._range = _MASK
        self._point = (self._word() << 32) + self._word()
        self._mirror = Encoder()

    def entry(self, cumulatives: list[int]) -> int:
        """Return the next entry; entry e has the frequencies from cumulatives[e] to [e + 1]."""
        unit = self._range >> PRECISION
        q = ((self._point - self._lower) & _MASK) // unit
        if q >= 1 << PRECISION:  # P1
            raise Corrupt("a payload that no symbols have")
        e = bisect_right(cumulatives, q) - 1
        self._lower = (self._lower + unit * cumulatives[e]) & _MASK
        self._range = unit * (cumulatives[e + 1] - cumulatives[e])
        if self._range < _RANGE_MIN:
            self._lower = (self._lower << 32) & _MASK
            self._range <<= 32
            self._point = ((self._point << 32) & _MASK) + self._word()
        self._mirror.entry(cumulatives, e)
        return e

    def canonical(self) -> bytes:
        """Return the payload that section 7.4 makes of the entries so far."""
        return self._mirror.payload()

    def _word(self) -> int:
        """Return the next 32 bits; there are zeros behind the payload."""
        word = self._payload[self._at : self._at + 4]
        self._at += 4
        return int.from_bytes(word.ljust(4, b"\0"), "big")


class Encoder:
    """Makes the payload of entries (section 7.4)."""

    def __init__(self) -> None:
        self._low = 0
        self._range = _MASK
        self._bits = 64

    def entry(self, cumulatives: list[int], e: int) -> None:
        """Code entry `e`."""
        unit = self._range >> PRECISION
        self._low += unit * cumulatives[e]
        self._range = unit * (cumulatives[e + 1] - cumulatives[e])
        if self._range < _RANGE_MIN:
            self._low <<= 32
            self._range <<= 32
            self._bits += 32

    def payload(self) -> bytes:
        """Return the payload of the entries so far: the end of section 7.4."""
        # Where k bytes are enough, k + 1 are: so the smallest k is found by halving.
        k = bisect_left(range(self._bits // 8), True, key=self._enough)
        return self._shortest(k).to_bytes(k, "big")

    def _shortest(self, k: int) -> int:
        """Return m, the smallest string of k bytes that is not below `low`."""
        unit_bits = self._bits - 8 * k
        return -(-self._low >> unit_bits)

    def _enough(self, k: int) -> bool:
        return self._shortest(k) << (self._bits - 8 * k) < self._low + self._range
