"""From folders of audio to batches of crops."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hzc.errors import TrainingError
from hzc.train.data import Corpus, Crops, load_corpus

RATE_HZ = 16_000


def made(config, corpus, **changes) -> Crops:
    return Crops(corpus, config(**changes), RATE_HZ)


def test_corpus_has_every_file_in_mono_at_the_rate(corpus):
    assert [Path(name).name for name in corpus.names] == [
        "sine.wav", "noise0.wav", "noise1.wav", "noise2.wav", "voice.flac",
    ]  # fmt: skip
    assert np.diff(corpus.starts).tolist() == [24_000, 24_000, 24_500, 25_000, 40_000]
    assert corpus.samples.dtype == np.int16
    assert [len(samples) for _, samples in corpus.files()] == np.diff(corpus.starts).tolist()
    sine = corpus.samples[2_000:22_000] / 32_768
    assert np.sqrt(np.mean(sine**2)) == pytest.approx(0.2 / math.sqrt(2), rel=0.01)


def test_cache_is_used_until_a_file_or_the_rate_changes(tmp_path, sound, monkeypatch):
    folder, cache = tmp_path / "a", str(tmp_path / "deep" / "cache.npy")
    folder.mkdir()
    for i, name in enumerate("ab"):
        soundfile.write(folder / f"{name}.wav", sound(4_000, seed=i), RATE_HZ)
    first = load_corpus([str(folder)], RATE_HZ, cache)
    with monkeypatch.context() as patch:
        patch.setattr("hzc.audio.sources.open_source", None)
        again = load_corpus([str(folder)], RATE_HZ, cache)
        with pytest.raises(TypeError):
            load_corpus([str(folder)], 8_000, cache)
    assert again.names == first.names
    assert np.array_equal(again.samples, first.samples)
    before = (folder / "a.wav").stat()
    soundfile.write(folder / "a.wav", np.full(4_000, 0.5), RATE_HZ)
    os.utime(folder / "a.wav", ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000))
    changed = load_corpus([str(folder)], RATE_HZ, cache)
    assert changed.samples[:4_000] == pytest.approx(16_384, abs=1)


def test_folders_without_audio_and_files_that_cannot_be_read_are_refused(tmp_path):
    with pytest.raises(TrainingError, match="no audio"):
        load_corpus([str(tmp_path)], RATE_HZ)
    (tmp_path / "a.wav").write_bytes(b"not audio")
    with pytest.raises(TrainingError, match=r"a\.wav") as caught:
        load_corpus([str(tmp_path)], RATE_HZ)
    assert "remove the file" in caught.value.hint
    soundfile.write(tmp_path / "a.wav", np.zeros(0), RATE_HZ)
    with pytest.raises(TrainingError, match=r"a\.wav.*no samples"):
        load_corpus([str(tmp_path)], RATE_HZ)


def test_crops_have_shape_level_and_pauses_as_asked_for(config, corpus):
    data = {"batch_size": 40, "level_db": (-40.0, -30.0), "pause_probability": 0.5}
    heard, target = made(config, corpus, data=data).batch()
    assert heard.shape == target.shape == (40, 8_000)
    assert heard.dtype == np.float32
    assert np.array_equal(heard, target)
    assert np.abs(heard).max() < 1.0
    level_db = 10 * np.log10(np.mean(heard.astype(np.float64) ** 2, axis=1))
    assert -40.1 < level_db.min() < level_db.max() < -29.9
    assert np.ptp(level_db) > 5
    n_paused = int(((np.abs(heard) < 1e-9).sum(axis=1) > 500).sum())
    assert 5 < n_paused < 35


def test_crops_follow_from_the_seed(config, corpus):
    every = dict.fromkeys(("tone", "gate", "speed", "rumble", "telephone", "clip"), 0.5)
    one, two, three = (made(config, corpus, seed=seed, augment=every) for seed in (1, 1, 2))
    for _ in range(3):
        (a, b), (c, d), (e, _) = one.batch(), two.batch(), three.batch()
        assert np.array_equal(a, c)
        assert np.array_equal(b, d)
        assert not np.array_equal(a, e)


def test_weights_of_the_last_glob_that_fits_count(config, corpus):
    data = {"weights": {"*": 0.0, "sine*": 1.0}, "equalise_db": 0.0, "pause_probability": 0.0}
    heard, _ = made(config, corpus, data=data).batch()
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(8_000), axis=1))
    assert (spectrum.argmax(axis=1) == 220).all()
    with pytest.raises(TrainingError, match="leaves no file"):
        made(config, corpus, data={"weights": {"*": 0.0}})


@pytest.mark.parametrize("speed", [0.0, 1.0])
def test_recordings_shorter_than_a_crop_are_used_whole(config, speed):
    corpus = Corpus(np.full(3_000, 8_000, np.int16), np.array([0, 3_000]), ("short.wav",))
    data = {"batch_size": 20, "pause_probability": 0.0, "equalise_db": 0.0}
    heard, _ = made(config, corpus, data=data, augment={"speed": speed}).batch()
    n_heard = (np.abs(heard) > 0.5 * np.abs(heard).max(axis=1, keepdims=True)).sum(axis=1)
    if speed:
        assert 3_000 / 1.35 - 9 < n_heard.min() < n_heard.max() < 3_000 / 0.8 + 9
    else:
        assert (n_heard == 3_000).all()
