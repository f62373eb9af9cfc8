"""Ogg as libsndfile does not report on it: damaged pages, lost pages, a missing end.

    "OggS" version flags granule:8 serial:4 sequence:4 crc:4 n_segments sizes* content

Source: RFC 3533, section 6.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from hzc.audio.pipes import Contents, Reader, opened

MAGIC = b"OggS"
BEGINS, ENDS = 2, 4
NO_GRANULE = 2**64 - 1
MOST_BAD = 1000
"""Limit on invalid pages: each takes as long to check as 64 KiB."""
REVERSED_BITS = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


@dataclass(frozen=True)
class _Page:
    flags: int
    granule: int
    serial: int
    sequence: int
    content: bytes


def faults(file: Contents, *, reads_all: bool = False) -> Iterator[str]:
    """Yield what is wrong with the first audio stream of a file, in plain words.

    Args:
        file: Ogg Vorbis, Opus, FLAC or Speex.
        reads_all: Whether recordings one after the other are all read.
    """
    last: _Page | None = None
    sample_rate_hz, at_s = 1, 0.0
    with opened(file) as stream:
        reader = Reader(stream, is_pipe=False)
        for page in _pages(reader):
            if last is None:
                if found := _granule_rate_hz(page.content):
                    last, sample_rate_hz = page, found
                continue
            if page.flags & BEGINS and last.flags & ENDS:
                if not reads_all:
                    yield f"another recording follows after {at_s:.2f} s (it is not read)"
                return
            if page.serial != last.serial:
                continue
            now_s = at_s if page.granule == NO_GRANULE else page.granule / sample_rate_hz
            if page.sequence != (last.sequence + 1) % 2**32:
                yield f"the audio is damaged between {at_s:.2f} s and {now_s:.2f} s"
            last, at_s = page, now_s
    if last is not None and not last.flags & ENDS:
        yield f"the audio breaks off at {at_s:.2f} s (its end mark is missing)"


def _granule_rate_hz(content: bytes) -> int | None:
    """Return the units per second of a stream's positions, from its first page."""
    if content.startswith(b"OpusHead"):
        return 48_000
    if content.startswith(b"\x01vorbis"):
        return int.from_bytes(content[12:16], "little") or None
    if content.startswith(b"Speex   "):
        return int.from_bytes(content[36:40], "little") or None
    if content.startswith(b"\x7fFLAC"):
        return int.from_bytes(content[27:30], "big") >> 4 or None
    return None


def _pages(reader: Reader) -> Iterator[_Page]:
    """Yield the pages whose checksums hold; give up where nearly none does."""
    n_bad = 0
    while n_bad < MOST_BAD and (start := reader.peek(27)):
        if start[:4] != MAGIC or len(start) < 27:
            window = reader.peek(1 << 12)
            at = window.find(MAGIC, 1)
            reader.skip(at if at > 0 else max(1, len(window) - 3))
            continue
        sizes = reader.peek(27 + start[26])[27:]
        data = reader.peek(27 + len(sizes) + sum(sizes))
        flags, granule, serial, sequence, crc = struct.unpack_from("<BQIII", data, 5)
        if len(sizes) == start[26] and _crc(data[:22] + bytes(4) + data[26:]) == crc:
            reader.skip(len(data))
            yield _Page(flags, granule, serial, sequence, data[27 + len(sizes) :])
        else:
            reader.skip(4)
            n_bad += 1


def _crc(data: bytes) -> int:
    """CRC-32 of Ogg: zlib's polynomial with the bits in the other order, no inversions."""
    mirrored = zlib.crc32(data.translate(REVERSED_BITS), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return int(f"{mirrored:032b}"[::-1], 2)
