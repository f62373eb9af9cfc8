"""What a run leaves for its next start and for later stages, checked before it is used."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hzc.errors import TrainingError
from hzc.model.file import open_model
from hzc.train.config import TrainConfig

CHECKPOINT_FILE = "checkpoint.pt"
CONTENTS = frozenset({"config", "ema", "crops_rng", "torch_rng", "step", "train_s"})
OTHER_RUN = "use another run folder, or the settings that this run was started with"


def load_checkpoint(path: Path, device: str = "cpu") -> dict[str, Any]:
    """Return a checkpoint's state.

    Raises:
        TrainingError: the file is missing or is not a checkpoint.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:
        raise TrainingError(f"not a checkpoint ({error})", path=path) from error
    if not isinstance(state, dict) or not state.keys() >= CONTENTS:
        raise TrainingError("not a checkpoint of hzc train", path=path)
    return state


def check_settings(
    state: dict[str, Any], config: TrainConfig, keys: Iterable[str], path: Path
) -> None:
    """Raise where a setting that must not change is not the one that a checkpoint was made with.

    Raises:
        TrainingError: it says which ones.
    """
    stored, wanted = state["config"], asdict(config)
    changed = []
    for key in keys:
        before, now = _setting(stored, key), _setting(wanted, key)
        # A checkpoint of an earlier version may lack a setting; its weights tell whether they fit.
        if before not in (now, None):
            changed.append(f"{key} was {before!r}, is {now!r}")
    if changed:
        raise TrainingError(
            f"made with other settings ({'; '.join(changed)})", path=path, hint=OTHER_RUN
        )


def _setting(values: Any, key: str) -> Any:
    """Return the setting under a dotted key, None where there is none."""
    for name in key.split("."):
        values = values.get(name) if isinstance(values, dict) else None
    return values


@dataclass(frozen=True)
class Averages:
    """What later stages take from a run."""

    weights: dict[str, Tensor]
    """Averages of all weights, by name."""
    step: int
    """How far the run had come."""


def load_averages(run: Path, config: TrainConfig) -> Averages:
    """Return what a run has come to.

    Raises:
        TrainingError: the run has no checkpoint, or one of another stage or model.
    """
    path = run / CHECKPOINT_FILE
    state = load_checkpoint(path)
    check_settings(state, config, ("stage", "model"), path)
    return Averages(state["ema"], state["step"])


def starting_weights(path: Path, device: str) -> dict[str, Tensor]:
    """Return the averaged weights in a checkpoint, or all that an exported model has of them.

    Raises:
        TrainingError: the file is no checkpoint.
        WeightsError: the file is no exported model, but ends like one.
    """
    if path.suffix != ".safetensors":
        weights: dict[str, Tensor] = load_checkpoint(path, device)["ema"]
        return weights
    file = open_model(path)
    weights = {
        part + name: torch.from_numpy(array).float()
        for part in ("analysis.", "synthesis.")
        for name, array in file.arrays(part).items()
    }
    weights["log_sigma"] = torch.from_numpy(np.log(file.base_step / math.sqrt(12.0)))[:, None]
    return weights


def shapes(weights: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shape of every weight."""
    return {name: tuple(value.shape) for name, value in weights.items()}


def fill(module: nn.Module, weights: Mapping[str, Tensor], path: Path, hint: str) -> None:
    """Load weights into a module that has exactly these names and shapes.

    Args:
        module: What is to be filled.
        weights: Tensors by name.
        path: Where they are from, for the error.
        hint: What to do about the error.

    Raises:
        TrainingError: a weight is missing, left over or of another shape.
    """
    wanted, found = shapes(module.state_dict()), shapes(weights)
    if wrong := sorted({name for name, _ in wanted.items() ^ found.items()}):
        name = wrong[0]
        raise TrainingError(
            f"{len(wrong)} weights do not fit the model, {name} for one "
            f"(found {found.get(name, 'none')}, expected {wanted.get(name, 'none')})",
            path=path,
            hint=hint,
        )
    module.load_state_dict(weights)
