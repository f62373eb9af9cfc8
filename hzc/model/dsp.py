"""What surrounds the networks: spectra, the noise, and the way back to samples; numpy only.

    samples ── frames ── log-magnitudes ── [analysis] ── y
    y_hat ── [synthesis] ── magnitude, phase, gain of noise ── frames ── samples

The same computation in torch, for training, is in `hzc.model.transforms`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from hzc.blocks import FloatArray
from hzc.model.config import ModelConfig

ComplexArray = npt.NDArray[np.complex64]
UintArray = npt.NDArray[np.uint32]

LOG_MAGNITUDE_FLOOR = 1e-4
"""Added to magnitudes before the logarithm: 128 dB under a full-scale sine."""
SPECTRUM_RANGE = 1.5e-4
"""Added as well, times the greatest magnitude of the frame: what lies 76 dB under it is not heard.

Noise gates leave bands of a loud frame empty. Without this the logarithms there were far below any
that recordings have, and vowels broke off (training/LOG.md)."""
MAX_LOG_MAGNITUDE = 7.0
"""Limit of the log-magnitude: a full-scale sine has log(n_fft / 4) = 5.5."""
MAX_LOG_NOISE = 0.0
"""Limit of the log gain of white noise, whose RMS is that of full scale."""
FRAMES_AT_ONCE = 128
"""Frames of the Fourier transforms that are computed at once."""
GOLDEN = 0x9E3779B9
"""2^32 over the golden ratio: its multiples differ in all bits."""


@dataclass(frozen=True)
class Spectra:
    """What the synthesis network says of every bin, float32 [channel, time, bin] each."""

    log_magnitude: FloatArray
    phase: FloatArray
    """Radians."""
    log_noise: FloatArray
    """Logarithm of the gain of white noise."""


def features(x: FloatArray, config: ModelConfig) -> FloatArray:
    """Return the log-magnitudes that the analysis network sees, float32 [channel, time, bin].

    Args:
        x: float32 [channel, sample], whole hops.
        config: Sizes of the model.
    """
    magnitude = np.abs(spectrum(x, config))
    magnitude += LOG_MAGNITUDE_FLOOR + SPECTRUM_RANGE * magnitude.max(axis=2, keepdims=True)
    logs: FloatArray = np.log(magnitude, out=magnitude)
    return logs


def waveform(y_hat: FloatArray, spectra: Spectra, config: ModelConfig) -> FloatArray:
    """Return the samples of spectra, float32 [channel, F * hop_length].

    Args:
        y_hat: The latent that they come from, float32 [channel, D, F]: the noise follows from it.
        spectra: What the synthesis network made of it.
        config: Sizes of the model.
    """
    whole = spectrum(white_noise(y_hat, config.hop_length), config)
    whole *= _exp(spectra.log_noise, MAX_LOG_NOISE)
    magnitude = _exp(spectra.log_magnitude, MAX_LOG_MAGNITUDE)
    whole.real += magnitude * np.cos(spectra.phase)
    whole.imag += magnitude * np.sin(spectra.phase)
    return inverse(whole, config)


def _exp(logs: FloatArray, most: float) -> FloatArray:
    """Return e to the power of logarithms, limited first."""
    limited = np.minimum(logs, np.float32(most))
    return np.exp(limited, out=limited)


def white_noise(y_hat: FloatArray, n_samples: int) -> FloatArray:
    """Return noise that follows from a latent alone, so that it costs no bits.

    The same frame has the same noise everywhere: decoding a part gives the same samples as decoding
    the whole. The bits of a frame's values, mixed and summed, are its seed; the seed and the place
    of a sample in the frame, mixed, are the sample. All this is integer arithmetic: every machine
    draws the same.

    Args:
        y_hat: float32 [channel, D, F].
        n_samples: How many for every frame.

    Returns:
        float32 [channel, F * n_samples] of mean 0 and variance 1, uniformly distributed.
    """
    zero = np.float32(0.0)
    bits: UintArray = (y_hat + zero).view(np.uint32)  # the sum makes −0 and 0 one number
    dimension = np.arange(1, y_hat.shape[1] + 1, dtype=np.uint32)[:, None]
    place = np.arange(n_samples, dtype=np.uint32)
    golden = np.uint32(GOLDEN)
    mixed = _hashed(bits + (golden * dimension).astype(np.uint32))
    seed = _hashed(np.add.reduce(mixed, axis=1, dtype=np.uint32))
    drawn = _hashed(seed[..., None] + golden * place).reshape(len(y_hat), -1)
    centred = drawn.astype(np.float32) / np.float32(2.0**32) - np.float32(0.5)
    return centred * np.float32(math.sqrt(12.0))


def _hashed(h: UintArray) -> UintArray:
    """Return uint32 numbers hashed.

    Source: Wellons 2018, "Prospecting for hash functions", lowbias32.
    """
    h = h ^ (h >> np.uint32(16))
    h = h * np.uint32(0x7FEB352D)
    h = h ^ (h >> np.uint32(15))
    h = h * np.uint32(0x846CA68B)
    return h ^ (h >> np.uint32(16))


def spectrum(x: FloatArray, config: ModelConfig) -> ComplexArray:
    """Return the short-time Fourier transform, complex64 [channel, time, bin]; hops = time.

    Frame t is centred on hop t, so that windows of whole hops lie on the grid of the whole signal.
    """
    n_fft, hop, margin = config.n_fft, config.stft_hop, _margin(config)
    padded = np.pad(x, ((0, 0), (margin, n_fft - hop - margin)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft, axis=1)[:, ::hop]
    transformed = np.empty((*frames.shape[:2], config.n_bins), dtype=np.complex64)
    for now in _pieces(frames.shape[1]):
        transformed[:, now] = np.fft.rfft(frames[:, now] * _hann(n_fft))
    return transformed


def inverse(whole: ComplexArray, config: ModelConfig) -> FloatArray:
    """Return float32 [channel, time * hop] for complex64 [channel, time, bin], by overlap-add."""
    n_fft, hop, margin = config.n_fft, config.stft_hop, _margin(config)
    window, (n_channels, n_frames, _), n_hops = _hann(n_fft), whole.shape, n_fft // hop
    total = np.zeros((n_channels, n_frames + n_hops - 1, hop), dtype=np.float32)
    weight = np.zeros((1, *total.shape[1:]), dtype=np.float32)
    for now in _pieces(n_frames):
        frames = np.fft.irfft(whole[:, now], n_fft).astype(np.float32, copy=False)
        frames *= window
        parts = frames.reshape(n_channels, -1, n_hops, hop)
        _overlap_add(parts, total[:, now.start : now.stop + n_hops - 1])
    _overlap_add(np.square(window).reshape(1, 1, n_hops, hop), weight)
    total /= np.maximum(weight, 1e-12)
    return total.reshape(n_channels, -1)[:, margin : margin + n_frames * hop]


def _overlap_add(parts: FloatArray, out: FloatArray) -> None:
    """Add the hops of frames, [channel, time, n_fft / hop, hop], to out, [channel, time, hop]."""
    n_hops = parts.shape[2]
    n_frames = out.shape[1] - n_hops + 1
    for k in range(n_hops):
        out[:, k : k + n_frames] += parts[:, :, k]


def _pieces(n_frames: int) -> Iterator[slice]:
    """Yield the frames in pieces that a processor's cache holds."""
    for start in range(0, n_frames, FRAMES_AT_ONCE):
        yield slice(start, min(n_frames, start + FRAMES_AT_ONCE))


def _margin(config: ModelConfig) -> int:
    """Return the samples that the first frame reaches out before the first hop."""
    return (config.n_fft - config.stft_hop) // 2


@lru_cache(maxsize=4)
def _hann(n_fft: int) -> FloatArray:
    """Return a periodic Hann window, float32 [n_fft]."""
    phase = 2.0 * np.pi * np.arange(n_fft) / n_fft
    return (0.5 - 0.5 * np.cos(phase)).astype(np.float32)
