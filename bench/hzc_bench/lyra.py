"""Lyra v2 in this process, through LiteRT: its three networks, for frames of 20 ms at 16 kHz.

A frame is 64 features, coded by as many four-bit stages of a residual vector quantiser as the rate
buys. Files have no header.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from hzc_bench.samples import FloatArray
from hzc_bench.systems import Codec

FRAME = 320
FRAMES_PER_S = 50
STAGE_BITS = 4
N_STAGES = 46
"""Of the quantiser; what is not sent is −1."""
RATES_BPS = (3200, 6000)
NETWORKS = ("soundstream_encoder.tflite", "quantizer.tflite", "lyragan.tflite")


@cache
def interpreter(path: Path) -> Any:
    """Return a network, its memory of the last recording still in it."""
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(str(path), num_threads=1)


@dataclass
class Lyra(Codec):
    """Lyra v2 from a folder with its networks."""

    folder: Path
    n_stages: int

    @classmethod
    def at(cls, folder: Path, bps: int) -> Lyra:
        """Return Lyra at a rate."""
        title = f"Lyra v2 {bps / 1000:g} kbit/s"
        n_stages = bps // FRAMES_PER_S // STAGE_BITS
        return cls(f"lyra-{bps}", title, "Lyra v2", folder, n_stages)

    @property
    def tools(self) -> tuple[str, ...]:
        """LiteRT and the networks, where they are missing."""
        package = () if find_spec("ai_edge_litert") else ("ai-edge-litert",)
        return (*package, *(name for name in NETWORKS if not (self.folder / name).exists()))

    @property
    def description(self) -> str:
        """What is run."""
        return f"networks of Lyra 1.3.2 through LiteRT, {self.n_stages} stages of {STAGE_BITS} bits"

    def encode(self, x: FloatArray) -> bytes:
        """Return the stages' indexes, two in a byte."""
        analysis, quantiser = self._network(0), self._network(1, "encode")
        frames = np.pad(x, (0, -len(x) % FRAME)).reshape(-1, 1, FRAME)
        wanted, coded = np.int32(self.n_stages), []
        for frame in frames:
            features = analysis(input_audio=frame)["output_0"]
            indexes = quantiser(input_frames=features, num_quantizers=wanted)["output_0"]
            coded.append(indexes.ravel()[: self.n_stages])
        pairs = np.array(coded, np.uint8).reshape(-1, 2)
        return (pairs[:, 0] << STAGE_BITS | pairs[:, 1]).tobytes()

    def decode(self, data: bytes) -> FloatArray:
        """Return what the generator makes of the indexes."""
        quantiser, synthesis = self._network(1, "decode"), self._network(2)
        packed = np.frombuffer(data, np.uint8)
        coded = np.stack([packed >> STAGE_BITS, packed & 15], axis=1).reshape(-1, self.n_stages)
        indexes = np.full((len(coded), N_STAGES, 1, 1), -1, np.int32)
        indexes[:, : self.n_stages, 0, 0] = coded
        features = [quantiser(encoding_indices=frame)["output_0"] for frame in indexes]
        return np.concatenate([synthesis(input_audio=one)["output_0"][0] for one in features])

    def _network(self, number: int, signature: str = "serving_default") -> Any:
        network = interpreter(self.folder / NETWORKS[number])
        network.allocate_tensors()
        network.reset_all_variables()
        return network.get_signature_runner(signature)
