"""Fits the integer prior on the symbols of a finished analysis transform.

The network is trained in floating point with clipped activations, then rounded: 16-bit weights and
12-bit activations are fine enough that rounding costs nothing that can be measured (the report has
both figures). The tables are fitted last, on the residuals of the rounded network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from tqdm import tqdm

from hzc.coding.prior import CONTEXT_CLIP, MEAN_FRACTIONS, Prior
from hzc.coding.quantize import STEP_INDEXES_PER_OCTAVE
from hzc.container import CHUNK_FRAMES
from hzc.train import prior_tables
from hzc.train.config import PriorFitConfig, TrainConfig
from hzc.train.optimiser import Optimiser, learning_rate_factor
from hzc.train.prior_data import LatentSet
from hzc.train.prior_network import (
    ACTIVATION_BITS,
    HIDDEN_LAYERS,
    INPUT_SCALE,
    STEP_INDEX_SCALE,
    ContextNetwork,
    log_scale,
)

IntArray = npt.NDArray[np.int32]

INPUT_WEIGHT_BITS = 13
"""The first layer's weights are stored in units of 2^-13: its inputs are large, they are small."""
WEIGHT_BITS = 10
"""The other layers' weights are stored in units of 2^-10."""


@dataclass(frozen=True)
class FrameSampler:
    """Draws frames with their context from the latents of a corpus."""

    data: LatentSet
    config: PriorFitConfig

    @cached_property
    def _cumulative(self) -> npt.NDArray[np.float64]:
        return np.cumsum(self.data.weights / self.data.weights.sum())

    def draw(self, rng: np.random.Generator, n: int) -> tuple[Tensor, Tensor]:
        """Return context [n, n_inputs] and symbols [n, D], float32 whole numbers.

        The place in the chunk is drawn too, since context restarts with every chunk.
        """
        low, high = self.config.step_index_range
        step_index = rng.integers(low, high + 1, n)
        step_index[rng.random(n) < self.config.default_share] = self.config.default_step_index
        at = np.searchsorted(self._cumulative, rng.random(n)).clip(max=len(self.data.latents) - 1)
        place = rng.integers(0, CHUNK_FRAMES, n)
        return self.at(at, np.minimum(place, at - self.data.starts[at]), step_index)

    def at(
        self,
        frames: npt.NDArray[np.int64],
        place: npt.NDArray[np.int64],
        step_index: npt.NDArray[np.int64],
    ) -> tuple[Tensor, Tensor]:
        """Return context and symbols of the given frames, each `place` frames into its chunk."""
        k = self.config.context_frames
        past = np.arange(-k, 1)
        picked = self.data.latents[np.maximum(frames[:, None] + past, 0)]  # [n, K + 1, D]
        scale = 2.0 ** (-step_index / STEP_INDEXES_PER_OCTAVE)
        symbols = np.rint(picked * scale[:, None, None].astype(np.float32))
        symbols *= (past >= -place[:, None])[:, :, None]
        clipped = np.clip(symbols, -CONTEXT_CLIP, CONTEXT_CLIP).reshape(len(frames), -1)
        context = np.concatenate([step_index[:, None].astype(np.float32), clipped], axis=1)
        return torch.from_numpy(context), torch.from_numpy(np.ascontiguousarray(symbols[:, -1]))


def code_length_bits(symbols: Tensor, mean: Tensor, scale_index: Tensor) -> Tensor:
    """Return the cost of symbols under discretised Gaussians with a small heavy tail, in bits."""
    sigma = torch.exp(log_scale(scale_index))
    distance = (symbols - mean).abs()

    def mass(width: Tensor) -> Tensor:
        upper: Tensor = torch.special.ndtr((0.5 - distance) / width)
        lower: Tensor = torch.special.ndtr((-0.5 - distance) / width)
        return upper - lower

    bits: Tensor = -torch.log2(0.9 * mass(sigma) + 0.1 * mass(2.5 * sigma) + 2.0**-18)
    return bits


def fit_network(sampler: FrameSampler, seed: int) -> ContextNetwork:
    """Return a network trained for `config.n_steps` steps."""
    config = sampler.config
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = ContextNetwork(sampler.data.latents.shape[1], config)
    optimiser = Optimiser(network, config.optimiser, lambda name: name.startswith(HIDDEN_LAYERS))
    bar = tqdm(range(config.n_steps), desc="prior", unit="step", disable=None)
    top = config.n_scales - 1.0
    for step in bar:
        context, symbols = sampler.draw(rng, config.batch_frames)
        mean, scale_index = network(context)
        inside = scale_index.clamp(0.0, top)
        bits = code_length_bits(symbols, mean, inside).sum(1).mean()
        # A scale index beyond the tables has no gradient of its own: pull it back.
        loss = bits + (scale_index - inside).abs().sum(1).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), config.optimiser.clip_norm)
        optimiser.step(learning_rate_factor(config.optimiser, step, config.n_steps))
        if step % 50 == 0:
            bar.set_postfix(bits_per_frame=f"{bits.item():.1f}")
    return network


