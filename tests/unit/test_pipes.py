"""Audio through pipes: WAV read as it comes, the rest by way of the disk, WAV written."""

from __future__ import annotations

import gc
import io
import os
import shutil
import struct
import subprocess
import tempfile
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from hzc.audio import pipes, sources, writers
from hzc.errors import AudioReadError, CorruptError, UnreadableError

WAV_SUBTYPES = ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAW", "ULAW")
PCM_16 = struct.pack("<HHIIHH", 1, 1, 16_000, 32_000, 2, 16)
SIZES_THAT_TELL_NOTHING = [0, 0x7FFF_F000, 0x7FFF_F024, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF]


class Trickle(io.RawIOBase):
    """A stream that gives 1 … 7 bytes at a time, whatever it is asked for, and cannot go back."""

    def __init__(self, data: bytes, most: int = 7) -> None:
        self.rest = io.BytesIO(data)
        self.most = most
        self.n_reads = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        assert size > 0, "a stream that never ends would be read to its end"
        self.n_reads += 1
        return self.rest.read(min(size, 1 + self.n_reads % self.most))


class Endless(io.RawIOBase):
    """Some bytes, and then zeros: so many that no memory holds them, without holding them."""

    def __init__(self, start: bytes, n_zeros: int) -> None:
        self.start = start
        self.n_zeros = n_zeros

    def read(self, size: int = -1) -> bytes:
        assert 0 < size <= 2 * pipes.PIECE_BYTES
        if self.start:
            piece, self.start = self.start[:size], self.start[size:]
            return piece
        size = min(size, self.n_zeros)
        self.n_zeros -= size
        return bytes(size)


def noise(n_samples: int, n_channels: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (n_samples, n_channels))


def audio_bytes(samples: np.ndarray, rate_hz: int = 16_000, **options: str) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, **({"format": "WAV"} | options))
    return buffer.getvalue()


def fmt(**changes: int) -> bytes:
    """Return the fmt chunk of mono 16-bit PCM at 16 kHz, with some fields changed."""
    fields = {"code": 1, "n_channels": 1, "rate_hz": 16_000, "align": 2, "bits": 16} | changes
    return struct.pack(
        "<HHIIHH", fields["code"], fields["n_channels"], fields["rate_hz"], 0, fields["align"],
        fields["bits"],
    )  # fmt: skip


def chunk(name: bytes, content: bytes, n_bytes: int | None = None) -> bytes:
    size = len(content) if n_bytes is None else n_bytes
    return struct.pack("<4sI", name, size) + content + b"\0" * (len(content) % 2)


def wav(*chunks: bytes, magic: bytes = b"RIFF", n_bytes: int | None = None) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return struct.pack("<4sI", magic, len(body) if n_bytes is None else n_bytes) + body


def from_disk(data: bytes) -> np.ndarray:
    """Return what soundfile reads: float32 [channel, sample]."""
    return soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)[0].T


def as_samples(data: bytes) -> np.ndarray:
    """Return 16-bit mono PCM as float32 [1, sample]."""
    return (np.frombuffer(data, "<i2") / np.float32(32_768))[None]


def joined(source: sources.Source) -> np.ndarray:
    empty = np.zeros((source.n_channels, 0), np.float32)
    return np.concatenate([empty, *source.blocks()], axis=1)


def refusal(stream: io.RawIOBase) -> AudioReadError | None:
    """Go through a stream; return why it is no audio, or None where it is."""
    try:
        source = pipes.open_stream(stream)
        for block in source.blocks():
            assert block.shape[0] == source.n_channels
            assert block.dtype == np.float32
    except AudioReadError as error:
        return error
    return None


def temporary_files(folder: Path) -> list[Path]:
    gc.collect()
    return list(folder.iterdir())


