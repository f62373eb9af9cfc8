"""Changes to crops of speech, like those in users' recordings: tones, gates, telephones, rumble.

Each function takes and returns float32 [sample]; full scale is ±1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from hzc.audio.sources import resampled
from hzc.blocks import FloatArray
from hzc.train.config import AugmentConfig

Rng = np.random.Generator

SPEEDS = (0.8, 1.35)
"""Slower and faster speech; the faster has the pitch of children and raised voices."""
DTMF_HZ = ((697.0, 770.0, 852.0, 941.0), (1209.0, 1336.0, 1477.0, 1633.0))
"""Low and high tones of the telephone keypad (ITU-T Q.23)."""
CALL_TONES_HZ = ((350.0, 440.0), (440.0, 480.0), (480.0, 620.0), (425.0,), (950.0, 1400.0, 1800.0))
"""Dial, ringing, busy tone of North America, dial tone of Europe, special information tone."""
RAMP_S = 0.005
GATE_WINDOW = 512
TELEPHONE_BAND_HZ = (300.0, 3400.0)


def augmented(
    x: FloatArray, config: AugmentConfig, sample_rate_hz: int, rng: Rng
) -> tuple[FloatArray, FloatArray]:
    """Return what the analysis hears and what the synthesis should give back.

    They differ only by the rumble, which is not worth coding. Every change is drawn on its own.
    """
    changes: tuple[tuple[float, Callable[[FloatArray, int, Rng], FloatArray]], ...] = (
        (config.telephone, telephone),
        (config.gate, gated),
        (config.clip, clipped),
        (config.tone, with_tones),
    )
    for probability, change in changes:
        if rng.random() < probability:
            x = change(x, sample_rate_hz, rng)
    heard = with_rumble(x, sample_rate_hz, rng) if rng.random() < config.rumble else x
    return heard, x


def at_speed(x: FloatArray, n_samples: int) -> FloatArray:
    """Return x played faster or slower, so that it takes n_samples; pitch and formants follow."""
    if len(x) == n_samples:
        return x
    blocks = resampled(iter([x[None]]), 1, len(x), n_samples)
    played = np.concatenate([block[0] for block in blocks])
    return np.pad(played[:n_samples], (0, max(0, n_samples - len(played))))


def with_tones(x: FloatArray, sample_rate_hz: int, rng: Rng) -> FloatArray:
    """Add one to six tones, or put them in the place of the speech as a censor does."""
    out = x.copy()
    kind = rng.choice(["bleep", "dtmf", "call"])
    is_in_place = rng.random() < 0.7
    level = rms(x) * 10.0 ** (rng.uniform(-6.0, 9.0) / 20.0)
    for _ in range(int(rng.integers(1, 7))):
        n = round(rng.uniform(*((0.06, 0.3) if kind == "dtmf" else (0.1, 1.2))) * sample_rate_hz)
        n = min(n, len(x))
        start = int(rng.integers(0, len(x) - n + 1))
        tone = tones(_frequencies(kind, rng), n, sample_rate_hz, rng)
        ramp = np.minimum(np.arange(n), np.arange(n)[::-1]) / (RAMP_S * sample_rate_hz)
        ramp = np.minimum(ramp, 1.0).astype(np.float32)
        place = slice(start, start + n)
        kept = out[place] * (1.0 - ramp) if is_in_place else out[place]
        out[place] = kept + np.float32(level) * ramp * tone
    return out


def _frequencies(kind: str, rng: Rng) -> tuple[float, ...]:
    if kind == "dtmf":
        return tuple(float(rng.choice(group)) for group in DTMF_HZ)
    if kind == "call":
        return CALL_TONES_HZ[int(rng.integers(len(CALL_TONES_HZ)))]
    if rng.random() < 0.4:
        return (1000.0,)
    return (float(np.exp(rng.uniform(np.log(200.0), np.log(5000.0)))),)


def tones(
    frequencies_hz: tuple[float, ...], n_samples: int, sample_rate_hz: int, rng: Rng
) -> FloatArray:
    """Return the sum of sines of random phases, float32 [sample] of RMS one."""
    t = np.arange(n_samples) / sample_rate_hz
    sines = [np.sin(2 * np.pi * (f * t + rng.random())) for f in frequencies_hz]
    scaled: FloatArray = (np.sum(sines, axis=0) * np.sqrt(2.0 / len(sines))).astype(np.float32)
    return scaled


def gated(x: FloatArray, sample_rate_hz: int, rng: Rng) -> FloatArray:
    """Empty every bin that lies 25 to 50 dB under its frame's peak, as noise gates do."""
    hop = GATE_WINDOW // 2
    window = np.sqrt(np.hanning(GATE_WINDOW + 1)[:-1]).astype(np.float32)
    padded = np.pad(x, (hop, hop + -len(x) % hop))
    frames = np.lib.stride_tricks.sliding_window_view(padded, GATE_WINDOW)[::hop] * window
    spectra = np.fft.rfft(frames)
    magnitude = np.abs(spectra)
    floor = magnitude.max(axis=1, keepdims=True) * 10.0 ** (-rng.uniform(25.0, 50.0) / 20.0)
    frames = np.fft.irfft(np.where(magnitude < floor, 0.0, spectra)) * window
    out = np.zeros(len(padded))
    for half in range(2):
        part = frames[:, half * hop : (half + 1) * hop].reshape(-1)
        out[half * hop : half * hop + len(part)] += part
    return out[hop : hop + len(x)].astype(np.float32)


def telephone(x: FloatArray, sample_rate_hz: int, rng: Rng) -> FloatArray:
    """Keep 300 to 3400 Hz only, with slopes of 100 Hz."""
    low_hz, high_hz = TELEPHONE_BAND_HZ
    f = np.fft.rfftfreq(len(x), 1.0 / sample_rate_hz)
    response = np.clip((f - low_hz) / 100.0 + 1.0, 0, 1) * np.clip(
        (high_hz - f) / 100.0 + 1.0, 0, 1
    )
    return np.fft.irfft(np.fft.rfft(x) * response, len(x)).astype(np.float32)


def clipped(x: FloatArray, sample_rate_hz: int, rng: Rng) -> FloatArray:
    """Clip at 20 to 70 % of the peak."""
    limit = np.float32(rng.uniform(0.2, 0.7)) * np.abs(x).max()
    return np.clip(x, -limit, limit)


def with_rumble(x: FloatArray, sample_rate_hz: int, rng: Rng) -> FloatArray:
    """Add an offset and noise below 40 Hz, up to as strong as the speech."""
    n = len(x)
    f = np.fft.rfftfreq(n, 1.0 / sample_rate_hz)
    spectrum = np.fft.rfft(rng.standard_normal(n)) * (f < rng.uniform(10.0, 40.0))
    rumble = np.fft.irfft(spectrum, n)
    rumble *= rms(x) * 10.0 ** (rng.uniform(-20.0, 0.0) / 20.0) / max(rms(rumble), 1e-9)
    offset = rms(x) * rng.uniform(-1.0, 1.0)
    return (x + rumble + offset).astype(np.float32)


def rms(x: npt.NDArray[np.floating]) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(np.square(x))))
