"""The rate–distortion stage: analysis, synthesis and float prior trained together.

    x ── g_a ── y ── + σ ε ── z ── g_s ── x_hat      loss = D(x, x_hat) + λ KL(N(y, σ²) || prior(z))

σ is one learned number per latent dimension, so that the fixed step σ √12 of the coder makes
rounding noise of the variance the synthesis transform was trained with.
"""

from __future__ import annotations

import csv
import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from hzc.errors import TrainingError
from hzc.model.transforms import Analysis, Synthesis
from hzc.train.checkpoint import (
    CHECKPOINT_FILE,
    OTHER_RUN,
    SHAPING,
    check_settings,
    fill,
    load_checkpoint,
    shapes,
    starting_weights,
)
from hzc.train.config import TrainConfig
from hzc.train.control import RateController
from hzc.train.data import Corpus, Crops, load_corpus
from hzc.train.ema import Ema
from hzc.train.files import replacing
from hzc.train.losses import SpectralDistance
from hzc.train.network import HIDDEN_LAYERS, ContextNetwork, gaussian_kl_bits
from hzc.train.optimiser import Optimiser, learning_rate_factor

START_LOG_SIGMA = -1.2


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


class Trainer:
    """A resumable run in a folder: `checkpoint.pt`, `log.csv`, nothing else."""

    def __init__(self, config: TrainConfig, run: Path, corpus: Corpus | None = None) -> None:
        """Set the run up, and continue it where `run` holds a checkpoint."""
        torch.set_num_threads(config.n_threads)
        torch.set_flush_denormal(True)
        torch.manual_seed(config.seed)
        self.config, self.run_dir = config, run
        rate_hz = config.model_config.sample_rate_hz
        self.crops = Crops(
            corpus or load_corpus(config.data, rate_hz), config.data, rate_hz, config.seed
        )
        self.model = RateDistortionModel(config).to(config.device)
        self.distance = SpectralDistance(config.distortion, rate_hz).to(config.device)
        self.optimiser = Optimiser(self.model, config.optimiser, is_hidden)
        self.ema = Ema(self.model, config.optimiser.ema_decay)
        self.controller = RateController.start(config.rate)
        self.step, self.train_s = 0, 0.0
        self.fresh_parts: tuple[str, ...] = ()
        """Parts that the weights this run was started from did not have."""
        run.mkdir(parents=True, exist_ok=True)
        if self.checkpoint_path.exists():
            self.load(self.checkpoint_path)
        elif config.init_from:
            self._start_from(Path(config.init_from))
        self.forward = torch.compile(self.model) if config.compile else self.model

    @property
    def checkpoint_path(self) -> Path:
        """Where the whole state is kept."""
        return self.run_dir / CHECKPOINT_FILE

    def run(self) -> None:
        """Train until `n_steps`, with a checkpoint every few minutes and at the end."""
        saved = started = time.monotonic()
        before_s = self.train_s
        bar = tqdm(total=self.config.n_steps, initial=self.step, unit="step", disable=None)
        with bar, deferred_signals() as received:
            while self.step < self.config.n_steps and not received:
                row = self.train_step()
                now = time.monotonic()
                self.train_s = before_s + now - started
                bar.update()
                bar.set_postfix(D=f"{row['distortion']:.3f}", bits=f"{row['bits_per_frame']:.0f}")
                if self.step % 20 == 0:
                    self._log(row)
                if now - saved > self.config.checkpoint_every_s:
                    self.save()
                    saved = now
            self.save()
        if received:
            signal.raise_signal(received[0])

    def train_step(self) -> dict[str, float]:
        """Take one step; return what the log wants to know."""
        config = self.config
        x = torch.from_numpy(self.crops.batch()).to(config.device)
        with torch.autocast(config.device, torch.bfloat16, enabled=config.bf16):
            outcome = self.forward(x)
        distortion = self.distance(x, outcome.x_hat, self._windows())
        lmbda = self.controller.lmbda
        loss = distortion + lmbda * outcome.bits_per_frame
        loss.backward()
        norm = self._condition_gradients(lmbda)
        if not torch.isfinite(norm):
            raise TrainingError(f"gradient is not finite at step {self.step}")
        factor = learning_rate_factor(config.optimiser, self.step, config.n_steps)
        self.optimiser.step(factor)
        self.step += 1
        self.ema.update(self.model, self.step)
        bits = outcome.bits_per_frame.item()
        self.controller.update(bits)
        return {
            "step": self.step,
            "train_s": round(self.train_s, 1),
            "audio_h": self.step * x.numel() / config.model_config.sample_rate_hz / 3600.0,
            "loss": loss.item(),
            "distortion": distortion.item(),
            "bits_per_frame": bits,
            "lmbda": self.controller.lmbda,
            "grad_norm": float(norm),
            "lr": config.optimiser.lr * factor,
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

    def _windows(self) -> list[int]:
        """Draw the resolutions of this step from the crops' generator, whose state is saved."""
        windows, n = self.config.distortion.windows, self.config.distortion.scales_per_step
        return [int(w) for w in self.crops.rng.permutation(windows)[: min(n, len(windows))]]

    def _log(self, row: dict[str, float]) -> None:
        path = self.run_dir / "log.csv"
        fresh = not path.exists() or path.stat().st_size == 0
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(row))
            if fresh:
                writer.writeheader()
            writer.writerow({k: v if isinstance(v, int) else f"{v:.6g}" for k, v in row.items()})

    def save(self) -> None:
        """Write the whole state: weights, average, optimiser, generators, controller."""
        state: dict[str, Any] = {
            "config": asdict(self.config),
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "controller": (self.controller.log_lmbda, self.controller.smoothed_bits),
            "crops_rng": self.crops.rng.bit_generator.state,
            "torch_rng": torch.get_rng_state(),
            "step": self.step,
            "train_s": self.train_s,
        }
        if self.config.device.startswith("cuda"):
            state["cuda_rng"] = torch.cuda.get_rng_state()
        with replacing(self.checkpoint_path) as partial:
            torch.save(state, partial)

    def load(self, path: Path) -> None:
        """Take the whole state over, so that the run goes on as if it had never stopped.

        Raises:
            TrainingError: not a checkpoint, or not one of such a run.
        """
        state = load_checkpoint(path, self.config.device)
        check_settings(state, self.config, SHAPING, path)
        fill(self.model, state["model"], path, OTHER_RUN)
        self.ema.load_state_dict(state["ema"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.controller.log_lmbda, self.controller.smoothed_bits = state["controller"]
        self.crops.rng.bit_generator.state = state["crops_rng"]
        torch.set_rng_state(state["torch_rng"].cpu())
        if "cuda_rng" in state:
            torch.cuda.set_rng_state(state["cuda_rng"].cpu())
        self.step, self.train_s = state["step"], state["train_s"]
        self._forget_rows_after(self.step)

    def _forget_rows_after(self, step: int) -> None:
        """Drop what was logged between the checkpoint and the end of the run before."""
        path = self.run_dir / "log.csv"
        if path.exists() and path.stat().st_size:
            head, *rows = path.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [row for row in rows if int(row.split(",")[0]) <= step]
            path.write_text(head + "".join(kept), encoding="utf-8")

    def _start_from(self, path: Path) -> None:
        """Start a new run from another run's averaged weights, or from an exported model.

        A prior of other sizes, or none, is no obstacle: this run's starts fresh.
        """
        weights, own = starting_weights(path, self.config.device), self.model.state_dict()
        fresh = self.config.init_fresh
        prior = ("prior.",)
        if shapes(_part(weights, prior)) != shapes(_part(own, prior)):
            fresh = tuple(dict.fromkeys(fresh + prior))
        kept = {name: weights[name] for name in weights if not name.startswith(fresh)}
        weights = kept | _part(own, fresh)
        self.fresh_parts = fresh
        fill(self.model, weights, path, f"start from weights of model {self.config.model}")
        self.ema = Ema(self.model, self.config.optimiser.ema_decay)


def _part(weights: Mapping[str, Tensor], starts: tuple[str, ...]) -> dict[str, Tensor]:
    return {name: value for name, value in weights.items() if name.startswith(starts)}


@contextmanager
def deferred_signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of obeying them, so that no step is cut in two."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {n: signal.signal(n, lambda number, _: received.append(number)) for n in numbers}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def is_hidden(name: str) -> bool:
    """Whether a parameter is a matrix of a hidden layer, which Muon may train."""
    return ".stages." in name or name.removeprefix("prior.").startswith(HIDDEN_LAYERS)
