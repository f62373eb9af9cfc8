"""The networks of a weight file as ONNX graphs, for `hzc.model.onnx_backend`."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import torch
from torch import Tensor

from hzc.model.file import Model
from hzc.model.torch_backend import TorchBackend
from hzc.model.transforms import Analysis, Synthesis

OPSET = 20
WEIGHT_FILE = "weights"
"""Where the graph says that its weights are; they come from the weight file instead."""


def write_graphs(model: Model) -> tuple[Path, Path]:
    """Write the graphs of both networks next to a weight file; return where.

    Any number of channels and frames goes in. The weights stay in the weight file.
    """
    from torch.export import Dim

    config, backend = model.config, TorchBackend(model, "cpu")
    per_frame = config.hop_length // config.stft_hop
    channels, frames = Dim("channels", min=1, max=64), Dim("frames", min=1, max=100_000)
    analysis = _written(
        backend._analysis,
        (torch.zeros(2, 24 * per_frame, config.n_bins),),
        ({0: channels, 1: per_frame * frames},),
        ["features"], ["y"], model.graph_path("analysis"),
    )  # fmt: skip
    synthesis = _written(
        backend.synthesis_network,
        (torch.zeros(2, config.n_latent, 24), torch.zeros(2)),
        ({0: channels, 2: frames}, {0: channels}),
        ["y_hat", "step_index"], ["log_magnitude", "phase", "log_noise"],
        model.graph_path("synthesis"),
    )  # fmt: skip
    return analysis, synthesis


def _written(
    network: Analysis | Synthesis,
    inputs: tuple[Tensor, ...],
    dynamic_shapes: tuple[dict[int, object], ...],
    input_names: list[str],
    output_names: list[str],
    path: Path,
) -> Path:
    from onnx import TensorProto

    network.forward = network.trunk  # type: ignore[method-assign, assignment]
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network, inputs, input_names=input_names, output_names=output_names,
            dynamic_shapes=dynamic_shapes, opset_version=OPSET, dynamo=True, optimize=False,
            verbose=False,
        )  # fmt: skip
    graph = program.model_proto  # type: ignore[union-attr]
    names = network.state_dict().keys()
    for weight in graph.graph.initializer:
        if weight.name in names:
            weight.ClearField("raw_data")
            weight.data_location = TensorProto.EXTERNAL
            place = weight.external_data.add()
            place.key, place.value = "location", WEIGHT_FILE
    for node in graph.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    graph.graph.ClearField("value_info")
    graph.ClearField("metadata_props")
    path.write_bytes(graph.SerializeToString(deterministic=True))
    return path
