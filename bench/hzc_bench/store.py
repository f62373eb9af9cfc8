"""Figures that have been computed before, in one SQLite file.

A key is made of everything that a figure depends on: the metric and its package's version, and the
samples of both sides. New weights give new samples, and so new keys.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from hzc_bench.samples import FloatArray

Value = float | str


class Store:
    """What is remembered between runs; several processes may share the file."""

    def __init__(self, path: Path | None = None) -> None:
        """Open or make the file; None remembers for as long as the process lives."""
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path or ":memory:", timeout=60.0, isolation_level=None)
        self._database.execute("create table if not exists figure (key text primary key, value)")

    def remembered(self, key: str, compute: Callable[[], Value]) -> Value:
        """Return what is stored under a key, computing it the first time."""
        row = self._database.execute("select value from figure where key = ?", (key,)).fetchone()
        if row:
            return json.loads(row[0])  # type: ignore[no-any-return]
        value = compute()
        self._database.execute(
            "insert or replace into figure values (?, ?)", (key, json.dumps(value))
        )
        return value


def digest(samples: FloatArray) -> str:
    """Return what stands for samples in a key."""
    return sha256(samples.tobytes()).hexdigest()[:32]
