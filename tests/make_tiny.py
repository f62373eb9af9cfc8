"""Writes tests/tiny: the networks of the small model that tests use, with seeded random weights.

    python tests/make_tiny.py

Tests read these files, so that those of the command line run where torch is not installed. Run it
after a change of the transforms or of `hzc train graphs`. Needs the extra `train`.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import torch
from conftest import PARTS, TINY_FOLDER, make_static_prior
from safetensors.numpy import save_file
from sizes import TINY

from hzc.model.file import open_model, save_model
from hzc.model.transforms import Analysis, Synthesis
from hzc.train.graphs import write_graphs


def main() -> None:
    torch.manual_seed(7)
    synthesis = Synthesis(TINY)
    torch.nn.init.normal_(synthesis.noise_head.weight, std=0.1)
    weights = {
        f"{part}.{name}": value.half().numpy()
        for part, network in zip(PARTS, (Analysis(TINY), synthesis), strict=True)
        for name, value in network.state_dict().items()
    }
    save_file(weights, TINY_FOLDER / "weights.safetensors")
    metadata = {"model_id": 240, "name": "tiny", "default_step_index": 0}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.safetensors"
        save_model(path, metadata, TINY, make_static_prior(), weights)
        for part, graph in zip(PARTS, write_graphs(open_model(path)), strict=True):
            shutil.copyfile(graph, TINY_FOLDER / f"{part}.onnx")


if __name__ == "__main__":
    main()
