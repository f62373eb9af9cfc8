"""Metrics: best for the original itself, worse with more noise, remembered once computed."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hzc_bench import metrics, models, words
from hzc_bench.store import Store

SPEECH = Path(__file__).resolve().parents[2] / "demo" / "samples" / "p225_003.flac"
BEST = {"pesq_wb": 4.64, "pesq_nb": 4.54, "stoi": 1.0, "estoi": 1.0, "speaker": 1.0, "visqol": 5.0}
"""Of the original beside itself; what is not here has 0."""


@pytest.fixture(scope="module")
def speech():
    samples, _ = soundfile.read(SPEECH, dtype="float32")
    return samples[:64_000]


def with_noise(samples, level):
    rng = np.random.default_rng(0)
    return (samples + level * rng.standard_normal(len(samples))).astype(np.float32)


def loaded(name):
    found = metrics.load([name], Store())
    if found.missing:
        pytest.skip(found.missing[name])
    return found, metrics.BY_NAME[name]


# ViSQOL compiles for half a minute where numba is new; noise does away with repetition.
NAMES = [
    pytest.param(name, marks=pytest.mark.slow) if name == "visqol" else name
    for name in metrics.BY_NAME
    if name not in ("repetition", "n_words", "wer")
]


@pytest.mark.parametrize("name", NAMES)
def test_metric_is_best_for_the_original_and_falls_with_noise(name, speech):
    found, metric = loaded(name)
    losses = [
        metric.loss(found.figure(metric, speech, samples))
        for samples in (speech, with_noise(speech, 0.002), with_noise(speech, 0.1))
    ]
    assert losses[0] <= losses[1] <= losses[2]
    assert losses[0] < losses[2]
    if metric.is_referenced:
        best = BEST.get(name, 0.0)
        assert losses[0] == pytest.approx(metric.loss(best), abs=0.01)


def test_level_is_in_decibels(speech):
    found, metric = loaded("level_db")
    assert found.figure(metric, speech, 0.5 * speech) == pytest.approx(-6.02, abs=0.01)


def test_log_mel_distance_of_a_gain_is_its_logarithm():
    found, metric = loaded("logmel")
    noise = with_noise(np.zeros(16_000, np.float32), 0.1)
    assert found.figure(metric, noise, 0.1 * noise) == pytest.approx(1.0, abs=0.01)


def test_figure_is_computed_once_for_the_same_samples(tmp_path, monkeypatch, speech):
    calls = []
    monkeypatch.setattr(models, "pesq", lambda mode: lambda x, y: calls.append(mode) or 1.5)
    monkeypatch.setattr(metrics, "package_version", lambda name: f"{name} 9")
    for _ in range(2):
        found = metrics.load(["pesq_wb"], Store(tmp_path / "a" / "store"))
        metric = metrics.BY_NAME["pesq_wb"]
        assert found.figure(metric, speech, speech) == 1.5
    assert calls == ["wb"]
    assert found.figure(metric, speech, 0.9 * speech) == 1.5
    assert calls == ["wb", "wb"]
    monkeypatch.setattr(metrics, "package_version", lambda name: f"{name} 10")
    found.figure(metric, speech, speech)
    assert calls == ["wb"] * 3


def test_metric_that_fails_has_no_figure(monkeypatch, speech, capsys):
    def fail(x, y):
        raise ValueError("no utterance")

    monkeypatch.setattr(models, "pesq", lambda mode: fail)
    monkeypatch.setattr(metrics, "package_version", lambda name: name)
    found = metrics.load(["pesq_wb"], Store())
    assert math.isnan(found.figure(metrics.BY_NAME["pesq_wb"], speech, speech))
    assert "no utterance" in capsys.readouterr().err


def test_metric_without_its_package_is_left_out_with_a_hint(monkeypatch):
    def version(name):
        raise ImportError(f"{name} is not installed", name=name)

    monkeypatch.setattr(metrics, "package_version", version)
    found = metrics.load(["pesq_wb", "logmel", "distillmos"], Store())
    assert [metric.name for metric in found.metrics] == ["logmel"]
    assert "bench[all]" in found.missing["pesq_wb"]
    assert "--no-deps distillmos" in found.missing["distillmos"]


def test_word_errors_are_counted_between_transcripts(monkeypatch, speech):
    pytest.importorskip("jiwer")
    monkeypatch.setattr(metrics, "package_version", lambda name: name)
    said = {len(speech): "one two three four", 8_000: "one to three"}
    monkeypatch.setattr(words, "transcriber", lambda store, whisper: lambda x: said[len(x)])
    found = metrics.load(["wer"], Store())
    assert [metric.name for metric in found.judged] == ["wer"]
    figures = [found.figure(metric, speech, speech[:8_000]) for metric in found.metrics]
    assert figures == [4.0, 0.5]


def test_word_errors_without_a_recogniser_are_left_out(monkeypatch):
    monkeypatch.setattr(metrics, "package_version", lambda name: name)
    pytest.importorskip("jiwer")
    assert "--whisper DIR" in metrics.load(["wer"], Store()).missing["wer"]


def test_store_keeps_numbers_words_and_no_number(tmp_path):
    for value in (1.25, "so it is said", float("nan")):
        Store(tmp_path / "s").remembered(str(value), lambda value=value: value)
        again = Store(tmp_path / "s").remembered(str(value), lambda: pytest.fail("computed twice"))
        assert again == value or (math.isnan(value) and math.isnan(again))
