"""Progress bars; the only importer of tqdm in the command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

            bar = tqdm(total=total, unit="s", disable=None, leave=False, unit_scale=True)
        if bar is not None:
            bar.update(done_s)

    try:
        yield progress
    finally:
        if bar is not None:
            bar.close()
