"""Bytes read in order with bounds checked, and the integers of the format."""

from __future__ import annotations

from hzc.errors import CorruptError, LimitError, TruncatedError

MAX_VARINT_BYTES = 5


class Cursor:
    """Reads fields from bytes and never past their end."""

    def __init__(self, data: bytes) -> None:
        """Start at the first byte."""
        self.data, self.offset = data, 0

    def take(self, n_bytes: int) -> bytes:
        """Return the next bytes, or raise TruncatedError."""
        end = self.offset + n_bytes
        if end > len(self.data):
            raise TruncatedError(
                f"truncated (found {len(self.data)} bytes, at least {end} needed)",
                hint="the file was cut off; copy it again",
            )
        piece = self.data[self.offset : end]
        self.offset = end
        return piece

    def unsigned(self, n_bytes: int = 1) -> int:
        """Return a big-endian integer."""
        return int.from_bytes(self.take(n_bytes), "big")

    def signed(self) -> int:
        """Return one byte as a two's complement integer."""
        return int.from_bytes(self.take(1), "big", signed=True)

    def varint(self) -> int:
        """Return a LEB128 integer; only its shortest form is allowed."""
        value = 0
        for i in range(MAX_VARINT_BYTES):
            byte = self.unsigned()
            value |= (byte & 0x7F) << (7 * i)
            if byte < 0x80:
                if byte == 0 and i > 0:
                    raise CorruptError("integer not in its shortest form")
                return value
        raise LimitError("integer longer than 5 bytes")


def varint(value: int) -> bytes:
    """Return value >= 0 as LEB128, shortest form."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
