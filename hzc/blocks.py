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


def first_samples(blocks: Blocks, n_samples: int) -> Iterator[FloatArray]:
    """Yield the first samples: a file that is still being written may have grown meanwhile."""
    for block in blocks:
        if n_samples <= 0:
            return
        yield block[:, :n_samples]
        n_samples -= block.shape[1]


def until(blocks: Blocks, n_samples: float) -> Iterator[FloatArray]:
    """Yield blocks until there are more than n_samples, and leave the others in the iterator."""
    while n_samples >= 0 and (block := next(blocks, None)) is not None:
        n_samples -= block.shape[1]
        yield block
