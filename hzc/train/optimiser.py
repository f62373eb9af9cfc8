"""Optimisers and their schedule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from hzc.train.config import OptimiserConfig
from hzc.train.prior_network import HIDDEN_LAYERS


def learning_rate_factor(config: OptimiserConfig, step: int, n_steps: int) -> float:
    """Return the factor on the learning rate: linear warm-up, constant, linear decay to zero.

    A constant middle lets a run be lengthened or annealed early without having planned it.
    """
    warm = min(1.0, (step + 1) / max(1, config.warmup_steps))
    left = (n_steps - step) / max(1, config.decay_steps)
    return min(warm, max(0.0, min(1.0, left)))


Tensors = tuple[Tensor, ...] | list[Tensor]


def ema_update(decay: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """Return how `AveragedModel` moves averages: the decay is warmed up over the first steps."""

    @torch.no_grad()
    def update(averages: Tensors, present: Tensors, n_averaged: Tensor | int) -> None:
        n = int(n_averaged)
        torch._foreach_lerp_(averages, present, 1.0 - min(decay, (1 + n) / (10 + n)))

    return update


def is_hidden(name: str) -> bool:
    """Whether a parameter is a matrix of a hidden layer, which Muon may train."""
    return ".stages." in name or name.removeprefix("prior.").startswith(HIDDEN_LAYERS)


def is_never_hidden(name: str) -> bool:
    """Leave every parameter to AdamW."""
    return False


class Optimiser:
    """One or two torch optimisers stepped together.

    `adamw` treats all weights alike; `muon` orthogonalises the update of the hidden matrices
    (Jordan et al. 2024, "Muon") and leaves the rest to AdamW.
    """

    def __init__(
        self,
        module: nn.Module,
        config: OptimiserConfig,
        is_hidden: Callable[[str], bool] = is_never_hidden,
    ) -> None:
        """Sort the parameters of `module` by the optimiser that suits them.

        Args:
            module: What is trained.
            config: Which optimiser, and its settings.
            is_hidden: Whether a parameter's name is that of a hidden layer; inputs and outputs are
                better left to AdamW.
        """
        self.config = config
        named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
        matrices = [p for n, p in named if config.name == "muon" and p.ndim == 2 and is_hidden(n)]
        chosen = {id(p) for p in matrices}
        # An axis of one marks the biases of batched layers: vectors in all but name.
        vectors = {id(p) for _, p in named if p.ndim < 2 or 1 in p.shape}
        decayed = [p for _, p in named if id(p) not in chosen | vectors]
        plain = [p for _, p in named if id(p) in vectors]
        groups = [
            {"params": decayed, "weight_decay": config.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        self.parts: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=True)
        ]
        if matrices:
            self.parts.append(
                torch.optim.Muon(
                    matrices,
                    lr=config.lr,
                    weight_decay=config.weight_decay,
                    adjust_lr_fn="match_rms_adamw",
                )
            )

    def step(self, factor: float) -> None:
        """Apply the gradients with the learning rate times `factor`, then clear them."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = self.config.lr * factor
            part.step()
            part.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict[str, Any]]:
        """Return the states of the parts."""
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Take over the moments of the parts; the settings stay those of the configuration."""
        for part, state in zip(self.parts, states, strict=True):
            groups = zip(part.state_dict()["param_groups"], state["param_groups"], strict=True)
            mixed = [{**own, "params": stored["params"]} for own, stored in groups]
            part.load_state_dict({**state, "param_groups": mixed})
