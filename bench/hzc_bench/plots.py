"""Quality against measured rate, and spectrograms."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from hzc.blocks import FloatArray
from hzc_bench import spectra, summary
from hzc_bench.metrics import Metric
from hzc_bench.peers import Codec
from hzc_bench.run import Row

FAMILIES = {"hzc": "#c0392b", "opus": "#2c6fbb", "codec2": "#3a8f4d", "speex": "#b7791f",
            "lyra": "#7d4fb0"}  # fmt: skip
NAMES = {"hzc": "hzc", "opus": "Opus", "codec2": "Codec 2", "speex": "Speex", "lyra": "Lyra v2"}
MARKERS = {"hzc": "*", "opus": "o", "codec2": "s", "speex": "^", "lyra": "D"}
N_COLUMNS = 3
LOWEST_DB, HIGHEST_DB = -90.0, -15.0


def quality(
    path: Path, rows: Sequence[Row], codecs: Sequence[Codec], metrics: Sequence[Metric]
) -> None:
    """Write a PNG with one panel for each metric: its mean against kbit/s of file bytes."""
    n_rows = -(-len(metrics) // N_COLUMNS)
    with mpl.rc_context({"font.size": 9}):
        figure, axes = plt.subplots(
            n_rows, N_COLUMNS, figsize=(4.0 * N_COLUMNS, 2.9 * n_rows), squeeze=False
        )
        for axis, metric in zip(axes.flat, metrics, strict=False):
            panel(axis, rows, codecs, metric)
        for axis in list(axes.flat)[len(metrics) :]:
            axis.set_visible(False)
        present = {codec.name.split("-")[0] for codec in codecs}
        handles = [
            Line2D([], [], color=colour, marker=MARKERS[family], ls="none", label=NAMES[family])
            for family, colour in FAMILIES.items()
            if family in present
        ]
        figure.tight_layout(rect=(0.0, 0.04, 1.0, 1.0))
        figure.legend(handles=handles, loc="lower left", ncols=len(handles), frameon=False,
                      title="mean and 95 % interval against kbit/s of file bytes",
                      alignment="left")  # fmt: skip
        figure.savefig(path, dpi=80)
        plt.close(figure)


def panel(axis: Axes, rows: Sequence[Row], codecs: Sequence[Codec], metric: Metric) -> None:
    """Draw one metric of every codec, whiskers for 95 % intervals."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for codec in codecs:
        y = summary.figure(rows, codec.name, metric.name)
        if not np.isfinite(y.mean):
            continue
        if codec.name == "original":
            if not metric.is_referenced:
                axis.axhline(y.mean, color="#777", lw=0.8, ls="--")
                axis.annotate("original", (0.99, y.mean), xycoords=("axes fraction", "data"),
                              ha="right", va="bottom", color="#777", fontsize=8)  # fmt: skip
            continue
        x = summary.rate(rows, codec.name).mean
        family = codec.name.split("-")[0]
        colour, marker = FAMILIES.get(family, "#444"), MARKERS.get(family, "x")
        size = 13 if family == "hzc" else 6
        axis.errorbar(x, y.mean, [[y.mean - y.low], [y.high - y.mean]], color=colour,
                      marker=marker, ms=size, capsize=2, lw=1.0, ls="none")  # fmt: skip
        label = codec.name.split("-")[-1]
        axis.annotate(label, (x, y.mean), xytext=(6, 4),
                      textcoords="offset points", fontsize=7, color=colour)  # fmt: skip
        if family != "speex":  # whose bands are two codecs
            lines.setdefault(family, []).append((x, y.mean))
    for family, points in lines.items():
        xs, ys = zip(*sorted(points), strict=True)
        axis.plot(xs, ys, color=FAMILIES.get(family, "#444"), lw=0.7, alpha=0.5)
    arrow = {"higher": " (higher is better)", "lower": " (lower is better)", "zero": ""}
    axis.set_title(metric.title + arrow[metric.better], fontsize=9)
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.margins(0.14)
    axis.grid(alpha=0.25)


def spectrogram(samples: FloatArray) -> bytes:
    """Return a PNG of a spectrogram, 0 … 8 kHz upwards, dB below full scale."""
    level_db = 20.0 * np.log10(spectra.magnitudes(samples, 512, 128) + 1e-7)[:, :256]
    width = 360
    edges = np.linspace(0, len(level_db), width + 1).astype(int)
    columns = np.array([level_db[a : max(b, a + 1)].mean(axis=0) for a, b in pairwise(edges)])
    rows = columns.reshape(width, 128, 2).mean(axis=2).T[::-1]
    file = io.BytesIO()
    plt.imsave(file, rows, format="png", cmap="magma", vmin=LOWEST_DB, vmax=HIGHEST_DB)
    return file.getvalue()
