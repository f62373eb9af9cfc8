"""Delay of a codec, and decoded sound brought to the length and time of its original.

Envelopes are compared, not waveforms: parametric and neural codecs keep no phase. A codec has one
delay, so that the median over recordings is taken out, and not what each one seems to have.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hzc_bench.samples import SAMPLE_RATE_HZ, FloatArray

HOP = SAMPLE_RATE_HZ // 1000
WINDOW = 20
"""Envelope frames, of 1 ms, that are averaged."""
LOWEST_MS, HIGHEST_MS = -60, 250


def envelope(samples: FloatArray) -> npt.NDArray[np.float64]:
    """Return the level, log10 of power, every millisecond, float64 [frame]."""
    n_frames = len(samples) // HOP
    power = np.square(samples[: n_frames * HOP], dtype=np.float64).reshape(n_frames, HOP).mean(1)
    window = np.hanning(WINDOW + 2)[1:-1]
    return np.log10(np.convolve(power, window / window.sum(), "same") + 1e-7)


def lag_ms(reference: FloatArray, decoded: FloatArray) -> int:
    """Return by how many milliseconds decoded lags behind reference, -60 … 250.

    Args:
        reference: Original, float32 [sample] at 16 kHz, not silent.
        decoded: What came back, float32 [sample] at 16 kHz, of about that length.
    """
    x, y = envelope(reference), envelope(decoded)
    best, best_score = 0, -np.inf
    for lag in sorted(range(LOWEST_MS, HIGHEST_MS + 1), key=abs):
        a, b = x[max(0, -lag) :], y[max(0, lag) :]
        n = min(len(a), len(b))
        if n < max(200, len(x) // 2):
            continue
        a, b = a[:n] - a[:n].mean(), b[:n] - b[:n].mean()
        score = float(a @ b) / (float(np.sqrt((a @ a) * (b @ b))) + 1e-12)
        if score > best_score:
            best, best_score = lag, score
    return best


def shifted(decoded: FloatArray, delay_ms: int, n_samples: int) -> FloatArray:
    """Return decoded sound without its delay, float32 [n_samples], silence where nothing came."""
    delay = delay_ms * HOP
    padded = decoded[delay:] if delay >= 0 else np.pad(decoded, (-delay, 0))
    return np.pad(padded[:n_samples], (0, max(0, n_samples - len(padded))))
