"""Cut and damaged recordings: read as far as they go, with a warning, or refused if strict."""

from __future__ import annotations

import re

import numpy as np
import pytest
from audio_files import DATA, FMT, SAMPLES, both, chunk, encoded, speechlike, wav

from hzc.errors import AudioReadError

SECONDS = 8
RATE_HZ = 16_000
SPEECH = speechlike(SECONDS * RATE_HZ)
FILES = {
    "wav": encoded(SPEECH),
    "adpcm": encoded(SPEECH, subtype="IMA_ADPCM"),
    "flac": encoded(SPEECH, format="FLAC"),
    "vorbis": encoded(SPEECH, format="OGG", subtype="VORBIS"),
    "opus": encoded(SPEECH, format="OGG", subtype="OPUS"),
    "mp3": encoded(SPEECH, format="MP3"),
    "aiff": encoded(SPEECH, format="AIFF"),
    "au": encoded(SPEECH, format="AU"),
    "w64": encoded(SPEECH, format="W64"),
}


def cut(data: bytes) -> bytes:
    return data[: len(data) * 5 // 8]


def burst(data: bytes) -> bytes:
    at = len(data) // 2
    noise = np.random.default_rng(0).integers(0, 256, 200, dtype=np.uint8).tobytes()
    return data[:at] + noise + data[at + 200 :]


def hole(data: bytes) -> bytes:
    at = len(data) // 2
    return data[:at] + data[at + len(data) // 8 :]


@pytest.mark.parametrize("name", FILES)
def test_open_source_of_a_whole_recording_gives_no_warning(name):
    found = both(FILES[name])
    assert found.warnings == []
    assert np.array_equal(found.samples, both(FILES[name], strict=True).samples)
    assert both(FILES[name] + bytes(500)).warnings == []


@pytest.mark.parametrize("name", FILES)
def test_open_source_of_a_cut_recording_says_how_much_is_missing(name):
    found = both(cut(FILES[name]))
    whole = both(FILES[name]).samples
    n_found = found.samples.shape[1]
    assert len(whole.T) / 2 < n_found < 0.7 * len(whole.T)
    # MP3 and Opus look ahead; the last samples of what is there may differ.
    assert np.array_equal(found.samples[:, : n_found - 2_000], whole[:, : n_found - 2_000])
    (warning,) = found.warnings
    if name in ("vorbis", "opus"):  # their header has no length
        assert re.fullmatch(r"the audio breaks off at [45]\.\d\d s \(.*\)", warning)
    else:
        missing_s, announced_s = map(float, re.findall(r"([\d.]+) s", warning))
        assert missing_s == pytest.approx(SECONDS - n_found / RATE_HZ, abs=0.1)
        assert announced_s == pytest.approx(SECONDS, abs=0.1)


@pytest.mark.parametrize("damage", [burst, hole])
@pytest.mark.parametrize("name", ["flac", "vorbis", "opus", "mp3"])
def test_open_source_of_a_damaged_recording_warns_and_repeats_nothing(name, damage):
    found = both(damage(FILES[name]))
    whole = both(FILES[name]).samples[0]
    assert found.warnings
    assert all(" s" in warning for warning in found.warnings)
    assert 0 < found.samples.shape[1] <= len(whole)
    if name in ("flac", "vorbis"):  # every tenth of a second is from the original, in its order
        pieces = found.samples[0][: found.samples.shape[1] // 1_600 * 1_600].reshape(-1, 1_600)
        at = [_position(whole, piece) for piece in pieces]
        at = [position for position in at if position is not None]
        assert len(at) >= len(pieces) - 3
        assert at == sorted(set(at))


def _position(whole: np.ndarray, piece: np.ndarray) -> int | None:
    starts = np.flatnonzero(np.abs(whole[: len(whole) - len(piece)] - piece[0]) < 1e-5)
    return next(
        (int(at) for at in starts if np.abs(whole[at : at + 1_600] - piece).max() < 1e-4), None
    )


@pytest.mark.parametrize("damage", [cut, burst])
@pytest.mark.parametrize("name", ["flac", "vorbis", "opus", "mp3"])
def test_open_source_of_damage_when_strict_raises(name, damage):
    found = both(damage(FILES[name]), strict=True)
    assert isinstance(found.error, AudioReadError)
    assert found.message == both(damage(FILES[name])).warnings[0]


@pytest.mark.parametrize("n_kept", [1, 2, 3, 1_000, 1_001, 7_999])
def test_open_source_of_a_wav_cut_anywhere_gives_whole_samples_and_one_warning(n_kept):
    found = both(wav(FMT, DATA)[: 44 + n_kept])
    assert np.array_equal(found.samples, SAMPLES[:, : n_kept // 2])
    assert len(found.warnings) == 1
    assert both(wav(FMT, DATA)[: 44 + n_kept], strict=True).message == found.warnings[0]


def test_open_source_of_a_wav_whose_last_chunk_is_cut_gives_no_warning():
    assert both(wav(FMT, DATA, chunk(b"LIST", b"INFO", 900))).warnings == []


def test_open_source_of_oggs_one_after_the_other_says_that_one_is_read():
    found = both(2 * FILES["vorbis"])
    assert found.samples.shape == (1, SECONDS * RATE_HZ)
    assert found.warnings == ["another recording follows after 8.00 s (it is not read)"]


def test_open_source_of_mp3_without_a_tag_reads_all_and_finds_a_cut_frame():
    data = encoded(SPEECH, format="MP3", bitrate_mode="VARIABLE")
    second = data.index(b"\xff\xf3", data.index(b"\xff\xf3") + 1)
    whole = both(data[second:])  # without the first frame, which has the tag
    assert whole.samples.shape[1] == pytest.approx(SECONDS * RATE_HZ, abs=3_000)
    assert whole.warnings == []
    found = both(data[second:-5])
    assert "its last frame is cut" in found.warnings[0]
