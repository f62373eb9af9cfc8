"""The networks in torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from hzc.blocks import FloatArray
from hzc.errors import ArgumentError, WeightsError
from hzc.model.dsp import Spectra
from hzc.model.file import Model
from hzc.model.transforms import Analysis, Synthesis

N = TypeVar("N", bound=nn.Module)

if hasattr(os, "register_at_fork"):
    # OpenMP's threads do not live on in a fork: a child that waited for them would never return.
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


class TorchBackend:
    """Runs the networks on a torch device; each is loaded when it is first needed."""

    def __init__(self, model: Model, device: str) -> None:
        """Use an open weight file.

        Raises:
            ArgumentError: there is no such device.
        """
        if device != "cpu" and not torch.cuda.is_available():
            raise ArgumentError("no CUDA device is available here", hint="use the device cpu")
        self._model, self._device = model, device

    def analysis(self, features: FloatArray) -> FloatArray:
        """See `Backend`."""
        with torch.inference_mode():
            y: FloatArray = self._analysis.trunk(self._tensor(features)).cpu().numpy()
        return y

    def synthesis(self, y_hat: FloatArray, step_index: int) -> Spectra:
        """See `Backend`."""
        indexes = self._tensor(np.full(len(y_hat), step_index, dtype=np.float32))
        with torch.inference_mode():
            parts = self.synthesis_network.trunk(self._tensor(y_hat), indexes)
        return Spectra(*(part.cpu().numpy() for part in parts))

    def _tensor(self, x: FloatArray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(x)).to(self._device)

    @cached_property
    def _analysis(self) -> Analysis:
        return self._filled(Analysis(self._model.config), self._model.arrays("analysis."))

    @cached_property
    def synthesis_network(self) -> Synthesis:
        """The synthesis transform itself, its weights frozen, for gradients of the latent."""
        return self._filled(Synthesis(self._model.config), self._model.arrays("synthesis."))

    def _filled(self, network: N, arrays: Mapping[str, Any]) -> N:
        try:
            network.load_state_dict({k: torch.from_numpy(v).float() for k, v in arrays.items()})
        except RuntimeError as error:
            raise WeightsError(
                f"weights do not fit the config ({error})", path=self._model.path
            ) from error
        return network.to(self._device).eval().requires_grad_(False)
