"""The networks that are trained together, and how one pass goes through them.

    x ── g_a ── y ── quantised to steps ── y_hat ── g_s ── x_hat

    loss = D(x, x_hat) + λ R(y_hat)

The step is σ √12 · 2^(step_index / 8). σ is one learned number per dimension of the latent, so that
the fixed step of the coder is the one that the synthesis transform was trained with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hzc.coding.quantize import STEP_INDEXES_PER_OCTAVE
from hzc.model.transforms import Analysis, Synthesis
from hzc.train.config import TrainConfig
from hzc.train.prior_network import ContextNetwork, gaussian_kl_bits

START_LOG_SIGMA = -1.2


@dataclass(frozen=True)
class Outcome:
    """What one pass gives the loss."""

    draws: tuple[Tensor, ...]
    """Reconstructions that differ in their noise only, float32 [batch, sample] each."""
    bits_per_frame: Tensor
    """KL to the prior, float32 [batch]."""


class CodecModel(nn.Module):
    """Analysis and synthesis transform, posterior scale and context prior."""

    def __init__(self, config: TrainConfig) -> None:
        """Build fresh networks."""
        super().__init__()
        sizes = config.model
        self.rounding = config.rounding
        self.analysis = Analysis(sizes)
        self.synthesis = Synthesis(sizes)
        self.prior = ContextNetwork(sizes.n_latent, config.prior)
        self.log_sigma = nn.Parameter(torch.full((sizes.n_latent, 1), START_LOG_SIGMA))
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(not name.startswith(config.frozen))

    def forward(self, x: Tensor, step_index: Tensor, n_draws: int = 1) -> Outcome:
        """Return reconstructions and their rate.

        Args:
            x: float32 [batch, sample], whole frames.
            step_index: float32 [batch].
            n_draws: How many reconstructions, each with other noise.
        """
        step = self.step(step_index)
        scaled = self.analysis(x).float() / step  # [batch, D, F], in steps
        quantised = self.quantised(scaled)
        mean, scale_index = self.prior.predict(quantised, step_index)
        bits = gaussian_kl_bits(scaled, mean, scale_index).sum(1).mean(1)
        return Outcome(self.synthesis(quantised * step, step_index, n_draws).split(len(x)), bits)

    def step(self, step_index: Tensor) -> Tensor:
        """Return the quantiser's step, float32 [batch, D, 1]."""
        factor = torch.exp2(step_index / STEP_INDEXES_PER_OCTAVE)[:, None, None]
        return torch.exp(self.log_sigma) * math.sqrt(12.0) * factor

    def quantised(self, scaled: Tensor) -> Tensor:
        """Return a latent in steps with the error of rounding.

        "noise" adds an even distribution over one step, whose gradient is exact; "hard" rounds, and
        passes the gradient straight through. Source: Ballé et al. 2017, "End-to-end Optimized Image
        Compression", section 3; Theis et al. 2017, "Lossy Image Compression with Compressive
        Autoencoders", section 2.1.
        """
        if self.rounding == "noise":
            return scaled + torch.rand_like(scaled) - 0.5
        return scaled + (torch.round(scaled) - scaled).detach()
