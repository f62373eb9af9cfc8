"""From a finished run to a weight file and its registry entry, with the rate it was measured at."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
from torch import Tensor

from hzc import bitrate, container
from hzc.audio import sources
from hzc.bitrate import Rate
from hzc.codec import Codec
from hzc.coding.prior import ARRAYS, Prior
from hzc.errors import TrainingError, WeightsError
from hzc.model.file import open_model, save_model
from hzc.model.registry import PRIVATE_IDS, ModelSpec
from hzc.train import prior_tables
from hzc.train.checkpoint import load_averages
from hzc.train.config import TrainConfig
from hzc.train.files import replacing
from hzc.train.prior_data import base_step, split_weights
from hzc.train.prior_fit import FittedPrior

PRIOR_FILE = "prior.npz"


@dataclass(frozen=True)
class Target:
    """What the exported model is to be called and how it is to be set."""

    model_id: int
    name: str
    folder: Path
    """Where weights and registry.json go."""
    target_kbps: float
    replace: bool
    """Whether a registered model of this id may be replaced: never after its release."""
    measured_on: str
    """How the registry calls the recordings that the rate is measured on."""


def save_prior(fitted: FittedPrior, run: Path, step: int) -> Path:
    """Keep an integer prior between the stages of a run; return where.

    Args:
        fitted: The prior.
        run: Folder of the run.
        step: Of the checkpoint that it was fitted on.
    """
    arrays = {name: getattr(fitted.prior, name) for name in (*ARRAYS, "tables")}
    arrays |= {"shifts": np.array(fitted.prior.shifts), "mixtures": fitted.mixtures}
    path = run / PRIOR_FILE
    with replacing(path) as partial:
        np.savez(partial, step=step, **arrays)
    return path


def load_prior(run: Path, step: int) -> FittedPrior:
    """Return what `save_prior` kept.

    Raises:
        TrainingError: there is none, or it was fitted on the checkpoint of another step.
    """
    path = run / PRIOR_FILE
    try:
        with path.open("rb") as file, np.load(file) as archive:
            stored = dict(archive)
        fitted_at = int(stored["step"])
        a, b, c, d = (int(s) for s in stored["shifts"])
        arrays = {name: stored[name] for name in (*ARRAYS, "tables")}
        fitted = FittedPrior(Prior(**arrays, shifts=(a, b, c, d)), stored["mixtures"])
    except FileNotFoundError as error:
        raise TrainingError(
            "no prior in this run", path=path, hint="run hzc train prior first"
        ) from error
    except (OSError, EOFError, ValueError, KeyError, TypeError, BadZipFile, WeightsError) as error:
        raise TrainingError(
            f"not a prior ({error})", path=path, hint="run hzc train prior again"
        ) from error
    if fitted_at != step:
        raise TrainingError(
            f"fitted at step {fitted_at}, but the checkpoint is of step {step}",
            path=path,
            hint="run hzc train prior again",
        )
    return fitted


def export(config: TrainConfig, run: Path, target: Target, recordings: Sequence[Path]) -> ModelSpec:
    """Write `<name>.safetensors` and its entry in `registry.json`; return the entry.

    The default step index is the finest that stays at or under the target rate on `recordings`.
    Both files are as they were where anything goes wrong.

    Raises:
        TrainingError: an unfinished run, or an id that another model has.
    """
    averages = load_averages(run, config.model)
    fitted = load_prior(run, averages.step)
    arrays = _arrays(averages.weights, fitted)
    path, registry = target.folder / f"{target.name}.safetensors", target.folder / "registry.json"
    entries = _read_registry(registry, target)

    def write(partial: Path, step_index: int) -> Codec:
        metadata = {
            "model_id": target.model_id, "name": target.name, "default_step_index": step_index,
        }  # fmt: skip
        save_model(partial, metadata, config.model, fitted.prior, arrays)
        return Codec(open_model(partial))

    # The inner one takes its place first: no entry is ever without its file.
    with replacing(registry) as new_registry, replacing(path) as new_path:
        step_index, measured = choose_step_index(write(new_path, 0), recordings, target.target_kbps)
        write(new_path, step_index)
        spec = ModelSpec(
            model_id=target.model_id,
            name=target.name,
            file=path.name,
            sha256=sha256(new_path.read_bytes()).hexdigest(),
            fingerprint=fitted.prior.fingerprint,
            n_latent=fitted.prior.n_latent,
            n_parameters=_n_parameters(arrays, fitted.prior),
            measured_kbps=round(measured.bitrate_kbps, 4),
            measured_on=target.measured_on,
            date=datetime.now(UTC).date().isoformat(),
        )
        kept = [e for e in entries["models"] if e["model_id"] != target.model_id]
        entries["models"] = sorted([*kept, asdict(spec)], key=lambda e: e["model_id"])
        new_registry.write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")
    return spec


def _arrays(weights: dict[str, Tensor], fitted: FittedPrior) -> dict[str, npt.NDArray[Any]]:
    """Return what a weight file holds next to the prior."""
    widths = np.outer(prior_tables.scales(len(fitted.mixtures)), prior_tables.RELATIVE_WIDTHS)
    return {
        f"{part}.{name}": array
        for part in ("analysis", "synthesis")
        for name, array in split_weights(weights, f"{part}.").items()
    } | {
        "base_step": base_step(weights),
        "mixture_scales": widths.astype(np.float32),
        "mixture_weights": fitted.mixtures.astype(np.float32),
    }


def _n_parameters(arrays: dict[str, npt.NDArray[Any]], prior: Prior) -> dict[str, int]:
    """Return how many parameters each part of a model has."""
    n_parameters = {
        part: sum(array.size for name, array in arrays.items() if name.startswith(f"{part}."))
        for part in ("analysis", "synthesis")
    }
    return n_parameters | {"prior": sum(getattr(prior, name).size for name in ARRAYS)}


def _read_registry(path: Path, target: Target) -> dict[str, Any]:
    """Return the registry, or raise where an id or a name would be used twice."""
    if not path.exists():
        return {"default": target.name, "models": []}
    entries: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for entry in entries["models"]:
        if (entry["model_id"] == target.model_id) != (entry["name"] == target.name):
            raise TrainingError(
                f"id {entry['model_id']} belongs to model {entry['name']}",
                path=path,
                hint="ids are never reused: take the next free one",
            )
        same = entry["model_id"] == target.model_id
        if same and target.model_id not in PRIVATE_IDS and not target.replace:
            raise TrainingError(
                f"model {target.name} exists already",
                path=path,
                hint="files made with it would no longer decode; before its release: --replace",
            )
    return entries


def choose_step_index(
    codec: Codec, recordings: Sequence[Path], target_kbps: float
) -> tuple[int, Rate]:
    """Return the finest step index whose file rate is at or under the target, and that rate.

    Raises:
        TrainingError: even the coarsest steps cost more.
    """
    low, high = -container.MAX_STEP_INDEX - 1, container.MAX_STEP_INDEX
    found: dict[int, Rate] = {}
    while high - low > 1:
        middle = (low + high) // 2
        found[middle] = measure(codec, recordings, middle)
        if found[middle].bitrate_kbps > target_kbps:
            low = middle
        else:
            high = middle
    rate = found.get(high) or measure(codec, recordings, high)
    if rate.bitrate_kbps > target_kbps:
        raise TrainingError(f"the coarsest steps cost {rate.bitrate_kbps:.3f} kbit/s")
    return high, rate


def measure(codec: Codec, recordings: Sequence[Path], step_index: int) -> Rate:
    """Return the rate of recordings encoded one by one: all their file bytes over all seconds."""
    rates = []
    for path in recordings:
        data = codec.encoder.encode(sources.open_source(path), step_index=step_index).data
        rates.append(bitrate.measure(container.unpack(data), len(data)))
    return bitrate.total(rates)
