"""Workers that die: on processes and on Ray the shard is done again, and the deadly clip listed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from hzc import runner
from hzc.corpus import engine
from hzc.corpus.clips import Clip
from hzc.corpus.jobs import EncodeShard
from hzc.corpus.shards import Folder
from hzc.options import EncodeOptions


class Deadly(os.PathLike[str]):
    """A recording that kills who opens it, for ever or once."""

    def __init__(self, path: str, mark: str | None) -> None:
        self.path, self.mark = path, mark

    def __fspath__(self) -> str:
        if self.mark is None or not os.path.exists(self.mark):
            Path(self.mark or os.devnull).touch()
            os._exit(9)
        return self.path


@dataclass(frozen=True)
class Killers:
    """A slice of four clips; number 2 is deadly in odd slices."""

    part: int
    path: str
    mark: str | None
    n_clips: int = 4
    name: str = "killers"

    def clips(self) -> Iterator[Clip]:
        for n in range(self.n_clips):
            is_deadly = self.part % 2 and n == 2
            path: Any = Deadly(self.path, self.mark) if is_deadly else self.path
            yield Clip(f"{self.part}-{n}", path)

    def schema(self) -> None:
        return None


def processes() -> runner.Pool[Any]:
    return runner.Processes(2, 1)


def ray() -> runner.Pool[Any]:
    pytest.importorskip("ray", reason="pip install 'hzc[ray]'")
    from hzc.corpus.ray_pool import LOCAL, RayPool

    return RayPool(LOCAL, 2, "cpu", 1)


@pytest.mark.filterwarnings("default")  # Ray's own
@pytest.mark.parametrize("pool", [processes, ray])
@pytest.mark.parametrize("n_deadly", [0, 1], ids=["dies once", "dies always"])
def test_shard_of_a_worker_that_died_is_done_again_without_the_deadly_clip(
    tmp_path: Path, tiny_model: Path, sound: Callable[..., np.ndarray],
    pool: Callable[[], runner.Pool[Any]], n_deadly: int,
) -> None:  # fmt: skip
    path, mark = str(tmp_path / "a.wav"), None if n_deadly else str(tmp_path / "mark")
    soundfile.write(path, sound(16_000), 16_000)
    folder = Folder(str(tmp_path / "out"), "tar")
    folder.begin({})
    options = EncodeOptions(model=str(tiny_model))
    jobs = [
        EncodeShard(part=n, slice=Killers(n, path, mark), folder=folder, options=options)
        for n in range(3)
    ]
    totals = engine.run(jobs, folder, pool(), 2, lambda report: None)
    assert (totals.n_input, totals.n_output) == (12, 12 - n_deadly)
    assert [(f.id, f.error) for _, f in totals.failures] == [("1-2", "WorkerDiedError")] * n_deadly
    assert all(folder.has(part) for part in range(3))
    assert not totals.unfinished
    assert not list(Path(folder.path).rglob("*.at"))
