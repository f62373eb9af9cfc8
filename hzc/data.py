"""Corpora as training data: shards of .hzc files in, symbols or latents out.

    for id, symbols, fields in hzc.data.read("coded"): ...      numpy
    table = hzc.data.table("coded")                              pyarrow, Parquet shards
    dataset = hzc.data.ClipDataset("coded", "latents")           torch

docs/corpora.md describes the numbers and how they become tokens.
"""

from __future__ import annotations

from typing import Any

from hzc.corpus.reading import Sample, read, table

__all__ = ["ClipDataset", "Sample", "read", "table"]  # noqa: F822 - the first comes lazily


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is used."""
    if name == "ClipDataset":
        from hzc.corpus.dataset import ClipDataset

        return ClipDataset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
