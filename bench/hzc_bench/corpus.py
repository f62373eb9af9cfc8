"""Throughput of `hzc corpus encode` next to `hzc encode -j`, and its scaling; whole processes.

The runs alternate, so that what else the machine does slows all of them alike. Processor time is
the sum over all processes; it says more than time on the wall where cores are shared.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hzc.audio import sources
from hzc.files import AUDIO_SUFFIXES

HZC = (sys.executable, "-m", "hzc")
KIB_PER_MIB = 1024.0


@dataclass(frozen=True)
class Run:
    """What one process and its workers took."""

    wall_s: float
    processor_s: float
    peak_mib: float
    """Of the largest of the processes."""


def linked(folder: Path, hours: float, target: Path) -> tuple[int, float]:
    """Fill a folder with links to recordings, in turn, up to a length; return clips and seconds."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES)
    lengths = [sources.open_source(path).duration_s or 0.0 for path in paths]
    n, seconds = 0, 0.0
    while seconds < hours * 3600.0:
        path = paths[n % len(paths)]
        (target / f"{n:06d}{path.suffix}").symlink_to(path.resolve())
        seconds += lengths[n % len(paths)]
        n += 1
    return n, seconds


def timed(*args: str) -> Run:
    """Return what a run of hzc takes.

    Raises:
        RuntimeError: it fails.
    """
    started, quiet = time.perf_counter(), subprocess.DEVNULL
    peak_mib = 0.0
    with subprocess.Popen([*HZC, *args], stdout=quiet, stderr=quiet) as running:
        while not (ended := os.wait4(running.pid, os.WNOHANG))[0]:
            peak_mib = max([peak_mib, *map(peak_so_far_mib, family(running.pid))])
            time.sleep(0.05)
        _, status, usage = ended
        running.returncode = os.waitstatus_to_exitcode(status)
    if running.returncode:
        raise RuntimeError(f"hzc {' '.join(args)} failed")
    wall_s = time.perf_counter() - started
    return Run(wall_s, usage.ru_utime + usage.ru_stime, peak_mib)


def family(pid: int) -> Iterator[int]:
    """Yield a process and its children."""
    yield pid
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            yield from map(int, path.read_text().split())


def peak_so_far_mib(pid: int) -> float:
    """Return the peak resident memory of a process; 0 where it has ended.

    Not `ru_maxrss`: that counts the memory of the process that started it.
    """
    with suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        return int(found[1]) / KIB_PER_MIB if found else 0.0
    return 0.0


def measured(folder: Path, hours: float, n_times: int, shard_clips: int) -> Iterator[str]:
    """Yield a table of throughput on the recordings of a folder, repeated to some hours."""
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        (clips := top / "clips").mkdir()
        n_clips, seconds = linked(folder, hours, clips)
        size = ("--shard-clips", str(shard_clips))
        kinds = [(kind, n) for n in (1, 2) for kind in ("encode -j", "corpus encode --workers")]
        runs: dict[tuple[str, int], list[Run]] = {key: [] for key in kinds}
        for i in range(n_times):
            for kind, n in kinds:
                words, out = kind.split(), str(top / f"{kind} {n} {i}")
                into = ["-r", str(clips), "-d", out] if words[0] == "encode" else [
                    str(clips), "-o", out, *size]  # fmt: skip
                runs[kind, n].append(timed(*words[:-1], *into, words[-1], str(n), "-q"))
        yield f"{n_clips} clips, {seconds / 3600.0:.3f} h, medians of {n_times} runs in turn"
        yield ""
        yield "| command | wall s | processor s | × real time | core-hours per 1000 h | peak MiB |"
        yield "|---|---|---|---|---|---|"
        wall = {}
        for (kind, n), found in runs.items():
            wall[kind, n] = statistics.median(run.wall_s for run in found)
            processor_s = statistics.median(run.processor_s for run in found)
            peak = max(run.peak_mib for run in found)
            yield (
                f"| `hzc {kind} {n}` | {wall[kind, n]:.1f} | {processor_s:.1f} | "
                f"{seconds / wall[kind, n]:.0f} | {1000.0 * processor_s / seconds:.2f} | "
                f"{peak:.0f} |"
            )
        yield ""
        single, batch = kinds[0][0], kinds[1][0]
        for n in (1, 2):
            yield f"corpus against encode, {n} at a time: {wall[single, n] / wall[batch, n]:.2f} ×"
        yield f"corpus, 1 to 2 workers: {wall[batch, 1] / wall[batch, 2]:.2f} ×"
