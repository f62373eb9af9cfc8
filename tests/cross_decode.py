"""Symbols that one machine encoded, compared with what another machine decodes.

    python tests/cross_decode.py write RECORDINGS FOLDER    encode; keep the symbols' checksums
    python tests/cross_decode.py read FOLDER                decode every .hzc file; compare

The second exits with 1 where the symbols of a file differ.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import soundfile

import hzc

LEDGER = "symbols.json"


def checksum(symbols: np.ndarray) -> str:
    """Return the SHA-256 of int32 symbols, little-endian."""
    return hashlib.sha256(symbols.astype("<i4").tobytes()).hexdigest()


def write(recordings: Path, folder: Path) -> None:
    """Encode every recording, at three step indexes."""
    folder.mkdir(parents=True, exist_ok=True)
    codec, ledger = hzc.load(), {}
    for path in sorted(recordings.glob("*.flac")):
        samples, sample_rate_hz = soundfile.read(path, always_2d=True)
        for step_index in (-8, 0, 8):
            data = codec.encode(samples.T, sample_rate_hz, step_index=step_index)
            name = f"{path.stem}{step_index:+d}.hzc"
            (folder / name).write_bytes(data)
            ledger[name] = checksum(codec.symbols(data))
    (folder / LEDGER).write_text(json.dumps(ledger, indent=2) + "\n", encoding="utf-8")


def read(folder: Path) -> int:
    """Return how many files decode to other symbols than they were made from."""
    codec, n_files, n_wrong = hzc.load(), 0, 0
    for ledger in sorted(folder.rglob(LEDGER)):
        for name, expected in json.loads(ledger.read_text(encoding="utf-8")).items():
            found = checksum(codec.symbols((ledger.parent / name).read_bytes()))
            n_files += 1
            if found != expected:
                n_wrong += 1
                print(f"{ledger.parent / name}: other symbols than its encoder had")
    print(f"{n_files} files, {n_wrong} wrong")
    return n_wrong if n_files else 1


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["write", recordings, folder]:
            write(Path(recordings), Path(folder))
        case ["read", folder]:
            sys.exit(min(read(Path(folder)), 1))
        case _:
            sys.exit(__doc__)
