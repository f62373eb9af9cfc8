"""Spectra that metrics and pictures are made from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hzc_bench.samples import SAMPLE_RATE_HZ, FloatArray

MEL_WINDOW, MEL_BANDS = 1024, 80
MEL_FLOOR = 1e-4
"""−80 dB under full scale."""


def magnitudes(samples: FloatArray, window: int, hop: int) -> npt.NDArray[np.float64]:
    """Return magnitudes under Hann windows, 1 for a full-scale sine, float64 [frame, bin]."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, window)[::hop]
    return np.abs(np.fft.rfft(frames * np.hanning(window))) * 4.0 / window


def mel_spectrum(samples: FloatArray) -> npt.NDArray[np.float64]:
    """Return log10 mel magnitudes, float64 [frame, band], every 16 ms."""
    padded = np.pad(samples, MEL_WINDOW // 2)
    top = 2595.0 * np.log10(1.0 + SAMPLE_RATE_HZ / 2 / 700.0)
    edges_hz = 700.0 * (10.0 ** (np.linspace(0.0, top, MEL_BANDS + 2) / 2595.0) - 1.0)
    bins_hz = np.linspace(0.0, SAMPLE_RATE_HZ / 2, MEL_WINDOW // 2 + 1)[:, None]
    rising = (bins_hz - edges_hz[:-2]) / np.diff(edges_hz)[:-1]
    falling = (edges_hz[2:] - bins_hz) / np.diff(edges_hz)[1:]
    filters = np.clip(np.minimum(rising, falling), 0.0, None)
    magnitude = magnitudes(padded, MEL_WINDOW, MEL_WINDOW // 4)
    log_mel: npt.NDArray[np.float64] = np.log10(np.maximum(magnitude @ filters, MEL_FLOOR))
    return log_mel


def log_mel_distance(reference: FloatArray, decoded: FloatArray) -> float:
    """Return the mean absolute difference of log10 mel magnitudes."""
    return float(np.abs(mel_spectrum(reference) - mel_spectrum(decoded)).mean())


def level_difference_db(reference: FloatArray, decoded: FloatArray) -> float:
    """Return by how much the RMS level of decoded lies above that of reference."""
    powers = [float(np.mean(np.square(s, dtype=np.float64))) for s in (decoded, reference)]
    return float(10.0 * np.log10((powers[0] + 1e-12) / (powers[1] + 1e-12)))
