"""The rate of a pipe: a step index from its first minute, then rounding.

    first minute, held ── step index of the whole pipe
    chunk, bytes spent so far ── level of rounding

The header has one step index, so all that is left to steer by is the rounding of symbols. It takes
off a few per cent of the bytes and adds none: where the sound costs much less than in the first
minute, the mean falls.
"""

from __future__ import annotations

from functools import cache

from hzc.blocks import FloatArray
from hzc.chunk_coder import ChunkCoder
from hzc.coding.rounding import N_LEVELS
from hzc.container import CHUNK_FRAMES, FRAME_RATE_HZ, MAX_STEP_INDEX
from hzc.errors import RateError
from hzc.options import Target
from hzc.rate_control import Setting, first

HELD_S = 60.0
"""What is held of a pipe before anything is written; one that ends before is coded like a file."""
STEERED_FROM_S = 30.0
"""Chunks that start later are rounded by what was spent before."""
MARGIN = 0.015
"""Share that the mean aims above the rate: sound that follows may be cheaper."""
INDEX_MARGIN = 0.05
"""Share that the step index gives above the rate; rounding takes off the rest."""
PAUSE_SHARE = 0.75
"""A chunk that costs less than this share of the dearest says little about what follows."""
MAX_FINER = 8
"""Step indexes that a pipe may be finer than speech at its rate: it may have begun with silence."""
DEFAULT_KBPS = 1.0
"""About what a channel of speech costs at a model's default step index."""
RECORD_BYTES = 6
"""Of a streamed record, besides its payload: frames, gain, length and checksum."""
MAX_LEVEL = N_LEVELS * 2 // 3
"""Of rounding: more costs more quality than coarser steps would."""
RECOVERY_CHUNKS = 3
"""Over how many chunks a pipe makes up for what it has spent too much."""


def steered(y: FloatArray, target: Target, coder: ChunkCoder) -> Steering:
    """Return what chooses the settings of a pipe, from the latent of its first minute.

    Args:
        y: float32 [channel, D, F], the minute or more.
        target: What is asked for; of a pipe that goes on, only the rate can be held.
        coder: Codes its chunks.

    Raises:
        RateError: a size is asked for, or the minute needs more than the rate at every setting.
    """
    if target.kbps is None or target.max_bytes is not None:
        raise RateError(
            f"a pipe of more than {HELD_S:g} s cannot be held to a size",
            hint="write it to a file first",
        )
    n_channels, n_latent, _ = y.shape
    starts = range(0, round(HELD_S * FRAME_RATE_HZ) - CHUNK_FRAMES + 1, CHUNK_FRAMES)
    chunks = [y[..., start : start + CHUNK_FRAMES] for start in starts]
    chunk_bytes = 125.0 * target.kbps * CHUNK_FRAMES / FRAME_RATE_HZ

    @cache
    def excess(setting: Setting) -> float:
        """Return by what share the chunks that are no pauses cost more than the rate."""
        sizes = [_record_bytes(coder, chunk, setting) for chunk in chunks]
        counted = [n_bytes for n_bytes in sizes if n_bytes >= PAUSE_SHARE * max(sizes)]
        return sum(counted) / len(counted) / chunk_bytes - 1.0

    # An index changes what a symbol costs by an eighth of a bit.
    per_index_kbps = n_channels * n_latent * FRAME_RATE_HZ / 8 / 1000
    more_kbps = target.kbps - n_channels * DEFAULT_KBPS
    speech_index = coder.model.default_step_index - round(more_kbps / per_index_kbps)
    finest = min(max(speech_index - MAX_FINER, -MAX_STEP_INDEX), MAX_STEP_INDEX)
    index = first(lambda n: excess(Setting(n)) <= INDEX_MARGIN, finest, MAX_STEP_INDEX)
    if index > MAX_STEP_INDEX:
        raise RateError(f"cannot be coded at {target.kbps:g} kbps: the first minute needs more")
    level = first(lambda n: excess(Setting(index, n)) <= MARGIN, 0, MAX_LEVEL - 1)
    return Steering(coder, target.kbps, Setting(index, level))


class Steering:
    """Holds the running mean of a pipe near its rate."""

    def __init__(self, coder: ChunkCoder, kbps: float, setting: Setting) -> None:
        """Start with the setting of the first minute."""
        self._coder, self._setting = coder, setting
        self._bytes_per_s: float = 125.0 * kbps * (1.0 + MARGIN)
        self._n_bytes = self._n_frames = 0

    @property
    def step_index(self) -> int:
        """Of the whole pipe."""
        return self._setting.step_index

    def setting(self, y: FloatArray) -> Setting:
        """Return the setting of the next chunk, float32 [channel, D, F]."""
        before_s = self._n_frames / FRAME_RATE_HZ
        if before_s < STEERED_FROM_S:
            return self._setting
        saved = self._bytes_per_s * before_s - self._n_bytes
        budget: float = self._bytes_per_s * y.shape[-1] / FRAME_RATE_HZ + saved / RECOVERY_CHUNKS

        def fits(level: int) -> bool:
            return _record_bytes(self._coder, y, Setting(self.step_index, level)) <= budget

        return Setting(self.step_index, first(fits, 0, MAX_LEVEL - 1))

    def spend(self, n_bytes: int, n_frames: int) -> None:
        """Count what a chunk has cost."""
        self._n_bytes, self._n_frames = self._n_bytes + n_bytes, self._n_frames + n_frames


def _record_bytes(coder: ChunkCoder, y: FloatArray, setting: Setting) -> int:
    """Return the payload bytes of a chunk, and those of its records besides."""
    payloads = coder.chunk(y, setting, 0).payloads
    return sum(len(payload) + RECORD_BYTES for payload in payloads)
