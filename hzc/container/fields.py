"""Bytes read in order with bounds checked, and the integers of the format."""

from __future__ import annotations

from typing import Protocol

from hzc.errors import CorruptError, LimitError, TruncatedError

MAX_VARINT_BYTES = 5


class Readable(Protocol):
    """What bytes are read from: a file, a pipe, or bytes in memory."""

    def read(self, n_bytes: int, /) -> bytes:
        """Return up to n_bytes; none at the end."""


class Cursor:
    """Reads fields in order and never past the end of the stream."""

    def __init__(self, stream: Readable) -> None:
        """Start where the stream stands."""
        self._stream = stream
        self.offset = 0
        """Bytes taken so far."""
        self.marked = bytearray()
        """Bytes taken since the last `mark`."""

    def mark(self) -> None:
        """Start to collect what is taken, for a checksum."""
        self.marked.clear()

    def take_up_to(self, n_bytes: int) -> bytes:
        """Return the next bytes, fewer where the stream ends."""
        piece = b""
        while len(piece) < n_bytes and (more := self._stream.read(n_bytes - len(piece))):
            piece += more
        self.offset += len(piece)
        self.marked += piece
        return piece

    def take(self, n_bytes: int) -> bytes:
        """Return the next bytes, or raise TruncatedError."""
        end = self.offset + n_bytes
        piece = self.take_up_to(n_bytes)
        if len(piece) < n_bytes:
            raise TruncatedError(
                f"truncated (found {self.offset} bytes, at least {end} needed)",
                hint="the file was cut off; copy it again, or try --salvage",
            )
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
