"""Shards as training data: every clip once, shared out, resumable."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import hzc.data
from hzc.codec import Codec
from hzc.corpus.clips import Clip
from hzc.corpus.tars import TarShard
from hzc.errors import ArgumentError

N_SHARDS, N_CLIPS = 6, 5


@pytest.fixture(scope="module")
def coded(tmp_path_factory: Any, tiny_codec: Codec, sound: Any) -> Path:
    """Six shards of five clips; the last clip of each is of 20 frames."""
    folder: Path = tmp_path_factory.mktemp("coded")
    files = {n: tiny_codec.encode(sound(n), 16_000) for n in (9_000, 40_000)}
    for part in range(N_SHARDS):
        with (folder / f"part-{part:06d}.tar").open("wb") as stream:
            shard = TarShard(stream, "hzc")
            for n in range(N_CLIPS):
                data = files[40_000 if n == N_CLIPS - 1 else 9_000]
                shard.write(Clip(f"{part}-{n}", b"", {"n": n}), data, {})
            shard.close()
    return folder


def dataset(coded: Path, tiny_model: Path, what: str = "symbols", **options: Any) -> Any:
    return hzc.data.ClipDataset(str(coded), what, model=str(tiny_model), **options)


def ids(samples: Any) -> list[str]:
    return [sample.id for sample in samples]


def test_dataset_gives_every_clip_once_over_ranks_and_workers_in_an_order_of_the_epoch(
    coded: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips, seen = dataset(coded, tiny_model, shards_at_once=2), Counter[str]()
    monkeypatch.setenv("WORLD_SIZE", "3")
    for rank in "012":
        monkeypatch.setenv("RANK", rank)
        loader = DataLoader(clips, batch_size=None, num_workers=2)
        seen.update(ids(loader))
    assert len(seen) == N_SHARDS * N_CLIPS
    assert set(seen.values()) == {1}
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(ArgumentError, match="6 shards for 4 ranks of 2 workers"):
        list(DataLoader(clips, batch_size=None, num_workers=2))
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    first, second = ids(clips), ids(clips)
    assert sorted(first) == sorted(second) == sorted(seen)
    assert first != second
    clips.set_epoch(0)
    assert ids(clips) == first


@pytest.mark.parametrize("segment_frames", [None, 8])
@pytest.mark.parametrize("n", [0, 7, 25])
def test_dataset_resumes_with_the_samples_that_are_left(
    coded: Path, tiny_model: Path, segment_frames: int | None, n: int
) -> None:
    def start() -> Any:
        return dataset(coded, tiny_model, segment_frames=segment_frames, shards_at_once=2)

    whole, stopped, again = start(), start(), start()
    expected = list(whole)
    given = iter(stopped)
    done = [next(given) for _ in range(n)]
    again.load_state_dict(stopped.state_dict())
    rest = list(again)
    keys = [(s.id, s.fields.get("first_frame")) for s in (*done, *rest)]
    assert keys == [(s.id, s.fields.get("first_frame")) for s in expected]
    assert len(keys) == (30 if segment_frames is None else N_SHARDS * (4 + 3))
    assert ids(again) == ids(whole)  # the epoch after


def test_dataset_gives_symbols_latents_and_files(
    coded: Path, tiny_model: Path, tiny_codec: Codec
) -> None:
    for symbols, latents, file in zip(
        *(
            dataset(coded, tiny_model, what, shuffle=False)
            for what in ("symbols", "latents", "hzc")
        ),
        strict=True,
    ):
        expected = tiny_codec.symbols(file.values)[0].T
        assert symbols.values.dtype == np.int16
        assert np.array_equal(symbols.values, expected)
        assert latents.values.dtype == np.float32
        assert np.allclose(latents.values, expected * tiny_codec.model.base_step)
        assert torch.from_numpy(latents.values).shape == expected.shape
    assert symbols.fields == {"n": N_CLIPS - 1}
