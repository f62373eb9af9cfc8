"""A torch data set over shards: shuffled, shared out to ranks and workers, resumable."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch.distributed
from torch.utils.data import IterableDataset, get_worker_info

from hzc.corpus.clips import Item
from hzc.corpus.reading import DECODED_AT_ONCE, CodedSlice, Sample, samples, shards
from hzc.errors import ArgumentError


class ClipDataset(IterableDataset[Sample]):
    """Clips of shards, or segments of them, as `hzc.data.Sample`s.

    Each epoch is another order: shards are shuffled and shared out to the ranks of
    torch.distributed and the workers of a DataLoader; of a few shards at a time all clips are
    shuffled. Every clip comes once in an epoch, but ranks may get a few clips more or less than
    others. The order follows from `seed`, the number of the epoch, and how many share it.

    `state_dict` and `load_state_dict` are what torchdata's StatefulDataLoader calls in every
    worker; without workers call them yourself.
    """

    def __init__(
        self, names: str | Sequence[str], what: str = "symbols", *,
        segment_frames: int | None = None, shuffle: bool = True, seed: int = 0,
        shards_at_once: int = 8, model: str | None = None,
    ) -> None:  # fmt: skip
        """Find the shards.

        Args:
            names: Folders that hold shards, shards, or globs of them.
            what: "symbols", int16 [F, D]; "latents", float32 [F, D]; "hzc", bytes.
            segment_frames: Cut clips into segments of this many frames, the last shorter; `fields`
                then has `first_frame`. None for whole clips.
            shuffle: False for the order of the shards.
            seed: Of the order.
            shards_at_once: Shards whose clips are shuffled together; they are in memory, at about
                1 kB for a clip of 8 s.
            model: Name or weight file of a model that is not registered.

        Raises:
            InputError: there is no shard.
            ArgumentError: segments of files, or of less than a frame.
        """
        super().__init__()
        if segment_frames is not None and (what == "hzc" or segment_frames < 1):
            raise ArgumentError(f"segments of {segment_frames} frames of {what!r}")
        self._shards, self._what, self._model = shards(names), what, model
        self._segment_frames, self._shuffle, self._seed = segment_frames, shuffle, seed
        self._shards_at_once = shards_at_once
        self._epoch = self._n_groups = self._n_given = 0
        """How far this epoch has come: whole groups of shards, and samples of the present one."""
        self._is_resumed = False

    def set_epoch(self, epoch: int) -> None:
        """Choose the order: workers of a DataLoader are copies that begin with it."""
        self._epoch = epoch

    def state_dict(self) -> dict[str, int]:
        """Return how far the present epoch has come."""
        return {"epoch": self._epoch, "n_groups": self._n_groups, "n_given": self._n_given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from there at the next `iter`: the same sources, options, ranks and workers."""
        self._epoch, self._n_groups = state["epoch"], state["n_groups"]
        self._n_given, self._is_resumed = state["n_given"], True

    def __iter__(self) -> Iterator[Sample]:
        """Yield the share of this rank and worker.

        Raises:
            ArgumentError: there are fewer shards than ranks times workers.
        """
        if not self._is_resumed:
            self._n_groups = self._n_given = 0
        self._is_resumed = False
        mine, rng = self._share()
        groups = range(0, len(mine), self._shards_at_once)
        for number, start in enumerate(groups):
            order_seed = int(rng.integers(2**63))
            if number < self._n_groups:
                continue
            items = [
                item for one in mine[start : start + self._shards_at_once] for item in one.clips()
            ]
            for sample in self._samples(items, np.random.default_rng(order_seed)):
                self._n_given += 1
                yield sample
            self._n_groups, self._n_given = number + 1, 0
        self._epoch, self._n_groups = self._epoch + 1, 0

    def _share(self) -> tuple[list[CodedSlice], np.random.Generator]:
        rank, n_ranks = _rank()
        info = get_worker_info()
        worker, n_workers = (info.id, info.num_workers) if info else (0, 1)
        share, n_shares = rank * n_workers + worker, n_ranks * n_workers
        if n_shares > len(self._shards):
            raise ArgumentError(
                f"{len(self._shards)} shards for {n_ranks} ranks of {n_workers} workers",
                hint=f"make {n_shares} or more, with a lower --shard-clips, or use fewer workers",
            )
        order: Any = range(len(self._shards))
        if self._shuffle:
            order = np.random.default_rng((self._seed, self._epoch)).permutation(order)
        rng = np.random.default_rng((self._seed, self._epoch, share + 1))
        return [self._shards[i] for i in order[share::n_shares]], rng

    def _samples(self, items: list[Item], rng: np.random.Generator) -> Iterator[Sample]:
        """Yield the samples of a group in their order, from the one after those given."""
        if self._shuffle:
            items = [items[i] for i in rng.permutation(len(items))]
        n_skipped = self._n_given
        if self._segment_frames is None:
            items, n_skipped = items[n_skipped:], 0
        for start in range(0, len(items), DECODED_AT_ONCE):
            for sample in samples(items[start : start + DECODED_AT_ONCE], self._what, self._model):
                for segment in self._segments(sample):
                    if n_skipped:
                        n_skipped -= 1
                    else:
                        yield segment

    def _segments(self, sample: Sample) -> Iterator[Sample]:
        if self._segment_frames is None:
            yield sample
            return
        for first in range(0, len(sample.values), self._segment_frames):
            values = sample.values[first : first + self._segment_frames]
            yield Sample(sample.id, values, {**sample.fields, "first_frame": first})


def _rank() -> tuple[int, int]:
    """Return rank and number of ranks: of torch.distributed, or as torchrun says."""
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
