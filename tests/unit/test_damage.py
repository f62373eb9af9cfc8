"""Every single-bit flip, every prefix and every appended byte of small files is detected."""

from __future__ import annotations

import pytest

from hzc.container import Chunk, Container, Header, unpack
from hzc.errors import CorruptError, FormatError, TruncatedError


def file_of(chunks: list[Chunk], n_samples: int, *, is_streamed: bool, **changes: object) -> bytes:
    n_frames = sum(chunk.n_frames for chunk in chunks)
    header = Header(1, 0x3C5A, 4, n_frames, n_samples, **changes)
    return Container(header, tuple(chunks), is_streamed).packed()


MONO = [Chunk(3, (b"\x9a\x00\x41\xfe",), gain_half_db=-120)]
MONO_LONG = [Chunk(80, (b"\x17" * 130,), 5), Chunk(80, (b"",), -3), Chunk(1, (b"\x80",), 120)]
MONO_SHORT = [Chunk(1, (b"\x9a",)), Chunk(80, (b"\x17" * 9,), 24), Chunk(7, (b"",), -1)]
STEREO = [Chunk(80, (b"\xff\xee", b"\x01"), 12), Chunk(2, (b"", b"\x00\x00\x07"), -9)]

STEPS = {"step_index": -3, "step_offsets": (0, -9, 8, 64)}
CASES = {
    "mono": (MONO, 5_501, {}),
    "three-chunks": (MONO_LONG, 321_999, {}),
    "two-channels": (STEREO, 163_000, {"n_channels": 2}),
    "every-field": (STEREO, 386_000, {"n_channels": 2, "sample_rate_hz": 37_800, **STEPS}),
}
FILES = {
    f"{name}-{'streamed' if is_streamed else 'known'}": file_of(
        chunks, n_samples, is_streamed=is_streamed, **changes
    )
    for name, (chunks, n_samples, changes) in CASES.items()
    for is_streamed in (False, True)
}
FILES["short-chunks"] = file_of(MONO_SHORT, 175_001, is_streamed=True)


@pytest.fixture(params=FILES.values(), ids=FILES.keys())
def packed(request):
    return request.param


def test_unpack_any_single_bit_flip_raises_format_error(packed):
    for bit in range(8 * len(packed)):
        damaged = bytearray(packed)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FormatError):
            unpack(bytes(damaged))


def test_unpack_any_prefix_raises_truncated(packed):
    for n_bytes in range(1, len(packed)):
        with pytest.raises(TruncatedError):
            unpack(packed[:n_bytes])


def test_unpack_any_appended_byte_raises_corrupt(packed):
    for byte in range(256):
        with pytest.raises(CorruptError, match="after the end"):
            unpack(packed + bytes([byte]))


def test_unpack_any_missing_or_wrong_byte_raises_format_error(packed):
    for at in range(len(packed)):
        wrong = [bytes([packed[at] ^ pattern]) for pattern in (0xFF, 0x81, 0x55)]
        for byte in (b"", *wrong):
            with pytest.raises(FormatError):
                unpack(packed[:at] + byte + packed[at + 1 :])
