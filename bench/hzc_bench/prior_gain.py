"""Measure what the context prior saves against static tables, on a folder of recordings.

usage: hzc-prior-gain [--model NAME] [--fit-on OTHER] DIR

Prints bits per frame: under static tables, one per dimension; under the context prior; and in coded
payload bytes. The static tables are the histograms of the measured symbols themselves, so that none
could do better. With --fit-on a second kind is added, which a codec could really ship: histograms
of the recordings in OTHER, fixed before DIR is looked at.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

import hzc
from hzc import container
from hzc.audio import sources
from hzc.codec import Codec
from hzc.container import CHUNK_FRAMES

UNSEEN_COUNT = 0.1
"""What a histogram holds for every symbol before the first is counted."""
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


def encoded(codec: Codec, folder: Path) -> list[bytes]:
    """Return a folder's recordings as .hzc files."""
    paths = sorted(p for p in folder.iterdir() if p.suffix in (".flac", ".wav", ".opus"))
    if not paths:
        raise click.UsageError(f"no recordings in {folder}")
    return [codec.encoder.encode(sources.open_source(path)).data for path in paths]


def static_bits(symbols: np.ndarray, fitted_on: np.ndarray | None = None) -> float:
    """Return the code length of int32 [D, F] under a histogram per dimension.

    Args:
        symbols: What is coded.
        fitted_on: What the histograms count, int32 [D, frames]; None for `symbols` themselves.
    """
    bits = 0.0
    for dimension, row in enumerate(symbols):
        seen = row if fitted_on is None else fitted_on[dimension]
        lowest = min(row.min(), seen.min())
        n_values = max(row.max(), seen.max()) - lowest + 1
        counts = np.bincount(seen - lowest, minlength=n_values).astype(np.float64)
        counts += 0.0 if fitted_on is None else UNSEEN_COUNT
        bits -= float(np.log2(counts[row - lowest] / counts.sum()).sum())
    return bits


def context_bits(codec: Codec, files: list[bytes], all_symbols: list[np.ndarray]) -> float:
    """Return the ideal code length under the context prior."""
    bits = 0.0
    for data, symbols in zip(files, all_symbols, strict=True):
        step_index = container.read_header(data)[0].step_index
        for start in range(0, symbols.shape[1], CHUNK_FRAMES):
            chunk = np.ascontiguousarray(symbols[:, start : start + CHUNK_FRAMES])
            bits += codec.model.prior.ideal_bits(chunk, step_index)
    return bits


@click.command(context_settings={"help_option_names": ["-h", "--help"]}, help=__doc__)
@click.argument("folder", type=FOLDER)
@click.option("--model", help="Default: the default model.")
@click.option("--fit-on", type=FOLDER, metavar="OTHER", help="Recordings for fixed static tables.")
def main(folder: Path, model: str | None, fit_on: Path | None) -> None:
    """Measure every recording in a folder."""
    codec = hzc.load(model)
    files = encoded(codec, folder)
    pieces = [codec.symbols(data)[0] for data in files]
    symbols = np.concatenate(pieces, axis=1)
    n_frames = symbols.shape[1]
    context = context_bits(codec, files, pieces) / n_frames
    payload = sum(8.0 * container.unpack(data).payload_bytes for data in files) / n_frames
    click.echo(
        f"{n_frames} frames, model {codec.model.name}: context {context:.1f}, "
        f"payload {payload:.1f} bits/frame"
    )
    static = {"of these recordings": static_bits(symbols) / n_frames}
    if fit_on is not None:
        others = np.concatenate([codec.symbols(d)[0] for d in encoded(codec, fit_on)], axis=1)
        static[f"of {fit_on}"] = static_bits(symbols, others) / n_frames
    for whose, bits in static.items():
        gain = 100.0 * (context / bits - 1.0)
        click.echo(f"static tables {whose}: {bits:.1f} bits/frame, context {gain:+.1f} %")


if __name__ == "__main__":
    main()