@pytest.fixture
def spool_folder(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "spool"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def no_disk(monkeypatch):
    """Make sure that the audio is read as it comes."""

    def refuse(**options: object) -> None:
        raise AssertionError("put on disk")

    monkeypatch.setattr(tempfile, "mkstemp", refuse)


# --- WAV, as it comes -----------------------------------------------------------------------


@pytest.mark.usefixtures("no_disk")
@pytest.mark.parametrize("format_", ["WAV", "WAVEX", "RF64"])
@pytest.mark.parametrize("subtype", WAV_SUBTYPES)
@pytest.mark.parametrize("n_channels", [1, 2, 8])
def test_open_stream_of_wav_gives_exactly_the_samples_that_soundfile_reads(
    format_, subtype, n_channels
):
    # Beyond full scale too: float keeps it.
    samples = 1.2 * noise(2_345, n_channels)
    data = audio_bytes(samples, 1_000, format=format_, subtype=subtype)
    source = pipes.open_stream(Trickle(data, most=5_000))
    assert (source.sample_rate_hz, source.n_channels) == (1_000, n_channels)
    assert source.duration_s == pytest.approx(2.345)
    blocks = list(source.blocks())
    assert [block.shape[1] for block in blocks] == [1_000, 1_000, 345]
    assert all(block.dtype == np.float32 and block.flags.c_contiguous for block in blocks)
    assert (
        np.concatenate(blocks, axis=1).tobytes() == np.ascontiguousarray(from_disk(data)).tobytes()
    )


@pytest.mark.usefixtures("no_disk")
@pytest.mark.parametrize("most", range(1, 8))
def test_open_stream_of_few_bytes_at_a_time_gives_the_same(most):
    data = audio_bytes(noise(3_000, 2), subtype="PCM_24")
    assert np.array_equal(joined(pipes.open_stream(Trickle(data, most))), from_disk(data))


def test_open_stream_gives_blocks_once_only():
    source = pipes.open_stream(Trickle(audio_bytes(noise(100, 1))))
    assert joined(source).shape == (1, 100)
    with pytest.raises(RuntimeError, match="only once"):
        source.blocks()


def test_open_stream_reads_no_further_than_the_block_it_gives():
    stream = io.BytesIO(audio_bytes(noise(50_000, 1), subtype="PCM_16"))
    source = pipes.open_stream(stream)
    assert stream.tell() == 44
    blocks = source.blocks()
    for n_read in (16_000, 32_000):
        assert next(blocks).shape == (1, 16_000)
        assert stream.tell() == 44 + 2 * n_read


def test_open_stream_of_a_high_rate_and_many_channels_gives_small_blocks():
    samples = noise(9_000, 64)
    source = pipes.open_stream(Trickle(audio_bytes(samples, 768_000, subtype="DOUBLE"), 10**6))
    blocks = list(source.blocks())
    assert max(block.shape[1] for block in blocks) == pipes.PIECE_BYTES // (8 * 64)
    assert np.array_equal(np.concatenate(blocks, axis=1), samples.T.astype(np.float32))


@pytest.mark.usefixtures("no_disk")
@pytest.mark.parametrize("declared", SIZES_THAT_TELL_NOTHING)
@pytest.mark.parametrize("magic", [b"RIFF", b"RF64", b"BW64"])
def test_open_stream_of_a_size_that_tells_nothing_reads_until_the_end(declared, magic):
    audio_data = noise(20_000, 1).astype(np.float32).tobytes()[: 2 * 20_000]
    head = wav(chunk(b"fmt ", PCM_16), chunk(b"data", b"", declared), magic=magic, n_bytes=declared)
    source = pipes.open_stream(Trickle(head + audio_data, 5_000))
    assert source.duration_s is None
    assert np.array_equal(joined(source), as_samples(audio_data))


@pytest.mark.usefixtures("no_disk")
@pytest.mark.parametrize("magic", [b"RF64", b"BW64"])
@pytest.mark.parametrize(
    ("n_bytes", "duration_s"),
    [(3_200, 0.1), (32_000 * 10**6, 10**6), (0, None), (2**64 - 1, None), (2**63, None)],
)
def test_open_stream_of_rf64_takes_its_size_from_ds64(magic, n_bytes, duration_s):
    ds64 = chunk(b"ds64", struct.pack("<QQQI", n_bytes, n_bytes, n_bytes, 0))
    head = wav(ds64, chunk(b"fmt ", PCM_16), chunk(b"data", b"", 2**32 - 1), magic=magic)
    source = pipes.open_stream(Trickle(head + bytes(4_000), 5_000))
    assert source.duration_s == duration_s
    assert joined(source).shape == (1, 1_600 if n_bytes == 3_200 else 2_000)


@pytest.mark.usefixtures("no_disk")
@pytest.mark.parametrize("ds64", [b"", chunk(b"ds64", b""), chunk(b"ds64", bytes(15))])
def test_open_stream_of_rf64_without_its_sizes_reads_until_the_end(ds64):
    head = wav(ds64, chunk(b"fmt ", PCM_16), chunk(b"data", b"", 2**32 - 1), magic=b"RF64")
    source = pipes.open_stream(Trickle(head + bytes(4_000)))
    assert source.duration_s is None
    assert joined(source).shape == (1, 2_000)


@pytest.mark.usefixtures("no_disk")
def test_open_stream_of_chunks_before_and_behind_the_audio_leaves_them_out():
    names = (b"LIST", b"bext", b"JUNK", b"fact", b"odd ", b"\xff\0\0\1")
    before = [chunk(name, bytes(range(7 + i))) for i, name in enumerate(names)]
    content = noise(500, 1).tobytes()[:1_000]
    parts = (*before, chunk(b"fmt ", PCM_16), *before, chunk(b"data", content), *before)
    source = pipes.open_stream(Trickle(wav(*parts)))
    assert source.duration_s == 500 / 16_000
    assert np.array_equal(joined(source), as_samples(content))


@pytest.mark.usefixtures("no_disk")
@pytest.mark.parametrize("extra", [b"", b"\0\0", b"\0", bytes(500)])
def test_open_stream_of_a_longer_fmt_chunk_ignores_the_rest(extra):
    content = noise(500, 1).tobytes()[:1_000]
    data = wav(chunk(b"fmt ", PCM_16 + extra), chunk(b"data", content))
    assert np.array_equal(joined(pipes.open_stream(Trickle(data))), as_samples(content))


@pytest.mark.parametrize("n_kept", [44, 45, 46, 47, 1_000, 1_001, 40_000])
@pytest.mark.parametrize("n_channels", [1, 2])
def test_open_stream_of_a_cut_off_wav_gives_what_came(n_kept, n_channels):
    data = audio_bytes(noise(40_000, n_channels), subtype="PCM_16")[:n_kept]
    source = pipes.open_stream(Trickle(data, 1_000))
    assert source.duration_s == 2.5
    assert np.array_equal(joined(source), from_disk(data))


def test_open_stream_of_every_cut_in_the_header_raises():
    data = wav(chunk(b"JUNK", b"abc"), chunk(b"fmt ", PCM_16), chunk(b"data", bytes(100)))
    start = data.index(b"data") + 8
    for n_kept in range(12, start):
        with pytest.raises(AudioReadError, match="header ends before the audio"):
            pipes.open_stream(Trickle(data[:n_kept]))
    assert joined(pipes.open_stream(Trickle(data[:start]))).shape == (1, 0)
    for n_kept in range(1, 12):
        with pytest.raises(AudioReadError, match="not readable as audio"):
            pipes.open_stream(Trickle(data[:n_kept]))


@pytest.mark.usefixtures("no_disk")
@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        ([], "does not say how the audio is coded"),
        ([chunk(b"fmt ", b"")], "does not say how the audio is coded"),
        ([chunk(b"fmt ", PCM_16[:15])], "does not say how the audio is coded"),
        ([chunk(b"fmt ", fmt(n_channels=0))], "0 channels at 16000 Hz"),
        ([chunk(b"fmt ", fmt(n_channels=0, align=0))], "0 channels at 16000 Hz"),
        ([chunk(b"fmt ", fmt(n_channels=1025, align=2050))], "1025 channels at 16000 Hz"),
        ([chunk(b"fmt ", fmt(rate_hz=0))], "1 channels at 0 Hz"),
        ([chunk(b"fmt ", fmt(rate_hz=2**31))], "1 channels at 2147483648 Hz"),
    ],
)
def test_open_stream_of_a_wav_header_that_makes_no_sense_raises_at_once(chunks, message):
    endless = Endless(wav(*chunks, chunk(b"data", b"", 2**32 - 1)), 10**12)
    with pytest.raises(AudioReadError, match=message) as caught:
        pipes.open_stream(endless)
    assert caught.value.path is None
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [fmt(align=0), fmt(align=3), fmt(bits=12), fmt(bits=0), fmt(bits=24, align=4), fmt(code=0x55),
     fmt(code=0xFFFE), fmt(code=0xFFFE, bits=24, align=3) + bytes(24)],
)  # fmt: skip
def test_open_stream_of_an_odd_fmt_chunk_leaves_it_to_libsndfile(content):
    data = wav(chunk(b"fmt ", content), chunk(b"data", noise(300, 1).tobytes()))
    try:
        expected = from_disk(data)
    except soundfile.LibsndfileError:
        with pytest.raises(AudioReadError, match="not readable as audio"):
            pipes.open_stream(Trickle(data))
    else:
        assert np.array_equal(joined(pipes.open_stream(Trickle(data))), expected)


