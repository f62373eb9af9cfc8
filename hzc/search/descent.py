"""The search of one window: gradient descent on the latent through the frozen synthesis.

    z ── round ── × step ── g_s ── x_hat        loss = D(x, x_hat) + λ R + prox

Rounding is soft at first: where steps are coarse, the gradient at whole steps alone leads nowhere.
g_s draws its noise from the rounded latent, as a decoder does, so that every step hears another
draw, and the last one what is going to be played. λ is moved so that R comes out as it was before.
Sources: Campos et al. 2019, "Content Adaptive Optimization for Neural Image Compression"; Yang et
al. 2020, "Improving Inference for Neural Image Compression".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from threading import Event

import numpy as np
import torch
from torch import Tensor

from hzc.blocks import FloatArray
from hzc.coding import quantize
from hzc.coding.quantize import STEP_INDEXES_PER_OCTAVE
from hzc.model.distance import SpectralDistance, Target
from hzc.model.file import Model
from hzc.model.torch_backend import TorchBackend
from hzc.search import effort as settings
from hzc.search.effort import Effort
from hzc.search.prior import PriorCost

WINDOWS = list(settings.TERMS.windows)
PAIRS = [[WINDOWS[(2 * n + k) % len(WINDOWS)] for k in (0, 2)] for n in range(len(WINDOWS))]
"""Resolutions that the steps listen at in turn: two are as good as all, in half the time."""


class Stopped(Exception):
    """The search was given up."""


@dataclass(frozen=True)
class Window:
    """A stretch of one channel."""

    y: FloatArray
    """Latent, float32 [D, F]."""
    x: FloatArray
    """The samples that it describes, float32 [F * hop_length]."""
    chunk_frames: tuple[int, ...]
    """How many frames each chunk has in it."""
    core: slice
    """Frames that are wanted."""


class Listener:
    """The frozen networks of a model: hears what a decoder would make of symbols."""

    def __init__(self, model: Model, device: str) -> None:
        """Load the synthesis and the prior.

        Raises:
            ArgumentError: there is no such device.
            WeightsError: the weights are damaged.
        """
        self.device, self.config, self.base_step = device, model.config, model.base_step
        self._synthesis = TorchBackend(model, device).synthesis_network
        self._prior = PriorCost(model.prior, device)
        sample_rate_hz = model.config.sample_rate_hz
        self._distance = SpectralDistance(settings.TERMS, sample_rate_hz).to(device)

    def target(self, x: FloatArray) -> Target:
        """Return what is known of samples, float32 [sample]."""
        return self._distance.target(torch.from_numpy(x).to(self.device)[None], WINDOWS)

    def distortion(
        self, y_hat: Tensor, step_index: int, target: Target, windows: list[int]
    ) -> Tensor:
        """Return the distance of a quantised latent, float32 [D, F], decoded, from a target."""
        indexes = torch.tensor([float(step_index)], device=self.device)
        x_hat = self._synthesis(y_hat[None], indexes)
        return self._distance.compare(target, (x_hat,), windows)[0]

    def bits(self, symbols: Tensor, window: Window, step_index: int) -> Tensor:
        """Return the code length of every frame of a window, float32 [F]."""
        return self._prior.bits(symbols, window.chunk_frames, step_index).sum(1)


@dataclass
class Candidate:
    """Symbols, and what is known of them."""

    symbols: Tensor
    """float32 [D, F], whole numbers."""
    distortion: float
    bits: float
    """Of the core."""


class Descent:
    """The latent of one window in motion."""

    def __init__(self, listener: Listener, window: Window, step_index: int, effort: Effort) -> None:
        """Start at the latent of the analysis, in thirds of a step.

        Its last digits follow the number of threads, and a descent would multiply them.
        """
        self._listener, self._window = listener, window
        self._step_index, self._effort = step_index, effort
        step = quantize.steps(listener.base_step, step_index)[:, None]
        self._step = torch.from_numpy(step).to(listener.device)
        self._unsearched = torch.from_numpy(np.rint(window.y / step)).to(listener.device)
        thirds = np.rint(window.y / step * np.float32(3.0)) / np.float32(3.0)
        self._start = torch.from_numpy(thirds).to(listener.device)
        self._target = listener.target(window.x)

    def run(self, stop: Event) -> FloatArray:
        """Return the core of a latent on whole steps, float32 [D, core].

        It costs no more bits than the latent that the descent starts at, rounded, and is nearer to
        the recording; or it is that very one.

        Raises:
            Stopped: `stop` was set.
        """
        effort = self._effort
        z, first = self._start.clone(), self._candidate(self._unsearched)
        lmbda = settings.LMBDA * 2.0 ** (self._step_index / STEP_INDEXES_PER_OCTAVE)
        adam = torch.optim.Adam([z], betas=settings.BETAS)
        symbols = first.symbols
        for n_done in range(effort.n_steps):
            if stop.is_set():
                raise Stopped
            progress = n_done / effort.n_steps
            z.grad = self._gradient(z, progress, lmbda, PAIRS[n_done % len(PAIRS)])
            adam.param_groups[0]["lr"] = effort.lr * (1.0 - progress)
            adam.step()
            bits = self._bits(torch.round(z))
            if bits <= first.bits:  # the last of these is the result
                symbols = torch.round(z)
            lmbda *= _more(bits / max(first.bits, 1.0))
        last = self._candidate(symbols)
        best = last if last.distortion < first.distortion else first
        return np.asarray((best.symbols * self._step)[:, self._window.core].cpu())

    def _gradient(self, z: Tensor, progress: float, lmbda: float, windows: list[int]) -> Tensor:
        """Return the gradient of the loss at z, float32 [D, F]."""
        listener, z = self._listener, z.detach().requires_grad_()
        q = _rounded(z, progress / settings.SOFT_SHARE)
        bits = listener.bits(q, self._window, self._step_index)
        distortion = listener.distortion(q * self._step, self._step_index, self._target, windows)
        prox = (z - self._start).square().mean()
        loss = distortion + lmbda * bits.mean() + self._effort.prox * prox
        (gradient,) = torch.autograd.grad(loss, z)
        return gradient

    @torch.no_grad()
    def _bits(self, symbols: Tensor) -> float:
        """Return the code length of the core of symbols."""
        bits = self._listener.bits(symbols, self._window, self._step_index)
        return float(bits[self._window.core].sum())

    @torch.no_grad()
    def _candidate(self, symbols: Tensor) -> Candidate:
        y_hat, listener = symbols * self._step, self._listener
        distortion = listener.distortion(y_hat, self._step_index, self._target, WINDOWS)
        return Candidate(symbols, float(distortion), self._bits(symbols))


def _more(share: float) -> float:
    """Return what λ is multiplied by where the bits are this share of those at the start."""
    limit, excess = settings.MAX_EXCESS, share - settings.RATE_TARGET
    return math.exp(settings.RATE_GAIN * min(max(excess, -limit), limit))


def _rounded(z: Tensor, hardness: float) -> Tensor:
    """Return z rounded: softly, ever harder as `hardness` goes from 0 to 1, and fully from there.

    The gradient passes full rounding straight through. Source: Agustsson, Theis 2020, "Universally
    Quantized Neural Compression", equation 7.
    """
    if hardness >= 1.0:
        return z + (torch.round(z) - z).detach()
    alpha = settings.SOFTEST + hardness * (settings.HARDEST - settings.SOFTEST)
    middle = z.detach().floor() + 0.5
    return middle + 0.5 * torch.tanh(alpha * (z - middle)) / math.tanh(alpha / 2.0)
