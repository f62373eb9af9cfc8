"""The training loop: a resumable run in a folder, with or without discriminators."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from hzc.coding.quantize import STEP_INDEXES_PER_OCTAVE
from hzc.errors import TrainingError
from hzc.model.distance import SpectralDistance
from hzc.train import processes
from hzc.train.adversary import Opponent
from hzc.train.checkpoint import (
    CHECKPOINT_FILE,
    CONTENTS,
    OTHER_RUN,
    fill,
    load_checkpoint,
    starting_weights,
)
from hzc.train.config import TrainConfig
from hzc.train.data import Corpus, Crops
from hzc.train.files import replacing
from hzc.train.model import CodecModel, Outcome
from hzc.train.optimiser import Optimiser, ema_update, is_hidden, learning_rate_factor
from hzc.train.system import check_device, deferred_signals, uses_bf16

LOG_EVERY_STEPS = 20


class Stateful(Protocol):
    """A part of a run that a checkpoint keeps."""

    def state_dict(self) -> Any:
        """Return what `load_state_dict` takes."""

    def load_state_dict(self, state: Any, /) -> object:
        """Take a state over."""


class Trainer:
    """A resumable run in a folder: `checkpoint.pt`, `log.csv`, nothing else."""

    def __init__(self, config: TrainConfig, run: Path, corpus: Corpus) -> None:
        """Set the run up, and continue it where `run` holds a checkpoint.

        Raises:
            TrainingError: the checkpoint is that of another run, or there is no such device.
        """
        check_device(config.device)
        torch.set_num_threads(config.n_threads)
        torch.set_flush_denormal(True)
        processes.check_batch(config.data.batch_size)
        fast = uses_bf16(config.precision, config.device)  # draws numbers: before the seed
        self.bf16 = processes.any_of(fast, config.device)
        torch.manual_seed(config.seed)
        self.config, self.run_dir = config, run
        self.sample_rate_hz = config.model.sample_rate_hz
        self.crops = Crops(corpus, config, self.sample_rate_hz)
        self.step, self.train_s, self.audio_s = 0, 0.0, 0.0
        self.model = CodecModel(config).to(config.device)
        self.optimiser = Optimiser(self.model, config.optimiser, is_hidden)
        self.distance = SpectralDistance(config.distortion, self.sample_rate_hz).to(config.device)
        self.opponent = Opponent(config.adversary, config.device) if config.adversary else None
        run.mkdir(parents=True, exist_ok=True)
        self.averages = self._averaged()
        if self.checkpoint_path.exists():
            self.load(self.checkpoint_path)
        elif config.start_from:
            path = Path(config.start_from)
            fill(self.model, starting_weights(path, config.model, self.model.state_dict()), path)
            self.averages = self._averaged()
        if rank := processes.rank():
            torch.manual_seed(config.seed + rank + self.step)  # other noise in each process
        self.forward = torch.compile(self.model) if config.compile else self.model

    def _averaged(self) -> AveragedModel:
        return AveragedModel(self.model, multi_avg_fn=ema_update(self.config.optimiser.ema_decay))

    @property
    def checkpoint_path(self) -> Path:
        """Where the whole state is kept."""
        return self.run_dir / CHECKPOINT_FILE

    def run(self) -> None:
        """Train until `n_steps`, with a checkpoint every few minutes and at the end."""
        saved = started = time.monotonic()
        before_s = self.train_s
        n, is_hidden_bar = self.config.n_steps, True if processes.rank() else None
        bar = tqdm(total=n, initial=self.step, unit="step", disable=is_hidden_bar)
        with bar, deferred_signals() as received:
            while self.step < n and not processes.any_of(bool(received), self.config.device):
                row = self.train_step()
                now = time.monotonic()
                self.train_s = before_s + now - started
                bar.update()
                bar.set_postfix(D=f"{row['distortion']:.3f}", bits=f"{row['bits_per_frame']:.0f}")
                if self.step % LOG_EVERY_STEPS == 0:
                    self._log(row)
                if now - saved > self.config.checkpoint_every_s:
                    self.save()
                    saved = now
            self.save()

    def train_step(self) -> dict[str, float]:
        """Take one step; return the row of the log."""
        batch, device = self.crops.batch(), self.config.device
        step_index = processes.share(self._step_indexes(len(batch[0])))
        heard, target = (torch.from_numpy(processes.share(x)).to(device) for x in batch)
        with self.autocast():
            outcome: Outcome = self.forward(heard, step_index, self.config.distortion.n_draws)
        loss, row = self._rate_distortion(target, outcome, step_index)
        if self.opponent:
            loss, judged = self._against(self.opponent, loss, target, outcome.draws[0])
            row |= judged
        loss.backward()  # type: ignore[no-untyped-call]
        processes.average_gradients(self.model.parameters())
        norm = self._clip_gradients()
        if not torch.isfinite(norm):
            raise TrainingError(f"gradient is not finite at step {self.step}")
        factor = learning_rate_factor(self.config.optimiser, self.step, self.config.n_steps)
        self.optimiser.step(factor)
        self.step += 1
        self.averages.update_parameters(self.model)
        self.audio_s += batch[0].size / self.sample_rate_hz
        row = processes.averaged({"loss": loss.item(), **row}, device)
        return {
            "step": self.step, "train_s": round(self.train_s, 1),
            "audio_h": self.audio_s / 3600.0, **row, "grad_norm": float(norm),
        }  # fmt: skip

    def _rate_distortion(
        self, target: Tensor, outcome: Outcome, step_index: Tensor
    ) -> tuple[Tensor, dict[str, float]]:
        """Return `D − r spread + λ R` and its terms; λ follows the step."""
        windows = self.draw(self.config.distortion.windows, self.config.distortion.windows_per_step)
        distortion, spread = self.distance(target, outcome.draws, windows)
        lmbda = self.config.rate.lmbda * torch.exp2(step_index / STEP_INDEXES_PER_OCTAVE)
        row = {
            "distortion": distortion.item(), "spread": spread.item(),
            "bits_per_frame": outcome.bits_per_frame.mean().item(),
        }  # fmt: skip
        return distortion - self.config.distortion.repulsion * spread + (
            lmbda * outcome.bits_per_frame
        ).mean(), row

    def _against(
        self, opponent: Opponent, loss: Tensor, target: Tensor, x_hat: Tensor
    ) -> tuple[Tensor, dict[str, float]]:
        """Let the discriminators learn; return the loss with their scores, and its terms."""
        config = opponent.config
        windows = self.draw(config.windows, config.windows_per_step)
        n = round(config.segment_s * self.sample_rate_hz)
        start = int(self.crops.rng.integers(0, max(1, target.shape[1] - n + 1)))
        real, fake = (x[:, start : start + n] for x in (target, x_hat))
        factor = learning_rate_factor(config.optimiser, self.step, self.config.n_steps)
        with self.autocast():
            learned = opponent.learn(real, fake.detach(), windows, factor)
            adversarial, features = opponent.judge(real, fake, windows)
        total = (
            config.distance_weight * loss
            + config.weight * adversarial
            + config.feature_weight * features
        )
        return total, {
            "adversarial": adversarial.item(), "features": features.item(),
            "discriminator": learned,
        }  # fmt: skip

    def _clip_gradients(self) -> Tensor:
        """Undo the weight of the bits on the prior's own gradients, clip both; return a norm.

        It is that of the transforms' gradients.

        The prior should follow the latent at full speed however little its bits weigh in the loss:
        with λ near 1e-5 its gradients sank under Adam's epsilon and the rate ran away. A norm
        of its own that is not finite is returned instead.
        """
        own = list(self.model.prior.parameters())
        weight = self.config.rate.lmbda
        if self.opponent:
            weight *= self.opponent.config.distance_weight
        for gradient in [p.grad for p in own if p.grad is not None]:
            gradient.mul_(1.0 / weight)
        clip = self.config.optimiser.clip_norm
        own_norm = nn.utils.clip_grad_norm_(own, clip)
        rest = [p for name, p in self.model.named_parameters() if not name.startswith("prior.")]
        norm = nn.utils.clip_grad_norm_(rest, clip)
        return norm if torch.isfinite(own_norm) else own_norm

    def _step_indexes(self, n: int) -> Tensor:
        """Draw the step index of every crop, float32 [n]."""
        low, high = self.config.rate.step_index_range
        drawn = self.crops.rng.integers(low, high + 1, n)
        return torch.from_numpy(drawn).float().to(self.config.device)

    def draw(self, values: tuple[int, ...], n: int) -> list[int]:
        """Return `n` of the values, or all, drawn from the crops' generator: its state is saved."""
        return [int(v) for v in self.crops.rng.permutation(values)[: min(n, len(values))]]

    def autocast(self) -> torch.autocast:
        """Return a context of half precision, where that is faster."""
        return torch.autocast(
            torch.device(self.config.device).type, torch.bfloat16, enabled=self.bf16
        )

    def _log(self, row: dict[str, float]) -> None:
        if processes.rank():
            return
        path = self.run_dir / "log.csv"
        is_new = not path.exists() or path.stat().st_size == 0
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(row))
            if is_new:
                writer.writeheader()
            writer.writerow({k: v if isinstance(v, int) else f"{v:.6g}" for k, v in row.items()})

    def _parts(self) -> dict[str, Stateful]:
        """Return what a checkpoint keeps; `ema` is what later stages take."""
        parts: dict[str, Stateful] = {
            "model": self.model, "ema": self.averages.module, "optimiser": self.optimiser,
        }  # fmt: skip
        return parts | ({"opponent": self.opponent} if self.opponent else {})

    def save(self) -> None:
        """Write the whole state: networks, optimisers, generators, counters."""
        if processes.rank():
            return
        state: dict[str, Any] = {
            "config": self.config.model_dump(),
            "crops_rng": self.crops.rng.bit_generator.state,
            "torch_rng": torch.get_rng_state(),
            "step": self.step,
            "train_s": self.train_s,
            "audio_s": self.audio_s,
        }
        state |= {name: part.state_dict() for name, part in self._parts().items()}
        with replacing(self.checkpoint_path) as partial:
            torch.save(state, partial)

    def load(self, path: Path) -> None:
        """Take the whole state over, so that the run goes on as if it had never stopped.

        Raises:
            TrainingError: not a checkpoint, or not one of such a run.
        """
        state = load_checkpoint(path, self.config.device)
        parts = self._parts()
        if wrong := state.keys() ^ {*CONTENTS, *parts}:
            names = " ".join(sorted(wrong))
            raise TrainingError(f"run and settings differ in: {names}", path=path, hint=OTHER_RUN)
        for name, part in parts.items():
            if isinstance(part, nn.Module):
                fill(part, state[name], path)
                continue
            try:
                part.load_state_dict(state[name])
            except (KeyError, RuntimeError, ValueError) as error:
                raise TrainingError(
                    f"its {name} does not fit the settings", path=path, hint=OTHER_RUN
                ) from error
        self.crops.rng.bit_generator.state = state["crops_rng"]
        torch.set_rng_state(state["torch_rng"].cpu())
        self.step, self.train_s, self.audio_s = (
            state[name] for name in ("step", "train_s", "audio_s")
        )
        self.averages.n_averaged.fill_(self.step)
        self._forget_rows_after(self.step)

    def _forget_rows_after(self, step: int) -> None:
        """Drop what was logged between the checkpoint and the end of the run before."""
        path = self.run_dir / "log.csv"
        if processes.rank() == 0 and path.exists() and path.stat().st_size:
            head, *rows = path.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [row for row in rows if int(row.split(",")[0]) <= step]
            path.write_text(head + "".join(kept), encoding="utf-8")