def test_open_stream_of_a_header_too_long_to_keep_goes_by_way_of_the_disk(spool_folder):
    content = noise(500, 1).tobytes()[:1_000]
    for n_bytes, n_files in ((pipes.HEAD_BYTES - 100, 0), (pipes.HEAD_BYTES, 1)):
        picture = chunk(b"JUNK", bytes(n_bytes))
        data = wav(picture, chunk(b"fmt ", PCM_16), chunk(b"data", content))
        source = pipes.open_stream(Trickle(data, 100_000))
        assert len(temporary_files(spool_folder)) == n_files
        assert np.array_equal(joined(source), as_samples(content))


def test_open_stream_of_a_long_wav_needs_little_memory():
    n_bytes = 200 * 10**6
    coding = fmt(n_channels=2, align=4, rate_hz=192_000)
    head = wav(chunk(b"fmt ", coding), chunk(b"data", b"", n_bytes))
    tracemalloc.start()
    try:
        source = pipes.open_stream(Endless(head, n_bytes))
        n_samples = sum(block.shape[1] for block in source.blocks())
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert n_samples == n_bytes // 4
    assert peak_bytes < 20 * 10**6


@st.composite
def almost_wav(draw: st.DrawFn) -> bytes:
    """Return a WAV that is sound but for one thing, or as often for nothing."""
    wild = draw(st.sampled_from(["", "", "", "code", "geometry", "names", "size", "rubbish"]))
    code, bits = draw(
        st.sampled_from([(1, 8), (1, 16), (1, 24), (1, 32), (3, 32), (3, 64), (6, 8), (7, 8)])
    )
    n_channels, rate_hz = draw(st.integers(1, 4)), draw(st.integers(1, 10**5))
    if wild == "code":
        code = draw(st.sampled_from([0, 1, 2, 3, 6, 0x11, 0x31, 0x55, 0xFFFE]))
        bits = draw(st.sampled_from([0, 1, 4, 8, 12, 16, 24, 32, 64]))
    if wild == "geometry":
        n_channels, rate_hz = draw(st.integers(0, 2**16 - 1)), draw(st.integers(0, 2**32 - 1))
    align = n_channels * bits // 8 % 2**16
    coding = fmt(code=code, n_channels=n_channels, rate_hz=rate_hz, align=align, bits=bits)
    names = st.sampled_from(
        [b"data", b"fmt ", b"ds64"] if wild == "names" else [b"LIST", b"fact", b"\xff\0 \1"]
    )
    sizes = st.integers(0, 2**32 - 1) if wild == "size" else st.none()
    chunks = st.lists(st.builds(chunk, names, st.binary(max_size=40), sizes), max_size=2)
    return wav(
        *draw(chunks),
        chunk(b"fmt ", coding + draw(st.sampled_from([b"", b"\0\0", bytes(24)]))),
        *draw(chunks),
        draw(st.binary(max_size=20)) if wild == "rubbish" else b"",
        chunk(b"data", draw(st.binary(max_size=300)), draw(sizes)),
        magic=draw(st.sampled_from([b"RIFF", b"RF64", b"BW64"])),
    )


