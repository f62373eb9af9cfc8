"""The analysis transform g_a (waveform to latent) and the synthesis transform g_s (back).

    x     ── Spectrum ── log-magnitude ──── blocks, ↓2, ↓2, ↓2 ── Linear ── y [batch, D, F]
    x_hat ── inverse  ── magnitude, phase ── blocks, ↑2, ↑2, ↑2 ── Linear ── y_hat
                         gain of noise ───────┘

Both are non-causal with a finite reach, `ModelConfig.analysis_context_frames` and
`synthesis_context_frames`; quantisation and coding are not here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hzc.model.config import ModelConfig
from hzc.model.layers import ConvNeXtBlock, Downsample, Spectrum, Upsample, white_noise

LOG_MAGNITUDE_FLOOR = 1e-4
"""Added to magnitudes before the logarithm: 128 dB under a full-scale sine."""

SPECTRUM_RANGE = 1.5e-4
"""Added as well, times the greatest magnitude of the frame: what lies 76 dB under it is not heard.

Noise gates leave bands of a loud frame empty. Without this the logarithms there were far below any
that recordings have, and vowels broke off (training/LOG.md)."""

MAX_LOG_MAGNITUDE = 7.0
"""Cap on the head's log-magnitude: a full-scale sine has log(n_fft / 4) = 5.5."""

START_LOG_NOISE = -8.0
"""Of a fresh network: noise 69 dB under full scale, hardly heard before training moves it."""

MAX_LOG_NOISE = 0.0
"""Cap on the gain of white noise, whose RMS is that of full scale."""


def _blocks(config: ModelConfig, width: int, n_blocks: int) -> nn.Sequential:
    return nn.Sequential(
        *(ConvNeXtBlock(width, config.kernel_frames, config.expansion) for _ in range(n_blocks))
    )


class Analysis(nn.Module):
    """g_a: float32 [batch, sample] in [-1, 1] to the latent's mean, float32 [batch, D, F]."""

    def __init__(self, config: ModelConfig) -> None:
        """Build the ladder that `config` describes."""
        super().__init__()
        widths, blocks = config.analysis_widths, config.analysis_blocks
        self.spectrum = Spectrum(config.n_fft, config.stft_hop)
        self.stem = nn.Linear(config.n_bins, widths[0])
        stages: list[nn.Module] = [_blocks(config, widths[0], blocks[0])]
        for level, stride in enumerate(config.strides):
            stages.append(Downsample(widths[level], widths[level + 1], stride))
            stages.append(_blocks(config, widths[level + 1], blocks[level + 1]))
        self.stages = nn.Sequential(*stages)
        self.norm = nn.LayerNorm(widths[-1])
        self.head = nn.Linear(widths[-1], config.n_latent)

    def forward(self, x: Tensor) -> Tensor:
        """Return the latent; the number of samples must be a multiple of the hop length."""
        magnitude = self.spectrum(x).abs()  # [batch, time, bin]
        floor = LOG_MAGNITUDE_FLOOR + SPECTRUM_RANGE * magnitude.amax(2, keepdim=True)
        h = self.stem(torch.log(magnitude + floor))  # [batch, time, width]
        h = self.norm(self.stages(h))  # [batch, F, width]
        y: Tensor = self.head(h).float()
        return y.transpose(1, 2)  # [batch, D, F]


class Synthesis(nn.Module):
    """g_s: latent float32 [batch, D, F] to waveform float32 [batch, F * hop_length]."""

    def __init__(self, config: ModelConfig) -> None:
        """Build the ladder that `config` describes."""
        super().__init__()
        widths, blocks = config.synthesis_widths, config.synthesis_blocks
        self.stem = nn.Linear(config.n_latent, widths[-1])
        stages: list[nn.Module] = [_blocks(config, widths[-1], blocks[-1])]
        for level in reversed(range(len(config.strides))):
            stages.append(Upsample(widths[level + 1], widths[level], config.strides[level]))
            stages.append(_blocks(config, widths[level], blocks[level]))
        self.stages = nn.Sequential(*stages)
        self.norm = nn.LayerNorm(widths[0])
        self.head = nn.Linear(widths[0], 2 * config.n_bins)
        self.noise_head = nn.Linear(widths[0], config.n_bins)
        nn.init.zeros_(self.noise_head.weight)
        nn.init.constant_(self.noise_head.bias, START_LOG_NOISE)
        self.hop_length = config.hop_length
        self.spectrum = Spectrum(config.n_fft, config.stft_hop)

    def forward(self, y: Tensor, n_draws: int = 1) -> Tensor:
        """Return the waveform; every frame of y becomes hop_length samples.

        Args:
            y: The latent.
            n_draws: How often, each time with other noise; decoders take the first.

        Returns:
            float32 [n_draws * batch, F * hop_length], draw by draw.
        """
        h = self.norm(self.stages(self.stem(y.transpose(1, 2))))  # [batch, time, width]
        log_magnitude, phase = self.head(h).float().chunk(2, dim=-1)  # [batch, time, bin]
        tonal = torch.polar(torch.exp(log_magnitude.clamp(max=MAX_LOG_MAGNITUDE)), phase)
        gain = torch.exp(self.noise_head(h).float().clamp(max=MAX_LOG_NOISE))
        noises = (white_noise(y, self.hop_length, draw) for draw in range(n_draws))
        spectra = [tonal + gain * self.spectrum(noise) for noise in noises]
        return self.spectrum.inverse(torch.cat(spectra))
