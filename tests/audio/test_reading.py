"""One reader: by name, from memory and through a pipe the same samples or the same error."""

from __future__ import annotations

import gc
import io
import struct
import sys
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio_files import (
    DATA,
    FMT,
    PCM,
    SAMPLES,
    Trickle,
    both,
    chunk,
    encoded,
    fmt,
    outcome,
    speechlike,
    wav,
)
from hypothesis import given
from hypothesis import strategies as st

from hzc.audio import pipes, riff, sources
from hzc.audio.sources import RawLayout
from hzc.errors import AudioReadError, UnreadableError

LIST = chunk(b"LIST", b"INFO" + chunk(b"ISFT", b"Lavf\0\0") + b"\0\0")
EXTENSIBLE = fmt(code=0xFFFE) + struct.pack("<HHIH", 22, 16, 4, 1) + riff.GUID_END


@pytest.fixture
def spool_folder(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "spool"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def no_disk(monkeypatch):
    """Make sure that a pipe is streamed."""

    def refuse(**options: object) -> None:
        raise AssertionError("put on disk")

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)


# --- WAV ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_disk")
@pytest.mark.parametrize("format_", ["WAV", "WAVEX", "RF64"])
@pytest.mark.parametrize(
    "subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAW", "ULAW"]
)
@pytest.mark.parametrize("n_channels", [1, 2, 8])
def test_open_source_of_plain_wav_gives_the_samples_that_libsndfile_gives(
    format_, subtype, n_channels
):
    data = encoded(1.9 * speechlike(2_345, n_channels), 1_000, format=format_, subtype=subtype)
    found = both(data)
    expected, _ = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    assert np.array_equal(found.samples, expected.T)
    assert (found.sample_rate_hz, found.warnings) == (1_000, [])


UNTIDY = {
    "zeros at the end of LIST": [FMT, LIST, DATA],
    "odd LIST": [FMT, chunk(b"LIST", b"INFOabcde"), DATA],
    "odd LIST without padding": [FMT, chunk(b"LIST", b"INFOabcde", padding=b""), DATA],
    "odd LIST, padding not zero": [FMT, chunk(b"LIST", b"INFOabcde", padding=b"\x07"), DATA],
    "short smpl": [FMT, chunk(b"smpl", bytes(10)), DATA],
    "zeros between chunks": [FMT, bytes(6), DATA],
    "odd first chunk without padding": [chunk(b"JUNK", b"abc", padding=b""), FMT, DATA],
    "bext, iXML, unknown": [chunk(b"bext", bytes(603)), FMT, chunk(b"iXML", b"<x/>"),
                            chunk(b"\xff\0\0\1", b"abc"), DATA],
    "chunks behind": [FMT, DATA, LIST, chunk(b"id3 ", b"xx"), b"rubbish"],
    "long header": [chunk(b"JUNK", bytes(pipes.HEAD_BYTES + 1)), FMT, DATA],
    "PCM with 40 bytes of fmt": [chunk(b"fmt ", fmt() + struct.pack("<H", 22) + bytes(22)), DATA],
    "odd fmt without padding": [chunk(b"fmt ", fmt() + b"\0", padding=b""), DATA],
    "long fmt": [chunk(b"fmt ", fmt() + bytes(484)), DATA],
    "extensible": [chunk(b"fmt ", EXTENSIBLE), DATA],
    "12 valid bits": [chunk(b"fmt ", fmt(bits=12)), DATA],
    "no alignment": [chunk(b"fmt ", fmt(align=0)), DATA],
    "empty data before the data": [FMT, chunk(b"data", b""), LIST, DATA],
}  # fmt: skip


@pytest.mark.parametrize("name", UNTIDY)
def test_open_source_of_an_untidy_wav_gives_the_samples_of_the_tidy_one(name):
    for start in (b"", b"ID3\4\0\0\0\0\0\4abcd"):
        found = both(start + wav(*UNTIDY[name]))
        assert np.array_equal(found.samples, SAMPLES)
        assert found.warnings == []


SIZES = [0, 0x7FFF_0000, 0x7FFF_F000, 0x7FFF_F024, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFDB, 2**32 - 1]


@pytest.mark.usefixtures("no_disk")
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("riff_size", [None, 0, 2**32 - 1])
@pytest.mark.parametrize("magic", [b"RIFF", b"RF64"])
def test_open_source_of_a_wav_of_unknown_size_reads_to_the_end(size, riff_size, magic):
    data = wav(FMT, chunk(b"data", PCM.tobytes(), size), magic=magic, n_bytes=riff_size)
    found = both(data)
    assert np.array_equal(found.samples, SAMPLES)
    assert found.warnings == []
    assert sources.open_source(Trickle(data)).duration_s is None
    assert sources.open_source(data).duration_s == 0.25


