"""From a finished run to a weight file and its registry entry, with the rate it was measured at."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from hzc import audio, container, rate
from hzc.codec import Codec
from hzc.errors import TrainingError
from hzc.model.config import CONFIGS
from hzc.modelfile import open_model, save_model
from hzc.prior import ARRAYS, Prior
from hzc.rate import Rate
from hzc.registry import PRIVATE_IDS, ModelSpec
from hzc.train import tables
from hzc.train.config import TrainConfig
from hzc.train.data import find_audio
from hzc.train.latents import base_step, checkpoint_weights, split_weights
from hzc.train.prior import FittedPrior

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


def save_prior(fitted: FittedPrior, path: Path) -> None:
    """Keep an integer prior between the stages of a run."""
    arrays = {name: getattr(fitted.prior, name) for name in (*ARRAYS, "tables")}
    shifts = np.array(fitted.prior.shifts)
    np.savez(path, shifts=shifts, mixtures=fitted.mixtures, **arrays)


def load_prior(path: Path) -> FittedPrior:
    """Return what `save_prior` kept.

    Raises:
        TrainingError: the file is missing.
    """
    try:
        stored = np.load(path)
    except OSError as error:
        raise TrainingError(
            "no prior in this run", path=path, hint="run hzc train prior first"
        ) from error
    a, b, c, d = (int(s) for s in stored["shifts"])
    prior = Prior(**{name: stored[name] for name in (*ARRAYS, "tables")}, shifts=(a, b, c, d))
    return FittedPrior(prior, stored["mixtures"])


def export(config: TrainConfig, run: Path, target: Target, recordings: Sequence[Path]) -> ModelSpec:
    """Write `<name>.safetensors` and its entry in `registry.json`; return the entry.

    The default step index is the finest that stays at or under the target rate on `recordings`.

    Raises:
        TrainingError: an unfinished run, or an id that another model has.
    """
    weights = checkpoint_weights(run / "checkpoint.pt")
    fitted = load_prior(run / PRIOR_FILE)
    prior = fitted.prior
    arrays = {f"analysis.{k}": v for k, v in split_weights(weights, "analysis.").items()}
    arrays |= {f"synthesis.{k}": v for k, v in split_weights(weights, "synthesis.").items()}
    arrays["base_step"] = base_step(weights)
    widths = np.outer(tables.scales(len(fitted.mixtures)), tables.RELATIVE_WIDTHS)
    arrays["mixture_scales"] = widths.astype(np.float32)
    arrays["mixture_weights"] = fitted.mixtures.astype(np.float32)
    path = target.folder / f"{target.name}.safetensors"
    metadata = {"model_id": target.model_id, "name": target.name}
    entries = _read_registry(target.folder / "registry.json", target)

    def write(step_index: int) -> Codec:
        values = {**metadata, "default_step_index": step_index}
        save_model(path, values, CONFIGS[config.model], prior, arrays)
        return Codec(open_model(path))

    step_index, measured = choose_step_index(write(0), recordings, target.target_kbps)
    write(step_index)
    n_parameters = {
        part: sum(v.size for k, v in arrays.items() if k.startswith(f"{part}."))
        for part in ("analysis", "synthesis")
    }
    n_parameters["prior"] = sum(getattr(prior, name).size for name in ARRAYS)
    spec = ModelSpec(
        model_id=target.model_id,
        name=target.name,
        file=path.name,
        sha256=sha256(path.read_bytes()).hexdigest(),
        fingerprint=prior.fingerprint,
        n_latent=prior.n_latent,
        n_parameters=n_parameters,
        measured_kbps=round(measured.bitrate_kbps, 4),
        measured_on=target.measured_on,
        date=datetime.now(UTC).date().isoformat(),
    )
    kept = [e for e in entries["models"] if e["model_id"] != target.model_id]
    entries["models"] = sorted([*kept, asdict(spec)], key=lambda e: e["model_id"])
    text = json.dumps(entries, indent=2) + "\n"
    (target.folder / "registry.json").write_text(text, encoding="utf-8")
    return spec


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
    """Return the finest step index whose file rate is at or under the target, and that rate."""
    low, high = -container.MAX_STEP_INDEX, container.MAX_STEP_INDEX
    found: dict[int, Rate] = {}
    while high - low > 1:
        middle = (low + high) // 2
        found[middle] = measure(codec, recordings, middle)
        if found[middle].bitrate_kbps > target_kbps:
            low = middle
        else:
            high = middle
    return high, found.get(high) or measure(codec, recordings, high)


def measure(codec: Codec, recordings: Sequence[Path], step_index: int) -> Rate:
    """Return the rate of recordings encoded one by one: all their file bytes over all seconds."""
    rates = []
    for path in recordings:
        data = codec.encode_source(audio.open_source(path), step_index=step_index).data
        rates.append(rate.measure(container.unpack(data), len(data)))
    return rate.total(rates)


def recordings_in(folder: str) -> list[Path]:
    """Return the audio files that the rate is measured on."""
    return find_audio((folder,))
