"""Audio in and out: blocks, levels, resampling, formats, refusals."""

from __future__ import annotations

import io
import os
import re
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from hzc.audio import level, sources, writers
from hzc.audio.sources import Source
from hzc.audio.writers import Size
from hzc.blocks import joined
from hzc.errors import AudioReadError, CorruptError, OutputWriteError, UnsupportedAudioError

LOSSLESS = {"a.wav": "WAV", "a.flac": "FLAC", "a.aiff": "AIFF", "a.aif": "AIFF", "a.caf": "CAF",
            "a.au": "AU", "a.w64": "W64", "a.rf64": "RF64"}  # fmt: skip
LOSSY = {"a.ogg": "OGG", "a.opus": "OGG", "a.mp3": "MP3"}


def wav_bytes(samples: np.ndarray, rate_hz: int = 16_000, **options: str) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, format="WAV", **options)
    return buffer.getvalue()


def in_pieces(samples: np.ndarray, cuts: list[int]) -> list[np.ndarray]:
    return np.split(samples, sorted(min(cut, samples.shape[1]) for cut in cuts), axis=1)


def source_of(pieces: list[np.ndarray], rate_hz: int = 16_000) -> Source:
    n_samples = sum(piece.shape[1] for piece in pieces)
    return Source(rate_hz, len(pieces[0]), n_samples / rate_hz, lambda: iter(pieces))


def sine(n_samples: int, frequency_hz: float, rate_hz: int = 16_000) -> np.ndarray:
    t = np.arange(n_samples) / rate_hz
    return np.sin(2 * np.pi * frequency_hz * t).astype(np.float32)


# --- reading --------------------------------------------------------------------------------


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("n_channels", [1, 2, 5])
def test_open_source_of_a_file_gives_its_samples_and_figures(tmp_path, rate_hz, n_channels):
    rng = np.random.default_rng(n_channels)
    samples = rng.integers(-32_768, 32_768, (n_channels, 3_001)).astype(np.int16)
    path = tmp_path / "a.wav"
    soundfile.write(path, samples.T, rate_hz)
    source = sources.open_source(path)
    assert (source.sample_rate_hz, source.n_channels) == (rate_hz, n_channels)
    assert source.duration_s == pytest.approx(3_001 / rate_hz)
    for _ in range(2):
        found = joined(source.blocks())
        assert found.dtype == np.float32
        assert np.array_equal(found, samples / np.float32(32_768))


def test_open_source_of_bytes_equals_that_of_the_file(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(wav_bytes(sine(5_000, 440)))
    of_bytes = sources.open_source(path.read_bytes())
    for _ in range(2):
        assert np.array_equal(
            joined(of_bytes.blocks()), joined(sources.open_source(str(path)).blocks())
        )


def test_open_source_of_a_long_file_gives_blocks_of_bounded_size(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "BLOCK_SAMPLES", 1_000)
    samples = np.stack([sine(3_500, 200), sine(3_500, 300)])
    path = tmp_path / "a.wav"
    soundfile.write(path, samples.T, 16_000, subtype="FLOAT")
    blocks = list(sources.open_source(path).blocks())
    assert [block.shape for block in blocks] == [(2, 1_000)] * 3 + [(2, 500)]
    assert all(block.flags.c_contiguous for block in blocks)
    assert np.array_equal(joined(blocks), samples)


def test_open_source_of_float_audio_keeps_what_is_beyond_full_scale():
    samples = np.array([0.0, 1.5, -2.0], dtype=np.float32)
    found = joined(sources.open_source(wav_bytes(samples, subtype="FLOAT")).blocks())
    assert found[0].tolist() == samples.tolist()


@pytest.mark.parametrize("name", [*LOSSLESS, *LOSSY])
def test_open_source_reads_every_format_that_write_makes(tmp_path, name):
    path = tmp_path / name
    written = 0.5 * np.stack([sine(9_600, 440, 48_000)] * 2)
    writers.write(path, name, iter([written]), 48_000, Size(2, 9_600))
    source = sources.open_source(path)
    assert (source.sample_rate_hz, source.n_channels) == (48_000, 2)
    found = joined(source.blocks())
    if name in LOSSLESS:
        assert found.shape == (2, 9_600)
        assert np.abs(found - written).max() < 1e-4
    else:
        assert found.shape[1] == pytest.approx(9_600, abs=2_400)
        assert np.sqrt(np.mean(found**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.1)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"hzc\x10 and more", "this is a .hzc file, not audio"),
        (b"never heard of", "not readable as audio"),
        (b"RIFF\x24\0\0\0WAVEjunk", "not readable as audio"),
    ],
)
def test_open_source_of_what_is_no_audio_raises(tmp_path, data, message):
    path = tmp_path / "a.wav"
    path.write_bytes(data)
    for file, named in ((path, path), (str(path), str(path)), (data, None)):
        with pytest.raises(AudioReadError, match=message) as caught:
            sources.open_source(file)
        assert caught.value.path == named
        assert not caught.value.message.endswith(".")


