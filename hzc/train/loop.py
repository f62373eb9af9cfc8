"""The loop that every stage of training shares: a resumable run in a folder."""

from __future__ import annotations

import csv
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm

from hzc.errors import TrainingError
from hzc.train.checkpoint import CHECKPOINT_FILE, OTHER_RUN, check_settings, fill, load_checkpoint
from hzc.train.config import TrainConfig
from hzc.train.data import Corpus, Crops, load_corpus
from hzc.train.ema import Ema
from hzc.train.files import replacing
from hzc.train.losses import SpectralDistance
from hzc.train.optimiser import Optimiser, learning_rate_factor
from hzc.train.prior_network import HIDDEN_LAYERS


class Stateful(Protocol):
    """A part of a run that a checkpoint keeps."""

    def state_dict(self) -> Any:
        """Return what `load_state_dict` takes."""

    def load_state_dict(self, state: Any, /) -> object:
        """Take a state over."""


class Trainer(ABC):
    """A resumable run in a folder: `checkpoint.pt`, `log.csv`, nothing else.

    A stage builds its networks in `build`, adds to `parts` what else a checkpoint keeps, and takes
    steps in `train_step`, which end with `update`.
    """

    shaping: ClassVar[tuple[str, ...]] = ("stage", "model", "optimiser.name")
    """The settings that a run must keep, because the shapes in its checkpoint follow from them."""
    shown: ClassVar[tuple[str, ...]]
    """The columns of the log that the progress bar shows."""
    model: nn.Module
    """All networks that the averages are taken of."""

    def __init__(self, config: TrainConfig, run: Path, corpus: Corpus | None = None) -> None:
        """Set the run up, and continue it where `run` holds a checkpoint."""
        check_device(config.device)
        torch.set_num_threads(config.n_threads)
        torch.set_flush_denormal(True)
        torch.manual_seed(config.seed)
        self.config, self.run_dir = config, run
        rate_hz = config.model_config.sample_rate_hz
        self.crops = Crops(
            corpus or load_corpus(config.data, rate_hz), config.data, rate_hz, config.seed
        )
        self.step, self.train_s = 0, 0.0
        self.fresh_parts: tuple[str, ...] = ()
        """Parts that the weights this run was started from did not have."""
        self.build()
        self.distance = SpectralDistance(config.distortion, rate_hz).to(config.device)
        self.optimiser = Optimiser(self.model, config.optimiser, is_hidden)
        self.ema = Ema(self.model, config.optimiser.ema_decay)
        run.mkdir(parents=True, exist_ok=True)
        if self.checkpoint_path.exists():
            self.load(self.checkpoint_path)
        elif config.init_from:
            self.start_from(Path(config.init_from))

    @abstractmethod
    def build(self) -> None:
        """Make the networks with fresh weights, `model` among them."""

    @abstractmethod
    def start_from(self, path: Path) -> None:
        """Take over the weights that a new run starts from."""

    def parts(self) -> dict[str, Stateful]:
        """Return all that a checkpoint keeps of the stage; `ema` is what later stages take."""
        return {"model": self.model, "ema": self.ema, "optimiser": self.optimiser}

    @abstractmethod
    def train_step(self) -> dict[str, float]:
        """Take one step; return what the log wants to know."""

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
                bar.set_postfix({name: f"{row[name]:.3g}" for name in self.shown})
                if self.step % 20 == 0:
                    self._log(row)
                if now - saved > self.config.checkpoint_every_s:
                    self.save()
                    saved = now
            self.save()
        if received:
            signal.raise_signal(received[0])

    def batch(self) -> Tensor:
        """Return the next crops, float32 [batch, sample]."""
        return torch.from_numpy(self.crops.batch()).to(self.config.device)

    def autocast(self) -> torch.autocast:
        """Return a context of half precision, where the configuration wants it."""
        device_type = torch.device(self.config.device).type
        return torch.autocast(device_type, torch.bfloat16, enabled=self.config.bf16)

    def draw(self, values: Sequence[int], n: int) -> list[int]:
        """Return `n` of the values, or all, drawn from the crops' generator: its state is saved."""
        return [int(v) for v in self.crops.rng.permutation(values)[: min(n, len(values))]]

    def scales(self) -> list[int]:
        """Draw the resolutions that the distortion is measured at in one step."""
        return self.draw(self.config.distortion.windows, self.config.distortion.scales_per_step)

    def update(self, norm: Tensor) -> float:
        """Apply the gradients, whose norm before clipping is given; return the learning rate.

        Raises:
            TrainingError: the norm is not finite.
        """
        if not torch.isfinite(norm):
            raise TrainingError(f"gradient is not finite at step {self.step}")
        config = self.config.optimiser
        factor = learning_rate_factor(config, self.step, self.config.n_steps)
        self.optimiser.step(factor)
        self.step += 1
        self.ema.update(self.model, self.step)
        return config.lr * factor

    def take(self, weights: Mapping[str, Tensor], path: Path, fresh: tuple[str, ...]) -> None:
        """Fill the model with weights from a file, and start the averages there.

        Args:
            weights: By name.
            path: Where they are from.
            fresh: Starts of the names of weights that stay as they are.

        Raises:
            TrainingError: they are those of another model.
        """
        self.fresh_parts = fresh
        kept = {name: value for name, value in weights.items() if not name.startswith(fresh)}
        own = {n: v for n, v in self.model.state_dict().items() if n.startswith(fresh)}
        fill(self.model, kept | own, path, f"start from weights of model {self.config.model}")
        self.ema = Ema(self.model, self.config.optimiser.ema_decay)

    def progress(self, x: Tensor) -> dict[str, float]:
        """Return the first columns of the log after a step on crops [batch, sample]."""
        hours = self.step * x.numel() / self.config.model_config.sample_rate_hz / 3600.0
        return {"step": self.step, "train_s": round(self.train_s, 1), "audio_h": hours}

    def _log(self, row: dict[str, float]) -> None:
        path = self.run_dir / "log.csv"
        fresh = not path.exists() or path.stat().st_size == 0
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(row))
            if fresh:
                writer.writeheader()
            writer.writerow({k: v if isinstance(v, int) else f"{v:.6g}" for k, v in row.items()})

    def save(self) -> None:
        """Write the whole state: the stage's parts, generators, how far the run has come."""
        state: dict[str, Any] = {
            "config": asdict(self.config),
            "crops_rng": self.crops.rng.bit_generator.state,
            "torch_rng": torch.get_rng_state(),
            "step": self.step,
            "train_s": self.train_s,
        }
        if self.config.device.startswith("cuda"):
            state["cuda_rng"] = torch.cuda.get_rng_state()
        state |= {name: part.state_dict() for name, part in self.parts().items()}
        with replacing(self.checkpoint_path) as partial:
            torch.save(state, partial)

    def load(self, path: Path) -> None:
        """Take the whole state over, so that the run goes on as if it had never stopped.

        Raises:
            TrainingError: not a checkpoint, or not one of such a run.
        """
        state = load_checkpoint(path, self.config.device)
        check_settings(state, self.config, self.shaping, path)
        for name, part in self.parts().items():
            if name not in state:
                raise TrainingError(f"the checkpoint lacks {name}", path=path, hint=OTHER_RUN)
            if isinstance(part, nn.Module):
                fill(part, state[name], path, OTHER_RUN)
            else:
                part.load_state_dict(state[name])
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


def is_hidden(name: str) -> bool:
    """Whether a parameter is a matrix of a hidden layer, which Muon may train."""
    return ".stages." in name or name.removeprefix("prior.").startswith(HIDDEN_LAYERS)


def check_device(device: str) -> None:
    """Raise TrainingError unless torch can put something there."""
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise TrainingError(
            f"no device {device!r} ({reason})", hint='set device = "cpu", or "cuda" with a GPU'
        ) from error


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
