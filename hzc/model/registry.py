"""The models that ship with hzc: explicit ids, written once and never reused.

The entries live in weights/registry.json, which `hzc train export` extends.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from hzc.errors import UnknownModelError, WeightsError

WEIGHTS = files("hzc") / "weights"
PRIVATE_IDS = range(240, 256)
"""Ids that will never be registered: for models that people train for themselves."""


@dataclass(frozen=True)
class ModelSpec:
    """One registered model."""

    model_id: int
    name: str
    file: str
    """File name in the package's weights folder."""
    sha256: str
    fingerprint: int
    """CRC-16 of the prior and its tables."""
    n_latent: int
    n_parameters: dict[str, int]
    """Parameters of analysis, synthesis and prior."""
    measured_kbps: float
    """File bytes of the development set at the default step index, in kbit/s."""
    measured_on: str
    date: str

    @property
    def path(self) -> Path:
        """Where the weights are."""
        return Path(str(WEIGHTS / self.file))


@dataclass(frozen=True)
class _Registry:
    default: str
    models: tuple[ModelSpec, ...]
    """In the order of their ids."""


@cache
def _registry() -> _Registry:
    try:
        entries = json.loads((WEIGHTS / "registry.json").read_text(encoding="utf-8"))
        specs = [ModelSpec(**entry) for entry in entries["models"]]
        return _Registry(entries["default"], tuple(sorted(specs, key=lambda s: s.model_id)))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f"cannot read the package's list of models ({error})", hint="reinstall hzc"
        ) from error


def models() -> tuple[ModelSpec, ...]:
    """Return all registered models in the order of their ids.

    Raises:
        WeightsError: the package's list of them is missing or damaged.
    """
    return _registry().models


def default_name() -> str:
    """Return the name of the model that encode uses when none is asked for."""
    return _registry().default


def find_name(name: str) -> ModelSpec:
    """Return the model called `name`.

    Raises:
        UnknownModelError: there is none.
    """
    for spec in models():
        if spec.name == name:
            return spec
    known = ", ".join(spec.name for spec in models())
    raise UnknownModelError(f"unknown model {name!r}", hint=f"known models: {known}")


def find_id(model_id: int) -> ModelSpec:
    """Return the model that a file names.

    Raises:
        UnknownModelError: there is none.
    """
    for spec in models():
        if spec.model_id == model_id:
            return spec
    if model_id in PRIVATE_IDS:
        hint = "the file was made with a private model: give its weights with --model FILE"
    else:
        hint = "update hzc"
    raise UnknownModelError(f"the file needs model {model_id}, which this hzc lacks", hint=hint)