@given(st.one_of(almost_wav(), st.binary(max_size=200).map(wav)))
def test_open_stream_of_anything_that_starts_as_wav_gives_blocks_or_one_error(data):
    tracemalloc.start()
    try:
        error = refusal(Trickle(data))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert error is None or (error.path is None and "\n" not in str(error))
    assert peak_bytes < 10**6


# --- by way of the disk ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format_", "subtype"),
    [("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"),
     ("AIFF", "PCM_24"), ("CAF", "FLOAT"), ("W64", "PCM_16"), ("WAV", "IMA_ADPCM"),
     ("WAV", "GSM610")],
)  # fmt: skip
def test_open_stream_of_another_format_equals_the_file(format_, subtype, spool_folder):
    n_channels = 1 if subtype == "GSM610" else 2
    data = audio_bytes(0.5 * noise(48_000, n_channels), 48_000, format=format_, subtype=subtype)
    source = pipes.open_stream(Trickle(data, 9_000))
    expected = sources.open_source(data)
    assert source.sample_rate_hz == 48_000
    assert source.n_channels == n_channels
    assert source.duration_s == expected.duration_s
    assert np.array_equal(joined(source), joined(expected))
    assert len(temporary_files(spool_folder)) == 1
    del source
    assert temporary_files(spool_folder) == []


