"""Reading the fields of a file (section 3)."""

from .errors import Corrupt, Limit, Truncated

_MAX_VLQ_BYTES = 5


class Reader:
    """Reads fields from the start of `data` onwards."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes; the file may not end among them (section 11)."""
        taken = self.data[self.at : self.at + count]
        if len(taken) < count:
            raise Truncated(f"the file ends at {len(self.data)}, {count} bytes due at {self.at}")
        self.at += count
        return taken

    def unsigned(self, count: int) -> int:
        """Return a big-endian u8, u16 or u32."""
        return int.from_bytes(self.take(count), "big")

    def s8(self) -> int:
        """Return a two's complement integer of 8 bits."""
        return signed_byte(self.unsigned(1))

    def vlq(self) -> int:
        """Return a varint; checks H4, R2, E1 (too long), then H5, R3, E2 (not the shortest)."""
        value = 0
        for i in range(_MAX_VLQ_BYTES):
            byte = self.unsigned(1)
            value |= (byte & 0x7F) << (7 * i)
            if byte < 0x80:
                if byte == 0 and i > 0:
                    raise Corrupt("a vlq is not in its shortest form")
                return value
        raise Limit("a vlq has more than 5 bytes")

    def ended(self) -> bool:
        """Tell whether all bytes have been read."""
        return self.at == len(self.data)


def signed_byte(byte: int) -> int:
    """Return the s8 that a u8 holds."""
    return byte - 256 if byte >= 128 else byte
