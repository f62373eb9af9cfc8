"""Draws original and decoded spectrograms, one above the other, into one picture.

    python demo/spectrograms.py PICTURE ORIGINAL...

The decoded recording of demo/samples/NAME.flac is demo/NAME.wav.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import soundfile

FLOOR_DB = -90.0


def main(picture: str, originals: list[str]) -> None:
    """Draw every original above its decoded twin, in columns of one recording each."""
    figure, axes = plt.subplots(
        2, len(originals), figsize=(5.0 * len(originals), 7.0), squeeze=False, sharey=True
    )
    for column, name in enumerate(originals):
        path = Path(name)
        decoded = path.parent.parent / f"{path.stem}.wav"
        for row, file in enumerate((path, decoded)):
            samples, rate_hz = soundfile.read(file)
            draw(axes[row, column], samples, rate_hz)
            axes[row, column].set_title(f"{'original' if row == 0 else 'decoded'}: {file.name}")
        kilobits = 8e-3 * decoded.with_suffix(".hzc").stat().st_size / (len(samples) / rate_hz)
        axes[1, column].set_xlabel(f"seconds ({kilobits:.2f} kbit/s)")
    axes[0, 0].set_ylabel("kHz")
    axes[1, 0].set_ylabel("kHz")
    figure.tight_layout()
    figure.savefig(picture, dpi=80)


def draw(axis: plt.Axes, samples: np.ndarray, rate_hz: int) -> None:
    """Draw one spectrogram in dB below full scale."""
    size, hop = 512, 128
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop] * np.hanning(size)
    magnitude = np.abs(np.fft.rfft(frames)) * 4.0 / size
    level_db = 20.0 * np.log10(magnitude + 1e-7)
    extent = (0.0, len(samples) / rate_hz, 0.0, rate_hz / 2000.0)
    axis.imshow(
        level_db.T, origin="lower", aspect="auto", extent=extent, vmin=FLOOR_DB, vmax=-20.0,
        cmap="magma",
    )  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
