"""Progress bars; the only importer of tqdm in the command line."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hzc.corpus.shards import Report
    from hzc.jobs import Progress

SHORT_S = 60.0
"""Recordings shorter than this get no bar."""


@contextmanager
def seconds_bar(*, quiet: bool) -> Iterator[Progress]:
    """Give a function that takes the progress of one file after the other.

    A bar is shown on a terminal only, and for long recordings only.
    """
    bar: Any = None

    def progress(done_s: float, total_s: float | None) -> None:
        nonlocal bar
        total = round(total_s or 0.0)
        if bar is not None and bar.total != total:
            bar.close()  # of the file before
            bar = None
        if bar is None and not quiet and total >= SHORT_S:
            from tqdm import tqdm

            tqdm.monitor_interval = 0  # no thread that prints: `audio.sndfile` may silence stderr
            bar = tqdm(total=total, unit="s", disable=None, leave=False, unit_scale=True)
        if bar is not None:
            bar.update(done_s)

    try:
        yield progress
    finally:
        if bar is not None:
            bar.close()


@contextmanager
def clips_bar(n_clips: int | None, *, quiet: bool) -> Iterator[Callable[[Report], None]]:
    """Give a function that takes the reports of shards; the bar is shown on a terminal only."""
    from tqdm import tqdm

    started, seconds = time.monotonic(), 0.0
    with tqdm(total=n_clips, unit="clip", disable=True if quiet else None) as bar:

        def show(report: Report) -> None:
            nonlocal seconds
            seconds += report.seconds
            speed = seconds / max(1e-9, time.monotonic() - started)
            bar.set_postfix_str(f"{seconds / 3600.0:.2f} h, {speed:.0f} × real time", refresh=False)
            bar.update(report.n_input)

        yield show