def test_open_stream_of_big_endian_riff_equals_the_file(spool_folder):
    samples = noise(3_000, 2)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, 16_000, format="WAV", subtype="PCM_16", endian="BIG")
    source = pipes.open_stream(Trickle(buffer.getvalue()))
    assert np.array_equal(joined(source), from_disk(buffer.getvalue()))


def test_open_stream_keeps_its_copy_while_blocks_are_read(spool_folder):
    data = audio_bytes(noise(300_000, 1), format="FLAC")
    source = pipes.open_stream(Trickle(data, 10**5))
    blocks = source.blocks()
    del source
    assert len(temporary_files(spool_folder)) == 1  # not even begun
    first = next(blocks)
    assert np.array_equal(np.concatenate([first, *blocks], axis=1), from_disk(data))
    del blocks
    assert temporary_files(spool_folder) == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"hzc\x10 and more", "this is a .hzc file, not audio"),
        (b"never heard of", "not readable as audio"),
        (b"RIFF\x24\0\0\0AVI LIST", "not readable as audio"),
        (bytes(100_000), "not readable as audio"),
    ],
)
def test_open_stream_of_what_is_no_audio_raises_as_for_a_file(data, message, spool_folder):
    with pytest.raises(AudioReadError, match=message) as caught:
        pipes.open_stream(Trickle(data, 9_000))
    with pytest.raises(AudioReadError) as of_bytes:
        sources.open_source(data)
    assert (str(caught.value), caught.value.hint) == (str(of_bytes.value), of_bytes.value.hint)
    del caught
    assert temporary_files(spool_folder) == []


@given(st.binary(max_size=300))
def test_open_stream_of_any_bytes_gives_audio_or_one_error(data):
    error = refusal(Trickle(data))
    assert error is None or (error.path is None and "\n" not in str(error))


def test_open_stream_of_much_that_is_no_wav_needs_little_memory(spool_folder):
    n_bytes = 30 * 10**6
    tracemalloc.start()
    try:
        with pytest.raises(AudioReadError, match="not readable as audio"):
            pipes.open_stream(Endless(b"not audio", n_bytes))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 5 * 10**6