def test_open_source_of_a_cut_off_file_gives_what_is_there():
    data = wav_bytes(sine(4_000, 100))
    found = joined(sources.open_source(data[: 44 + 2 * 1_500]).blocks())
    assert found.shape == (1, 1_500)


def test_open_source_twice_at_a_time_reads_independently(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(wav_bytes(sine(5_000, 440)))
    for source in (sources.open_source(path), sources.open_source(path.read_bytes())):
        pairs = zip(source.blocks(), source.blocks(), strict=True)
        assert all(np.array_equal(one, two) for one, two in pairs)


# --- arrays ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("samples", "shape"),
    [([0.1, 0.2, 0.3], (1, 3)), ([[0.1], [0.2]], (2, 1)), (np.zeros((3, 7)), (3, 7))],
)
def test_array_source_gives_one_block_of_float32(samples, shape):
    source = sources.array_source(samples, 8_000)
    assert (source.sample_rate_hz, source.n_channels) == (8_000, shape[0])
    assert source.duration_s == shape[1] / 8_000
    for _ in range(2):
        (block,) = source.blocks()
        assert block.shape == shape
        assert block.dtype == np.float32
        assert np.array_equal(block, np.float32(samples).reshape(shape))


def test_array_source_of_three_axes_raises():
    with pytest.raises(UnsupportedAudioError, match="3 axes"):
        sources.array_source(np.zeros((2, 2, 2)), 16_000)


def test_mixed_gives_the_mean_of_the_channels_block_by_block():
    samples = np.random.default_rng(0).normal(0, 0.1, (3, 500)).astype(np.float32)
    mono = sources.mixed(source_of(in_pieces(samples, [100, 350])))
    assert mono.n_channels == 1
    assert [block.shape for block in mono.blocks()] == [(1, 100), (1, 250), (1, 150)]
    assert joined(mono.blocks()) == pytest.approx(samples.mean(axis=0, keepdims=True))


def test_mixed_of_one_channel_is_the_source_itself():
    source = sources.array_source(np.zeros(5), 16_000)
    assert sources.mixed(source) is source


# --- the survey -----------------------------------------------------------------------------


@pytest.mark.parametrize("amplitude", [1.0, 0.1, 1e-3])
def test_survey_of_a_sine_finds_its_level(amplitude):
    found = level.survey(sources.array_source(amplitude * sine(32_000, 400), 16_000))
    assert found.n_samples == 32_000
    assert found.level_db == pytest.approx(20 * np.log10(amplitude) - 3.01, abs=0.02)


