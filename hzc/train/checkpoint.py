"""What a run leaves for its next start and for later stages, checked before it is used."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from hzc.errors import TrainingError
from hzc.model.config import ModelConfig
from hzc.model.file import open_model

CHECKPOINT_FILE = "checkpoint.pt"
FOR_LATER_STAGES = frozenset({"config", "ema", "step"})
CONTENTS = FOR_LATER_STAGES | {"model", "crops_rng", "torch_rng", "train_s", "audio_s"}
OTHER_RUN = "use another run folder, or the settings that this run was started with"
PRIOR = "prior."


@dataclass(frozen=True)
class Averages:
    """What later stages take from a run."""

    weights: dict[str, Tensor]
    """Averages of all weights, by name."""
    step: int
    """How far the run had come."""


def load_checkpoint(path: Path, device: str = "cpu") -> dict[str, Any]:
    """Return a checkpoint's state.

    Raises:
        TrainingError: the file is missing or is not a checkpoint.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError as error:
        raise TrainingError(
            "no checkpoint", path=path, hint="run hzc train CONFIG first, or name its folder"
        ) from error
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise TrainingError(f"not a checkpoint ({reason})", path=path) from error
    if not isinstance(state, dict) or not state.keys() >= FOR_LATER_STAGES:
        raise TrainingError("not a checkpoint of hzc train", path=path)
    return state


def load_averages(run: Path, sizes: ModelConfig) -> Averages:
    """Return the averages of a run.

    Raises:
        TrainingError: the run has no checkpoint, or trains a model of other sizes.
    """
    path = run / CHECKPOINT_FILE
    state = load_checkpoint(path)
    trained = state["config"]["model"]
    for name, value in asdict(sizes).items():
        if name != "name" and trained[name] != value:
            raise TrainingError(
                f"model.{name} was {trained[name]}, is {value}", path=path, hint=OTHER_RUN
            )
    return Averages(state["ema"], state["step"])


def starting_weights(
    path: Path, sizes: ModelConfig, fresh: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return the weights that a run starts with.

    Args:
        path: Folder of another run, or an exported model.
        sizes: What the model should have.
        fresh: The weights of a fresh model: its prior is taken where the other one has none, or
            one of other sizes.

    Raises:
        TrainingError: the run has no checkpoint, or a model of other sizes.
        WeightsError: the file is no exported model.
    """
    is_exported = path.suffix == ".safetensors"
    weights = exported_weights(path) if is_exported else load_averages(path, sizes).weights
    if _prior_shapes(weights) != _prior_shapes(fresh):
        tqdm.write(f"{path}: no prior of these sizes, a fresh one is trained", file=sys.stderr)
        weights = {name: value for name, value in weights.items() if not name.startswith(PRIOR)}
        weights |= {name: value for name, value in fresh.items() if name.startswith(PRIOR)}
    return weights


def exported_weights(path: Path) -> dict[str, Tensor]:
    """Return the transforms and the posterior scale in a weight file, float32.

    Raises:
        WeightsError: the file is no exported model.
    """
    model = open_model(path)
    weights = {
        part + name: torch.from_numpy(array).float()
        for part in ("analysis.", "synthesis.")
        for name, array in model.arrays(part).items()
    }
    weights["log_sigma"] = torch.from_numpy(np.log(model.base_step / math.sqrt(12.0)))[:, None]
    return weights


def _prior_shapes(weights: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return shapes({name: value for name, value in weights.items() if name.startswith(PRIOR)})


def shapes(weights: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shape of every weight."""
    return {name: tuple(value.shape) for name, value in weights.items()}


def fill(module: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Load weights into a module that has exactly these names and shapes.

    Args:
        module: What is to be filled.
        weights: Tensors by name.
        path: Where they are from, for the error.

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
            hint=OTHER_RUN,
        )
    module.load_state_dict(weights)
