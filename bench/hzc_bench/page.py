"""One HTML page to listen to: sound, spectrograms and figures inside, nothing fetched.

The page's frame is page.html; its data goes in as JSON. Sound is 16-bit WAV, as it was measured: at
16 kHz, the codec's delay taken out. (FLAC would be half as large, but without a seek table, which
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

from hzc_bench import peers, plots, summary
from hzc_bench.align import RATE_HZ
from hzc_bench.metrics import Metric, evenly_spaced
from hzc_bench.peers import Codec
from hzc_bench.run import Coded, Recording, Row

PLACE = "@DATA@"


class Page:
    """Collects the sound of some recordings, codec by codec, and writes the page."""

    def __init__(self, originals: Sequence[Recording], n_clips: int) -> None:
        """Choose n_clips recordings, evenly spaced over all: nobody picked them by ear."""
        self._chosen = [originals[k] for k in evenly_spaced(len(originals), n_clips)]
        self._codecs: list[Codec] = []
        self._versions: dict[tuple[str, str], dict[str, Any]] = {}

    def add(self, codec: Codec, coded: Sequence[Coded]) -> None:
        """Take one codec's sound of the chosen recordings."""
        self._codecs.append(codec)
        names = {original.name for original in self._chosen}
        for one in coded:
            if one.row.file not in names:
                continue
            self._versions[one.row.file, codec.name] = {
                "codec": codec.name,
                "title": codec.title,
                "kbps": one.row.kbps,
                "sound": uri("audio/wav", peers.to_file(one.samples, RATE_HZ, ".wav")),
                "picture": uri("image/png", plots.spectrogram(one.samples)),
                "figures": one.row.figures,
            }

    def write(self, path: Path, rows: Sequence[Row], metrics: Sequence[Metric]) -> None:
        """Write the page; rows are those of all recordings, for the table of means."""
        path.write_text(self.text(rows, metrics), encoding="utf-8")

    def text(self, rows: Sequence[Row], metrics: Sequence[Metric]) -> str:
        """Return the page."""
        # The original comes first: it is what one listens to first.
        codecs = sorted(self._codecs, key=lambda codec: codec.name != "original")
        data = {
            "metrics": [
                {"name": m.name, "title": m.title, "better": m.better, "digits": m.digits}
                for m in metrics
            ],
            "codecs": [self._means(codec, rows, metrics) for codec in codecs],
            "clips": [
                {
                    "name": original.name,
                    "seconds": original.duration_s,
                    "versions": [self._version(original, codec, metrics) for codec in codecs],
                }
                for original in self._chosen
            ],
        }
        frame = (resources.files("hzc_bench") / "page.html").read_text(encoding="utf-8")
        # "</script>" in a file name must not end the script.
        return frame.replace(PLACE, json.dumps(data, allow_nan=False).replace("<", "\\u003c"))

    def _means(
        self, codec: Codec, rows: Sequence[Row], metrics: Sequence[Metric]
    ) -> dict[str, Any]:
        figures = {m.name: summary.figure(rows, codec.name, m.name).mean for m in metrics}
        return {
            "codec": codec.name,
            "title": codec.title,
            "kbps": summary.rate(rows, codec.name).mean,
            "figures": shown(codec, figures, metrics),
        }

    def _version(
        self, original: Recording, codec: Codec, metrics: Sequence[Metric]
    ) -> dict[str, Any]:
        version = self._versions[original.name, codec.name]
        return {**version, "figures": shown(codec, version["figures"], metrics)}


def shown(
    codec: Codec, figures: dict[str, float], metrics: Sequence[Metric]
) -> dict[str, float | None]:
    """Return figures as JSON can hold them; the original has those only that need no original."""
    return {
        m.name: figures[m.name] if math.isfinite(figures[m.name]) else None
        for m in metrics
        if m.name in figures and (codec.name != "original" or not m.is_referenced)
    }


def uri(kind: str, data: bytes) -> str:
    """Return bytes as a data: URI."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