@torch.no_grad()
def round_network(network: ContextNetwork, frequencies: npt.NDArray[np.uint16]) -> Prior:
    """Return the network in integers, with the given tables."""
    size = network.group_size
    w1 = network.masked_w1()
    w1 = torch.cat([w1[:, :1] * STEP_INDEX_SCALE, w1[:, 1:] * INPUT_SCALE], dim=1)
    scale_bits = WEIGHT_BITS + ACTIVATION_BITS
    mean_bits = int(math.log2(MEAN_FRACTIONS))
    first = INPUT_WEIGHT_BITS - ACTIVATION_BITS
    shifts = (first, WEIGHT_BITS, scale_bits - mean_bits, scale_bits)
    b3 = network.b3[:, 0].clone() * 2.0**scale_bits
    # Half a unit, so that the shift rounds to nearest instead of down.
    b3[:, :size] += 2.0 ** (shifts[2] - 1)
    b3[:, size:] += 2.0 ** (shifts[3] - 1)

    return Prior(
        w1=_weights(w1, INPUT_WEIGHT_BITS),
        b1=_biases(network.b1[:, 0] * 2.0**INPUT_WEIGHT_BITS),
        w2=_weights(torch.stack(list(network.w2)), WEIGHT_BITS),
        b2=_biases(network.b2[:, 0] * 2.0**scale_bits),
        w3=_weights(network.w3, WEIGHT_BITS),
        b3=_biases(b3),
        shifts=shifts,
        tables=frequencies,
    )


def _weights(x: Tensor, bits: int) -> npt.NDArray[np.int16]:
    limit = 2**15 - 1
    return np.clip(np.rint(x.numpy() * 2.0**bits), -limit, limit).astype(np.int16)


def _biases(x: Tensor) -> IntArray:
    limit = 2**31 - 1
    whole: IntArray = np.clip(np.rint(x.double().numpy()), -limit, limit).astype(np.int32)
    return whole


def count_residuals(
    prior: Prior, sampler: FrameSampler, seed: int, n_frames: int
) -> npt.NDArray[np.int64]:
    """Return how often each residual is seen under each table of the rounded network.

    Returns:
        int64 [n_scales, MEAN_FRACTIONS, 2 R + 1].
    """
    rng = np.random.default_rng(seed)
    n_residuals = 2 * prior.max_residual + 1
    counts = np.zeros((prior.tables.shape[0] * MEAN_FRACTIONS, n_residuals), dtype=np.int64)
    for _ in range(-(-n_frames // 4096)):
        context, symbols = sampler.draw(rng, 4096)
        for group in range(prior.n_groups):
            whole, index = prior.predict(group, context.numpy().astype(np.float64))
            columns = slice(group * prior.group_size, (group + 1) * prior.group_size)
            residual = symbols[:, columns].numpy().astype(np.int64) - whole
            inside = np.abs(residual) <= prior.max_residual
            np.add.at(counts, (index[inside], residual[inside] + prior.max_residual), 1)
    return counts.reshape(-1, MEAN_FRACTIONS, n_residuals)


@dataclass(frozen=True)
class FittedPrior:
    """The integer prior, and the densities that its tables were made from."""

    prior: Prior
    mixtures: npt.NDArray[np.float64]
    """Weight of each relative width in each scale index, float64 [n_scales, n_widths]."""


def fit_prior(sampler: FrameSampler, settings: TrainConfig) -> FittedPrior:
    """Return the integer prior fitted on the sampler's latents."""
    config, seed = sampler.config, settings.seed
    torch.set_num_threads(settings.n_threads)
    network = fit_network(sampler, seed)
    shape = (config.n_scales, MEAN_FRACTIONS, 2 * config.max_residual + 1)
    unfitted = prior_tables.fit_mixtures(np.zeros(shape, dtype=np.int64), n_iterations=1)
    rounded = round_network(network, prior_tables.make_tables(unfitted, config.max_residual))
    counts = count_residuals(rounded, sampler, seed + 1, 40 * 4096)
    mixtures = prior_tables.fit_mixtures(counts)
    return FittedPrior(
        round_network(network, prior_tables.make_tables(mixtures, config.max_residual)), mixtures
    )
