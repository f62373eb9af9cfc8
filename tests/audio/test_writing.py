"""Audio out: clipping, refusals, huge files, pipes. Formats: tests/cli/test_cli_decode.py."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hzc.audio import sources, writers
from hzc.audio.writers import Size
from hzc.errors import OutputWriteError

NOISE = (np.random.default_rng(0).integers(-32_767, 32_768, (2, 5_000)) / 32_768).astype(np.float32)


def write(
    path: Path, name: Path | str, blocks: Iterator[np.ndarray], rate_hz: int, size: Size
) -> int:
    """Write all blocks; return how many samples were clipped."""
    with writers.open_writer(path, name, rate_hz, size) as writer:
        for block in blocks:
            writer.write(block)
    return writer.n_clipped


def pieces(samples: np.ndarray, *cuts: int) -> Iterator[np.ndarray]:
    return iter(np.split(samples, cuts, axis=1))


def test_write_of_what_is_beyond_full_scale_clips_and_counts_it(tmp_path):
    samples = np.array([[0.0, 1.0, 1.001, -1.0, -1.2, 9.0]], dtype=np.float32)
    path = tmp_path / "a.wav"
    assert write(path, path, iter([samples, samples]), 16_000, Size(1, 12)) == 6
    found, _ = soundfile.read(path, dtype="int16")
    assert found.tolist() == 2 * [0, 32_767, 32_767, -32_768, -32_768, 32_767]


def test_write_of_a_wav_too_large_for_its_sizes_becomes_rf64_or_raises(tmp_path, monkeypatch):
    monkeypatch.setattr(writers, "MAX_WAV_BYTES", 1_000)
    path = tmp_path / "a.wav"
    for n_samples, magic in ((250, b"RIFF"), (251, b"RF64")):
        write(path, path, pieces(NOISE[:, :250]), 16_000, Size(2, n_samples))
        assert path.read_bytes()[:4] == magic
    with pytest.raises(OutputWriteError, match="too long for a WAV file") as caught:
        write(path, path, pieces(NOISE[:, :375], 125, 250), 16_000, Size(2, None))
    for suffix in re.findall(r"\.\w+", caught.value.hint):
        path = tmp_path / f"a{suffix}"
        write(path, path, pieces(NOISE[:, :375], 125, 250), 16_000, Size(2, None))
        assert soundfile.info(path).frames == 375


@pytest.mark.parametrize(
    ("name", "rate_hz", "n_channels"),
    [("a.opus", 44_100, 1), ("a.mp3", 16_000, 5), ("missing/a.wav", 16_000, 1)],
)
def test_write_of_what_cannot_be_raises(tmp_path, name, rate_hz, n_channels):
    blocks = iter([np.zeros((n_channels, 100), dtype=np.float32)])
    with pytest.raises(OutputWriteError, match="cannot write the audio") as caught:
        write(tmp_path / name, name, blocks, rate_hz, Size(n_channels, 100))
    assert caught.value.hint
    assert caught.value.path == name


# --- in order only --------------------------------------------------------------------------


@pytest.mark.parametrize("n_channels", [1, 2])
def test_wav_stream_gives_the_bytes_of_a_file(n_channels, tmp_path):
    samples = np.random.default_rng(2).normal(0, 0.7, (n_channels, 5_000)).astype(np.float32)
    samples[0, :6] = (1.0, -1.0, 1 - 2**-16, -(2**-16), 2**-16, 0.0)
    written: list[bytes] = []
    stream = writers.WavStream(written.append, 22_050, n_channels, 5_000)
    for block in pieces(samples, 0, 1, 1_700):
        stream.write(block)
    path = tmp_path / "a.wav"
    size = Size(n_channels, 5_000)
    assert write(path, path, pieces(samples), 22_050, size) == stream.n_clipped > 0
    assert b"".join(written) == path.read_bytes()


@pytest.mark.parametrize("n_samples", [None, 2**31])
def test_wav_stream_of_unknown_or_huge_length_has_dummy_sizes(n_samples):
    written: list[bytes] = []
    stream = writers.WavStream(written.append, 16_000, 1, n_samples)
    for block in pieces(NOISE[:1], 100):
        stream.write(block)
    data = b"".join(written)
    assert struct.unpack("<I", data[4:8]) == struct.unpack("<I", data[40:44]) == (2**32 - 1,)
    found = np.concatenate(list(sources.open_source(data).blocks()), axis=1)
    assert found == pytest.approx(NOISE[:1], abs=1e-4)
