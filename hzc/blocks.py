"""Signals that come in blocks: cut, joined, padded and faded without being held whole.

A block is float32 [channel, column]; a column is a sample, or a frame of the latent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Blocks = Iterator[FloatArray]

ZEROS_AT_ONCE = 1 << 17


def joined(blocks: Iterable[FloatArray]) -> FloatArray:
    """Return the blocks as one array."""
    return np.concatenate(list(blocks), axis=-1)


def start_of(blocks: Blocks, n_columns: int) -> Blocks:
    """Yield blocks until there are n_columns or more, and leave the rest in the iterator."""
    while n_columns > 0 and (block := next(blocks, None)) is not None:
        n_columns -= block.shape[-1]
        yield block


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


def cut_at_multiples(blocks: Blocks, n_columns: int) -> Blocks:
    """Yield the same columns at once, with no block across a multiple of n_columns."""
    at = 0
    for block in blocks:
        start = 0
        while start < block.shape[-1]:
            end = min(block.shape[-1], start + n_columns - at % n_columns)
            yield block[..., start:end]
            at, start = at + end - start, end


def dropped(blocks: Blocks, n_columns: int) -> Blocks:
    """Yield all but the first n_columns."""
    for block in blocks:
        start = min(n_columns, block.shape[-1])
        n_columns -= start
        if start < block.shape[-1]:
            yield block[..., start:]


def limited(blocks: Blocks, n_columns: int) -> Blocks:
    """Yield the first n_columns, and take no block beyond them."""
    while n_columns > 0 and (block := next(blocks, None)) is not None:
        yield block[..., :n_columns]
        n_columns -= block.shape[-1]


def scaled(blocks: Blocks, factors: deque[tuple[int, np.float32]]) -> Blocks:
    """Yield the blocks times a factor that changes on the way.

    Args:
        blocks: Any number of columns.
        factors: How many columns have which factor; filled ahead of the blocks, emptied here.
    """
    for block in blocks:
        out = block.copy()
        at = 0
        while at < block.shape[-1]:
            n_columns, factor = factors.popleft()
            end = min(block.shape[-1], at + n_columns)
            out[..., at:end] *= factor
            if end - at < n_columns:
                factors.appendleft((n_columns - (end - at), factor))
            at = end
        yield out


def zeros(n_channels: int, n_columns: int) -> Blocks:
    """Yield n_columns of silence."""
    while n_columns > 0:
        length = min(n_columns, ZEROS_AT_ONCE)
        n_columns -= length
        yield np.zeros((n_channels, length), dtype=np.float32)


def fitted(blocks: Blocks, n_channels: int, length: Callable[[], int], held: int) -> Blocks:
    """Yield exactly as many columns as asked for: the rest cut off, or zeros put at the end.

    Args:
        blocks: Any number of columns.
        n_channels: Channels of the blocks.
        length: Asked once the blocks are at an end: columns wanted.
        held: Columns kept back until then: at least as many as may have to be cut off.
    """
    n_given = 0
    back = np.zeros((n_channels, 0), dtype=np.float32)
    for block in blocks:
        back = np.concatenate([back, block], axis=-1)
        n_free = back.shape[-1] - held
        if n_free > 0:
            n_given += n_free
            yield back[:, :n_free]
            back = back[:, n_free:]
    left = length() - n_given
    assert left >= 0, "more columns than were held back must be cut off"
    yield back[:, :left]
    yield from zeros(n_channels, left - back.shape[-1])


def faded(blocks: Blocks, n_columns: int, *, at_start: bool, at_end: Callable[[], bool]) -> Blocks:
    """Yield the blocks with linear fades of n_columns, from and to silence.

    Args:
        blocks: Any number of columns.
        n_columns: Length of a fade.
        at_start: Whether to fade in.
        at_end: Asked once the blocks are at an end: whether to fade out.
    """
    at = 0
    held: FloatArray | None = None
    for block in blocks:
        piece = block
        if at_start and at < n_columns:
            ramp = (at + np.arange(block.shape[-1], dtype=np.float32) + 0.5) / n_columns
            piece = block * np.minimum(ramp, np.float32(1.0))
        at += block.shape[-1]
        held = piece if held is None else np.concatenate([held, piece], axis=-1)
        if held.shape[-1] > n_columns:
            yield held[..., :-n_columns]
            held = held[..., -n_columns:]
    if held is not None:
        if at_end():
            ramp = (np.arange(held.shape[-1], dtype=np.float32)[::-1] + 0.5) / n_columns
            held = held * np.minimum(ramp, np.float32(1.0))
        yield held
