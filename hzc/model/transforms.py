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
from hzc.model.dsp import (
    LOG_MAGNITUDE_FLOOR,
    MAX_LOG_MAGNITUDE,
    MAX_LOG_NOISE,
    SPECTRUM_RANGE,
)
from hzc.model.layers import ConvNeXtBlock, Downsample, Spectrum, Upsample, white_noise

STEP_INDEX_SCALE = 16.0
"""Step indexes are divided by this: the network likes inputs of about one."""
START_LOG_NOISE = -8.0
"""Of a fresh network: noise 69 dB under full scale, hardly heard before training moves it."""


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
        return self.trunk(self.features(x))

    def features(self, x: Tensor) -> Tensor:
        """Return log-magnitudes, float32 [batch, time, bin]."""
        magnitude = self.spectrum(x).abs()
        floor = LOG_MAGNITUDE_FLOOR + SPECTRUM_RANGE * magnitude.amax(2, keepdim=True)
        return torch.log(magnitude + floor)

    def trunk(self, features: Tensor) -> Tensor:
        """Return the latent of log-magnitudes: the network itself."""
        h = self.stem(features)  # [batch, time, width]
        h = self.norm(self.stages(h))  # [batch, F, width]
        y: Tensor = self.head(h).float()
        return y.transpose(1, 2)  # [batch, D, F]


class Synthesis(nn.Module):
    """g_s: latent float32 [batch, D, F] to waveform float32 [batch, F * hop_length]."""

    def __init__(self, config: ModelConfig) -> None:
        """Build the ladder that `config` describes."""
        super().__init__()
        widths, blocks = config.synthesis_widths, config.synthesis_blocks
        self.sees_step_index = config.sees_step_index
        self.stem = nn.Linear(config.n_latent + config.sees_step_index, widths[-1])
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

    def forward(self, y: Tensor, step_index: Tensor, n_draws: int = 1) -> Tensor:
        """Return the waveform; every frame of y becomes hop_length samples.

        Args:
            y: The latent.
            step_index: How coarsely it was quantised, float32 [batch].
            n_draws: How often, each time with other noise; decoders take the first.

        Returns:
            float32 [n_draws * batch, F * hop_length], draw by draw.
        """
        log_magnitude, phase, log_noise = self.trunk(y, step_index)
        tonal = torch.polar(torch.exp(log_magnitude.clamp(max=MAX_LOG_MAGNITUDE)), phase)
        gain = torch.exp(log_noise.clamp(max=MAX_LOG_NOISE))
        noises = (white_noise(y, self.hop_length, draw) for draw in range(n_draws))
        spectra = [tonal + gain * self.spectrum(noise) for noise in noises]
        return self.spectrum.inverse(torch.cat(spectra))

    def trunk(self, y: Tensor, step_index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return log-magnitude, phase and log gain of noise, float32 [batch, time, bin] each."""
        if self.sees_step_index:
            row = (step_index / STEP_INDEX_SCALE)[:, None, None].expand(-1, 1, y.shape[2])
            y = torch.cat([y, row], dim=1)
        h = self.norm(self.stages(self.stem(y.transpose(1, 2))))  # [batch, time, width]
        log_magnitude, phase = self.head(h).float().chunk(2, dim=-1)
        return log_magnitude, phase, self.noise_head(h).float()
