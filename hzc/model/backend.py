"""The door to the networks: encoder and decoder see the same two functions for every back end."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Protocol

import numpy as np

from hzc.blocks import FloatArray
from hzc.errors import ArgumentError, LatentError, ModelError
from hzc.model import dsp
from hzc.model.dsp import Spectra
from hzc.model.file import Model

Transform = Callable[[FloatArray], FloatArray]
CHANNELS_AT_ONCE = 2
"""Channels beyond these are computed one after the other, which bounds the memory."""


class Backend(Protocol):
    """Runs the two networks of a model."""

    def analysis(self, features: FloatArray) -> FloatArray:
        """Return the latent, float32 [channel, D, F].

        Args:
            features: Log-magnitudes, float32 [channel, time, bin], whole frames.
        """

    def synthesis(self, y_hat: FloatArray, step_index: int) -> Spectra:
        """Return the spectra that a latent stands for.

        Args:
            y_hat: float32 [channel, D, F].
            step_index: How coarsely it was quantised, -64 … 64.
        """


def open_backend(model: Model, device: str = "cpu", backend: str | None = None) -> Backend:
    """Return what runs the networks of a model.

    Args:
        model: An open weight file; its arrays are read when they are first needed.
        device: "cpu" or "cuda".
        backend: "onnx" or "torch"; None for ONNX Runtime on the processor where it is installed and
            the model has graphs for it, else torch.

    Raises:
        ArgumentError: there is no such device, or ONNX Runtime is to run on another than the "cpu".
        ModelError: neither ONNX Runtime nor torch is installed, or not the one asked for; or the
            model has no graphs for ONNX Runtime.
    """
    on_cpu, graph = device == "cpu", model.graph_path("synthesis")
    if backend == "onnx" and not on_cpu:
        raise ArgumentError("the back end onnx runs on the processor only", hint="use torch")
    has_onnx, has_torch = (find_spec(name) is not None for name in ("onnxruntime", "torch"))
    if backend == "onnx" or (backend is None and on_cpu and has_onnx and graph.exists()):
        if not has_onnx:
            raise ModelError("onnxruntime is not installed", hint="pip install onnxruntime")
        if not graph.exists():
            raise ModelError(
                "the model has no ONNX graphs",
                path=graph,
                hint="make them with hzc train graphs, or use the back end torch",
            )
        from hzc.model.onnx_backend import OnnxBackend

        return OnnxBackend(model)
    if not has_torch and (backend == "torch" or not on_cpu):
        raise ModelError("torch is not installed", hint="pip install torch")
    if not has_torch:
        raise ModelError(
            "neither onnxruntime nor torch can run this model here",
            hint="pip install onnxruntime, or torch for models without ONNX graphs",
        )
    from hzc.model.torch_backend import TorchBackend

    return TorchBackend(model, device)


class Networks:
    """The transforms of a model: g_a from samples to latent, g_s back."""

    def __init__(self, model: Model, device: str, backend: str | None = None) -> None:
        """Open the back end of a model."""
        self.config = model.config
        self._backend = open_backend(model, device, backend)

    def latent(self, x: FloatArray, n_at_once: int = CHANNELS_AT_ONCE) -> FloatArray:
        """Return the latent of samples at the model's rate.

        Args:
            x: float32 [channel, sample], whole frames.
            n_at_once: Channels, or clips of one length, that go through the network together.

        Returns:
            float32 [channel, D, F].

        Raises:
            LatentError: it is not finite.
        """

        def transform(x: FloatArray) -> FloatArray:
            # Spectra one by one: those of several channels do not fit into the cache.
            rows = [dsp.features(row[None], self.config) for row in x]
            return self._backend.analysis(np.concatenate(rows))

        return _by_channels(x, transform, n_at_once)

    def waveform(self, y_hat: FloatArray, step_index: int) -> FloatArray:
        """Return the samples of a latent, float32 [channel, F * hop_length].

        Args:
            y_hat: float32 [channel, D, F].
            step_index: How coarsely it was quantised, -64 … 64.

        Raises:
            LatentError: they are not finite.
        """

        def transform(y_hat: FloatArray) -> FloatArray:
            return dsp.waveform(y_hat, self._backend.synthesis(y_hat, step_index), self.config)

        return _by_channels(y_hat, transform, CHANNELS_AT_ONCE)


def _by_channels(x: FloatArray, transform: Transform, n_at_once: int) -> FloatArray:
    """Return the transform of every channel; raise LatentError where it is not finite."""
    starts = range(0, len(x), n_at_once)
    result = np.concatenate([transform(x[start : start + n_at_once]) for start in starts])
    if not np.isfinite(result).all():
        raise LatentError("the network gave a value that is not finite")
    return result
