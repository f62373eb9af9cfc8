"""Torch networks from a weight file."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from torch import nn

from hzc.errors import LatentError, WeightsError
from hzc.model.file import Model
from hzc.model.transforms import Analysis, Synthesis
from hzc.model.windows import FloatArray

N = TypeVar("N", bound=nn.Module)


def load_analysis(model: Model, device: str) -> Analysis:
    """Return the analysis transform, ready for inference.

    Raises:
        WeightsError: the arrays are not those of the file's config.
    """
    return _filled(Analysis(model.config), model, "analysis.", device)


def load_synthesis(model: Model, device: str) -> Synthesis:
    """Return the synthesis transform, ready for inference.

    Raises:
        WeightsError: the arrays are not those of the file's config.
    """
    return _filled(Synthesis(model.config), model, "synthesis.", device)


def _filled(network: N, model: Model, prefix: str, device: str) -> N:
    weights = {
        name: torch.from_numpy(array).float() for name, array in model.arrays(prefix).items()
    }
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise WeightsError(f"weights do not fit the config ({error})", path=model.path) from error
    return network.to(device).eval()


def run(network: nn.Module, x: FloatArray, device: str) -> FloatArray:
    """Run a transform on float32 [channel, …].

    Raises:
        LatentError: it gave NaN or infinity.
    """
    with torch.inference_mode():
        out: torch.Tensor = network(torch.from_numpy(np.ascontiguousarray(x)).to(device))
    result: FloatArray = out.cpu().numpy()
    if not np.isfinite(result).all():
        raise LatentError("the network gave a value that is not finite")
    return result
