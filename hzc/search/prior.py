"""The integer prior as a function with a gradient: the same weights and tables, in torch.

    context ── W1 ── floor ── W2 ── floor ── W3 ── floor ── (mean, scale) ── table, interpolated

At whole numbers its values are the code lengths of the integers in `hzc.coding.prior`, but for the
last digits of float32. Between them the tables are interpolated: their rows are eighths of a step
and quarters of an octave apart. Gradients pass rounding straight through.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from hzc.blocks import FloatArray
from hzc.coding.prior import (
    ACTIVATION_MAX,
    ARRAYS,
    CONTEXT_CLIP,
    MEAN_CLIP,
    MEAN_FRACTIONS,
    Prior,
)


class PriorCost:
    """What the symbols of a channel cost under the prior of a model, in bits."""

    def __init__(self, prior: Prior, device: str) -> None:
        """Put the weights on a torch device."""
        arrays = {name: getattr(prior, name).astype(np.float32) for name in ARRAYS}
        self._context_frames, self._group_size = prior.context_frames, prior.group_size
        first = 1 + self._context_frames * prior.n_latent
        for group in range(prior.n_groups):  # it sees the groups before it alone
            arrays["w1"][group, first + group * prior.group_size :] = 0.0
        s1, s2, s_mean, s_scale = (2.0**-shift for shift in prior.shifts)
        out = np.repeat(np.array([s_mean, s_scale], dtype=np.float32), prior.group_size)
        layers = (
            (arrays["w1"] * np.float32(s1), arrays["b1"] * np.float32(s1)),
            (arrays["w2"] * np.float32(s2), arrays["b2"] * np.float32(s2)),
            (arrays["w3"] * out, arrays["b3"] * out),
        )
        self._layers = [
            (torch.from_numpy(w).to(device), torch.from_numpy(b[:, None]).to(device))
            for w, b in layers
        ]
        self._costs = torch.from_numpy(_costs(prior)).to(device)

    def bits(self, symbols: Tensor, chunk_frames: Sequence[int], step_index: int) -> Tensor:
        """Return the code length of every symbol, float32 [F, D].

        Args:
            symbols: float32 [D, F], in steps; whole numbers for what a file would cost.
            chunk_frames: How many frames the chunks have, F in all: contexts start anew with each.
            step_index: Of the header.
        """
        frames = symbols.T  # [F, D]
        mean, scale = self._predict(self._contexts(frames, chunk_frames, step_index))
        n_scales, n_offsets = self._costs.shape
        offset = MEAN_FRACTIONS * frames - mean + (n_offsets - 1) // 2
        low_scale, scale_part = _split(scale, n_scales)
        low_offset, offset_part = _split(offset, n_offsets)
        corner = self._costs.reshape(-1)
        at = low_scale * n_offsets + low_offset
        low = corner[at] + offset_part * (corner[at + 1] - corner[at])
        at = at + n_offsets
        high = corner[at] + offset_part * (corner[at + 1] - corner[at])
        return low + scale_part * (high - low)

    def _contexts(self, frames: Tensor, chunk_frames: Sequence[int], step_index: int) -> Tensor:
        """Return what the network sees, float32 [F, 1 + K * D + D]."""
        k, parts = self._context_frames, []
        clipped = frames.clamp(-CONTEXT_CLIP, CONTEXT_CLIP)
        for chunk in torch.split(clipped, list(chunk_frames)):
            windows = F.pad(chunk, (0, 0, k, 0)).unfold(0, k + 1, 1)  # [F, D, K + 1]
            parts.append(windows.transpose(1, 2).flatten(1))
        whole = torch.cat(parts)
        return F.pad(whole, (1, 0), value=float(step_index))

    def _predict(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean, in fractions of a step, and scale index of every symbol, [F, D] each."""
        (w1, b1), (w2, b2), (w3, b3) = self._layers
        h = context.expand(len(w1), -1, -1)
        h = _floored(torch.baddbmm(b1, h, w1)).clamp(0.0, ACTIVATION_MAX)
        h = _floored(torch.baddbmm(b2, h, w2)).clamp(0.0, ACTIVATION_MAX)
        out = _floored(torch.baddbmm(b3, h, w3)).transpose(0, 1)  # [F, G, 2 * D / G]
        mean, scale = out[..., : self._group_size], out[..., self._group_size :]
        return mean.flatten(1).clamp(-MEAN_CLIP, MEAN_CLIP), scale.flatten(1)


def _floored(x: Tensor) -> Tensor:
    return x + (x.floor() - x).detach()


def _split(x: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Return the row under x, so that there is one above it, and how far x is from it."""
    x = x.clamp(0, n - 1)
    low = x.detach().floor().clamp(max=n - 2)
    return low.long(), x - low


def _costs(prior: Prior) -> FloatArray:
    """Return the bits of every scale index and offset, float32 [n_scales, 16 (R + 1) + 1].

    Offsets are symbol − mean in fractions of a step, −8 (R + 1) … 8 (R + 1): all that a table
    codes, and an escape on either side.
    """
    escape, reach = 2 * prior.max_residual + 1, MEAN_FRACTIONS * (prior.max_residual + 1)
    offset = np.arange(-reach, reach + 1)
    row = (MEAN_FRACTIONS // 2 - offset) % MEAN_FRACTIONS
    residual = (offset + row - MEAN_FRACTIONS // 2) // MEAN_FRACTIONS
    entry = residual + prior.max_residual
    entry[np.abs(residual) > prior.max_residual] = escape
    bits = prior.bits.reshape(len(prior.tables), MEAN_FRACTIONS, -1)
    return bits[:, row, entry].astype(np.float32)
