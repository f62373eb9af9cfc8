"""The prior's network in floating point: in the loss of the transforms, and before its rounding.

The rate–distortion stage trains it together with the transforms on noisy latents; the prior stage
trains one on real symbols and rounds it to the integers of `hzc.coding.prior`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hzc.coding.prior import ACTIVATION_MAX, CONTEXT_CLIP
from hzc.train import prior_tables
from hzc.train.config import PriorConfig

ACTIVATION_BITS = 8
"""Activations are in units of 2^-8, 0 … 16."""
INPUT_SCALE = 0.15
"""Symbols are a few steps in size; the network likes inputs of about one."""
STEP_INDEX_SCALE = 1.0 / 16.0
HIDDEN_LAYERS = ("w1.", "w2.")
"""What the names of the hidden layers' matrices start with."""


class ContextNetwork(nn.Module):
    """The prior's network in floating point; one network per group, run side by side."""

    mask: Tensor

    def __init__(self, n_latent: int, config: PriorConfig) -> None:
        """Start near a static prior of unit scale."""
        super().__init__()
        self.config = config
        groups, hidden = config.n_groups, config.hidden
        self.group_size = n_latent // groups
        n_context = config.context_frames * n_latent
        n_inputs = 1 + n_context + n_latent
        mask = torch.ones(groups, n_inputs, 1)
        for g in range(groups):
            mask[g, 1 + n_context + g * self.group_size :] = 0.0
        self.register_buffer("mask", mask, persistent=False)
        # One matrix per group, not one array for all: Muon works on matrices.
        self.w1 = nn.ParameterList(
            torch.randn(n_inputs, hidden) / math.sqrt(n_inputs) for _ in range(groups)
        )
        self.b1 = nn.Parameter(torch.zeros(groups, 1, hidden))
        self.w2 = nn.ParameterList(
            torch.randn(hidden, hidden) * math.sqrt(2.0 / hidden) for _ in range(groups)
        )
        self.b2 = nn.Parameter(torch.zeros(groups, 1, hidden))
        self.w3 = nn.Parameter(torch.zeros(groups, hidden, 2 * self.group_size))
        start = torch.zeros(groups, 1, 2 * self.group_size)
        start[:, :, self.group_size :] = 3.3 * prior_tables.SCALES_PER_OCTAVE
        self.b3 = nn.Parameter(start)

    def masked_w1(self) -> Tensor:
        """Return the first layer, [G, n_inputs, H], zero where a group must not look."""
        return torch.stack(list(self.w1)) * self.mask

    def forward(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean (steps) and scale index, float32 [n, D] each.

        Args:
            context: float32 [n, 1 + K * D + D]: step index, K past frames, this frame; in steps.
        """
        limit = (ACTIVATION_MAX + 1) / 2**ACTIVATION_BITS
        scaled = torch.cat([context[:, :1] * STEP_INDEX_SCALE, context[:, 1:] * INPUT_SCALE], dim=1)
        shared = scaled.expand(self.config.n_groups, -1, -1)
        h = torch.baddbmm(self.b1, shared, self.masked_w1()).clamp(0.0, limit)
        h = torch.baddbmm(self.b2, h, torch.stack(list(self.w2))).clamp(0.0, limit)
        out = torch.baddbmm(self.b3, h, self.w3)  # [G, n, 2 * D / G]
        mean, scale = out[:, :, : self.group_size], out[:, :, self.group_size :]
        n = context.shape[0]
        return mean.transpose(0, 1).reshape(n, -1), scale.transpose(0, 1).reshape(n, -1)

    def predict(self, symbols: Tensor, step_index: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean (steps) and scale index of every symbol, float32 [batch, D, F] each.

        Args:
            symbols: float32 [batch, D, F], in steps; each batch entry starts a chunk.
            step_index: float32 [batch].
        """
        batch, n_latent, n_frames = symbols.shape
        k = self.config.context_frames
        clipped = F.pad(symbols, (k, 0)).clamp(-CONTEXT_CLIP, CONTEXT_CLIP)
        windows = clipped.unfold(2, k + 1, 1).permute(0, 2, 3, 1)  # [batch, F, K + 1, D]
        flat = windows.reshape(batch * n_frames, (k + 1) * n_latent)
        context = torch.cat([step_index.repeat_interleave(n_frames)[:, None], flat], dim=1)
        mean, scale_index = (
            part.float().reshape(batch, n_frames, n_latent).transpose(1, 2)
            for part in self(context)
        )
        return mean, scale_index


def log_scale(scale_index: Tensor) -> Tensor:
    """Return the natural logarithm of the scale, in steps, that an index stands for."""
    return math.log(prior_tables.SMALLEST_SCALE) + scale_index * (
        math.log(2.0) / prior_tables.SCALES_PER_OCTAVE
    )


def gaussian_kl_bits(y: Tensor, mean: Tensor, scale_index: Tensor) -> Tensor:
    """Return KL(N(y, 1/12) || N(mean, scale²)) in bits, elementwise; all in steps."""
    log_s = log_scale(scale_index)
    variance = 1.0 / 12.0 + (y - mean).square()
    nats = log_s + 0.5 * math.log(12.0) + 0.5 * variance * torch.exp(-2.0 * log_s) - 0.5
    return nats / math.log(2.0)
