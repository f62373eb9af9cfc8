"""What a listener notices first: hiss in pauses, pre-echo, pumping, textures that repeat.

Signals are float32 [sample] at 16 kHz. Levels are those of `align.envelope` in dB; −70 dB of full
scale is the least.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hzc_bench import spectra
from hzc_bench.align import envelope
from hzc_bench.samples import SAMPLE_RATE_HZ, FloatArray

Floats = npt.NDArray[np.float64]

PAUSE_SHARE = 0.1
ONSET_DB = 20.0
BEFORE_MS, EDGE_MS = 60, 15
"""Span before an onset, and how far the envelope's own window reaches."""
SLOW_MS = 250
ACTIVE_DB = 25.0
TEXTURE_WINDOW, TEXTURE_HOP = 256, 50
LOWEST_HZ = 4_000
SHORTEST_MS, LONGEST_MS = 50, 250
"""Lags that a texture may repeat at: beyond any pitch period, up to two frames of hzc."""


def levels_db(samples: FloatArray) -> Floats:
    """Return the level every millisecond, float64 [frame] in dB below full scale."""
    return 10.0 * envelope(samples)


def pause_level_db(reference: FloatArray, decoded: FloatArray) -> float:
    """Return by how much decoded is louder than reference where that is quietest.

    The mean difference of levels in the quietest tenth of the reference.
    """
    x, y = levels_db(reference), levels_db(decoded)
    quiet = x <= np.quantile(x, PAUSE_SHARE)
    return float((y[quiet] - x[quiet]).mean())


def pre_echo_db(reference: FloatArray, decoded: FloatArray) -> float:
    """Return by how much decoded is louder than reference just before onsets; NaN without any.

    An onset is where the mean level of 15 ms is 20 dB above that of the 60 ms that end 15 ms
    earlier, and higher above it than anywhere within 60 ms.
    """
    x, y = levels_db(reference), levels_db(decoded)
    onsets = _onsets(x)
    before = [slice(t - EDGE_MS - BEFORE_MS, t - EDGE_MS) for t in onsets]
    return float(np.mean([(y[s] - x[s]).mean() for s in before])) if before else float("nan")


def _onsets(x_db: Floats) -> list[int]:
    """Return the milliseconds at which something begins."""
    sums = np.concatenate([[0.0], np.cumsum(x_db)])
    first, last = BEFORE_MS + EDGE_MS, len(x_db) - EDGE_MS
    at = np.arange(first, max(first, last))
    before = (sums[at - EDGE_MS] - sums[at - EDGE_MS - BEFORE_MS]) / BEFORE_MS
    rise = (sums[at + EDGE_MS] - sums[at]) / EDGE_MS - before
    return [
        int(t)
        for i, t in enumerate(at)
        if rise[i] >= ONSET_DB and rise[i] == rise[max(0, i - BEFORE_MS) : i + BEFORE_MS + 1].max()
    ]


def pumping_db(reference: FloatArray, decoded: FloatArray) -> float:
    """Return how much the gain of decoded sways: the spread of level differences over 250 ms.

    Where the reference is within 25 dB of its loudest stretch; a gain that stays is none.
    """
    x, y = _slow_levels_db(reference), _slow_levels_db(decoded)
    active = x >= x.max() - ACTIVE_DB
    return float(np.std(y[active] - x[active]))


def _slow_levels_db(samples: FloatArray) -> Floats:
    n = SLOW_MS * SAMPLE_RATE_HZ // 1000
    whole = samples[: max(1, len(samples) // n) * n]
    power = np.square(whole, dtype=np.float64).reshape(-1, min(n, len(whole))).mean(1)
    levels: Floats = 10.0 * np.log10(power + 1e-9)
    return levels


def repetition(samples: FloatArray) -> float:
    """Return how much the texture above 4 kHz repeats, 0 … 1, about 0 for hiss by chance.

    The fine structure is what is left of log magnitudes (256-sample windows, hop 50) without their
    means over 9 bins and 41 frames; the figure is its highest autocorrelation at lags of 50 to 250
    ms. NaN where nothing is above 4 kHz.
    """
    first = LOWEST_HZ * TEXTURE_WINDOW // SAMPLE_RATE_HZ
    seen = spectra.magnitudes(samples, TEXTURE_WINDOW, TEXTURE_HOP)[:, first:-4]
    if np.median(seen) < 1e-5:
        return float("nan")
    logs = np.log(seen + 1e-6)
    fine = logs - _means(_means(logs, 9, 1), 41, 0)
    fine -= fine.mean(0)
    per_hop_ms = 1000.0 * TEXTURE_HOP / SAMPLE_RATE_HZ
    low, high = round(SHORTEST_MS / per_hop_ms), round(LONGEST_MS / per_hop_ms)
    high = min(high, len(fine) // 2)
    spectrum = np.abs(np.fft.rfft(fine, 2 * len(fine), axis=0)) ** 2
    products = np.fft.irfft(spectrum.sum(1))[: high + 1]
    overlap = len(fine) - np.arange(high + 1)
    correlation = products / overlap / (products[0] / len(fine))
    return float(correlation[low:].max())


def _means(values: Floats, n: int, axis: int) -> Floats:
    """Return running means over n places along an axis, edge values repeated."""
    padding = [(0, 0), (0, 0)]
    padding[axis] = (n // 2, n // 2)
    padded = np.pad(values, padding, "edge")
    means: Floats = np.lib.stride_tricks.sliding_window_view(padded, n, axis).mean(-1)
    return means