@pytest.mark.parametrize("magic", [b"RF64", b"BW64"])
@pytest.mark.parametrize(
    ("size", "n_found", "n_warnings"),
    [(8_000, 4_000, 0), (3_200, 1_600, 0), (32_000, 4_000, 1), (0, 4_000, 0), (2**63, 4_000, 0)],
)
def test_open_source_of_rf64_takes_its_size_from_ds64(magic, size, n_found, n_warnings):
    ds64 = chunk(b"ds64", struct.pack("<QQQI", size, size, size, 0))
    found = both(wav(ds64, FMT, chunk(b"data", PCM.tobytes(), 2**32 - 1), magic=magic))
    assert np.array_equal(found.samples, SAMPLES[:, :n_found])
    assert len(found.warnings) == n_warnings


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"hzc\x10 and more", "this is a .hzc file"),
        (b"never heard of", "not readable as audio"),
        (bytes(100_000), "not readable as audio"),
        (b"#EXTM3U\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n", "not readable as audio"),
        (b"RIFF\x24\0\0\0AVI LIST", "not readable as audio"),
        (b"RIFF", "not readable as audio"),
        (wav(FMT, DATA)[:30], "the WAV header ends before the audio"),
        (wav(FMT, LIST), "the WAV header ends before the audio"),
        (wav(DATA), "does not say how the audio is coded"),
        (wav(chunk(b"fmt ", fmt()[:15]), DATA), "does not say how the audio is coded"),
        (wav(chunk(b"fmt ", fmt(n_channels=0)), DATA), "0 channels at 16000 Hz"),
        (wav(chunk(b"fmt ", fmt(n_channels=1025)), DATA), "1025 channels at 16000 Hz"),
        (wav(chunk(b"fmt ", fmt(rate_hz=0)), DATA), "1 channels at 0 Hz"),
        (wav(chunk(b"fmt ", fmt(code=0x55)), DATA), "not readable as audio"),
    ],
)
def test_open_source_of_what_is_no_audio_raises(data, message, spool_folder):
    found = both(data)
    assert isinstance(found.error, AudioReadError)
    assert message in found.message
    del found
    gc.collect()
    assert list(spool_folder.iterdir()) == []


def test_open_source_without_pyav_names_the_extra(monkeypatch):
    monkeypatch.setattr("hzc.audio.av.is_installed", lambda: False)
    assert "pip install 'hzc[av]'" in both(b"\0\0\0\x20ftypM4A and so on").error.hint


