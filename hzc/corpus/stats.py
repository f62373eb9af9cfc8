"""What is in shards of .hzc files: hours, bytes, rates, lengths, failures by kind."""

from __future__ import annotations

import json
import os
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from hzc import container, files
from hzc.corpus.clips import Clip
from hzc.corpus.reading import shards
from hzc.errors import ArgumentError, HzcError

PERCENTILES = (5, 50, 95)


@dataclass
class Stats:
    """The figures of a corpus."""

    n_shards: int = 0
    n_shard_bytes: int = 0
    seconds: array[float] = field(default_factory=lambda: array("f"))
    """Of every clip."""
    n_bytes: array[int] = field(default_factory=lambda: array("I"))
    n_frames: int = 0
    n_invalid: int = 0
    """Clips in the shards that cannot be read, or are no whole .hzc files."""
    n_duplicates: int = 0
    """Clips with the id of another."""
    failed_by_error: Counter[str] = field(default_factory=Counter)
    """From the lists of failures next to the shards."""

    @property
    def kbps(self) -> Any:
        """Rate of every clip, float64 [clip]."""
        return 8e-3 * np.array(self.n_bytes) / np.array(self.seconds)

    def values(self) -> dict[str, Any]:
        """Return the figures for programs."""
        seconds = float(np.sum(self.seconds, dtype=np.float64))
        n_bytes = int(np.sum(self.n_bytes, dtype=np.int64))
        return {
            "n_clips": len(self.seconds), "hours": round(seconds / 3600.0, 6),
            "n_frames": self.n_frames, "n_bytes": n_bytes, "n_shards": self.n_shards,
            "n_shard_bytes": self.n_shard_bytes, "n_invalid": self.n_invalid,
            "n_duplicates": self.n_duplicates,
            "bitrate_kbps": round(8e-3 * n_bytes / seconds, 6) if seconds else None,
            "percentiles": list(PERCENTILES),
            "clip_s": _percentiles(self.seconds), "clip_kbps": _percentiles(self.kbps),
            "failed_by_error": dict(self.failed_by_error.most_common()),
        }  # fmt: skip

    def lines(self) -> Iterator[str]:
        """Yield the figures for people."""
        values = self.values()
        yield f"{values['n_clips']:,} clips  {values['hours']:.3f} h  {self.n_frames:,} frames"
        rate = f"  {values['bitrate_kbps']:.3f} kbps" if self.seconds else ""
        yield f"{values['n_bytes']:,} B of clips{rate}, {self.n_shard_bytes:,} B of shards"
        for name, unit in (("clip_s", "s"), ("clip_kbps", "kbps")):
            if found := values[name]:
                low, middle, high = found
                yield f"a clip: {middle:.3f} {unit} (median), {low:.3f} to {high:.3f} (90 %)"
        if self.n_invalid:
            yield f"{self.n_invalid:,} clips are invalid"
        if self.n_duplicates:
            yield f"{self.n_duplicates:,} clips have the id of another"
        for error, n in self.failed_by_error.most_common():
            yield f"failed: {n:,} × {error}"


def _percentiles(values: Any) -> list[float]:
    return [round(float(x), 6) for x in np.percentile(values, PERCENTILES)] if len(values) else []


def measure(names: Sequence[str]) -> Stats:
    """Return the figures of shards; every checksum is verified, no network is needed.

    Raises:
        InputError: there is no shard, or it cannot be read.
    """
    stats, ids = Stats(), array("q")
    for shard in shards(names):
        stats.n_shards += 1
        stats.n_shard_bytes += os.path.getsize(shard.path)
        for item in shard.clips():
            try:
                data = item.audio if isinstance(item, Clip) else b""
                header = container.unpack(data).header  # type: ignore[arg-type]
            except HzcError:
                stats.n_invalid += 1
                continue
            stats.seconds.append(header.duration_s)
            stats.n_bytes.append(len(data))
            stats.n_frames += header.n_frames
            ids.append(hash(item.id))
    stats.n_duplicates = len(ids) - len(np.unique(ids))
    for name in names:
        if (path := Path(name, "failed.jsonl")).is_file():
            lines = path.read_text("utf-8").splitlines()
            stats.failed_by_error.update(json.loads(line)["error"] for line in lines)
    return stats


def draw(stats: Stats, path: str) -> None:
    """Draw histograms of the clips' lengths and rates.

    Raises:
        ArgumentError: matplotlib is missing, or there is no clip.
        OutputWriteError: the picture cannot be written.
    """
    if find_spec("matplotlib") is None:
        raise ArgumentError("--plot needs matplotlib", hint="pip install 'hzc[demo]'")
    if not stats.seconds:
        raise ArgumentError("there is no clip to draw")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 3.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.hist(stats.seconds, bins=50, weights=np.array(stats.seconds) / 3600.0)
    left.set(xlabel="length of a clip (s)", ylabel="hours")
    right.hist(stats.kbps, bins=50)
    right.set(xlabel="rate of a clip (kbit/s)", ylabel="clips")
    suffix = Path(path).suffix[1:].lower() or "png"
    with files.atomic_write(path, force=True) as partial, partial.open("wb") as stream:
        figure.savefig(stream, format=suffix, dpi=100)
