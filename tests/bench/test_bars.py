"""Bars and tones."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from hzc_bench import bars, metrics, systems, tones
from hzc_bench.samples import Recording
from hzc_bench.store import Store


def test_digits_are_read_as_they_were_dialled():
    x = tones.dialled()
    assert tones.read(x) == tones.DIGITS
    noise = 0.02 * np.random.default_rng(0).standard_normal(len(x)).astype(np.float32)
    assert tones.read(x + noise) == tones.DIGITS
    assert tones.read(noise) == ""
    assert tones.read(tones.tone(770, 1.0, 0.3)) == ""
    assert tones.n_read("1234", "924") == 2


def test_level_of_a_bleep_is_that_of_its_frequency(sound):
    x = tones.bleeped(sound(64_000))
    assert tones.bleep_error_db(x, 0.5 * x) == pytest.approx(-6.02, abs=0.01)
    hidden = x.copy()
    hidden[24_000:40_000] = tones.tone(1500, 1.0, 0.3)
    assert tones.bleep_error_db(x, hidden) < -40.0


def test_bars_name_what_is_cleared_and_what_is_not(sound, monkeypatch):
    monkeypatch.setattr(bars, "FASTEST", -8)
    monkeypatch.setattr(bars, "SLOWEST", 24)
    monkeypatch.setattr(bars, "NAMES", ("level_db",))
    limits = {1.0: {"level_db": 30.0}, 0.6: {"level_db": 0.0}}
    monkeypatch.setattr(bars, "UNSEARCHED", limits)
    trial = bars.Trial(None, [Recording("a", sound(50_000))], metrics.load(["level_db"], Store()))
    found = list(bars.bars(trial))
    assert [bar.is_cleared for bar in found[:2]] == [True, False]
    for kbps in limits:
        codec = trial.at(kbps)
        finer = systems.Hzc.at(None, codec.step_index - 1)
        assert trial.kbps(codec) <= kbps < trial.kbps(finer)
    assert [bar.title for bar in found[2:]] == [
        "bleep of 1 kHz, level error, dB", "DTMF digits read of 12",
    ]  # fmt: skip
    assert "| ≥ 9 |" in bars.table(found)


def string(text: str) -> bytes:
    return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"
