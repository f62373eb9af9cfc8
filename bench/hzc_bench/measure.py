"""Measure rate and quality of hzc on a folder of recordings, at 16 kHz: a quick hzc-bench.

usage: hzc-measure [--csv FILE] [--step-index N] [--model NAME] DIR

Every recording is encoded to bytes and decoded from them. Rate is 8 × file bytes / seconds, header
included. PESQ-WB, STOI and ESTOI compare with the original (PyPI packages pesq and pystoi); log-mel
distance is the mean absolute difference of log10 mel spectra (1024-sample Hann window, hop 256, 80
bands, floor −80 dB under full scale); level is the difference of RMS levels; delay is the lag of
the best match of the two energy envelopes. The last line holds means, the rate being that of all
bytes over all seconds, with 95 % intervals of the mean by bootstrap over recordings.

`hzc-bench` knows more metrics, and measures other codecs.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click
import numpy as np

from hzc_bench import align, peers, run, summary
from hzc_bench.cli import FILE, FOLDER, required

NAMES = ("pesq_wb", "stoi", "estoi", "logmel", "level_db")


@click.command(context_settings={"help_option_names": ["-h", "--help"]}, help=__doc__)
@click.argument("folder", type=FOLDER)
@click.option("--csv", "csv_path", type=FILE, help="Figures per recording.")
@click.option("--step-index", type=int, help="Default: the model's.")
@click.option("--model", help="Default: the default model.")
def main(folder: Path, csv_path: Path | None, step_index: int | None, model: str | None) -> None:
    """Measure every recording in a folder."""
    hzc, loaded = peers.Hzc(model, step_index), required(NAMES)
    originals = run.recordings(folder)
    if not originals:
        raise click.UsageError(f"no recordings in {folder}")
    rows = []
    for original in originals:
        coded = run.through(hzc, [original], delay_ms=0)
        (row,) = run.measured(coded, [original], loaded)
        row = replace(row, delay_ms=align.lag_ms(original.samples, coded[0].samples))
        rows.append(row)
        figures = {"kbps": row.kbps, **row.figures, "delay_ms": row.delay_ms}
        text = "  ".join(f"{name} {value:.3f}" for name, value in figures.items())
        click.echo(f"{row.file:<28}  {text}")
    if csv_path:
        run.write_csv(csv_path, rows)
    means = {"kbps": summary.rate(rows, hzc.name)}
    means |= {name: summary.figure(rows, hzc.name, name) for name in NAMES}
    means["delay_ms"] = summary.estimate(np.array([float(row.delay_ms) for row in rows]))
    text = "  ".join(f"{n} {e.mean:.3f} ± {e.half_width:.3f}" for n, e in means.items())
    click.echo(f"{len(rows)} recordings, model {hzc.codec.model.name}:  {text}")


if __name__ == "__main__":
    main()
