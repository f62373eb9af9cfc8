"""The synthesis stage: the synthesis transform alone, against an adversary, at a fixed rate.

    x ── g_a ── y ── rounded to steps ── y_hat ── g_s ── x_hat      (g_a, steps and prior frozen)

    loss = w_D (D(x, x_hat) − r spread) + w_a adversarial + w_f features

It starts from an exported model, of which everything but the synthesis transform stays as it is:
no bit of any file changes, only its sound.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn

from hzc.coding.quantize import STEP_INDEXES_PER_OCTAVE
from hzc.model.transforms import Analysis, Synthesis
from hzc.train.adversary import Adversary, adversarial_loss, discriminator_loss, feature_loss
from hzc.train.checkpoint import fill, load_checkpoint, starting_weights
from hzc.train.config import TrainConfig
from hzc.train.loop import Stateful, Trainer
from hzc.train.optimiser import Optimiser, learning_rate_factor


class SynthesisModel(nn.Module):
    """The transforms and steps of a model, of which only the synthesis transform is trained."""

    def __init__(self, config: TrainConfig) -> None:
        """Build networks that `start_from` or a checkpoint will fill."""
        super().__init__()
        sizes = config.model_config
        self.analysis = Analysis(sizes).requires_grad_(False)
        self.synthesis = Synthesis(sizes)
        self.log_sigma = nn.Parameter(torch.zeros(sizes.n_latent, 1), requires_grad=False)

    @torch.no_grad()
    def latent(self, x: Tensor, step_index: Tensor) -> Tensor:
        """Return the latent as the decoder gets it, float32 [batch, D, F].

        Args:
            x: float32 [batch, sample].
            step_index: float32 [batch].
        """
        factor = torch.exp2(step_index / STEP_INDEXES_PER_OCTAVE)[:, None, None]
        step = torch.exp(self.log_sigma) * math.sqrt(12.0) * factor
        return torch.round(self.analysis(x).float() / step) * step


class SynthesisTrainer(Trainer):
    """A run of the synthesis stage."""

    shaping = (
        *Trainer.shaping, "adversary.windows", "adversary.n_channels", "adversary.periods",
        "adversary.optimiser.name",
    )  # fmt: skip
    shown = ("distortion", "features", "discriminator")
    model: SynthesisModel

    def build(self) -> None:
        """Make the networks."""
        config = self.config
        self.model = SynthesisModel(config).to(config.device)
        self.adversary = Adversary(config.adversary).to(config.device)
        self.adversary_optimiser = Optimiser(
            self.adversary, config.adversary.optimiser, lambda _: False
        )
        self.decode = (
            torch.compile(self.model.synthesis) if config.compile else self.model.synthesis
        )

    def start_from(self, path: Path) -> None:
        """Take over the transforms and steps of an exported model, discriminators of a run.

        Raises:
            TrainingError: that run has none, or others.
        """
        config = self.config
        self.take(starting_weights(path, config.device), path, config.init_fresh)
        if config.adversary.init_from:
            path = Path(config.adversary.init_from)
            weights = load_checkpoint(path, config.device).get("adversary", {})
            fill(self.adversary, weights, path, "start from a run with the same [adversary]")

    def parts(self) -> dict[str, Stateful]:
        """Return all that a checkpoint keeps."""
        return super().parts() | {
            "adversary": self.adversary,
            "adversary_optimiser": self.adversary_optimiser,
        }

    def train_step(self) -> dict[str, float]:
        """Take one step of both sides; return what the log wants to know."""
        config = self.config
        x = self.batch()
        windows = self.draw(config.adversary.windows, config.adversary.windows_per_step)
        with self.autocast():
            y_hat = self.model.latent(x, self._step_indexes(len(x)))
            draws = self.decode(y_hat, 2 if config.adversary.repulsion else 1).split(len(x))
        distortion, spread = self._compared(x, draws)
        x_hat = draws[0]
        real, fake = self._segments(x, x_hat)
        judged = self._train_adversary(real, fake.detach(), windows)
        adversarial, features = self._judge(real, fake, windows)
        weights = config.adversary
        loss = (
            weights.distance_weight * (distortion - weights.repulsion * spread)
            + weights.weight * adversarial
            + weights.feature_weight * features
        )
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(
            self.model.synthesis.parameters(), config.optimiser.clip_norm
        )
        lr = self.update(norm)
        return self.progress(x) | {
            "loss": loss.item(),
            "distortion": distortion.item(),
            "spread": spread.item(),
            "adversarial": adversarial.item(),
            "features": features.item(),
            "discriminator": judged,
            "grad_norm": float(norm),
            "lr": lr,
        }

    def _compared(self, x: Tensor, draws: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Return the distance of reconstructions to the recordings, and their spread, if any."""
        if len(draws) == 1:
            return self.distance(x, draws[0], self.scales()), x.new_zeros(())
        lowest_hz = self.config.adversary.repulsion_hz
        return self.distance.with_spread(x, (draws[0], draws[1]), self.scales(), lowest_hz)

    def _train_adversary(self, real: Tensor, fake: Tensor, windows: list[int]) -> float:
        """Take one step of the discriminators; return their loss."""
        config = self.config.adversary
        self.adversary.requires_grad_(True)
        with self.autocast():
            of_real, of_fake = (self.adversary(x, windows) for x in (real, fake))
        if not of_real:
            return 0.0
        loss = discriminator_loss(_floats(of_real), _floats(of_fake))
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.adversary.parameters(), config.optimiser.clip_norm)
        factor = learning_rate_factor(config.optimiser, self.step, self.config.n_steps)
        self.adversary_optimiser.step(factor)
        return float(loss.item())

    def _judge(self, real: Tensor, fake: Tensor, windows: list[int]) -> tuple[Tensor, Tensor]:
        """Return the adversarial and the feature loss of what the synthesis transform made."""
        self.adversary.requires_grad_(False)
        with self.autocast():
            with torch.no_grad():
                of_real = self.adversary(real, windows)
            of_fake = self.adversary(fake, windows)
        if not of_fake:
            return fake.new_zeros(()), fake.new_zeros(())
        return adversarial_loss(_floats(of_fake)), feature_loss(_floats(of_real), _floats(of_fake))

    def _segments(self, x: Tensor, x_hat: Tensor) -> tuple[Tensor, Tensor]:
        """Return the same stretch of both: the discriminators cost more than the transform."""
        config = self.config
        n = round(config.adversary.segment_s * config.model_config.sample_rate_hz)
        start = int(self.crops.rng.integers(0, max(1, x.shape[1] - n + 1)))
        return x[:, start : start + n], x_hat[:, start : start + n]

    def _step_indexes(self, n: int) -> Tensor:
        """Draw step indexes as the prior's fit does: mostly the default, else from its range."""
        prior, rng = self.config.prior, self.crops.rng
        low, high = prior.step_index_range
        index = rng.integers(low, high + 1, n)
        index[rng.random(n) < prior.default_share] = prior.default_step_index
        return torch.from_numpy(index).float().to(self.config.device)


def _floats(stacks: list[list[Tensor]]) -> list[list[Tensor]]:
    return [[feature.float() for feature in stack] for stack in stacks]
