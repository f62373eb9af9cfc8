"""Tones of telephones and censors: does a bleep keep its level, can dialled digits be read back."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hzc_bench.samples import SAMPLE_RATE_HZ, FloatArray

BLEEP_HZ, BLEEP_S, BLEEP_AMPLITUDE = 1000, 1.0, 0.3
ROWS_HZ, COLUMNS_HZ = (697, 770, 852, 941), (1209, 1336, 1477)
KEYS = ("123", "456", "789", "*0#")
DIGITS = "".join(KEYS)
DIGIT_S, PAUSE_S, TONE_AMPLITUDE = 0.1, 0.1, 0.25
WINDOW, HOP = 410, 205
"""Of the detector: 25.6 ms, twice as often."""
MIN_LEAD_DB = 6.0
"""Of the strongest tone of a group over the others."""
MIN_SHARE = 0.5
"""Of the two strongest tones in all power."""
MIN_POWER = 1e-6
N_WINDOWS = 2
"""In a row that have to agree."""


def seconds(duration_s: float) -> int:
    """Return samples."""
    return round(duration_s * SAMPLE_RATE_HZ)


def tone(frequency_hz: float, duration_s: float, amplitude: float) -> FloatArray:
    """Return a sine, float32 [sample], faded over 5 ms."""
    n, n_fade = seconds(duration_s), seconds(0.005)
    x = amplitude * np.sin(2 * np.pi * frequency_hz * np.arange(n) / SAMPLE_RATE_HZ)
    ramp = np.clip(np.minimum(np.arange(n), np.arange(n)[::-1]) / n_fade, 0.0, 1.0)
    return (x * ramp).astype(np.float32)


def power(x: FloatArray, frequency_hz: float) -> float:
    """Return the power of one frequency, Goertzel's figure: a²/2 for a sine of amplitude a."""
    turns = np.exp(-2j * np.pi * frequency_hz * np.arange(len(x)) / SAMPLE_RATE_HZ)
    return float(2.0 * abs(x @ turns / len(x)) ** 2)


# --- bleep -----------------------------------------------------------------------------------


def bleeped(speech: FloatArray) -> FloatArray:
    """Return speech with its middle second covered by a bleep."""
    x, start = speech.copy(), len(speech) // 2 - seconds(BLEEP_S / 2)
    x[start : start + seconds(BLEEP_S)] = tone(BLEEP_HZ, BLEEP_S, BLEEP_AMPLITUDE)
    return x


def bleep_error_db(given: FloatArray, decoded: FloatArray) -> float:
    """Return by how much the bleep came back louder, from its inner 0.8 s."""
    start, n = len(given) // 2 - seconds(0.4), seconds(0.8)
    levels = [power(x[start : start + n], BLEEP_HZ) + 1e-12 for x in (decoded, given)]
    return float(10.0 * np.log10(levels[0] / levels[1]))


# --- digits ----------------------------------------------------------------------------------


def dialled(digits: str = DIGITS) -> FloatArray:
    """Return digits as a telephone sends them (DTMF), after half a second of silence."""
    pause = np.zeros(seconds(PAUSE_S), np.float32)
    parts = [np.zeros(seconds(0.5), np.float32)]
    for digit in digits:
        row, column = next((r, keys.index(digit)) for r, keys in enumerate(KEYS) if digit in keys)
        pair = (ROWS_HZ[row], COLUMNS_HZ[column])
        parts += [sum(tone(f, DIGIT_S, TONE_AMPLITUDE) for f in pair), pause]  # type: ignore[list-item]
    return np.concatenate([*parts, parts[0]])


def read(x: FloatArray) -> str:
    """Return the digits in a signal: those on which two windows in a row agree."""
    windows = np.lib.stride_tricks.sliding_window_view(x, WINDOW)[::HOP]
    heard = [digit_of(window) for window in windows]
    text, run, last = "", 0, ""
    for digit in heard:
        run = run + 1 if digit == last else 1
        last = digit
        text += digit if run == N_WINDOWS else ""
    return text


def digit_of(window: FloatArray) -> str:
    """Return the digit in a window, or nothing."""
    total = float(np.mean(np.square(window)))
    places, share = [], 0.0
    for group_hz in (ROWS_HZ, COLUMNS_HZ):
        powers: npt.NDArray[np.float64] = np.array([power(window, f) for f in group_hz])
        second, first = np.sort(powers)[-2:]
        if 10.0 * np.log10((first + 1e-12) / (second + 1e-12)) < MIN_LEAD_DB:
            return ""
        places.append(int(powers.argmax()))
        share += first / (total + 1e-12)
    return KEYS[places[0]][places[1]] if total > MIN_POWER and share > MIN_SHARE else ""


def n_read(expected: str, found: str) -> int:
    """Return how many digits were read, in their order: the longest common subsequence."""
    lengths = [0] * (len(found) + 1)
    for digit in expected:
        before = lengths
        lengths = [0]
        for k, other in enumerate(found):
            hit = before[k] + 1 if digit == other else 0
            lengths.append(max(hit, before[k + 1], lengths[k]))
    return lengths[-1]
