"""The symbols of the chunks of a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np

from hzc.coding.entropy import IntArray
from hzc.coding.prior import Prior
from hzc.container import AnyHeader, Chunk

PAYLOADS_AT_ONCE = 32
"""Payloads that the prior decodes side by side: several times as fast as one by one."""


def decoded(prior: Prior, header: AnyHeader, chunks: Iterable[Chunk]) -> Iterator[IntArray]:
    """Yield the symbols of every chunk, int32 [channel, D, frame].

    Raises:
        CorruptError: a payload cannot be a coded stream.
    """
    n_channels, chunks = header.n_channels, iter(chunks)
    while batch := list(islice(chunks, max(1, PAYLOADS_AT_ONCE // n_channels))):
        payloads = [payload for chunk in batch for payload in chunk.payloads]
        lengths = [chunk.n_frames for chunk in batch for _ in chunk.payloads]
        symbols = prior.decode(payloads, lengths, header.step_index)
        for i in range(0, len(symbols), n_channels):
            yield np.stack(symbols[i : i + n_channels])
