"""hzc source by source, on a corpus with a manifest.tsv: which voices and languages suffer.

The manifest has the columns file, source and languages.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hzc_bench import pipeline, report, samples, summary
from hzc_bench.metrics import Loaded
from hzc_bench.samples import SAMPLE_RATE_HZ, Recording
from hzc_bench.systems import Hzc

SEGMENT_S = 10


def segments(files: list[Path], n: int) -> list[Recording]:
    """Return n segments of the files' sound, evenly spaced."""
    sound = np.concatenate([samples.at_16_khz(path) for path in files])
    length = SEGMENT_S * SAMPLE_RATE_HZ
    starts = np.linspace(0, len(sound) - length, n + 2)[1:-1].astype(int)
    return [Recording(f"{start}", sound[start : start + length]) for start in starts]


def by_source(folder: Path) -> Iterator[tuple[str, str, list[Path]]]:
    """Yield source, languages and files, as the manifest has them."""
    files: dict[tuple[str, str], list[Path]] = defaultdict(list)
    with (folder / "manifest.tsv").open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file, delimiter="\t"):
            files[line["source"], line["languages"]].append(folder / line["file"])
    for (source, languages), paths in sorted(files.items()):
        yield source, languages, paths


def table(folder: Path, codec: Hzc, n_segments: int, loaded: Loaded) -> str:
    """Return a Markdown table, one line per source."""
    body = []
    for source, languages, paths in by_source(folder):
        rows = pipeline.run([codec], segments(paths, n_segments), loaded)
        figures = [
            report.cell(summary.figure(rows, codec.name, m.name), m.digits) for m in loaded.metrics
        ]
        rate = report.cell(summary.rate(rows, codec.name), 2)
        body.append([source, languages, rate, *figures])
    head = ["source", "languages", "kbit/s", *(m.title for m in loaded.metrics)]
    return report.table(head, body)
