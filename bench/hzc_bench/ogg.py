"""Payload of Ogg files: what the packets weigh without pages and headers.

A page is a 27-byte header, a table of segment lengths, and the segments (RFC 3533). A packet ends
with the first segment shorter than 255 bytes.
"""

from __future__ import annotations

from collections.abc import Iterator

PAGE_MAGIC = b"OggS"
PAGE_HEADER_BYTES = 27
N_HEADER_PACKETS = 2
"""Opus and Speex alike: identification, then comments."""


def packet_sizes(data: bytes) -> Iterator[int]:
    """Yield the bytes of every packet of a file with one logical stream.

    Raises:
        ValueError: a page does not start where one should, or ends beyond the file.
    """
    offset, size = 0, 0
    while offset < len(data):
        if data[offset : offset + 4] != PAGE_MAGIC or offset + PAGE_HEADER_BYTES > len(data):
            raise ValueError(f"no Ogg page at byte {offset}")
        n_segments = data[offset + 26]
        body = offset + PAGE_HEADER_BYTES + n_segments
        lengths = data[offset + PAGE_HEADER_BYTES : body]
        if body + sum(lengths) > len(data):
            raise ValueError(f"the Ogg page at byte {offset} is cut short")
        for length in lengths:
            size += length
            if length < 255:
                yield size
                size = 0
        offset = body + sum(lengths)


def payload_bytes(data: bytes) -> int:
    """Return the bytes of all packets of sound, the two header packets left out.

    Raises:
        ValueError: not an Ogg file.
    """
    return sum(list(packet_sizes(data))[N_HEADER_PACKETS:])
