"""Measure hzc source by source on a corpus with a manifest.tsv: which voices and languages suffer.

usage: hzc-measure-sources [--model NAME] [--segments N] DIR

DIR/manifest.tsv has the columns file, source and languages. Of every source, N segments of 10 s are
taken, evenly spaced over its sound. Figures on recordings that the model was trained on are better
than on others: they compare sources, not codecs.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import click
import numpy as np

from hzc.audio import sources
from hzc_bench import align, peers, report, run, summary
from hzc_bench.cli import FOLDER, required
from hzc_bench.run import Recording

NAMES = ("pesq_wb", "stoi", "estoi", "logmel")
SEGMENT_S = 10


def segments(files: list[Path], n: int) -> list[Recording]:
    """Return n segments of the files' sound, evenly spaced."""
    sound = np.concatenate([peers.at_16_khz(sources.open_source(path)) for path in files])
    length = SEGMENT_S * align.RATE_HZ
    starts = np.linspace(0, len(sound) - length, n + 2)[1:-1].astype(int)
    return [Recording(f"{start}", sound[start : start + length]) for start in starts]


@click.command(context_settings={"help_option_names": ["-h", "--help"]}, help=__doc__)
@click.argument("folder", type=FOLDER)
@click.option("--model", help="Default: the default model.")
@click.option("--segments", "n_segments", type=click.IntRange(2), default=12, show_default=True)
def main(folder: Path, model: str | None, n_segments: int) -> None:
    """Print a table, one line per source."""
    codec, loaded = peers.Hzc(model), required(NAMES)
    files: dict[tuple[str, str], list[Path]] = defaultdict(list)
    with (folder / "manifest.tsv").open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file, delimiter="\t"):
            files[line["source"], line["languages"]].append(folder / line["file"])
    body = []
    for (source, languages), paths in sorted(files.items()):
        originals = segments(paths, n_segments)
        coded = run.through(codec, originals, delay_ms=0)
        rows = list(run.measured(coded, originals, loaded))
        figures = [
            report.cell(summary.figure(rows, codec.name, m.name), m.digits) for m in loaded.metrics
        ]
        rate = report.cell(summary.rate(rows, codec.name), 2)
        body.append([source, languages, rate, *figures])
    head = ["source", "languages", "kbit/s", *(m.title for m in loaded.metrics)]
    click.echo(report.table(head, body), nl=False)


if __name__ == "__main__":
    main()
