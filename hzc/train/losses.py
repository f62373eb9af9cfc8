"""Distortion: spectra of original and reconstruction compared at several resolutions."""

from __future__ import annotations

import math
from itertools import combinations

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
            self.register_buffer(f"mel_{size}", filters, persistent=False)

    def forward(self, x: Tensor, x_hat: Tensor, windows: list[int]) -> Tensor:
        """Return the mean distance over `windows`, natural-log units; x, x_hat [batch, sample]."""
        return self.pairs([x, x_hat], windows)[0]

    def pairs(self, signals: list[Tensor], windows: list[int]) -> Tensor:
        """Return the distances of all pairs of signals, in the order of `itertools.combinations`.

        Args:
            signals: float32 [batch, sample] each.
            windows: The resolutions to average over.

        Returns:
            float32 [pair], natural-log units.
        """
        total = signals[0].new_zeros(len(signals) * (len(signals) - 1) // 2)
        for size in windows:
            magnitude = self._magnitude(torch.cat(signals), size)  # [signals × batch, bin, time]
            mel = magnitude.transpose(1, 2) @ self.get_buffer(f"mel_{size}")
            energy = torch.sqrt(magnitude.square().sum(1))
            for seen, weight in (
                (mel, self.config.mel_weight),
                (magnitude, self.config.stft_weight),
                (energy, self.config.energy_weight),
            ):
                logs = torch.log(seen + MAGNITUDE_FLOOR).chunk(len(signals))
                apart = [F.l1_loss(a, b) for a, b in combinations(logs, 2)]
                total = total + weight * torch.stack(apart)
        return total / len(windows)

    def _magnitude(self, x: Tensor, size: int) -> Tensor:
        """Magnitudes [batch, bin, time] in units of a full-scale sine."""
        window = self.get_buffer(f"window_{size}")
        spectrum = torch.stft(x, size, size // 4, window=window, return_complex=True)
        power = spectrum.real.square() + spectrum.imag.square()
        return torch.sqrt(power + 1e-12) * (2.0 / float(window.sum()))
