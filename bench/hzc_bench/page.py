"""One HTML page to listen to: sound, spectrograms and figures inside, nothing fetched.

The page's frame is page.html; its data goes in as JSON. Sound is 16-bit WAV, as it was measured: at
16 kHz, the system's delay taken out. (FLAC would be half as large, but without a seek table, which
libsndfile does not write, Chromium fails to go to another place in it.)
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from hzc_bench import plots, samples, summary
from hzc_bench.metrics import Metric
from hzc_bench.pipeline import Coded, Row
from hzc_bench.samples import Recording
from hzc_bench.systems import System

PLACE = "@DATA@"


class Page:
    """Collects the sound of some recordings, system by system, and writes the page."""

    def __init__(self, originals: Sequence[Recording], n_clips: int) -> None:
        """Choose n_clips recordings, evenly spaced over all: nobody picked them by ear."""
        self._chosen = [originals[k] for k in evenly_spaced(len(originals), n_clips)]
        self._systems: list[System] = []
        self._versions: dict[tuple[str, str], dict[str, Any]] = {}

    def add(self, system: System, coded: Sequence[Coded]) -> None:
        """Take one system's sound of the chosen recordings."""
        self._systems.append(system)
        names = {original.name for original in self._chosen}
        for one in coded:
            if one.row.file not in names:
                continue
            self._versions[one.row.file, system.name] = {
                "codec": system.name,
                "title": system.title,
                "kbps": one.row.kbps,
                "sound": uri("audio/wav", samples.to_wav(one.samples)),
                "picture": uri("image/png", plots.spectrogram(one.samples)),
                "figures": one.row.figures,
            }

    def write(self, path: Path, rows: Sequence[Row], metrics: Sequence[Metric]) -> None:
        """Write the page; rows are those of all recordings, for the table of means."""
        path.write_text(self.text(rows, metrics), encoding="utf-8")

    def text(self, rows: Sequence[Row], metrics: Sequence[Metric]) -> str:
        """Return the page."""
        # The original comes first: it is what one listens to first.
        systems = sorted(self._systems, key=lambda system: system.name != "original")
        data = {
            "metrics": [
                {"name": m.name, "title": m.title, "better": m.better, "digits": m.digits}
                for m in metrics
            ],
            "codecs": [self._means(system, rows, metrics) for system in systems],
            "clips": [
                {
                    "name": original.name,
                    "seconds": original.duration_s,
                    "versions": [self._version(original, system, metrics) for system in systems],
                }
                for original in self._chosen
            ],
        }
        frame = (resources.files("hzc_bench") / "page.html").read_text(encoding="utf-8")
        # "</script>" in a file name must not end the script.
        return frame.replace(PLACE, json.dumps(data, allow_nan=False).replace("<", "\\u003c"))

    def _means(
        self, system: System, rows: Sequence[Row], metrics: Sequence[Metric]
    ) -> dict[str, Any]:
        figures = {m.name: summary.figure(rows, system.name, m.name).mean for m in metrics}
        return {
            "codec": system.name,
            "title": system.title,
            "kbps": summary.rate(rows, system.name).mean,
            "figures": shown(system, figures, metrics),
        }

    def _version(
        self, original: Recording, system: System, metrics: Sequence[Metric]
    ) -> dict[str, Any]:
        version = self._versions[original.name, system.name]
        return {**version, "figures": shown(system, version["figures"], metrics)}


def shown(
    system: System, figures: dict[str, float], metrics: Sequence[Metric]
) -> dict[str, float | None]:
    """Return figures as JSON can hold them; the original has those only that need no original."""
    return {
        m.name: figures[m.name] if math.isfinite(figures[m.name]) else None
        for m in metrics
        if m.name in figures and (system.name != "original" or not m.is_referenced)
    }


def evenly_spaced(n: int, n_wanted: int) -> list[int]:
    """Return n_wanted of the numbers 0 … n - 1, or all, the first and the last among them.

    >>> evenly_spaced(9, 3)
    [0, 4, 8]
    """
    n_wanted = min(n, n_wanted)
    return [round(k * (n - 1) / max(1, n_wanted - 1)) for k in range(n_wanted)]


def uri(kind: str, data: bytes) -> str:
    """Return bytes as a data: URI."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