def test_open_stream_without_room_for_the_copy_raises(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(UnreadableError, match="temporary file") as caught:
        pipes.open_stream(Trickle(b"fLaC and so on"))
    assert "TMPDIR" in caught.value.hint


# --- streams that fail ----------------------------------------------------------------------


class Failing(io.RawIOBase):
    """A stream that ends with an error of the operating system, or with no answer."""

    def __init__(self, data: bytes, error: OSError | None) -> None:
        self.rest = io.BytesIO(data)
        self.error = error

    def read(self, size: int = -1) -> bytes | None:
        if piece := self.rest.read(size):
            return piece
        if self.error is not None:
            raise self.error
        return None


@pytest.mark.parametrize(
    ("error", "message"),
    [(OSError(5, "Input/output error"), "input/output error"), (None, "non-blocking")],
)
def test_open_stream_of_a_failing_stream_raises(error, message, spool_folder):
    data = audio_bytes(noise(20_000, 1), subtype="PCM_16")
    for start in (b"", data[:30], b"fLaC" + bytes(100)):
        with pytest.raises(UnreadableError, match=f"cannot be read \\(.*{message}"):
            pipes.open_stream(Failing(start, error))
    blocks = pipes.open_stream(Failing(data[: 44 + 2 * 17_000], error)).blocks()
    assert next(blocks).shape == (1, 16_000)
    with pytest.raises(UnreadableError, match=message):
        next(blocks)


# --- headerless -----------------------------------------------------------------------------


@pytest.mark.parametrize("n_channels", [1, 2, 3, 16])
@pytest.mark.parametrize("n_left_over", [0, 1])
def test_open_raw_gives_all_whole_samples(n_channels, n_left_over):
    numbers = np.random.default_rng(1).integers(-(2**15), 2**15, (n_channels, 2_500))
    data = numbers.T.astype("<i2").tobytes() + bytes(n_left_over)
    source = pipes.open_raw(Trickle(data, 3_000), 1_000, n_channels)
    assert (source.sample_rate_hz, source.n_channels) == (1_000, n_channels)
    assert source.duration_s is None
    blocks = list(source.blocks())
    assert [block.shape[1] for block in blocks] == [1_000, 1_000, 500]
    assert np.array_equal(np.concatenate(blocks, axis=1), numbers / np.float32(32_768))
    with pytest.raises(RuntimeError, match="only once"):
        source.blocks()


def test_open_raw_of_too_little_gives_no_block():
    for data in (b"", b"abc"):
        assert list(pipes.open_raw(Trickle(data), 16_000, 2).blocks()) == []


@pytest.mark.parametrize(
    ("rate_hz", "n_channels"), [(0, 1), (-1, 1), (2**31, 1), (16_000, 0), (16_000, 1_025)]
)
def test_open_raw_of_what_no_audio_has_raises(rate_hz, n_channels):
    with pytest.raises(AudioReadError, match=f"{n_channels} channels at {rate_hz} Hz"):
        pipes.open_raw(Trickle(b""), rate_hz, n_channels)


@pytest.mark.skipif(os.name == "nt", reason="pipes of another kind")
def test_open_raw_of_a_live_pipe_gives_a_block_before_the_end():
    read_end, write_end = os.pipe()
    with open(read_end, "rb") as reader, open(write_end, "wb", buffering=0) as writer:
        writer.write(bytes(2 * 8_000))
        blocks = pipes.open_raw(reader, 8_000, 1).blocks()
        found: list[np.ndarray] = []
        thread = threading.Thread(target=lambda: found.append(next(blocks)), daemon=True)
        thread.start()
        thread.join(20)
        assert [block.shape for block in found] == [(1, 8_000)]


# --- writing --------------------------------------------------------------------------------


def written(blocks: list[np.ndarray], n_channels: int, n_samples: int | None) -> tuple[bytes, int]:
    pieces: list[bytes] = []
    n_clipped = pipes.write_wav_stream(pieces.append, iter(blocks), 22_050, n_channels, n_samples)
    return b"".join(pieces), n_clipped


@pytest.mark.parametrize("n_channels", [1, 2, 8])
def test_write_wav_stream_gives_the_bytes_of_a_file(n_channels, tmp_path):
    rng = np.random.default_rng(2)
    samples = rng.normal(0, 0.7, (n_channels, 5_000)).astype(np.float32)
    samples[0, :6] = (1.0, -1.0, 1 - 2**-16, -(2**-16), 2**-16, 0.0)
    blocks = np.split(samples, [0, 1, 1_700, 1_700], axis=1)
    data, n_clipped = written(blocks, n_channels, 5_000)
    path = tmp_path / "a.wav"
    size = writers.Size(n_channels, 5_000)
    assert n_clipped == writers.write(path, path, iter(blocks), 22_050, size)
    assert n_clipped == np.count_nonzero(np.abs(samples) > 1) > 0
    soundfile.write(tmp_path / "b.wav", samples.T, 22_050, subtype="PCM_16")
    assert len(data) == 44 + 2 * n_channels * 5_000
    assert data == path.read_bytes() == (tmp_path / "b.wav").read_bytes()


def test_write_wav_stream_of_an_unknown_length_writes_what_ffmpeg_writes():
    blocks = [0.5 * np.ones((1, 10), np.float32)] * 3
    data, _ = written(blocks, 1, None)
    known, _ = written(blocks, 1, 30)
    assert data[4:8] == data[40:44] == b"\xff" * 4
    assert data[:4] + data[8:40] + data[44:] == known[:4] + known[8:40] + known[44:]
    for found in (from_disk(data), joined(pipes.open_stream(Trickle(data)))):
        assert np.array_equal(found, from_disk(known))


@pytest.mark.parametrize(
    ("n_samples", "sizes"),
    [
        (0, (36, 0)),
        (1, (40, 4)),
        ((2**32 - 44) // 4, (2**32 - 8, 2**32 - 44)),
        ((2**32 - 40) // 4, (2**32 - 4, 2**32 - 40)),
        ((2**32 - 36) // 4, (2**32 - 1, 2**32 - 1)),
        (2**40, (2**32 - 1, 2**32 - 1)),
    ],
)
def test_write_wav_stream_declares_sizes_that_fit(n_samples, sizes):
    data, n_clipped = written([], 2, n_samples)
    assert len(data) == 44
    assert (*struct.unpack("<I", data[4:8]), *struct.unpack("<I", data[40:44])) == sizes
    assert n_clipped == 0


def test_write_wav_stream_writes_each_block_before_it_asks_for_the_next():
    sizes: list[int] = []
    seen: list[int] = []

    def blocks() -> Iterator[np.ndarray]:
        for _ in range(3):
            seen.append(sum(sizes))
            yield np.zeros((1, 100), np.float32)

    pipes.write_wav_stream(lambda data: sizes.append(len(data)), blocks(), 16_000, 1, 300)
    assert seen == [44, 244, 444]
    assert sum(sizes) == 644


def test_write_wav_stream_passes_errors_on():
    def blocks() -> Iterator[np.ndarray]:
        yield np.zeros((1, 100), np.float32)
        raise CorruptError("no more")

    def broken(data: bytes) -> None:
        raise BrokenPipeError

    with pytest.raises(CorruptError, match="no more"):
        pipes.write_wav_stream(lambda data: None, blocks(), 16_000, 1, None)
    with pytest.raises(BrokenPipeError):
        pipes.write_wav_stream(broken, blocks(), 16_000, 1, None)


# --- other programs -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        ["sox", "{}", "-t", "wav", "-"],
        ["sox", "{}", "-t", "wav", "-e", "floating-point", "-"],
        ["ffmpeg", "-v", "error", "-i", "{}", "-f", "wav", "-"],
        ["ffmpeg", "-v", "error", "-i", "{}", "-f", "wav", "-rf64", "always", "-"],
        ["ffmpeg", "-v", "error", "-i", "{}", "-f", "wav", "-c:a", "pcm_mulaw", "-"],
    ],
    ids=" ".join,
)
def test_open_stream_of_what_other_programs_write_into_a_pipe(command, tmp_path):
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    path = tmp_path / "a.wav"
    soundfile.write(path, 0.5 * noise(40_000, 2), 16_000)
    arguments = [argument.format(path) for argument in command]
    result = subprocess.run(arguments, stdout=subprocess.PIPE, check=True)
    source = pipes.open_stream(Trickle(result.stdout, 9_000))
    assert source.duration_s in (None, 2.5)
    found = joined(source)
    assert found.shape == (2, 40_000)
    assert np.abs(found - from_disk(path.read_bytes())).max() < 0.05
