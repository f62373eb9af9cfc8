"""Distortion: spectra of original and reconstruction compared at several resolutions.

It is what training minimises, and what an encoder that searches listens with.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hzc.model.loudness import LoudnessDistance

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


class Weights(Protocol):
    """What the terms of a distance weigh."""

    @property
    def windows(self) -> tuple[int, ...]:
        """Resolutions that may be asked for, in samples."""

    @property
    def mel_weight(self) -> float:
        """On mel bands."""

    @property
    def stft_weight(self) -> float:
        """On bins."""

    @property
    def energy_weight(self) -> float:
        """On the energy of whole frames."""

    @property
    def complex_weight(self) -> float:
        """On compressed complex spectra below `complex_hz`."""

    @property
    def complex_hz(self) -> float:
        """See `complex_weight`."""

    @property
    def loudness_weight(self) -> float:
        """On the difference in loudness."""

    @property
    def repulsion_hz(self) -> float:
        """Where the spread of two draws begins to count."""


@dataclass(frozen=True)
class Target:
    """What is known of recordings before anything is compared with them."""

    views: dict[int, tuple[Tensor, ...]]
    """Resolution to logarithms of magnitudes, [batch, time, band] each: mel bands, bins, energy."""
    compressed: Tensor | None
    """Compressed spectra, [batch, bin, time, 2]; None where they weigh nothing."""
    loudness: tuple[Tensor, Tensor] | None
    """See `LoudnessDistance.target`; None where it weighs nothing."""


class SpectralDistance(nn.Module):
    """Mean absolute difference of log mel bands, bins and frame energies over several windows.

    Source: Yamamoto et al. 2020 (Parallel WaveGAN), section 2.2, for the idea of several
    resolutions; Kumar et al. 2023 (DAC), section 3.3, for mel bands that follow the window.
    """

    def __init__(self, weights: Weights, sample_rate_hz: int) -> None:
        """Prepare one window and one filter bank per resolution."""
        super().__init__()
        self.weights = weights
        self.loudness = LoudnessDistance(sample_rate_hz)
        self._n_complex = int(weights.complex_hz / sample_rate_hz * COMPLEX_WINDOW) + 1
        for size in sorted({*weights.windows, COMPLEX_WINDOW}):
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
        return self.compare(self.target(x, windows), draws, windows)

    def target(self, x: Tensor, windows: list[int]) -> Target:
        """Return what `compare` needs to know of recordings, float32 [batch, sample]."""
        views = {size: self._views(x, size) for size in windows}
        compressed = self._compressed(x) if self.weights.complex_weight else None
        loudness = self.loudness.target(x) if self.weights.loudness_weight else None
        return Target(views, compressed, loudness)

    def compare(
        self, target: Target, draws: tuple[Tensor, ...], windows: list[int]
    ) -> tuple[Tensor, Tensor]:
        """Return what `forward` does, of recordings that are compared with more than once."""
        distance, spread = draws[0].new_zeros(()), draws[0].new_zeros(())
        joined = torch.cat(draws)
        for size in windows:
            views = zip(
                self._bands(size), target.views[size], self._views(joined, size), strict=True
            )
            for (weight, bands_hz), goal, logs in views:
                estimates = logs.chunk(len(draws))
                to_target = torch.stack([F.l1_loss(estimate, goal) for estimate in estimates])
                distance = distance + weight * to_target.mean()
                if len(estimates) == 2:
                    apart = (estimates[0] - estimates[1]).abs()
                    counted = apart * (bands_hz >= self.weights.repulsion_hz)
                    spread = spread + weight * counted.mean() / 2
        distance = distance / len(windows)
        if target.compressed is not None:
            parts = [self._complex_distance(target.compressed, draw) for draw in draws]
            distance = distance + self.weights.complex_weight * torch.stack(parts).mean()
        if target.loudness is not None:
            parts = [self.loudness.compare(target.loudness, draw) for draw in draws]
            distance = distance + self.weights.loudness_weight * torch.stack(parts).mean()
        return distance, spread / len(windows)

    def _complex_distance(self, target: Tensor, x_hat: Tensor) -> Tensor:
        """Return the distance of complex spectra below `complex_hz`, magnitudes compressed.

        It is relative to the size of the recordings' spectra. Source: Braun, Tashev 2021, "A
        consolidated view of loss functions for supervised deep learning-based speech enhancement",
        equation 7.
        """
        distance = (target - self._compressed(x_hat)).square().sum(-1).add(1e-8).sqrt().mean()
        size = target.square().sum(-1).sqrt().mean() + 1e-3
        return distance / size

    def _compressed(self, x: Tensor) -> Tensor:
        """Complex spectra with compressed magnitudes, [batch, bin, time, 2]."""
        spectrum = self._spectrum(x, COMPLEX_WINDOW)[:, : self._n_complex]
        power = spectrum.real.square() + spectrum.imag.square() + COMPLEX_FLOOR
        return torch.view_as_real(spectrum) * power.pow((COMPRESSION - 1) / 2)[..., None]

    def _bands(self, size: int) -> Iterator[tuple[float, Tensor]]:
        """Yield the weight of every view of a resolution, and the mean frequency of its bands."""
        bins_hz = self.get_buffer(f"bins_hz_{size}")
        yield self.weights.mel_weight, self.get_buffer(f"mels_hz_{size}")
        yield self.weights.stft_weight, bins_hz
        yield self.weights.energy_weight, bins_hz[:1]  # 0 for the whole

    def _views(self, x: Tensor, size: int) -> tuple[Tensor, ...]:
        """Logarithms of mel bands, bins and energies of signals at one resolution."""
        magnitude = self._magnitude(x, size)
        mel = magnitude @ self.get_buffer(f"mel_{size}")
        energy = torch.sqrt(magnitude.square().sum(2, keepdim=True))
        return tuple(torch.log(values + MAGNITUDE_FLOOR) for values in (mel, magnitude, energy))

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
