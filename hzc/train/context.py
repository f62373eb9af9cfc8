"""The grouped context prior in floating point: the rate term of the rate–distortion stage.

Its integer counterpart, fitted later on coded symbols, is `hzc.train.prior`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ContextPrior(nn.Module):
    """Gaussian prior of each latent dimension given past frames and earlier groups of this frame.

    Each group of D / n_groups dimensions has a network of its own that sees the last
    `context_frames` frames and the dimensions of the groups before it. The networks of all groups
    run as one batched product.
    """

    mask: Tensor

    def __init__(self, n_latent: int, n_groups: int, context_frames: int, hidden: int) -> None:
        """Start from a static unit-scale prior: the output layer begins at zero."""
        super().__init__()
        self.n_latent, self.n_groups, self.context_frames = n_latent, n_groups, context_frames
        group = n_latent // n_groups
        n_inputs = (context_frames + 1) * n_latent
        mask = torch.ones(n_groups, n_inputs, 1)
        for g in range(n_groups):
            mask[g, context_frames * n_latent + g * group :] = 0.0
        self.register_buffer("mask", mask, persistent=False)
        self.w1 = nn.Parameter(torch.randn(n_groups, n_inputs, hidden) / math.sqrt(n_inputs))
        self.b1 = nn.Parameter(torch.zeros(n_groups, 1, hidden))
        self.w2 = nn.Parameter(torch.randn(n_groups, hidden, hidden) / math.sqrt(hidden))
        self.b2 = nn.Parameter(torch.zeros(n_groups, 1, hidden))
        self.w3 = nn.Parameter(torch.zeros(n_groups, hidden, 2 * group))
        self.b3 = nn.Parameter(torch.zeros(n_groups, 1, 2 * group))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-scale, float32 [batch, D, F] each, for z [batch, D, F].

        z is in units of the posterior scale, so that one network serves small and large steps.
        """
        batch, n_latent, n_frames = z.shape
        frames = F.pad(z, (self.context_frames, 0)).transpose(1, 2)  # [batch, K + F, D]
        inputs = frames.unfold(1, self.context_frames + 1, 1)  # [batch, F, D, K + 1]
        inputs = inputs.transpose(2, 3).reshape(1, batch * n_frames, -1)
        h = F.gelu(
            torch.baddbmm(self.b1, inputs.expand(self.n_groups, -1, -1), self.w1 * self.mask)
        )
        h = F.gelu(torch.baddbmm(self.b2, h, self.w2))
        out = torch.baddbmm(self.b3, h, self.w3).float()  # [G, batch * F, 2 * group]
        out = out.reshape(self.n_groups, batch, n_frames, 2, -1)
        mean, log_scale = out.permute(3, 1, 0, 4, 2).reshape(2, batch, n_latent, n_frames)
        return mean, log_scale


def gaussian_kl_bits(mean: Tensor, prior_mean: Tensor, prior_log_scale: Tensor) -> Tensor:
    """Return KL(N(mean, 1) || N(prior_mean, exp(prior_log_scale)²)) in bits, elementwise."""
    variance = 1.0 + (mean - prior_mean).square()
    nats = prior_log_scale + 0.5 * variance * torch.exp(-2.0 * prior_log_scale) - 0.5
    return nats / math.log(2.0)
