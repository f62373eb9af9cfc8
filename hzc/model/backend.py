"""The door to the networks: whatever runs them, encoder and decoder see the same two functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from hzc.blocks import FloatArray
from hzc.errors import LatentError
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


def open_backend(model: Model, device: str = "cpu") -> Backend:
    """Return what runs the networks of a model.

    Args:
        model: An open weight file; its arrays are read when they are first needed.
        device: Torch device, "cpu" or "cuda".
    """
    from hzc.model.torch_backend import TorchBackend

    return TorchBackend(model, device)


class Networks:
    """The transforms of a model: g_a from samples to latent, g_s back."""

    def __init__(self, model: Model, device: str) -> None:
        """Open the back end of a model."""
        self.config = model.config
        self._backend = open_backend(model, device)

    def latent(self, x: FloatArray) -> FloatArray:
        """Return the latent of samples at the model's rate.

        Args:
            x: float32 [channel, sample], whole frames.

        Returns:
            float32 [channel, D, F].

        Raises:
            LatentError: it is not finite.
        """

        def transform(x: FloatArray) -> FloatArray:
            return self._backend.analysis(dsp.features(x, self.config))

        return _by_channels(x, transform)

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

        return _by_channels(y_hat, transform)


def _by_channels(x: FloatArray, transform: Transform) -> FloatArray:
    """Return the transform of every channel; raise LatentError where it is not finite."""
    starts = range(0, len(x), CHANNELS_AT_ONCE)
    result = np.concatenate([transform(x[start : start + CHANNELS_AT_ONCE]) for start in starts])
    if not np.isfinite(result).all():
        raise LatentError("the network gave a value that is not finite")
    return result
