"""Recordings through codecs to figures: one row for every recording and codec."""

from __future__ import annotations

import csv
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hzc.audio import sources
from hzc.blocks import FloatArray
from hzc_bench import align, peers
from hzc_bench.metrics import Loaded
from hzc_bench.peers import Codec

SUFFIXES = (".flac", ".wav", ".ogg", ".opus")
MIN_S = 0.5


@dataclass(frozen=True)
class Recording:
    """An original, at 16 kHz."""

    name: str
    samples: FloatArray
    """float32 [sample]"""

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.samples) / align.RATE_HZ


@dataclass(frozen=True)
class Row:
    """What is known about one recording through one codec."""

    codec: str
    file: str
    duration_s: float
    file_bytes: int
    payload_bytes: int
    delay_ms: int
    """Of the codec; already taken out."""
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
    """A recording through a codec, back in time with its original."""

    row: Row
    samples: FloatArray


def recordings(folder: Path) -> list[Recording]:
    """Return the recordings of a folder, by name."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    found = [Recording(p.name, peers.at_16_khz(sources.open_source(p))) for p in paths]
    return [recording for recording in found if recording.duration_s >= MIN_S]


def through(
    codec: Codec, originals: Sequence[Recording], delay_ms: int | None = None
) -> list[Coded]:
    """Return recordings coded and decoded, the codec's delay taken out.

    Args:
        codec: What codes.
        originals: At least one, none silent.
        delay_ms: Where it is known; None for the median of what the recordings seem to have.
    """
    files = [codec.encode(original.samples) for original in originals]
    decoded = [codec.decode(data) for data in files]
    if delay_ms is None:
        pairs = zip(originals, decoded, strict=True)
        delay_ms = round(statistics.median(align.lag_ms(x.samples, y) for x, y in pairs))
    coded = []
    for original, data, samples in zip(originals, files, decoded, strict=True):
        row = Row(
            codec.name, original.name, original.duration_s, len(data), codec.payload_bytes(data),
            delay_ms,
        )  # fmt: skip
        coded.append(Coded(row, align.shifted(samples, delay_ms, len(original.samples))))
    return coded


def measured(
    coded: Sequence[Coded], originals: Sequence[Recording], metrics: Loaded
) -> Iterator[Row]:
    """Yield the rows of one codec, with their figures."""
    wanted = {metric.name: metric.wants(len(originals)) for metric in metrics.metrics}
    for number, (original, one) in enumerate(zip(originals, coded, strict=True)):
        for metric in metrics.metrics:
            value = float("nan")
            if number in wanted[metric.name]:
                value = metrics.figure(metric, original.samples, one.samples)
            one.row.figures[metric.name] = value
        yield one.row


def ignored(codec: Codec, coded: list[Coded]) -> None:
    """Watch nothing."""


def run(
    codecs: Iterable[Codec],
    originals: Sequence[Recording],
    metrics: Loaded,
    watch: Callable[[Codec, list[Coded]], None] = ignored,
) -> list[Row]:
    """Return the rows of all codecs; `watch` sees each codec's sound, which is not kept."""
    rows: list[Row] = []
    for codec in codecs:
        coded = through(codec, originals)
        for number, row in enumerate(measured(coded, originals, metrics), 1):
            rows.append(row)
            if sys.stderr.isatty():
                print(f"\r{codec.name} {number}/{len(originals)} ", end="", file=sys.stderr)
        print(f"{codec.name}: {len(originals)} recordings measured", file=sys.stderr)
        watch(codec, coded)
    return rows


FIXED = ("codec", "file", "duration_s", "file_bytes", "payload_bytes", "kbps", "payload_kbps",
         "delay_ms")  # fmt: skip


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write one line for every recording and codec."""
    names = list(rows[0].figures)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*FIXED, *names])
        for row in rows:
            fixed = [getattr(row, name) for name in FIXED]
            figures = [row.figures[name] for name in names]
            cells = [*fixed, *figures]
            writer.writerow([f"{c:.6g}" if isinstance(c, float) else c for c in cells])
