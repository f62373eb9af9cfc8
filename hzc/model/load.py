"""Torch networks from a weight file."""

from __future__ import annotations

import torch
from torch import nn

from hzc.errors import WeightsError
from hzc.model.transforms import Analysis, Synthesis
from hzc.modelfile import ModelFile


def load_analysis(file: ModelFile, device: str) -> Analysis:
    """Return the analysis transform, ready for inference.

    Raises:
        WeightsError: the arrays are not those of the file's config.
    """
    network = Analysis(file.config)
    _fill(network, file, "analysis.")
    return network.to(device).eval()


def load_synthesis(file: ModelFile, device: str) -> Synthesis:
    """Return the synthesis transform, ready for inference.

    Raises:
        WeightsError: the arrays are not those of the file's config.
    """
    network = Synthesis(file.config)
    _fill(network, file, "synthesis.")
    return network.to(device).eval()


def _fill(network: nn.Module, file: ModelFile, prefix: str) -> None:
    weights = {name: torch.from_numpy(array).float() for name, array in file.arrays(prefix).items()}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise WeightsError(f"weights do not fit the config ({error})", path=file.path) from error
