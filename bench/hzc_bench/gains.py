"""What the search of the encoder gains: the same recordings at the same step, searched or not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hzc_bench import summary
from hzc_bench.metrics import Metric
from hzc_bench.pipeline import Row
from hzc_bench.summary import Estimate
from hzc_bench.systems import Hzc, System

NAMES = ("pesq_wb", "stoi", "estoi", "distillmos", "speaker", "wer")
PER_CLIP = "distillmos"
"""The metric whose worst clip is shown: search may follow the others away from it."""


def lines(
    rows: Sequence[Row], systems: Sequence[System], metrics: Sequence[Metric]
) -> list[list[str]]:
    """Return a table's head, then bytes and changes of metrics for every searched system."""
    shown = [metric for metric in metrics if metric.name in NAMES]
    head = ["hzc with", "step index", "file bytes", *(metric.title for metric in shown)]
    per_clip = [metric for metric in shown if metric.name == PER_CLIP]
    head += [f"{metric.title}, worst clip" for metric in per_clip]
    found = [head]
    for searched, base in pairs(systems):
        before, after = (summary.of_system(rows, s.name) for s in (base, searched))
        ratio = sum(r.file_bytes for r in after) / sum(r.file_bytes for r in before)
        step = "default" if base.step_index is None else f"{base.step_index:+d}"
        cells = [signed(difference(before, after, metric), metric.digits) for metric in shown]
        for metric in per_clip:
            changes = summary.column(after, metric.name) - summary.column(before, metric.name)
            cells.append(f"{np.nanmin(changes):+.2f}")
        line = [f"effort {searched.effort}", step, f"× {ratio:.3f}", *cells]
        found.append([cell.replace("-", "−") for cell in line])
    return found


def pairs(systems: Sequence[System]) -> list[tuple[Hzc, Hzc]]:
    """Return every searched system with the one that does not search at its step."""
    mine = [system for system in systems if isinstance(system, Hzc)]
    unsearched = {system.step_index: system for system in mine if not system.effort}
    searched = [system for system in mine if system.effort and system.step_index in unsearched]
    return [(system, unsearched[system.step_index]) for system in searched]


def difference(before: Sequence[Row], after: Sequence[Row], metric: Metric) -> Estimate:
    """Return the mean change of a metric, recording by recording."""
    changes = summary.column(after, metric.name) - summary.column(before, metric.name)
    return summary.estimate(changes, summary.weights(before, metric.name))


def signed(change: Estimate, digits: int) -> str:
    """Return a change ± half its interval."""
    digits = max(digits, 2)
    return f"{change.mean:+.{digits}f} ± {change.half_width:.{digits}f}"
