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
        for size in config.windows:
            self.register_buffer(f"window_{size}", torch.hann_window(size), persistent=False)
            n_mels = max(10, min(128, size // 8))
            filters = mel_filters(size // 2 + 1, n_mels, sample_rate_hz)
            bins_hz = torch.linspace(0.0, sample_rate_hz / 2, size // 2 + 1)
            self.register_buffer(f"mel_{size}", filters, persistent=False)
            self.register_buffer(f"bins_hz_{size}", bins_hz, persistent=False)
            self.register_buffer(f"mels_hz_{size}", bins_hz @ filters, persistent=False)

    def forward(self, x: Tensor, x_hat: Tensor, windows: list[int]) -> Tensor:
        """Return the mean distance over `windows`, natural-log units; x, x_hat [batch, sample]."""
        total = x.new_zeros(())
        for seen in self._seen([x, x_hat], windows):
            target, estimate = seen.logs
            total = total + seen.weight * F.l1_loss(estimate, target)
        return total / len(windows)

    def with_spread(
        self, x: Tensor, draws: tuple[Tensor, Tensor], windows: list[int], lowest_hz: float
    ) -> tuple[Tensor, Tensor]:
        """Return the distance of two draws to x, and half that between them above a frequency.

        Their difference is the energy score, whose minimum is the distribution of x, there; below,
        the median. Source: Gritsenko et al. 2020, "A Spectral Energy Distance for Parallel Speech
        Synthesis", equation 4.

        Args:
            x: Recordings, float32 [batch, sample].
            draws: Reconstructions of one latent with different noise, like x.
            windows: The resolutions to average over.
            lowest_hz: Where the spread begins to count.

        Returns:
            Both in natural-log units, means over all bins, zero below in the spread.
        """
        distance, spread = x.new_zeros(()), x.new_zeros(())
        for seen in self._seen([x, *draws], windows):
            target, one, two = seen.logs
            apart = (one - two).abs() * (seen.bands_hz >= lowest_hz)
            to_target = F.l1_loss(one, target) + F.l1_loss(two, target)
            distance = distance + seen.weight * to_target / 2
            spread = spread + seen.weight * apart.mean() / 2
        return distance / len(windows), spread / len(windows)

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
        window = self.get_buffer(f"window_{size}")
        spectrum = torch.stft(x, size, size // 4, window=window, return_complex=True)
        power = spectrum.real.square() + spectrum.imag.square()
        magnitude = torch.sqrt(power + 1e-12) * (2.0 / float(window.sum()))
        return magnitude.transpose(1, 2)
