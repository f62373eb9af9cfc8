"""The rate–distortion stage: analysis, synthesis and float prior trained together.

    x ── g_a ── y ── + σ ε ── z ── g_s ── x_hat      loss = D(x, x_hat) + λ KL(N(y, σ²) || prior(z))

σ is one learned number per latent dimension, so that the fixed step σ √12 of the coder makes
rounding noise of the variance the synthesis transform was trained with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from hzc.model.transforms import Analysis, Synthesis
from hzc.train.checkpoint import shapes, starting_weights
from hzc.train.config import TrainConfig
from hzc.train.control import RateController
from hzc.train.loop import Stateful, Trainer
from hzc.train.prior_network import ContextNetwork, gaussian_kl_bits

START_LOG_SIGMA = -1.2
PRIOR = "prior."
"""How the names of the prior's weights start."""


@dataclass(frozen=True)
class Outcome:
    """What one pass through the model gives the loss."""

    x_hat: Tensor
    """float32 [batch, sample]."""
    bits_per_frame: Tensor
    """Scalar: KL to the prior."""


class RateDistortionModel(nn.Module):
    """Everything that the rate–distortion stage trains."""

    def __init__(self, config: TrainConfig) -> None:
        """Build fresh networks."""
        super().__init__()
        sizes = config.model_config
        self.analysis = Analysis(sizes)
        self.synthesis = Synthesis(sizes)
        self.prior = ContextNetwork(sizes.n_latent, config.prior)
        self.log_sigma = nn.Parameter(torch.full((sizes.n_latent, 1), START_LOG_SIGMA))

    def forward(self, x: Tensor) -> Outcome:
        """Return the reconstruction and its rate for float32 [batch, sample]."""
        step = torch.exp(self.log_sigma) * math.sqrt(12.0)
        scaled = self.analysis(x) / step  # [batch, D, F], in steps
        noisy = scaled + torch.randn_like(scaled) / math.sqrt(12.0)
        mean, scale_index = (
            part.float().reshape(len(x), -1, scaled.shape[1]).transpose(1, 2)
            for part in self.prior(self.prior.contexts(noisy))
        )
        kl = gaussian_kl_bits(scaled, mean, scale_index)
        return Outcome(self.synthesis(noisy * step), kl.sum(1).mean())


class RateDistortionTrainer(Trainer):
    """A run of the rate–distortion stage."""

    shaping = (*Trainer.shaping, "prior.hidden", "prior.context_frames", "prior.n_groups")
    shown = ("distortion", "bits_per_frame")
    model: RateDistortionModel

    def build(self) -> None:
        """Make the networks with fresh weights."""
        config = self.config
        self.model = RateDistortionModel(config).to(config.device)
        self.controller = RateController.start(config.rate)
        self.forward = torch.compile(self.model) if config.compile else self.model

    def parts(self) -> dict[str, Stateful]:
        """Return all that a checkpoint keeps."""
        return super().parts() | {"controller": self.controller}

    def train_step(self) -> dict[str, float]:
        """Take one step; return what the log wants to know."""
        x = self.batch()
        with self.autocast():
            outcome = self.forward(x)
        distortion = self.distance(x, outcome.x_hat, self.scales())
        lmbda = self.controller.lmbda
        loss = distortion + lmbda * outcome.bits_per_frame
        loss.backward()
        norm = self._condition_gradients(lmbda)
        lr = self.update(norm)
        bits = outcome.bits_per_frame.item()
        self.controller.update(bits)
        return self.progress(x) | {
            "loss": loss.item(),
            "distortion": distortion.item(),
            "bits_per_frame": bits,
            "lmbda": self.controller.lmbda,
            "grad_norm": float(norm),
            "lr": lr,
        }

    def _condition_gradients(self, lmbda: float) -> Tensor:
        """Undo λ on the prior's own gradients, then clip; return the norm of the transforms' ones.

        The prior should follow the latent at full speed however little its bits weigh in the loss:
        with λ near 1e-5 its gradients sank under Adam's epsilon and the rate ran away. A norm
        of its own that is not finite is returned instead.
        """
        own = list(self.model.prior.parameters())
        torch._foreach_mul_([p.grad for p in own if p.grad is not None], 1.0 / lmbda)
        clip = self.config.optimiser.clip_norm
        own_norm = nn.utils.clip_grad_norm_(own, clip)
        chosen = {id(p) for p in own}
        rest = [p for p in self.model.parameters() if id(p) not in chosen]
        norm = nn.utils.clip_grad_norm_(rest, clip)
        return norm if torch.isfinite(own_norm) else own_norm

    def start_from(self, path: Path) -> None:
        """Start a new run from another run's averaged weights, or from an exported model.

        A prior of other sizes, or none, is no obstacle: this run's starts fresh.
        """
        weights, own = starting_weights(path, self.config.device), self.model.state_dict()
        fresh = self.config.init_fresh
        if _prior_shapes(weights) != _prior_shapes(own):
            fresh = tuple(dict.fromkeys((*fresh, PRIOR)))
        self.take(weights, path, fresh)


def _prior_shapes(weights: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return shapes({name: value for name, value in weights.items() if name.startswith(PRIOR)})
