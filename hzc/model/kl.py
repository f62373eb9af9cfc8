"""KL divergence of the latent's posterior from the prior: hertz's information content of a file."""

from __future__ import annotations

from math import sqrt

import numpy as np

from hzc.blocks import FloatArray
from hzc.coding.entropy import IntArray
from hzc.model.file import Model

N_NODES = 9
"""Of the quadrature: more change nothing that is printed."""


def divergence_bits(model: Model, scaled: FloatArray, symbols: IntArray, step_index: int) -> float:
    """Return KL(N(y, step² / 12) || prior) of one channel of a chunk, in bits.

    The prior's density is the mixture of Gaussians that its tables discretise; the expectation is
    taken by Gauss–Hermite quadrature.

    Args:
        model: Prior and mixtures.
        scaled: Latent in steps, float32 [D, F].
        symbols: int32 [D, F]: the context.
        step_index: Of the header.
    """
    sigma = 1.0 / sqrt(12.0)
    mean, scale_index = model.prior.gaussians(symbols, step_index)
    scales, weights = (part[scale_index] for part in model.mixtures)  # [D, F, width]
    nats = np.full(scaled.shape, -0.5 - np.log(sigma))
    for node, share in zip(*np.polynomial.hermite_e.hermegauss(N_NODES), strict=True):
        z = ((scaled + sigma * node - mean)[:, :, None] / scales).astype(np.float64)
        density = (weights / scales * np.exp(-0.5 * z**2)).sum(axis=-1)
        nats -= share / sqrt(2.0 * np.pi) * np.log(density + 1e-30)
    return float(nats.sum() / np.log(2.0))
