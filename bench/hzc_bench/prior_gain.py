"""What the context prior saves against static tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hzc import container
from hzc.codec import Codec
from hzc.container import CHUNK_FRAMES
from hzc_bench.samples import Recording
from hzc_bench.systems import Hzc

UNSEEN_COUNT = 0.1
"""What a histogram holds for every symbol before the first is counted."""
Symbols = npt.NDArray[np.int32]


def static_bits(symbols: Symbols, fitted_on: Symbols | None = None) -> float:
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


def context_bits(codec: Codec, data: bytes, symbols: Symbols) -> float:
    """Return the ideal code length of a file's symbols under the context prior."""
    step_index = container.read_header(data)[0].step_index
    chunks = [symbols[:, k : k + CHUNK_FRAMES] for k in range(0, symbols.shape[1], CHUNK_FRAMES)]
    ideal = codec.model.prior.ideal_bits
    return sum(ideal(np.ascontiguousarray(chunk), step_index) for chunk in chunks)


def lines(system: Hzc, originals: Sequence[Recording], others: Sequence[Recording]) -> list[str]:
    """Return bits per frame under the context prior, and under static tables.

    The first static tables are the histograms of the measured symbols themselves, so that none
    could do better; the second, where there are others, those of other recordings, which a codec
    could really ship.
    """
    codec = system.codec
    files = [system.encode(original.samples) for original in originals]
    pieces = [codec.symbols(data)[0] for data in files]
    symbols = np.concatenate(pieces, axis=1)
    n_frames = symbols.shape[1]
    pairs = zip(files, pieces, strict=True)
    context = sum(context_bits(codec, *pair) for pair in pairs) / n_frames
    payload = 8.0 * sum(map(system.payload_bytes, files)) / n_frames
    static = {"of these recordings": static_bits(symbols) / n_frames}
    if others:
        seen = [codec.symbols(system.encode(other.samples))[0] for other in others]
        static["of the others"] = static_bits(symbols, np.concatenate(seen, axis=1)) / n_frames
    return [
        f"{n_frames} frames, model {codec.model.name}: context {context:.1f}, "
        f"payload {payload:.1f} bits/frame",
        *(
            f"static tables {whose}: {bits:.1f} bits/frame, "
            f"context {100.0 * (context / bits - 1.0):+.1f} %"
            for whose, bits in static.items()
        ),
    ]
