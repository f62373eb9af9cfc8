"""Writing a file wholly or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path next to `path`, which takes its place when the block ends well.

    Unlike those of `hzc.files.atomic_write` it keeps the suffix, by which numpy and `open_model`
    know what a file is.
    """
    partial = path.with_stem(f"{path.stem}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
