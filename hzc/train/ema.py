"""Exponential moving average of weights; the average is what gets exported."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Ema:
    """Shadow copy of a module's parameters."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        """Start from the present weights."""
        self.decay = decay
        self.ema_weights = {k: v.detach().clone() for k, v in module.named_parameters()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Move towards the present weights; the decay is warmed up over the first steps."""
        decay = min(self.decay, (1 + step) / (10 + step))
        current = dict(module.named_parameters())
        torch._foreach_lerp_(
            list(self.ema_weights.values()),
            [current[k].detach() for k in self.ema_weights],
            1.0 - decay,
        )

    def state_dict(self) -> dict[str, Tensor]:
        """Return the averaged weights by name."""
        return self.ema_weights

    def load_state_dict(self, weights: dict[str, Tensor]) -> None:
        """Take over averaged weights."""
        for name, value in weights.items():
            self.ema_weights[name].copy_(value)
