"""Distortion: spectra of original and reconstruction compared at several resolutions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hzc.train.config import DistortionConfig

MAGNITUDE_FLOOR = 1e-5
"""Magnitudes under −100 dB of full scale count as equal."""
COMPLEX_WINDOW = 512
COMPRESSION = 0.3
"""Exponent of the magnitudes where complex spectra are compared."""
COMPLEX_FLOOR = 1e-7


def mel_filters(n_bins: int, n_mels: int, sample_rate_hz: int) -> Tensor:
    """Return triangular filters, float32 [n_bins, n_mels], each with weights that sum to one."""
    top = 2595.0 * math.log10(1.0 + sample_rate_hz / 2 / 700.0)
    edges_hz = 700.0 * (10.0 ** (torch.linspace(0.0, top, n_mels + 2) / 2595.0) - 1.0)
    bins_hz = torch.linspace(0.0, sample_rate_hz / 2, n_bins)
    rising = (bins_hz[:, None] - edges_hz[:-2]) / (edges_hz[1:-1] - edges_hz[:-2])
    falling = (edges_hz[2:] - bins_hz[:, None]) / (edges_hz[2:] - edges_hz[1:-1])
    filters = torch.minimum(rising, falling).clamp(min=0.0)
    # A band narrower than a bin catches none: give it the bin nearest to its centre.
    empty = filters.sum(0) == 0
    nearest = (bins_hz[:, None] - edges_hz[1:-1]).abs().argmin(0)
    filters[nearest[empty], torch.nonzero(empty)[:, 0]] = 1.0
    return filters / filters.sum(0)


@dataclass(frozen=True)
class _Seen:
    """One view of several signals at one resolution."""

    logs: tuple[Tensor, ...]
    """Per signal: logarithms of magnitudes, [batch, time, band]."""
    weight: float
    bands_hz: Tensor
    """Mean frequency of the bands; 0 for the whole."""


class SpectralDistance(nn.Module):
    """Mean absolute difference of log mel bands, bins and frame energies over several windows.

    Source: Yamamoto et al. 2020 (Parallel WaveGAN), section 2.2, for the idea of several
    resolutions; Kumar et al. 2023 (DAC), section 3.3, for mel bands that follow the window.
    """

    def __init__(self, config: DistortionConfig, sample_rate_hz: int) -> None:
        """Prepare one window and one filter bank per resolution."""
        super().__init__()
        self.config = config
        self._n_complex = int(config.complex_hz / sample_rate_hz * COMPLEX_WINDOW) + 1
        for size in sorted({*config.windows, COMPLEX_WINDOW}):
            self.register_buffer(f"window_{size}", torch.hann_window(size), persistent=False)
            n_mels = max(10, min(128, size // 8))
            filters = mel_filters(size // 2 + 1, n_mels, sample_rate_hz)
            bins_hz = torch.linspace(0.0, sample_rate_hz / 2, size // 2 + 1)
            self.register_buffer(f"mel_{size}", filters, persistent=False)
            self.register_buffer(f"bins_hz_{size}", bins_hz, persistent=False)
            self.register_buffer(f"mels_hz_{size}", bins_hz @ filters, persistent=False)

    def forward(
        self, x: Tensor, draws: tuple[Tensor, ...], windows: list[int]
    ) -> tuple[Tensor, Tensor]:
        """Return the distance of the draws to x, and half that between two above a frequency.

        The first minus the second is the energy score, whose minimum is the distribution of x,
        there; below, the median. Source: Gritsenko et al. 2020, "A Spectral Energy Distance for
        Parallel Speech Synthesis", equation 4.

        Args:
            x: Recordings, float32 [batch, sample].
            draws: One reconstruction, or two of one latent with different noise, like x.
            windows: The resolutions to average over.

        Returns:
            Both in natural-log units, means over all bins; the spread is 0 for one draw.
        """
        distance, spread = x.new_zeros(()), x.new_zeros(())
        for seen in self._seen([x, *draws], windows):
            target, *estimates = seen.logs
            to_target = torch.stack([F.l1_loss(estimate, target) for estimate in estimates])
            distance = distance + seen.weight * to_target.mean()
            if len(estimates) == 2:
                apart = (estimates[0] - estimates[1]).abs()
                counted = apart * (seen.bands_hz >= self.config.repulsion_hz)
                spread = spread + seen.weight * counted.mean() / 2
        complex_part = torch.stack([self.complex_distance(x, draw) for draw in draws]).mean()
        return distance / len(windows) + complex_part, spread / len(windows)

    def complex_distance(self, x: Tensor, x_hat: Tensor) -> Tensor:
        """Return the distance of complex spectra below `complex_hz`, magnitudes compressed.

        It is relative to the size of the recordings' spectra. Source: Braun, Tashev 2021, "A
        consolidated view of loss functions for supervised deep learning-based speech enhancement",
        equation 7.
        """
        if not self.config.complex_weight:
            return x.new_zeros(())
        spectrum = self._spectrum(torch.cat([x, x_hat]), COMPLEX_WINDOW)[:, : self._n_complex]
        power = spectrum.real.square() + spectrum.imag.square() + COMPLEX_FLOOR
        scaled = torch.view_as_real(spectrum) * power.pow((COMPRESSION - 1) / 2)[..., None]
        target, estimate = scaled.chunk(2)
        distance = (target - estimate).square().sum(-1).add(1e-8).sqrt().mean()
        size = target.square().sum(-1).sqrt().mean() + 1e-3
        return self.config.complex_weight * distance / size

    def _seen(self, signals: list[Tensor], windows: list[int]) -> Iterator[_Seen]:
        """Yield what is compared at every resolution."""
        for size in windows:
            magnitude = self._magnitude(torch.cat(signals), size)
            mel = magnitude @ self.get_buffer(f"mel_{size}")
            energy = torch.sqrt(magnitude.square().sum(2, keepdim=True))
            bins_hz = self.get_buffer(f"bins_hz_{size}")
            mels_hz = self.get_buffer(f"mels_hz_{size}")
            for values, weight, bands_hz in (
                (mel, self.config.mel_weight, mels_hz),
                (magnitude, self.config.stft_weight, bins_hz),
                (energy, self.config.energy_weight, bins_hz[:1]),
            ):
                logs = torch.log(values + MAGNITUDE_FLOOR).chunk(len(signals))
                yield _Seen(logs, weight, bands_hz)

    def _magnitude(self, x: Tensor, size: int) -> Tensor:
        """Magnitudes [batch, time, bin] in units of a full-scale sine."""
        spectrum = self._spectrum(x, size)
        power = spectrum.real.square() + spectrum.imag.square()
        return torch.sqrt(power + 1e-12).transpose(1, 2)

    def _spectrum(self, x: Tensor, size: int) -> Tensor:
        """Complex spectra [batch, bin, time] in units of a full-scale sine."""
        window = self.get_buffer(f"window_{size}")
        spectrum = torch.stft(x, size, size // 4, window=window, return_complex=True)
        return spectrum * (2.0 / float(window.sum()))
