"""Recordings through systems to figures: one row for every recording and system."""

from __future__ import annotations

import csv
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hzc_bench import align
from hzc_bench.metrics import Loaded
from hzc_bench.samples import FloatArray, Recording
from hzc_bench.systems import System

ONE_DELAY_MS = 10
"""Published clips whose delays differ by less have the same, but for what alignment cannot see."""


@dataclass(frozen=True)
class Row:
    """What is known about one recording through one system."""

    system: str
    file: str
    duration_s: float
    file_bytes: float
    payload_bytes: float
    delay_ms: int
    """Already taken out."""
    figures: dict[str, float] = field(default_factory=dict)
    """Metric name to value; NaN where there is none."""

    @property
    def kbps(self) -> float:
        """Rate of file bytes, header included."""
        return 8e-3 * self.file_bytes / self.duration_s

    @property
    def payload_kbps(self) -> float:
        """Rate of coded sound alone."""
        return 8e-3 * self.payload_bytes / self.duration_s


@dataclass(frozen=True)
class Coded:
    """A recording through a system, back in time with its original."""

    row: Row
    samples: FloatArray


def through(
    system: System, originals: Sequence[Recording], delay_ms: int | None = None
) -> list[Coded]:
    """Return recordings coded and decoded, the delay taken out.

    Args:
        system: What codes.
        originals: At least one, none silent.
        delay_ms: Where it is known; None for the median of what the recordings seem to have.
    """
    decoded = [system.coded(original) for original in originals]
    delays_ms = [delay_ms or 0] * len(originals)
    if delay_ms is None:
        pairs = list(zip(originals, decoded, strict=True))
        delays_ms = [align.lag_ms(x.samples, y.samples) for x, y in pairs]
        median_ms = round(statistics.median(delays_ms))
        # A codec has one delay; published clips may have been cut one by one.
        reach_ms = ONE_DELAY_MS if system.is_stated else align.HIGHEST_MS - align.LOWEST_MS
        delays_ms = [median_ms if abs(d - median_ms) <= reach_ms else d for d in delays_ms]
    coded = []
    for original, one, delay in zip(originals, decoded, delays_ms, strict=True):
        row = Row(
            system.name, original.name, original.duration_s, one.file_bytes, one.payload_bytes,
            delay,
        )  # fmt: skip
        coded.append(Coded(row, align.shifted(one.samples, delay, len(original.samples))))
    return coded


def measured(
    coded: Sequence[Coded], originals: Sequence[Recording], metrics: Loaded
) -> Iterator[Row]:
    """Yield the rows of one system, with their figures."""
    for original, one in zip(originals, coded, strict=True):
        for metric in metrics.metrics:
            figure = metrics.figure(metric, original.samples, one.samples)
            one.row.figures[metric.name] = figure
        yield one.row


def ignored(system: System, coded: list[Coded]) -> None:
    """Watch nothing."""


def run(
    systems: Iterable[System],
    originals: Sequence[Recording],
    metrics: Loaded,
    watch: Callable[[System, list[Coded]], None] = ignored,
) -> list[Row]:
    """Return the rows of all systems; `watch` sees each one's sound, which is not kept."""
    rows: list[Row] = []
    for system in systems:
        coded = through(system, originals)
        for number, row in enumerate(measured(coded, originals, metrics), 1):
            rows.append(row)
            if sys.stderr.isatty():
                print(f"\r{system.name} {number}/{len(originals)} ", end="", file=sys.stderr)
        print(f"{system.name}: {len(originals)} recordings measured", file=sys.stderr)
        watch(system, coded)
    return rows


FIXED = ("system", "file", "duration_s", "file_bytes", "payload_bytes", "kbps", "payload_kbps",
         "delay_ms")  # fmt: skip


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write one line for every recording and system."""
    names = list(rows[0].figures)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*FIXED, *names])
        for row in rows:
            cells = [*(getattr(row, name) for name in FIXED), *(row.figures[n] for n in names)]
            writer.writerow([f"{c:.6g}" if isinstance(c, float) else c for c in cells])
