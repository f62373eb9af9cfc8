"""The type of signals that come in blocks: float32 [channel, column], columns being samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Blocks = Iterator[FloatArray]


def joined(blocks: Iterable[FloatArray]) -> FloatArray:
    """Return the blocks as one array."""
    return np.concatenate(list(blocks), axis=-1)


def rechunked(blocks: Blocks, n_columns: int) -> Blocks:
    """Yield the same columns in blocks of n_columns, the last one shorter."""
    held: FloatArray | None = None
    for block in blocks:
        held = block if held is None else np.concatenate([held, block], axis=-1)
        while held.shape[-1] >= n_columns:
            yield held[..., :n_columns]
            held = held[..., n_columns:]
    if held is not None and held.shape[-1]:
        yield held


def empty(n_channels: int) -> FloatArray:
    """Return a block without columns."""
    return np.zeros((n_channels, 0), dtype=np.float32)
