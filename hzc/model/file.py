"""The weight file of a model: one safetensors file with arrays, prior, steps and config.

Read without torch, so that the prior alone can be used by tools that only look at bits.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from hzc.coding import prior as prior_module
from hzc.coding.prior import Prior
from hzc.container import MAX_STEP_INDEX, AnyHeader
from hzc.errors import DesyncError, UnknownModelError, WeightsError
from hzc.model import registry
from hzc.model.config import ModelConfig

METADATA_KEY = "hzc"
UNREADABLE = (OSError, SafetensorError, TypeError, AttributeError)
"""What safetensors raises for a damaged file, or for numbers of a type that numpy lacks."""


@dataclass(frozen=True)
class Model:
    """A model: its opened weight file."""

    path: Path
    model_id: int
    name: str
    default_step_index: int
    config: ModelConfig
    metadata: dict[str, Any]

    def __post_init__(self) -> None:
        """Refuse what the header of a file could not hold."""
        if not 1 <= self.model_id <= 255:
            raise WeightsError(f"model id {self.model_id} (expected 1 … 255)")
        if abs(self.default_step_index) > MAX_STEP_INDEX:
            raise WeightsError(
                f"default step index {self.default_step_index} (expected ±{MAX_STEP_INDEX})"
            )

    def arrays(self, prefix: str) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays whose names start with `prefix`, the prefix taken off.

        Raises:
            WeightsError: the file cannot be read.
        """
        try:
            with safe_open(self.path, framework="np") as file:
                return {
                    name.removeprefix(prefix): file.get_tensor(name)
                    for name in file.keys()  # noqa: SIM118 - safe_open is no mapping
                    if name.startswith(prefix)
                }
        except UNREADABLE as error:
            raise WeightsError(f"cannot read the weights ({error})", path=self.path) from error

    def graph_path(self, part: str) -> Path:
        """Return where the ONNX graph of a part is: "analysis" or "synthesis"."""
        return self.path.with_suffix(f".{part}.onnx")

    def check(self, header: AnyHeader) -> None:
        """Raise DesyncError unless this model has the tables that a file was made with."""
        prior = self.prior
        if (header.fingerprint, header.n_latent) != (prior.fingerprint, prior.n_latent):
            raise DesyncError(
                f"the file was made with other tables (fingerprint {header.fingerprint:04x}, "
                f"model {self.name} has {prior.fingerprint:04x})",
                hint="use the release of hzc, or the weights, that made the file",
            )

    def _positive(self, name: str) -> npt.NDArray[np.float32]:
        stored = self.arrays(name)
        if "" not in stored:
            raise WeightsError(f"the weights lack {name}", path=self.path)
        array = stored[""].astype(np.float32)
        if not (array.size and (np.isfinite(array) & (array > 0)).all()):
            raise WeightsError(f"{name} is not finite and positive throughout", path=self.path)
        return array

    def _expect(self, what: str, found: object, expected: object) -> None:
        if found != expected:
            raise WeightsError(f"{what} is {found} (expected {expected})", path=self.path)

    @cached_property
    def prior(self) -> Prior:
        """The integer prior and its tables."""
        arrays = self.arrays("prior.")
        try:
            fields = {name: arrays[name] for name in (*prior_module.ARRAYS, "tables")}
            layer1, layer2, mean, scale = self.metadata["prior_shifts"]
            prior = Prior(**fields, shifts=(layer1, layer2, mean, scale))
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsError(f"the prior is incomplete ({error})", path=self.path) from error
        except WeightsError as error:
            error.path = self.path
            raise
        self._expect("the prior's n_latent", prior.n_latent, self.config.n_latent)
        return prior

    @cached_property
    def base_step(self) -> npt.NDArray[np.float32]:
        """Learned step of every dimension, float32 [D], > 0, latent units."""
        step = self._positive("base_step")
        self._expect("the shape of base_step", step.shape, (self.config.n_latent,))
        return step

    @cached_property
    def mixtures(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Scales (in steps) and weights of the Gaussians that the tables were made from.

        float32 [n_scales, n_widths] each, > 0. They decide no bits: only the KL figure uses them.
        """
        scales, weights = self._positive("mixture_scales"), self._positive("mixture_weights")
        n_scales = len(self.prior.tables)
        shape = (n_scales, scales.size // n_scales)
        self._expect("the shape of mixture_scales", scales.shape, shape)
        self._expect("the shape of mixture_weights", weights.shape, shape)
        return scales, weights


def open_model(name_or_path: str | PathLike[str] | None = None) -> Model:
    """Return a registered model, or one in a file of its own.

    Args:
        name_or_path: Registered name, path of a .safetensors file, or None for the default.

    Raises:
        UnknownModelError: no such name.
        WeightsError: the file is missing, damaged or not the registered one.
    """
    if name_or_path is not None and str(name_or_path).endswith(".safetensors"):
        return _open(Path(name_or_path))
    spec = registry.find_name(str(name_or_path or registry.default_name()))
    return open_registered(spec)


def open_registered(spec: registry.ModelSpec) -> Model:
    """Return the file of a registered model, its checksum verified.

    Raises:
        WeightsError: the file is missing, damaged or not the registered one.
    """
    try:
        found = sha256(spec.path.read_bytes()).hexdigest()
    except OSError as error:
        raise WeightsError(
            f"cannot read the weights ({error.strerror})", path=spec.path, hint="reinstall hzc"
        ) from error
    if found != spec.sha256:
        raise WeightsError(
            f"weights of model {spec.name} are not the registered ones (sha256 {found[:12]}…, "
            f"expected {spec.sha256[:12]}…)",
            path=spec.path,
            hint="reinstall hzc",
        )
    return _open(spec.path)


def open_for_id(model_id: int, name_or_path: str | PathLike[str] | None = None) -> Model:
    """Return the model that a file names.

    Args:
        model_id: The id in the file's header.
        name_or_path: Where the user says it is, or None to look the id up.

    Raises:
        UnknownModelError: the id is not registered, or the user named another model.
        WeightsError: the weights are missing or damaged.
    """
    if name_or_path is None:
        return open_registered(registry.find_id(model_id))
    file = open_model(name_or_path)
    if file.model_id != model_id:
        raise UnknownModelError(
            f"the file needs model {model_id}, not {file.name} (model {file.model_id})"
        )
    return file


def _open(path: Path) -> Model:
    try:
        with safe_open(path, framework="np") as file:
            metadata = json.loads((file.metadata() or {})[METADATA_KEY])
        return Model(
            path=path,
            model_id=int(metadata["model_id"]),
            name=str(metadata["name"]),
            default_step_index=int(metadata["default_step_index"]),
            config=ModelConfig.from_json(metadata["config"]),
            metadata=metadata,
        )
    except (
        *UNREADABLE, KeyError, ValueError, OverflowError, RecursionError, MemoryError, WeightsError
    ) as error:  # fmt: skip
        raise WeightsError(
            f"not the weights of an hzc model ({error})",
            path=path,
            hint="make one with hzc train export",
        ) from error


def save_model(
    path: Path,
    metadata: dict[str, Any],
    config: ModelConfig,
    prior: Prior,
    arrays: dict[str, npt.NDArray[Any]],
) -> None:
    """Write a weight file.

    Args:
        path: Target, overwritten.
        metadata: model_id, name, default_step_index, and whatever else should be kept.
        config: Sizes of the networks.
        prior: Integer prior and tables.
        arrays: `analysis.*`, `synthesis.*`, `base_step`, `mixture_scales`, `mixture_weights`.
    """
    stored = dict(arrays)
    for name in (*prior_module.ARRAYS, "tables"):
        stored[f"prior.{name}"] = getattr(prior, name)
    values = {**metadata, "config": config.to_json(), "prior_shifts": list(prior.shifts)}
    contiguous = {name: np.ascontiguousarray(array) for name, array in stored.items()}
    save_file(contiguous, path, metadata={METADATA_KEY: json.dumps(values, sort_keys=True)})
    path.chmod(0o644)