def test_survey_of_a_short_loud_part_hears_it_and_of_a_shorter_one_does_not():
    x = np.full(160_000, 1e-3, dtype=np.float32)
    x[: 16_000 * 6 // 10] = 0.5
    assert level.survey(sources.array_source(x, 16_000)).level_db == pytest.approx(-6.02, abs=0.1)
    x[16_000 * 4 // 10 :] = 1e-3
    level_db = level.survey(sources.array_source(x, 16_000)).level_db
    assert level_db == pytest.approx(-6.02 - level.RARE_ABOVE_COMMON_DB, abs=0.1)


def test_survey_of_a_single_click_does_not_hear_it():
    x = np.full(16_000 * 60, 1e-3, dtype=np.float32)
    x[16_000 : 16_000 + 320] = 0.5  # one frame of 3000
    assert level.survey(sources.array_source(x, 16_000)).level_db == pytest.approx(-60.0, abs=0.1)


def test_array_source_of_swapped_axes_or_no_rate_raises():
    with pytest.raises(UnsupportedAudioError, match="20000 channels") as caught:
        sources.array_source(np.zeros((20_000, 2), np.float32), 16_000)
    assert "samples.T" in caught.value.hint
    with pytest.raises(UnsupportedAudioError, match="sample rate 0"):
        sources.array_source(np.zeros(100, np.float32), 0)


def test_survey_of_digital_silence_is_far_below_every_threshold():
    found = level.survey(sources.array_source(np.zeros(1_000), 16_000))
    assert np.isfinite(found.level_db)
    assert found.level_db < level.SILENCE_DB - 100


def test_survey_of_channels_takes_the_mean_of_their_powers():
    pair = np.stack([sine(16_000, 400), np.zeros(16_000, dtype=np.float32)])
    assert level.survey(sources.array_source(pair, 16_000)).level_db == pytest.approx(
        -6.02, abs=0.05
    )


@given(
    st.integers(1, 3_000), st.lists(st.integers(0, 3_000), max_size=6), st.sampled_from([50, 8_000])
)
def test_survey_in_blocks_of_any_size_finds_the_same(n_samples, cuts, rate_hz):
    samples = np.random.default_rng(n_samples).normal(0, 0.1, (2, n_samples)).astype(np.float32)
    pieces = in_pieces(samples, cuts)
    assert level.survey(source_of(pieces, rate_hz)) == level.survey(source_of([samples], rate_hz))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_survey_of_a_value_that_is_not_finite_says_where(bad):
    samples = np.zeros((2, 20_000), dtype=np.float32)
    samples[1, 12_000] = bad
    source = source_of(in_pieces(samples, [9_000]))
    with pytest.raises(UnsupportedAudioError, match=r"sample at 0\.750 s is NaN or infinite"):
        level.survey(source)


def test_checked_gives_the_blocks_before_a_value_that_is_not_finite():
    good, bad = np.zeros((2, 900), dtype=np.float32), np.zeros((2, 900), dtype=np.float32)
    bad[0, 300] = np.nan
    found = sources.checked(iter([good, good, bad, good]), 1_000)
    assert next(found) is good
    assert next(found) is good
    with pytest.raises(UnsupportedAudioError, match=r"sample at 2\.100 s is NaN or infinite"):
        next(found)


@pytest.mark.parametrize("pieces", [[], [np.zeros((1, 0), dtype=np.float32)]])
def test_survey_of_no_samples_raises(pieces):
    source = Source(16_000, 1, 1.0, lambda: iter(pieces))
    with pytest.raises(UnsupportedAudioError, match="no samples"):
        level.survey(source)


# --- resampling -----------------------------------------------------------------------------


def test_resampled_at_the_same_rate_passes_the_blocks_on():
    blocks = [np.ones((1, 3), dtype=np.float32), np.zeros((1, 2), dtype=np.float32)]
    found = list(sources.resampled(iter(blocks), 1, 16_000, 16_000))
    assert all(a is b for a, b in zip(found, blocks, strict=True))


@pytest.mark.parametrize("from_hz", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("n_samples", [1, 777, 50_000])
def test_resampled_length_is_right_within_a_sample(from_hz, n_samples):
    blocks = iter([np.zeros((2, n_samples), dtype=np.float32)])
    found = joined(sources.resampled(blocks, 2, from_hz, 16_000))
    assert found.shape[0] == 2
    assert abs(found.shape[1] - n_samples * 16_000 / from_hz) <= 1


@pytest.mark.parametrize(
    ("from_hz", "to_hz"), [(44_100, 16_000), (8_000, 16_000), (16_000, 48_000)]
)
def test_resampled_sine_stays_that_sine(from_hz, to_hz):
    blocks = iter([0.5 * sine(from_hz, 440, from_hz)[None]])
    found = joined(sources.resampled(blocks, 1, from_hz, to_hz))[0]
    inner = slice(to_hz // 10, -to_hz // 10)
    expected = 0.5 * sine(len(found), 440, to_hz)
    assert np.abs(found[inner] - expected[inner]).max() < 2e-3


def test_resampled_channels_do_not_leak_into_each_other():
    pair = np.stack([sine(8_000, 440, 8_000), np.zeros(8_000, dtype=np.float32)])
    found = joined(sources.resampled(iter([pair]), 2, 8_000, 16_000))
    assert np.abs(found[0]).max() > 0.9
    assert np.abs(found[1]).max() == 0.0


@given(st.lists(st.integers(0, 4_000), max_size=5))
def test_resampled_in_blocks_of_any_size_gives_the_same_samples(cuts):
    samples = np.random.default_rng(1).normal(0, 0.1, (2, 4_000)).astype(np.float32)
    whole = joined(sources.resampled(iter([samples]), 2, 44_100, 16_000))
    pieces = joined(sources.resampled(iter(in_pieces(samples, cuts)), 2, 44_100, 16_000))
    assert np.array_equal(pieces, whole)


# --- writing --------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "expected"), [*LOSSLESS.items(), *LOSSY.items(), ("-", "WAV")])
def test_output_format_follows_the_suffix_in_either_case(name, expected):
    assert writers.output_format(name) == expected
    assert writers.output_format(Path("some.where") / name.upper()) == expected


@pytest.mark.parametrize("name", ["a.txt", "a.hzc", "a.mp4", "a.wav.bak", "a.raw", "a.wavex"])
def test_output_format_of_another_suffix_raises(name):
    with pytest.raises(OutputWriteError, match="suffix") as caught:
        writers.output_format(name)
    assert caught.value.hint
    assert str(caught.value).startswith(f"{name}: ")


@pytest.mark.parametrize("name", LOSSLESS)
def test_write_of_a_lossless_format_keeps_sixteen_bits(tmp_path, name):
    rng = np.random.default_rng(0)
    samples = (rng.integers(-32_767, 32_768, (2, 5_000)) / 32_768).astype(np.float32)
    path = tmp_path / name
    pieces = iter(in_pieces(samples, [1, 2_000]))
    assert writers.write(path, name, pieces, 22_050, Size(2, 5_000)) == 0
    found, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    assert rate_hz == 22_050
    assert soundfile.info(path).subtype == "PCM_16"
    assert np.abs(found.T - samples).max() <= 1.01 / 32_768


def test_write_of_opus_gives_an_opus_stream(tmp_path):
    path = tmp_path / "a.opus"
    writers.write(path, path, iter([np.zeros((1, 4_800), np.float32)]), 48_000, Size(1, 4_800))
    assert soundfile.info(path).subtype == "OPUS"


def test_write_to_a_buffer_named_stdout_gives_a_whole_wav():
    buffer = io.BytesIO()
    samples = 0.5 * sine(1_000, 440)
    writers.write(buffer, "-", iter([samples[None]]), 16_000, Size(1, 1_000))
    found, rate_hz = soundfile.read(io.BytesIO(buffer.getvalue()))
    assert rate_hz == 16_000
    assert found == pytest.approx(samples, abs=1e-4)


def test_write_of_what_is_beyond_full_scale_clips_and_counts_it(tmp_path):
    samples = np.array([[0.0, 1.0, 1.001, -1.0, -1.2, 9.0]], dtype=np.float32)
    path = tmp_path / "a.wav"
    assert writers.write(path, path, iter([samples, samples]), 16_000, Size(1, 12)) == 6
    found, _ = soundfile.read(path, dtype="int16")
    assert found[:6].tolist() == [0, 32_767, 32_767, -32_768, -32_768, 32_767]
    assert np.array_equal(found[:6], found[6:])


def test_write_of_a_wav_too_large_for_its_sizes_becomes_rf64(tmp_path, monkeypatch):
    monkeypatch.setattr(writers, "MAX_WAV_BYTES", 1_000)
    blocks = [np.zeros((2, 250), dtype=np.float32)]
    for n_samples, magic in ((250, b"RIFF"), (251, b"RF64")):
        path = tmp_path / "a.wav"
        writers.write(path, path, iter(blocks), 16_000, Size(2, n_samples))
        assert path.read_bytes()[:4] == magic


@pytest.mark.parametrize("name", LOSSLESS)
def test_write_of_unknown_length_gives_the_file_of_the_known_one(tmp_path, name):
    samples = np.stack([sine(3_000, 200), sine(3_000, 300)])
    for folder, n_samples in (("known", 3_000), ("unknown", None)):
        path = tmp_path / folder / name
        path.parent.mkdir()
        pieces = iter(in_pieces(samples, [1, 2_000]))
        assert writers.write(path, name, pieces, 16_000, Size(2, n_samples)) == 0
    unknown = tmp_path / "unknown" / name
    assert unknown.read_bytes() == (tmp_path / "known" / name).read_bytes()


def test_write_of_unknown_length_that_a_wav_cannot_hold_raises(tmp_path, monkeypatch):
    monkeypatch.setattr(writers, "MAX_WAV_BYTES", 1_000)
    block = np.zeros((2, 125), dtype=np.float32)
    path = tmp_path / "a.wav"
    writers.write(path, path, iter([block] * 2), 16_000, Size(2, None))
    with pytest.raises(OutputWriteError, match="too long for a WAV file") as caught:
        writers.write(path, path, iter([block] * 3), 16_000, Size(2, None))
    for name in re.findall(r"\.\w+", caught.value.hint):
        path = tmp_path / f"a{name}"
        writers.write(path, path, iter([block] * 3), 16_000, Size(2, None))
        assert soundfile.info(path).frames == 375


@pytest.mark.parametrize(
    ("name", "rate_hz", "n_channels"), [("a.opus", 44_100, 1), ("a.mp3", 16_000, 5)]
)
def test_write_of_what_a_format_cannot_hold_raises(tmp_path, name, rate_hz, n_channels):
    path = tmp_path / name
    blocks = iter([np.zeros((n_channels, 100), dtype=np.float32)])
    with pytest.raises(OutputWriteError, match="cannot write the audio") as caught:
        writers.write(path, name, blocks, rate_hz, Size(n_channels, 100))
    assert caught.value.hint
    assert caught.value.path == name


def test_write_to_a_missing_folder_raises(tmp_path):
    path = tmp_path / "missing" / "a.wav"
    with pytest.raises(OutputWriteError, match="cannot write the audio"):
        writers.write(path, path, iter([np.zeros((1, 9), np.float32)]), 16_000, Size(1, 9))


def test_write_to_a_full_device_raises():
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    blocks = (np.zeros((1, 100_000), np.float32) for _ in range(20))
    with pytest.raises(OutputWriteError):
        writers.write(Path("/dev/full"), "a.wav", blocks, 16_000, Size(1, 2_000_000))


def test_write_of_blocks_that_fail_raises_their_error(tmp_path):
    def blocks():
        yield np.zeros((1, 100), np.float32)
        raise CorruptError("no more")

    path = tmp_path / "a.wav"
    with pytest.raises(CorruptError, match="no more"):
        writers.write(path, path, blocks(), 16_000, Size(1, 200))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_write_to_a_pipe_gives_a_whole_wav(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(path.read_bytes()), daemon=True)
    reader.start()
    writers.write(path, "a.wav", iter([0.5 * sine(900, 440)[None]]), 16_000, Size(1, 900))
    reader.join(20)
    found, _ = soundfile.read(io.BytesIO(received[0]))
    assert found == pytest.approx(0.5 * sine(900, 440), abs=1e-4)
