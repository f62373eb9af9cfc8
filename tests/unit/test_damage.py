"""Every single-bit flip, every prefix and every appended byte of small files is detected."""

from __future__ import annotations

import pytest

from hzc.container import Chunk, Header, pack, pack_chunk, pack_end, pack_header, unpack
from hzc.errors import CorruptError, FormatError, NotHzcError, TruncatedError


def known_file(chunks: list[Chunk], *, n_samples: int, **changes: object) -> bytes:
    n_frames = sum(chunk.n_frames for chunk in chunks)
    fields = {"model_id": 1, "fingerprint": 0x3C5A, "n_latent": 4} | changes
    return pack(Header(n_frames=n_frames, n_samples=n_samples, **fields), chunks)


def streamed_file(chunks: list[Chunk], *, n_samples: int, **changes: object) -> bytes:
    fields = {"model_id": 1, "fingerprint": 0x3C5A, "n_latent": 4} | changes
    header = Header(n_frames=None, n_samples=None, **fields)
    head = pack_header(header)
    body = [pack_chunk(header, head, i, chunk) for i, chunk in enumerate(chunks)]
    n_frames = sum(chunk.n_frames for chunk in chunks)
    end = pack_end(header, head, len(chunks), n_frames, n_samples)
    return head + b"".join(body) + end


MONO = [Chunk(3, (b"\x9a\x00\x41\xfe",), gain_half_db=-120)]
MONO_LONG = [Chunk(80, (b"\x17" * 130,), 5), Chunk(80, (b"",), -3), Chunk(1, (b"\x80",), 120)]
MONO_SHORT = [Chunk(1, (b"\x9a",)), Chunk(80, (b"\x17" * 9,), 24), Chunk(7, (b"",), -1)]
STEREO = [Chunk(80, (b"\xff\xee", b"\x01"), 12), Chunk(2, (b"", b"\x00\x00\x07"), -9)]

FILES = {
    "one-frame": known_file([Chunk(1, (b"\x5a\xc3",))], n_samples=1),
    "known-length": known_file(MONO, n_samples=5_501),
    "known-length-three-chunks": known_file(MONO_LONG, n_samples=321_999),
    "known-length-two-channels": known_file(STEREO, n_samples=163_000, n_channels=2),
    "known-length-explicit-steps": known_file(MONO, n_samples=6_000, step_offsets=(0, -9, 8, 64)),
    "known-length-explicit-rate": known_file(MONO, n_samples=14_000, sample_rate_hz=37_800),
    "streamed": streamed_file(MONO, n_samples=5_501),
    "streamed-three-chunks": streamed_file(MONO_LONG, n_samples=321_999),
    "streamed-short-chunks": streamed_file(MONO_SHORT, n_samples=175_001),
    "streamed-two-channels": streamed_file(STEREO, n_samples=163_000, n_channels=2),
    "streamed-explicit-steps-and-rate": streamed_file(
        STEREO,
        n_samples=386_000,
        n_channels=2,
        sample_rate_hz=37_800,
        step_index=-3,
        step_offsets=(0, -9, 8, 64),
    ),
}


@pytest.fixture(params=FILES.values(), ids=FILES.keys())
def packed(request):
    return request.param


def test_unpack_undamaged_file_returns(packed):
    assert unpack(packed).header.n_frames == sum(c.n_frames for c in unpack(packed).chunks)


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


def test_unpack_empty_prefix_raises_not_hzc():
    with pytest.raises(NotHzcError, match="empty"):
        unpack(b"")


def test_unpack_any_appended_byte_raises_corrupt(packed):
    for byte in range(256):
        with pytest.raises(CorruptError, match="after the end"):
            unpack(packed + bytes([byte]))


def test_unpack_file_twice_in_a_row_raises_corrupt(packed):
    with pytest.raises(CorruptError, match="after the end"):
        unpack(packed + packed)


def test_unpack_any_single_missing_byte_raises_format_error(packed):
    for position in range(len(packed)):
        with pytest.raises(FormatError):
            unpack(packed[:position] + packed[position + 1 :])


def test_unpack_any_burst_of_one_byte_raises_format_error(packed):
    for position in range(len(packed)):
        for pattern in (0xFF, 0x81, 0x55):
            damaged = bytearray(packed)
            damaged[position] ^= pattern
            with pytest.raises(FormatError):
                unpack(bytes(damaged))
