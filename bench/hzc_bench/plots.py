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

from hzc_bench import spectra, summary
from hzc_bench.metrics import Metric
from hzc_bench.pipeline import Row
from hzc_bench.samples import FloatArray
from hzc_bench.systems import System

STYLES = {
    "hzc": ("#c0392b", "o", "hzc"), "hzc-effort": ("#e67e22", "o", "hzc, with search"),
    "Opus": ("#2c6fbb", "o", ""), "Codec 2": ("#3a8f4d", "s", ""), "Lyra v2": ("#7d4fb0", "D", ""),
    "Speex narrowband": ("#8a6d3b", "v", ""), "Speex wideband": ("#b7791f", "^", ""),
}  # fmt: skip
"""Family to colour, marker, and a title where its own name is none."""
OTHER = ("#444444", "x", "")
N_COLUMNS = 3
LOWEST_DB, HIGHEST_DB = -90.0, -15.0
ARROWS = {"higher": " (higher is better)", "lower": " (lower is better)", "zero": "", "": ""}


def quality(
    path: Path, rows: Sequence[Row], systems: Sequence[System], metrics: Sequence[Metric]
) -> None:
    """Write a PNG with one panel for each metric: its mean against kbit/s of file bytes.

    What shares a family is joined by a line, in the order of rates.
    """
    n_rows = -(-len(metrics) // N_COLUMNS)
    size = (4.2 * N_COLUMNS, 3.0 * n_rows + 0.9)
    with mpl.rc_context({"font.size": 9}):
        figure, axes = plt.subplots(n_rows, N_COLUMNS, figsize=size, squeeze=False)
        for axis, metric in zip(axes.flat, metrics, strict=False):
            panel(axis, rows, systems, metric)
        for axis in list(axes.flat)[len(metrics) :]:
            axis.set_visible(False)
        figure.tight_layout(rect=(0.0, 0.9 / size[1], 1.0, 1.0))
        handles = []
        for family in dict.fromkeys(system.family for system in systems):
            if family != "original":
                colour, marker, title = STYLES.get(family, OTHER)
                handles.append(Line2D([], [], color=colour, marker=marker, label=title or family))
        figure.legend(handles=handles, loc="lower left", ncols=len(handles), frameon=False,
                      title="mean and 95 % interval against kbit/s of file bytes; a star is hzc's "
                      "default", alignment="left")  # fmt: skip
        figure.savefig(path, dpi=80)
        plt.close(figure)


def panel(axis: Axes, rows: Sequence[Row], systems: Sequence[System], metric: Metric) -> None:
    """Draw one metric of every system, whiskers for 95 % intervals."""
    families: dict[str, list[tuple[float, summary.Estimate, bool]]] = {}
    for system in systems:
        y = summary.figure(rows, system.name, metric.name)
        if system.name == "original" and not metric.is_referenced:
            axis.axhline(y.mean, color="#777", lw=0.8, ls="--")
            axis.annotate("original", (0.99, y.mean), xycoords=("axes fraction", "data"),
                          ha="right", va="bottom", color="#777", fontsize=8)  # fmt: skip
        elif system.name != "original" and np.isfinite(y.mean):
            point = (summary.rate(rows, system.name).mean, y, system.name == "hzc")
            families.setdefault(system.family, []).append(point)
    for family, points in families.items():
        colour, marker, _ = STYLES.get(family, OTHER)
        points.sort(key=lambda point: point[0])
        xs, ys = [x for x, _, _ in points], [y.mean for _, y, _ in points]
        reach = [[y.mean - y.low for _, y, _ in points], [y.high - y.mean for _, y, _ in points]]
        is_curve = family.startswith("hzc")
        axis.errorbar(xs, ys, reach, color=colour, marker=marker, ms=4 if is_curve else 6, lw=1.0,
                      elinewidth=0.8, capsize=2, zorder=3 if is_curve else 2)  # fmt: skip
        stars = [(x, y.mean) for x, y, is_default in points if is_default]
        axis.plot(*zip(*stars, strict=True), "*", ms=13, color=colour, zorder=4) if stars else None
    axis.set_title(metric.title + ARROWS[metric.better], fontsize=9)
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.margins(0.08)
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
