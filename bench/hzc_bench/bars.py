"""The bars that a model has to clear, on a folder of recordings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from hzc_bench import pipeline, report, summary, tones
from hzc_bench.metrics import BY_NAME, Loaded
from hzc_bench.pipeline import Row
from hzc_bench.samples import SAMPLE_RATE_HZ, Recording
from hzc_bench.systems import Hzc

SLOWEST, FASTEST = 40, -40
"""Step indexes that rates are looked for between."""
REACH = 8
"""Step indexes by which search may move the step of a rate."""
UNSEARCHED = {
    1.0: {"pesq_wb": 2.40, "stoi": 0.905, "estoi": 0.815, "distillmos": 3.9, "f0_cents": 40.0,
          "speaker": 0.92},
    2.0: {"pesq_wb": 2.75},
    0.6: {"pesq_wb": 2.10},
}  # fmt: skip
"""Highest kbit/s of file bytes to the bars at it."""
SEARCHED = {"pesq_wb": 2.60, "stoi": 0.918, "estoi": 0.835, "distillmos": 3.8}
MAX_FALL = 0.4
"""Of the DistillMOS of any clip by search."""
MAX_BLEEP_ERROR_DB = 6.0
MIN_DIGITS = 9
N_BLEEPS = 4
CLEARED = {True: "yes", False: "**no**", None: "–"}
NAMES = tuple(UNSEARCHED[1.0])


@dataclass(frozen=True)
class Bar:
    """One bar, and what was measured."""

    condition: str
    title: str
    limit: str
    """As it is written."""
    value: str
    is_cleared: bool | None
    """None where no bar is set."""


@dataclass
class Trial:
    """A model on a folder of recordings."""

    model: str | None
    originals: Sequence[Recording]
    loaded: Loaded
    effort: int | None = None
    kbps_at: dict[Hzc, float] = field(default_factory=dict)
    """Rates, as far as known."""

    def at(self, kbps: float) -> Hzc:
        """Return hzc, without search, at the finest step whose rate is not above kbps."""
        return self.finest(kbps, FASTEST, SLOWEST, None)

    def finest(self, kbps: float, low: int, high: int, effort: int | None) -> Hzc:
        """Return hzc at the lowest step index in low + 1 … high whose rate is not above kbps.

        The rate at `high` is taken to be low enough.
        """
        while high - low > 1:
            middle = (low + high) // 2
            is_fast = self.kbps(Hzc.at(self.model, middle, effort)) > kbps
            low, high = (middle, high) if is_fast else (low, middle)
        return Hzc.at(self.model, high, effort)

    def kbps(self, codec: Hzc) -> float:
        """Return the rate of all recordings, kbit/s of file bytes."""
        if codec not in self.kbps_at:
            n_bytes = sum(len(codec.encode(original.samples)) for original in self.originals)
            seconds = sum(original.duration_s for original in self.originals)
            self.kbps_at[codec] = 8e-3 * n_bytes / seconds
        return self.kbps_at[codec]

    def rows(self, codec: Hzc, names: Sequence[str]) -> list[Row]:
        """Return the rows of a codec with some of the metrics."""
        wanted = tuple(metric for metric in self.loaded.metrics if metric.name in names)
        return pipeline.run([codec], self.originals, replace(self.loaded, metrics=wanted))

    @cached_property
    def at_1_kbps(self) -> tuple[Hzc, list[Row]]:
        """Hzc at 1 kbit/s without search."""
        codec = self.at(1.0)
        return codec, self.rows(codec, [*NAMES, "n_words", "wer"])


def bars(trial: Trial) -> Iterator[Bar]:
    """Yield all bars; those of search only where an effort is asked for."""
    for kbps, limits in UNSEARCHED.items():
        if kbps == 1.0:
            codec, rows = trial.at_1_kbps
        else:
            codec = trial.at(kbps)
            rows = trial.rows(codec, list(limits))
        yield from of_rows(codec, rows, limits)
    if trial.effort is not None:
        yield from searched(trial)
    yield from of_tones(trial.at_1_kbps[0], trial.originals)


def of_rows(codec: Hzc, rows: Sequence[Row], limits: dict[str, float]) -> Iterator[Bar]:
    """Yield the bars of metrics, and WER where it was measured, which has no bar."""
    condition = f"{codec.title}: {summary.rate(rows, codec.name).mean:.3f} kbit/s"
    for name in [n for n in rows[0].figures if BY_NAME[n].better]:
        metric, value = BY_NAME[name], summary.figure(rows, codec.name, name)
        limit = limits.get(name, math.nan)
        sign = "≥" if metric.better == "higher" else "≤"
        said = f"{sign} {limit:.{metric.digits}f}" if name in limits else "–"
        is_cleared = metric.loss(value.mean) <= metric.loss(limit) if name in limits else None
        yield Bar(condition, metric.title, said, report.cell(value, metric.digits), is_cleared)


def searched(trial: Trial) -> Iterator[Bar]:
    """Yield the bars of the best effort, at the rate of the search's own bytes."""
    unsearched, rows = trial.at_1_kbps
    step_index = unsearched.step_index or 0
    codec = trial.finest(1.0, step_index - REACH, step_index + REACH, trial.effort)
    found = trial.rows(codec, list(SEARCHED))
    yield from of_rows(codec, found, SEARCHED)
    before, after = (summary.column(sorted(r, key=lambda row: row.file), "distillmos")
                     for r in (rows, found))  # fmt: skip
    fall = float(np.max(before - after))
    title = "DistillMOS, largest fall of a clip"
    yield Bar(codec.title, title, f"≤ {MAX_FALL}", f"{fall:.2f}", fall <= MAX_FALL)


def of_tones(codec: Hzc, originals: Sequence[Recording]) -> Iterator[Bar]:
    """Yield the bars of a bleep in speech, and of dialled digits."""
    long = [x.samples for x in originals if len(x.samples) > 3 * SAMPLE_RATE_HZ]
    given = [tones.bleeped(x) for x in long[:: max(1, len(long) // N_BLEEPS)][:N_BLEEPS]]
    errors = [tones.bleep_error_db(x, codec.decode(codec.encode(x))) for x in given]
    error_db = float(np.mean(errors))
    yield Bar(
        codec.title, "bleep of 1 kHz, level error, dB", f"within {MAX_BLEEP_ERROR_DB:g}",
        f"{error_db:+.1f}", abs(error_db) <= MAX_BLEEP_ERROR_DB,
    )  # fmt: skip
    found = tones.read(codec.decode(codec.encode(tones.dialled())))
    n = tones.n_read(tones.DIGITS, found)
    title = f"DTMF digits read of {len(tones.DIGITS)}"
    yield Bar(codec.title, title, f"≥ {MIN_DIGITS}", f"{n} ({found or 'none'})", n >= MIN_DIGITS)


def table(found: Sequence[Bar]) -> str:
    """Return a Markdown table."""
    body = [
        [bar.condition, bar.title, bar.limit, bar.value, CLEARED[bar.is_cleared]] for bar in found
    ]
    return report.table(["hzc at", "figure", "bar", "measured", "cleared"], body)
