"""MP3 as libsndfile does not count it: all frames, with or without a table of contents.

Source: ISO/IEC 11172-3, section 2.4.1.3 and 13818-3 (the header of a frame); the Xing tag as in
LAME and mpg123.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from hzc.audio.pipes import Contents, Reader, opened

KBPS = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Bitrates by version (1, or 2 and 2.5) and layer; layer 3 of version 2 has those of layer 2."""
RATES_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
SYNC = re.compile(rb"\xff[\xe2-\xff][\x10-\xef]", re.DOTALL)
XING_BYTES = 16
MOST_FAULTS = 3


@dataclass(frozen=True)
class Frame:
    """What a header of four bytes says."""

    n_bytes: int
    n_samples: int
    sample_rate_hz: int
    side_bytes: int
    """Between the header and a Xing tag."""


def frame(header: bytes) -> Frame | None:
    """Return what a header says, or None where it is none."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    bitrate, rate, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version == 1 or layer == 4 or bitrate in (0, 15) or rate == 3:
        return None
    first = version == 3
    kbps = KBPS[1 if first else 2, layer if first else min(layer, 2)][bitrate - 1]
    sample_rate_hz = RATES_HZ[version][rate]
    n_samples = 384 if layer == 1 else 576 if layer == 3 and not first else 1152
    unit = 4 if layer == 1 else 1
    n_bytes = (n_samples // 8 // unit * kbps * 1000 // sample_rate_hz + padding) * unit
    is_mono = header[3] >> 6 == 3
    side_bytes = (17 if is_mono else 32) if first else (9 if is_mono else 17)
    return Frame(n_bytes, n_samples, sample_rate_hz, side_bytes)


@dataclass(frozen=True)
class Count:
    """All whole frames of a file."""

    n_samples: int
    frame_samples: int
    is_tagged: bool
    """Whether the first frame is no audio but a Xing, Info or VBRI tag."""
    faults: list[str]
    """Where frames are damaged or cut, in plain words."""


def count(file: Contents) -> Count:
    """Count the samples of an MP3, those of its tag included."""
    n_samples = frame_samples = 0
    is_tagged = False
    faults: list[str] = []
    with opened(file) as stream:
        reader = Reader(stream, is_pipe=False)
        for content, found, is_next in _frames(reader):
            at_s = n_samples / found.sample_rate_hz
            if not n_samples:
                is_tagged = any(tag in content[:48] for tag in (b"Xing", b"Info", b"VBRI"))
            elif not is_next:
                faults.append(f"the audio is damaged at {at_s:.2f} s")
            if len(content) < found.n_bytes:
                if not is_tagged:  # what is missing is counted where a tag says how much there was
                    faults.append(f"the audio breaks off at {at_s:.2f} s (its last frame is cut)")
                break
            n_samples += found.n_samples
            frame_samples = found.n_samples
    return Count(n_samples, frame_samples, is_tagged, faults[:MOST_FAULTS])


def _frames(reader: Reader) -> Iterator[tuple[bytes, Frame, bool]]:
    """Yield frames, what they say, and whether they follow the one before at once.

    A frame is believed if it has version, layer and rate of the one before, or if another follows.
    The last one may be cut.
    """
    before = b""
    is_next = True
    while len(start := reader.peek(10)) >= 4:
        if n_bytes := tag_bytes(start):
            reader.skip(n_bytes)
            continue
        found = frame(start)
        content = reader.peek(found.n_bytes + 4 if found else 0)
        is_alike = before[1:2] == start[1:2] and before[2:3] == bytes([start[2] & 0x0C])
        if found and (is_alike or frame(content[found.n_bytes :])):
            yield content[: found.n_bytes], found, is_next
            reader.skip(found.n_bytes)
            before, is_next = start[:2] + bytes([start[2] & 0x0C]), True
            continue
        window = reader.peek(1 << 12)
        sync = SYNC.search(window, 1)
        reader.skip(sync.start() if sync else max(1, len(window) - 2))
        is_next = False


def tag_bytes(start: bytes) -> int:
    """Return the size of an ID3 tag that begins here, or 0."""
    if start[:3] == b"TAG":
        return 128
    if start[:3] == b"ID3" and len(start) == 10:
        return 10 + sum((byte & 127) << 7 * i for i, byte in enumerate(reversed(start[6:])))
    return 0


def announced(file: Contents, count: Count) -> io.RawIOBase:
    """Return an MP3 behind a Xing frame that announces its true length."""
    stream = opened(file)
    reader = Reader(stream, is_pipe=False)
    n_bytes = reader.n_bytes_left()
    content, found, _ = next(_frames(reader))
    header = content[:4]
    start = n_bytes - reader.n_bytes_left()
    bitrate = 1
    while found.n_bytes < 4 + found.side_bytes + XING_BYTES:
        bitrate += 1
        header = header[:2] + bytes([bitrate << 4 | header[2] & 15]) + header[3:]
        found = frame(header) or found
    tag = header + bytes(found.side_bytes) + b"Xing\0\0\0\1"
    tag += (count.n_samples // count.frame_samples).to_bytes(4, "big")
    return _Joined(tag.ljust(found.n_bytes, b"\0"), stream, start)


class _Joined(io.RawIOBase):
    """Some bytes, and then a file from an offset on."""

    def __init__(self, start: bytes, stream: BinaryIO, offset: int) -> None:
        self._start, self._stream, self._at = start, stream, 0
        self._shift = offset - len(start)
        self._n_bytes = stream.seek(0, os.SEEK_END) - self._shift

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._n_bytes}[whence]
        self._at = max(0, origin + offset)
        return self._at

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        data = self._start[self._at : self._at + len(view)]
        if not data:
            self._stream.seek(self._at + self._shift)
            data = self._stream.read(len(view))
        view[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()
