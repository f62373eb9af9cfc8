"""Progress bars; the only importer of tqdm in the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

SHORT_S = 60.0
"""Recordings shorter than this get no bar."""


@contextmanager
def seconds_bar(total_s: float, label: str, *, quiet: bool) -> Iterator[Callable[[float], None]]:
    """Give a function that is told seconds of audio done; shown only on a terminal."""
    if quiet or total_s < SHORT_S:
        yield lambda seconds: None
        return
    from tqdm import tqdm

    with tqdm(
        total=round(total_s), desc=label, unit="s", disable=None, leave=False, unit_scale=True
    ) as bar:
        yield lambda seconds: bar.update(seconds) and None
