"""A small file costs little memory, whatever it declares."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sealing import resealed

from hzc import container
from hzc.container import CHUNK_FRAMES, MAX_FRAMES, Chunk, Container, Header
from hzc.container.fields import varint
from hzc.errors import FormatError

PLAIN = Header(1, 0xBEEF, 32, CHUNK_FRAMES, CHUNK_FRAMES * 2_000)
LONGEST = replace(PLAIN, n_frames=MAX_FRAMES, n_samples=2_000 * MAX_FRAMES, n_channels=16)
MANY_STEPS = replace(PLAIN, n_latent=255, step_offsets=(0,) * 255)


def silence(n_chunks: int, n_frames: int, n_channels: int = 1, is_streamed: bool = False) -> bytes:
    """Return a file of chunks without a byte of payload."""
    total = n_chunks * n_frames
    header = replace(PLAIN, n_frames=total, n_samples=2_000 * total, n_channels=n_channels)
    chunks = (Chunk(n_frames, (b"",) * n_channels),) * n_chunks
    return Container(header, chunks, is_streamed).packed()


LEGAL = {
    "silence": silence(246, CHUNK_FRAMES),
    "silence of sixteen channels": silence(15, CHUNK_FRAMES, 16),
    "streamed chunks of one frame": silence(196, 1, is_streamed=True),
}
HOSTILE = {
    "most frames": container.pack_header(LONGEST) + bytes(900),
    "most frames, silent as far as they go": container.pack_header(LONGEST) + LEGAL["silence"][16:],
    "longest payload declared": container.pack_header(PLAIN) + b"\0" + varint(12_808) + bytes(900),
    "stream of zeros": silence(1, 1, is_streamed=True)[:12] + bytes(980),
    "damaged header": b"hzc\x10" + bytes(990),
    "damaged header of explicit steps": container.pack_header(MANY_STEPS)[:-1] + bytes(700),
    "varints without an end": container.pack_header(PLAIN)[:10] + b"\x80" * 980,
    "one chunk cut off": LEGAL["silence"][:-1],
}


def assert_frugal(function: Callable[[bytes], object], data: bytes) -> None:
    """Assert that a reader holds a few times the bytes of a file, and some for every record."""
    tracemalloc.start()
    try:
        with suppress(FormatError):
            kept = function(data)
        peak_bytes = tracemalloc.get_traced_memory()[1]
        kept = None  # noqa: F841 - held until the peak is known
    finally:
        tracemalloc.stop()
    assert peak_bytes <= 50 * len(data) + 2**20


@pytest.mark.parametrize("name", [*LEGAL, *HOSTILE])
def test_reading_a_small_file_is_frugal(name):
    data = (LEGAL | HOSTILE)[name]
    for function in (container.unpack, container.salvage):
        assert_frugal(function, data)
    if name in HOSTILE:
        with pytest.raises(FormatError):
            container.unpack(data)


@given(
    st.sampled_from([*LEGAL.values(), *HOSTILE.values()]),
    st.binary(max_size=500),
    st.integers(3, 1_000),
    st.booleans(),
)
def test_unpack_of_any_small_file_is_frugal(data, insert, at, is_sealed):
    data = data[:at] + insert + data[at + len(insert) :]
    assert_frugal(container.unpack, resealed(data) if is_sealed else data)
