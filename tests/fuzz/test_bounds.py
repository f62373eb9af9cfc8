"""A small file costs little: time and memory are bounded by its bytes, whatever it declares."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sealing import resealed

from hzc import container
from hzc.container import CHUNK_FRAMES, MAX_FRAMES, Chunk, Container, Header
from hzc.container.fields import varint
from hzc.errors import FormatError

N_BYTES = 1_000
MAX_PEAK_BYTES = 20 * 2**20
MAX_PARSE_S = 0.05
MAX_SALVAGE_S = 0.5
"""Several times what is usual."""
MAX_FRAMES_PER_BYTE = 20
"""Of all channels together: a record has four bytes or more, and 80 frames at most."""

PLAIN = Header(1, 0xBEEF, 32, CHUNK_FRAMES, CHUNK_FRAMES * 2_000)
LONGEST_HEADER = replace(PLAIN, n_latent=255, step_offsets=(0,) * 255)


def silence(n_chunks: int, n_channels: int = 1) -> bytes:
    """Return a file of full chunks, no byte of payload in any."""
    n_frames = n_chunks * CHUNK_FRAMES
    header = replace(PLAIN, n_frames=n_frames, n_samples=2_000 * n_frames, n_channels=n_channels)
    return container.pack(header, [Chunk(CHUNK_FRAMES, (b"",) * n_channels)] * n_chunks)


def silent_stream(n_chunks: int, n_frames: int) -> bytes:
    """Return a streamed file of chunks of n_frames each."""
    total = n_chunks * n_frames
    header = replace(PLAIN, n_frames=total, n_samples=2_000 * total)
    return Container(header, (Chunk(n_frames, (b"",)),) * n_chunks, is_streamed=True).packed()


LONGEST = replace(PLAIN, n_frames=MAX_FRAMES, n_samples=2_000 * MAX_FRAMES)
LEGAL = {
    "silence": silence(246),
    "silence of sixteen channels": silence(15, 16),
    "streamed silence": silent_stream(196, CHUNK_FRAMES),
    "streamed chunks of one frame": silent_stream(196, 1),
}
HOSTILE = {
    "most frames": container.pack_header(LONGEST) + bytes(900),
    "most frames, silent as far as they go": container.pack_header(LONGEST) + silence(246)[16:],
    "longest payload declared": container.pack_header(PLAIN) + b"\0" + varint(12_808) + bytes(900),
    "stream of zeros": silent_stream(1, 1)[:12] + bytes(980),
    "damaged header": b"hzc\x10" + bytes(990),
    "damaged header of explicit steps": container.pack_header(LONGEST_HEADER)[:-1] + bytes(700),
    "varints without an end": container.pack_header(PLAIN)[:10] + b"\x80" * 980,
    "one chunk cut off": silence(246)[:-1],
}
every_file = pytest.mark.parametrize("name", [*LEGAL, *HOSTILE])


def or_refused(function: Callable[[bytes], object], data: bytes) -> object:
    try:
        return function(data)
    except FormatError:
        return None


def peak_bytes(function: Callable[[], object]) -> int:
    """Return the most memory that Python and numpy held more than before."""
    tracemalloc.start()
    try:
        kept = function()
        peak = tracemalloc.get_traced_memory()[1]
        del kept
    finally:
        tracemalloc.stop()
    return peak


def processor_s(function: Callable[[], object]) -> float:
    """Return the time of a run, the better of two."""
    found = []
    for _ in range(2):
        start = time.process_time()
        function()
        found.append(time.process_time() - start)
    return min(found)


def assert_cheap(function: Callable[[], object], limit_s: float) -> None:
    assert peak_bytes(function) <= MAX_PEAK_BYTES
    assert processor_s(function) <= limit_s


@every_file
def test_unpack_of_a_small_file_is_quick_and_frugal(name):
    data = (LEGAL | HOSTILE)[name]
    assert len(data) <= 1.1 * N_BYTES
    assert_cheap(lambda: or_refused(container.unpack, data), MAX_PARSE_S)


@every_file
def test_salvage_of_a_small_file_is_quick_and_frugal(name):
    data = (LEGAL | HOSTILE)[name]
    assert_cheap(lambda: or_refused(container.salvage, data), MAX_SALVAGE_S)


@given(
    st.sampled_from([*LEGAL.values(), *HOSTILE.values()]),
    st.binary(max_size=N_BYTES // 2),
    st.integers(3, N_BYTES),
    st.booleans(),
)
def test_unpack_of_any_small_file_is_quick_and_frugal(data, insert, at, is_sealed):
    data = data[:at] + insert + data[at + len(insert) :]
    if is_sealed:
        data = resealed(data)
    assert_cheap(lambda: or_refused(container.unpack, data), MAX_PARSE_S)


@pytest.mark.parametrize("name", LEGAL)
def test_frames_of_a_file_are_bounded_by_its_bytes(name):
    data = LEGAL[name]
    parsed = container.unpack(data)
    n_frames = sum(chunk.n_frames * len(chunk.payloads) for chunk in parsed.chunks)
    assert n_frames <= MAX_FRAMES_PER_BYTE * len(data)


def test_hostile_files_are_refused():
    for data in HOSTILE.values():
        with pytest.raises(FormatError):
            container.unpack(data)
