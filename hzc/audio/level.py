"""Length, level and rumble of a recording, in one pass; and the filter against rumble."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hzc.audio.sources import Source, checked
from hzc.blocks import Blocks, FloatArray
from hzc.errors import UnsupportedAudioError

LEVEL_FRAME_S = 0.02
RARE_ABOVE_COMMON_DB = 12.0
SILENCE_DB = -70.0
"""A recording whose loud parts are below this is left as it is."""
RUMBLE_BELOW_LEVEL_DB = 10.0
"""Rumble this close to the level of the loud parts is taken out. Clean speech is 20 dB away."""

TARGET_LEVEL_DB = -26.0
"""Level of the loud parts that recordings are brought to before analysis."""
MAX_GAIN_HALF_DB = 80

PIECE_SAMPLES = 1 << 16
STOP_HZ, PASS_HZ = 20.0, 50.0
STOP_DB = 60.0
"""The filter takes out this much below STOP_HZ and is flat within 0.01 dB above PASS_HZ."""


@dataclass(frozen=True)
class Survey:
    """What one pass over a source finds."""

    n_samples: int
    level_db: float
    """Level of the loud frames, dB below full scale; see `loud_level_db`."""
    rumble_db: float
    """Level below about 15 Hz, DC included, exceeded half of the time; dB below full scale."""


def survey(source: Source) -> Survey:
    """Count the samples and measure the level, in one pass.

    Raises:
        UnsupportedAudioError: there are no samples, or one is NaN or infinite.
    """
    meter = Meter(source.sample_rate_hz, source.n_channels)
    for block in checked(source.blocks(), source.sample_rate_hz):
        meter.push(block)
    return meter.finish()


class Meter:
    """Measures audio that comes in blocks."""

    def __init__(self, sample_rate_hz: int, n_channels: int) -> None:
        """Start a measurement."""
        self._frame = max(1, round(LEVEL_FRAME_S * sample_rate_hz))
        self._frames: list[npt.NDArray[np.float64]] = []
        self._rest = np.zeros((1 + n_channels, 0))
        self._n_samples = 0

    def push(self, block: FloatArray) -> None:
        """Take a block, float32 [channel, sample]."""
        self._n_samples += block.shape[1]
        # The square of a float32 far beyond full scale is no float32.
        power = np.square(block, dtype=np.float64).mean(axis=0, keepdims=True)
        rows = np.concatenate([self._rest, np.concatenate([power, block])], axis=1)
        whole = rows.shape[1] // self._frame * self._frame
        self._frames.append(rows[:, :whole].reshape(len(rows), -1, self._frame).mean(axis=2))
        self._rest = rows[:, whole:]

    def finish(self) -> Survey:
        """Return what was found.

        Raises:
            UnsupportedAudioError: there are no samples.
        """
        if self._n_samples == 0:
            raise UnsupportedAudioError("the recording has no samples")
        if self._rest.shape[1]:
            self._frames.append(self._rest.mean(axis=1, keepdims=True))
        means = np.concatenate(self._frames, axis=1)
        return Survey(self._n_samples, loud_level_db(means[0]), _rumble_db(means[1:]))


def loud_level_db(frame_powers: npt.NDArray[np.float64]) -> float:
    """Return the level of speech among other things: float64 [frame], mean squares of 20 ms.

    It is the 95th percentile where there is speech enough. Where it is rare, a minute of noise
    around a sentence, the loudest frames count: they are about 12 dB above it. A click is rarer.
    """
    common, rare = 10.0 * np.log10(np.percentile(frame_powers, (95, 99.9)) + 1e-20)
    return float(max(common, rare - RARE_ABOVE_COMMON_DB))


def _rumble_db(frame_means: npt.NDArray[np.float64]) -> float:
    """Return the rumble: float64 [channel, frame], means of 20 ms.

    Weights of 1/4, 1/2, 1/4 take out what is left of 60 Hz (-20 dB) and of voices from 70 Hz on
    (-33 dB). The median ignores pops and bumps.
    """
    padded = np.pad(frame_means, ((0, 0), (1, 1)), mode="edge")
    smooth = 0.25 * padded[:, :-2] + 0.5 * padded[:, 1:-1] + 0.25 * padded[:, 2:]
    return float(10.0 * np.log10(np.median(np.square(smooth).mean(axis=0)) + 1e-20))


def gain_for(level_db: float) -> int:
    """Return the gain that brings a recording to the level the model expects, in half decibels.

    Args:
        level_db: As `Survey.level_db`; 0 is returned for silence.
    """
    if level_db <= SILENCE_DB:
        return 0
    wanted = round(2.0 * (TARGET_LEVEL_DB - level_db))
    return max(-MAX_GAIN_HALF_DB, min(MAX_GAIN_HALF_DB, wanted))


def linear_gain(gain_half_db: int) -> np.float32:
    """Return the factor that a gain in half decibels stands for."""
    return np.float32(10.0 ** (gain_half_db / 40.0))


def needs_high_pass(found: Survey) -> bool:
    """Whether DC or rumble would be coded in place of speech."""
    return found.level_db > SILENCE_DB and found.rumble_db > found.level_db - RUMBLE_BELOW_LEVEL_DB


def high_passed(source: Source) -> Source:
    """Return a source without DC and rumble: the same number of samples, no delay."""

    def blocks() -> Blocks:
        high_pass = HighPass(source.sample_rate_hz, source.n_channels)
        for block in source.blocks():
            yield high_pass.push(block)
        yield high_pass.finish()

    return replace(source, blocks=blocks)


class HighPass:
    """Takes out DC and everything below 20 Hz, and nothing above 50 Hz; linear phase, no delay.

    The signal minus its low-pass: a windowed sinc of 0.12 s, by FFT. At both ends the signal is
    mirrored, so that a constant becomes zeros there too, and speech that is cut off gets no thump.

    Source: J. F. Kaiser, "Nonrecursive digital filter design using the I0-sinh window function"
    (1974), for width and length of the window.
    """

    def __init__(self, sample_rate_hz: int, n_channels: int) -> None:
        """Start a recording."""
        self._half = _half_length(sample_rate_hz)
        self._low_pass = _low_pass(sample_rate_hz, self._half)
        self._held = np.zeros((n_channels, 0))
        self._is_started = False

    def push(self, block: FloatArray) -> FloatArray:
        """Take a block, float32 [channel, sample]; return those samples that are done."""
        starts = range(0, block.shape[1] or 1, PIECE_SAMPLES)
        done = [self._push(block[:, start : start + PIECE_SAMPLES]) for start in starts]
        return np.concatenate(done, axis=1)

    def _push(self, block: FloatArray) -> FloatArray:
        self._held = np.concatenate([self._held, block], axis=1)
        if self._held.shape[1] < 8 * self._half:  # an FFT should be worth it
            return np.zeros((len(self._held), 0), dtype=np.float32)
        if not self._is_started:
            self._held = np.pad(self._held, ((0, 0), (self._half, 0)), mode="symmetric")
            self._is_started = True
        return self._filtered()

    def finish(self) -> FloatArray:
        """Return the rest."""
        before = 0 if self._is_started else self._half
        if self._held.shape[1]:
            self._held = np.pad(self._held, ((0, 0), (before, self._half)), mode="symmetric")
        return self._filtered()

    def _filtered(self) -> FloatArray:
        """Filter all samples that have enough others on both sides."""
        held, half = self._held, self._half
        n_samples = max(0, held.shape[1] - 2 * half)
        self._held = held[:, n_samples:]
        if n_samples == 0:
            return np.zeros((len(held), 0), dtype=np.float32)
        level = held[:, :1]  # without DC, a constant becomes exactly zero
        n_fft = 1 << (held.shape[1] - 1).bit_length()
        spectrum = np.fft.rfft(held - level, n_fft) * np.fft.rfft(self._low_pass, n_fft)
        low = np.fft.irfft(spectrum, n_fft)[:, 2 * half : 2 * half + n_samples]
        return (held[:, half : half + n_samples] - level - low).astype(np.float32)


def _half_length(sample_rate_hz: int) -> int:
    """Return the samples on either side of the middle of the low-pass."""
    width = 2.0 * np.pi * (PASS_HZ - STOP_HZ) / sample_rate_hz
    return int(np.ceil((STOP_DB - 7.95) / (2.285 * width) / 2.0))


def _low_pass(sample_rate_hz: int, half: int) -> npt.NDArray[np.float64]:
    """Return a low-pass whose values sum up to one, float64 [2 half + 1]."""
    n = np.arange(-half, half + 1)
    cutoff = (STOP_HZ + PASS_HZ) / sample_rate_hz  # of the middle, in units of half the rate
    window = np.kaiser(len(n), 0.1102 * (STOP_DB - 8.7))
    low_pass: npt.NDArray[np.float64] = np.sinc(cutoff * n) * window
    low_pass /= low_pass.sum()
    return low_pass
