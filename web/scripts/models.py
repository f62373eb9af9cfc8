"""Make the model files of the page and of the npm package.

usage: models.py FOLDER [--model NAME] [--bits N]

For each network a graph and a weight file, compressed with gzip. Matrices have N bits (8 or fewer)
and a scale for each row: the network computes with floats, but its weights take half the space of
the package's. The weights of the synthesis come with the prior, the steps and the metadata.
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

from hzc.model.file import METADATA_KEY, Model, open_model

Arrays = dict[str, npt.NDArray[Any]]
MIN_QUANTISED = 4096
"""Smaller arrays stay as they are."""


def quantised(name: str, array: npt.NDArray[Any], n_bits: int) -> Arrays:
    """Return a matrix as int8 with a scale for each row; other arrays as they are."""
    if array.ndim != 2 or array.size < MIN_QUANTISED:
        return {name: array}
    matrix = array.astype(np.float32)
    greatest = np.abs(matrix).max(axis=1)
    scale = np.where(greatest > 0, greatest, np.float32(1)) / np.float32(2 ** (n_bits - 1) - 1)
    rounded = np.rint(matrix / scale[:, None]).astype(np.int8)
    return {name: rounded, f"{name}.scale": scale.astype(np.float32)}


def network(model: Model, part: str, n_bits: int) -> Arrays:
    """Return the arrays of a network, by their names in the weight file."""
    arrays: Arrays = {}
    for name, array in model.arrays(f"{part}.").items():
        arrays |= quantised(f"{part}.{name}", array, n_bits)
    return arrays


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", help="registered name or .safetensors file")
    parser.add_argument("--bits", type=int, choices=range(4, 9), default=8)
    options = parser.parse_args()
    model = open_model(options.model)
    metadata = {METADATA_KEY: json.dumps({**model.metadata, "weight_bits": options.bits})}
    prior = {f"prior.{name}": array for name, array in model.arrays("prior.").items()}
    files = {
        "analysis.safetensors": network(model, "analysis", options.bits),
        "synthesis.safetensors": network(model, "synthesis", options.bits)
        | {**prior, "base_step": model.base_step},
    }
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, arrays in files.items():
        write(options.folder / name, save(arrays, metadata))
    for part in ("analysis", "synthesis"):
        write(options.folder / f"{part}.onnx", model.graph_path(part).read_bytes())


def write(path: Path, data: bytes) -> None:
    """Write a compressed file: static servers seldom compress these."""
    path = path.with_name(f"{path.name}.gzip")
    path.write_bytes(gzip.compress(data, mtime=0))


if __name__ == "__main__":
    main()
