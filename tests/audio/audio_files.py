"""Recordings for the tests, and how to read them: by name, from memory, through a pipe."""

from __future__ import annotations

import io
import struct
import tempfile
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from hzc.audio import sources
from hzc.audio.sources import Source
from hzc.errors import InputError


class Trickle(io.RawIOBase):
    """A pipe that gives less than it is asked for, and that nobody may read to its end at once."""

    def __init__(self, data: bytes, most: int = 9_000) -> None:
        self.rest, self.most, self.n_reads = io.BytesIO(data), most, 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        assert size > 0, "a pipe that never ends would be read to its end"
        self.n_reads += 1
        return self.rest.read(min(size, 1 + 977 * self.n_reads % self.most))


@dataclass(frozen=True)
class Outcome:
    """What came of a recording."""

    samples: np.ndarray | None
    sample_rate_hz: int | None
    warnings: list[str]
    error: InputError | None

    @property
    def message(self) -> str:
        assert self.error is not None
        return self.error.message


def joined(source: Source) -> np.ndarray:
    """Read all blocks."""
    blocks = [np.zeros((source.n_channels, 0), np.float32)]
    for block in source.blocks():
        assert block.dtype == np.float32
        assert block.flags.c_contiguous
        blocks.append(block)
    return np.concatenate(blocks, axis=1)


def outcome(file: Any, *, keep: bool = True, **options: Any) -> Outcome:
    """Read a recording to its end; keep its samples, or only the last block."""
    try:
        source = sources.open_source(file, **options)
        samples = joined(source) if keep else deque(source.blocks(), maxlen=1)[0]
    except InputError as error:
        return Outcome(None, None, [], error)
    return Outcome(samples, source.sample_rate_hz, source.warnings, None)


def both(data: bytes, **options: Any) -> Outcome:
    """Read by name (twice), from memory and through a pipe: the same samples, or the same error."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recording"
        path.write_bytes(data)
        found = [outcome(path, **options), outcome(path, **options), outcome(data, **options)]
        found.append(outcome(Trickle(data), **options))
        if found[0].error is not None:
            assert found[0].error.path == path
            assert "\n" not in found[0].error.message
    first = found[0]
    for other in found[1:]:
        assert other.sample_rate_hz == first.sample_rate_hz
        assert other.warnings == first.warnings
        if first.error is None:
            assert other.error is None
            assert np.array_equal(other.samples, first.samples, equal_nan=True)
        else:
            assert type(other.error) is type(first.error)
            assert other.error.message == first.error.message
            assert other.error.hint == first.error.hint
    assert found[-1].error is None or found[-1].error.path is None
    return first


def speechlike(n_samples: int, n_channels: int = 1, seed: int = 0) -> np.ndarray:
    """Return noise that goes up and down, float64 [sample, channel], below full scale."""
    rng = np.random.default_rng(seed)
    envelope = 0.4 + 0.3 * np.sin(np.arange(n_samples) / 900.0)
    return envelope[:, None] * rng.uniform(-1, 1, (n_samples, n_channels))


def encoded(samples: np.ndarray, rate_hz: int = 16_000, **options: Any) -> bytes:
    """Return what soundfile writes, a WAV by default."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, **({"format": "WAV"} | options))
    return buffer.getvalue()


def fmt(code: int = 1, n_channels: int = 1, rate_hz: int = 16_000, align: int = 2, bits: int = 16):
    """Return the contents of a fmt chunk."""
    return struct.pack("<HHIIHH", code, n_channels, rate_hz, 0, align, bits)


def chunk(name: bytes, content: bytes, n_bytes: int | None = None, padding: bytes = b"\0") -> bytes:
    size = len(content) if n_bytes is None else n_bytes
    return struct.pack("<4sI", name, size) + content + padding * (len(content) % 2)


def wav(*chunks: bytes, magic: bytes = b"RIFF", n_bytes: int | None = None) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return struct.pack("<4sI", magic, len(body) if n_bytes is None else n_bytes) + body


PCM = np.random.default_rng(5).integers(-(2**15), 2**15, 4_000).astype("<i2")
FMT, DATA = chunk(b"fmt ", fmt()), chunk(b"data", PCM.tobytes())
SAMPLES = (PCM / np.float32(2**15))[None]
"""A quarter of a second at 16 kHz: as chunks of a WAV, and as samples."""