@st.composite
def almost_wav(draw: st.DrawFn) -> bytes:
    """Return a WAV in which anything may be wrong."""
    code, bits = draw(
        st.sampled_from([(1, 8), (1, 16), (1, 20), (3, 32), (6, 8), (0x11, 4), (9, 9)])
    )
    n_channels = draw(st.integers(0, 4))
    coding = fmt(code, n_channels, draw(st.integers(0, 10**5)), n_channels * bits // 8, bits)
    names = st.sampled_from([b"data", b"fmt ", b"ds64", b"LIST", b"\xff\0 \1", b"\0\0\0\0"])
    sizes = st.one_of(st.none(), st.integers(0, 400), st.sampled_from(SIZES))
    chunks = st.lists(st.builds(chunk, names, st.binary(max_size=40), sizes), max_size=2)
    return wav(
        *draw(chunks), chunk(b"fmt ", coding), *draw(chunks), draw(st.binary(max_size=20)),
        chunk(b"data", draw(st.binary(max_size=300)), draw(sizes)), *draw(chunks),
        magic=draw(st.sampled_from(riff.MAGICS)),
    )  # fmt: skip


@given(st.one_of(almost_wav(), st.binary(max_size=200).map(wav), st.binary(max_size=300)))
def test_open_source_of_any_bytes_gives_the_same_both_ways(data):
    both(data)


# --- other formats --------------------------------------------------------------------------

FORMATS = ["FLAC PCM_16", "OGG VORBIS", "OGG OPUS", "MP3 MPEG_LAYER_III", "AIFF PCM_24",
           "CAF FLOAT", "AU PCM_16", "W64 PCM_16", "WAV IMA_ADPCM", "WAV GSM610",
           "WAV PCM_16 BIG"]  # fmt: skip


@pytest.mark.parametrize("kind", FORMATS)
def test_open_source_of_another_format_is_the_same_both_ways(kind, spool_folder):
    names = ("format", "subtype", "endian")
    options = dict(zip(names, kind.split(), strict=False))
    n_channels = 1 if "GSM610" in kind else 2
    data = encoded(speechlike(48_000, n_channels), 48_000, **options)
    found = both(data)
    expected, _ = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    assert found.samples == pytest.approx(expected.T, abs=1e-6)
    assert found.warnings == []
    gc.collect()
    assert list(spool_folder.iterdir()) == []


def test_open_source_of_flac_of_unknown_length_reads_all_of_it():
    data = bytearray(encoded(speechlike(300_000), format="FLAC"))
    expected = both(bytes(data)).samples
    data[21] &= 0xF0  # 36 bits of total_samples in STREAMINFO: zero says "not known"
    data[22:26] = bytes(4)
    found = both(bytes(data))
    assert np.array_equal(found.samples, expected)
    assert found.warnings == []
    assert sources.open_source(bytes(data)).duration_s is None


def test_open_source_of_mp3s_one_after_the_other_reads_all_of_them():
    data = encoded(speechlike(48_000), format="MP3", bitrate_mode="VARIABLE")
    n_samples = both(data).samples.shape[1]
    assert both(data * 3).samples.shape[1] == pytest.approx(3 * n_samples, abs=6 * 1_152)


@pytest.mark.parametrize("has_name", [False, True])
def test_open_source_of_a_pipe_keeps_its_copy_while_blocks_are_read(
    has_name, spool_folder, monkeypatch
):
    if has_name:
        monkeypatch.setattr(pipes, "_nameless", lambda: None)
    data = encoded(speechlike(300_000), format="FLAC")
    blocks = sources.open_source(Trickle(data)).blocks()
    gc.collect()
    assert len(list(spool_folder.iterdir())) == (has_name or sys.platform != "linux")
    assert sum(block.shape[1] for block in blocks) == 300_000
    del blocks
    gc.collect()
    assert list(spool_folder.iterdir()) == []


def test_open_source_of_a_pipe_without_room_for_the_copy_raises(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    found = outcome(Trickle(b"fLaC and so on"))
    assert isinstance(found.error, UnreadableError)
    assert "TMPDIR" in found.error.hint


# --- pipes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [None, RawLayout(16_000, 1)])
def test_open_source_of_a_pipe_reads_no_further_than_the_block_it_gives(raw):
    data = encoded(speechlike(50_000), subtype="PCM_16")
    head = 44 if raw is None else 0
    stream = io.BytesIO(data[44 - head :])
    source = sources.open_source(stream, raw=raw)
    assert not source.is_repeatable
    assert stream.tell() == head
    blocks = source.blocks()
    for n_read in (16_000, 32_000):
        assert next(blocks).shape == (1, 16_000)
        assert stream.tell() == head + 2 * n_read
    with pytest.raises(RuntimeError, match="only once"):
        source.blocks()


class Endless(io.RawIOBase):
    """Some bytes, and then zeros: more than memory holds."""

    def __init__(self, start: bytes, n_zeros: int) -> None:
        self.start, self.n_zeros = start, n_zeros

    def read(self, size: int = -1) -> bytes:
        assert 0 < size <= 2 * pipes.PIECE_BYTES
        piece, self.start = self.start[:size], self.start[size:]
        if not piece:
            piece = bytes(min(size, self.n_zeros))
            self.n_zeros -= len(piece)
        return piece


STREAMED = wav(chunk(b"fmt ", fmt(rate_hz=192_000)), chunk(b"data", b""))


@pytest.mark.parametrize(
    "head",
    [STREAMED, b"not audio", wav(chunk(b"LIST", b"", 2**31)), wav(chunk(b"fmt ", b"", 2**31)),
     b"ID3\4\0\0\x7f\0\0\0"],
)  # fmt: skip
def test_open_source_of_a_long_pipe_needs_little_memory(head, spool_folder):
    tracemalloc.start()
    try:
        found = outcome(Endless(head, 60 * 10**6), keep=False)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (found.error is None) == (head == STREAMED)
    assert peak_bytes < 15 * 10**6


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), None])
@pytest.mark.parametrize("start", [b"", wav(FMT, DATA)[:30], wav(FMT, DATA)[:60], b"fLaC" * 9])
def test_open_source_of_a_failing_pipe_raises(error, start):
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if piece := super().read(size):
                return piece
            if error is not None:
                raise error
            return None  # type: ignore[return-value]

    found = outcome(Failing(start))
    assert isinstance(found.error, UnreadableError)
    assert "input/output error" in found.message or "non-blocking" in found.message


# --- headerless -----------------------------------------------------------------------------


@pytest.mark.parametrize("n_channels", [1, 2, 16])
@pytest.mark.parametrize("left_over", [b"", b"\0"])
def test_open_source_of_raw_audio_gives_all_whole_samples(n_channels, left_over):
    numbers = np.random.default_rng(1).integers(-(2**15), 2**15, (n_channels, 2_500))
    data = numbers.T.astype("<i2").tobytes() + left_over
    found = both(data, raw=RawLayout(1_000, n_channels))
    assert np.array_equal(found.samples, numbers / np.float32(32_768))
    assert both(b"", raw=RawLayout(1_000, 2)).samples.shape == (2, 0)


@pytest.mark.parametrize(("rate_hz", "n_channels"), [(0, 1), (2**31, 1), (16_000, 0), (1, 1_025)])
def test_open_source_of_raw_audio_out_of_range_raises(rate_hz, n_channels):
    found = both(b"", raw=RawLayout(rate_hz, n_channels))
    assert f"{n_channels} channels at {rate_hz} Hz" in found.message
