"""Makes the checksums of damaged files right again, so that a fuzzer gets behind them.

Written from formats/hzc-1.md; what cannot be walked is left as it is.
"""

from __future__ import annotations

from binascii import crc_hqx

FIXED_BYTES = 10
RATE_BYTES = 4


class _Walk:
    """Goes over the fields of a file and mends its checksums."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        self.at = 0

    @property
    def is_at_end(self) -> bool:
        return self.at >= len(self.data)

    def varint(self) -> int:
        """Return the varint here, of any length and form."""
        value = shift = 0
        while not self.is_at_end:
            byte = self.data[self.at]
            value |= (byte & 0x7F) << shift
            self.at, shift = self.at + 1, shift + 7
            if byte < 0x80:
                break
        return value

    def seal(self, start: int, place: bytes) -> None:
        """Put the checksum of what lies between start and here."""
        if self.at + 2 <= len(self.data):
            crc = crc_hqx(place + self.data[start : self.at], 0xFFFF)
            self.data[self.at : self.at + 2] = crc.to_bytes(2, "big")
        self.at += 2


def resealed(data: bytes, model: bytes = b"") -> bytes:
    """Return the file with the checksums that belong there.

    Args:
        data: Anything.
        model: Model id, fingerprint and D, four bytes, if they are to be put in as well.
    """
    if len(data) < FIXED_BYTES:
        return data
    walk = _Walk(data)
    if model:
        walk.data[4:7], walk.data[9] = model[:3], model[3]
    is_streamed, is_explicit = walk.data[3] & 1, walk.data[3] >> 1 & 1
    n_channels = 1 + walk.data[7] % 16
    walk.at = FIXED_BYTES
    if walk.data[7] < 16:
        walk.at += RATE_BYTES
    if is_explicit:
        walk.at += walk.data[9]
    if not is_streamed:
        walk.varint()
        walk.varint()
    walk.seal(0, b"")
    header_crc = bytes(walk.data[walk.at - 2 : walk.at])
    n_records = 0
    while not walk.is_at_end:
        start = walk.at
        chunk, channel = divmod(n_records, n_channels)
        place = header_crc + chunk.to_bytes(4, "big") + bytes([channel])
        is_end = bool(is_streamed) and channel == 0 and walk.data[start] == 0
        walk.at += is_streamed
        if is_end:
            walk.varint()
            walk.varint()
            walk.seal(start, place)
            break
        walk.at += 1
        length = walk.varint()
        walk.at += length
        walk.seal(start, place)
        n_records += 1
    return bytes(walk.data)
