"""What PyAV reads: streamed, by name and through a pipe the same, cut or damaged with a warning."""

from __future__ import annotations

import gc
import io
import tempfile
from fractions import Fraction

import numpy as np
import pytest
from audio_files import both, speechlike

from hzc.audio import sources
from hzc.errors import AudioReadError

av = pytest.importorskip("av")

RATE_HZ = 48_000
SPEECH = speechlike(4 * RATE_HZ, 2).T.astype(np.float32)


def muxed(format_: str, codec: str, *, with_video: bool = False, with_audio: bool = True) -> bytes:
    """Return four seconds of stereo in a format that PyAV writes."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=format_) as container:
        streams = []
        if with_video:
            video = container.add_stream("mpeg4", rate=5)
            video.width = video.height = 32
            streams.append((video, [_picture(i) for i in range(20)]))
        if with_audio:
            audio = container.add_stream(codec, rate=RATE_HZ, layout="stereo")
            audio.bit_rate = 128_000
            audio.format = av.codec.Codec(codec, "w").audio_formats[0].name
            streams.append((audio, _frames(audio)))
        for stream, frames in streams:
            for frame in [*frames, None]:
                container.mux(stream.encode(frame))
    return buffer.getvalue()


def _picture(i: int) -> object:
    frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 10 * i, np.uint8), format="rgb24")
    frame.pts, frame.time_base = i, Fraction(1, 5)
    return frame


def _frames(audio: object) -> list[object]:
    resampler = av.AudioResampler(format=audio.format, layout="stereo", rate=RATE_HZ)
    frames = []
    size = 1_024
    for at in range(0, SPEECH.shape[1], size):
        samples = np.ascontiguousarray(SPEECH[:, at : at + size])
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, at, Fraction(1, RATE_HZ)
        frames += resampler.resample(frame)
    return frames


LOSSLESS = {"alac": ("mp4", "alac"), "mkv": ("matroska", "flac"), "mov": ("mov", "pcm_s24le"),
            "wv": ("wv", "wavpack"),
            "f64": ("mov", "pcm_f64le"), "u8": ("mov", "pcm_u8")}  # fmt: skip
LOSSY = {"m4a": ("mp4", "aac"), "aac": ("adts", "aac"), "wma": ("asf", "wmav2"),
         "webm": ("webm", "libopus"), "mka": ("matroska", "aac")}  # fmt: skip


@pytest.mark.parametrize("name", LOSSLESS)
def test_open_source_of_a_lossless_codec_gives_the_samples_at_their_scale(name):
    found = both(muxed(*LOSSLESS[name]))
    assert found.sample_rate_hz == RATE_HZ
    assert found.samples.shape == SPEECH.shape
    assert np.abs(found.samples - SPEECH).max() < (0.01 if name in ("u8", "wv") else 1e-4)
    assert found.warnings == []


@pytest.mark.parametrize("name", LOSSY)
def test_open_source_of_a_lossy_codec_gives_the_speech_in_its_place(name):
    found = both(muxed(*LOSSY[name]))
    assert found.sample_rate_hz == RATE_HZ
    assert found.samples.shape[0] == 2
    assert found.samples.shape[1] == pytest.approx(SPEECH.shape[1], abs=3_000)
    level_db = 10 * np.log10(np.mean(found.samples**2) / np.mean(SPEECH**2))
    assert abs(level_db) < 2
    assert found.warnings == []


def test_open_source_of_a_video_gives_its_audio_without_a_copy_left(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    data = muxed("mp4", "alac", with_video=True)
    assert np.abs(both(data).samples - SPEECH).max() < 1e-4
    gc.collect()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format_", ["mp4", "matroska"])
def test_open_source_of_a_video_without_audio_says_so(format_):
    found = both(muxed(format_, "", with_video=True, with_audio=False))
    assert isinstance(found.error, AudioReadError)
    assert "only video" in found.message


def test_open_source_of_amr_gives_eight_kilohertz():
    found = both(b"#!AMR\n" + 50 * (b"\x3c" + bytes(31)))
    assert (found.sample_rate_hz, found.samples.shape) == (8_000, (1, 8_000))


@pytest.mark.parametrize("name", ["mkv", "webm", "wv"])
def test_open_source_of_a_cut_container_says_how_much_is_missing(name):
    data = muxed(*(LOSSLESS | LOSSY)[name])
    found = both(data[: len(data) * 5 // 8])
    assert SPEECH.shape[1] / 4 < found.samples.shape[1] < SPEECH.shape[1] * 3 / 4
    assert "s are missing" in found.warnings[0]


def test_open_source_of_damaged_packets_warns_and_goes_on():
    data = bytearray(muxed("adts", "aac"))
    data[len(data) // 2 : len(data) // 2 + 2_000] = bytes(2_000)
    found = both(bytes(data))
    assert found.samples.shape[1] > SPEECH.shape[1] * 3 / 4
    assert "the audio is damaged" in found.warnings[0]
    assert isinstance(both(bytes(data), strict=True).error, AudioReadError)


def test_open_source_of_a_container_gives_blocks_of_a_second():
    blocks = list(sources.open_source(muxed("adts", "aac")).blocks())
    assert {block.shape for block in blocks[:-1]} == {(2, RATE_HZ)}
