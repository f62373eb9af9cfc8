"""Decoded sound that other projects published, next to hzc on the same originals.

A folder holds SET/original/CLIP.flac and SET/SYSTEM-KBITS/CLIP.flac, where KBITS is the rate that
the project states, or "unstated". Not every system has every clip: systems are compared on the
clips that they share.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from hzc_bench import samples
from hzc_bench.samples import Recording
from hzc_bench.systems import Decoded, System

ORIGINAL = "original"


@dataclass
class Published(System):
    """A folder of decoded clips."""

    folder: Path
    kbps: float
    """As stated; NaN where nothing is."""
    is_stated: ClassVar[bool] = True

    @classmethod
    def of(cls, folder: Path) -> Published:
        """Return what a folder named SYSTEM-KBITS holds."""
        system, _, rate = folder.name.rpartition("-")
        kbps = float("nan") if rate == "unstated" else float(rate)
        return cls(folder.name, system, system, folder, kbps)

    @property
    def clips(self) -> frozenset[str]:
        """Names of its files."""
        return frozenset(path.name for path in self.folder.iterdir())

    @property
    def description(self) -> str:
        """Where the sound is from."""
        return f"published decodes of {self.folder.parent.name}"

    def coded(self, original: Recording) -> Decoded:
        """Return the clip of the original's name; its size follows from the stated rate."""
        size = self.kbps * original.duration_s * 1000 / 8
        return Decoded(samples.at_16_khz(self.folder / original.name), size, float("nan"))


def comparisons(folder: Path) -> Iterator[tuple[str, list[Recording], list[Published]]]:
    """Yield a set's name, originals, and the systems that have a decode of each of them."""
    for path in sorted(p for p in folder.iterdir() if p.is_dir()):
        originals = samples.recordings(path / ORIGINAL)
        systems = [Published.of(p) for p in sorted(path.iterdir()) if p.name != ORIGINAL]
        for clips in sorted({system.clips for system in systems}, key=len, reverse=True):
            chosen = [original for original in originals if original.name in clips]
            names = {original.name for original in chosen}
            if chosen:
                yield path.name, chosen, [s for s in systems if names <= s.clips]
