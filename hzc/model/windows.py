"""Runs a transform over a signal of any length in overlapping windows, with bounded memory.

A transform with finite reach gives the same result on a window as on the whole signal, except
within its reach of the window's cut edges. Those edges are computed and thrown away; at the true
ends of the signal the windows end too, so that padding is the same as for the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class WindowPlan:
    """How a transform is cut up; lengths in latent frames."""

    core_frames: int
    """Frames of output kept from every window but the last."""
    context_frames: int
    """Frames computed on either side and thrown away: at least the transform's reach."""
    n_in: int
    """Input columns per frame."""
    n_out: int
    """Output columns per frame."""


def run_windowed(
    transform: Callable[[FloatArray], FloatArray], blocks: Iterable[FloatArray], plan: WindowPlan
) -> Iterator[FloatArray]:
    """Yield the transform's output for a signal that arrives in blocks.

    Args:
        transform: Maps float32 [..., frames * n_in] to [..., frames * n_out] for any whole number
            of frames.
        blocks: Pieces of the input, float32 [..., columns], together a whole number of frames.
        plan: Sizes of core and context.

    Yields:
        float32 [..., core_frames * n_out], the last one of any length.
    """
    buffer: FloatArray | None = None
    left = 0  # frames of context at the start of the buffer
    need = (plan.core_frames + plan.context_frames) * plan.n_in
    for block in blocks:
        buffer = block if buffer is None else np.concatenate([buffer, block], axis=-1)
        while buffer.shape[-1] >= left * plan.n_in + need:
            window = buffer[..., : left * plan.n_in + need]
            out = transform(window)
            yield out[..., left * plan.n_out : (left + plan.core_frames) * plan.n_out]
            drop = max(0, left + plan.core_frames - plan.context_frames)
            buffer = buffer[..., drop * plan.n_in :]
            left = left + plan.core_frames - drop
    if buffer is not None and buffer.shape[-1] > left * plan.n_in:
        yield transform(buffer)[..., left * plan.n_out :]
