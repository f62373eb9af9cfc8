"""From the samples of a live source to packets.

    samples ── 16 kHz, level ── g_a ── y ── steps ── symbols ── prior ── packets

Latents are those of the whole signal: only the coding of symbols starts anew in each packet.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from numbers import Real

import numpy as np

from hzc.audio.stream_level import StreamLevel
from hzc.blocks import FloatArray, empty
from hzc.coding import quantize
from hzc.container import MAX_SAMPLE_RATE_HZ, MIN_SAMPLE_RATE_HZ
from hzc.errors import ArgumentError
from hzc.model.backend import Networks
from hzc.model.file import Model
from hzc.model.windows import Windowed, WindowPlan
from hzc.packets.packet import (
    MAX_BYTES,
    MAX_FRAMES,
    MAX_STEP_INDEX,
    MIN_BYTES,
    MIN_STEP_INDEX,
    OVERHEAD_BYTES,
    POSITIONS,
    Key,
    Packet,
    pack,
)

DEFAULT_BYTES = 240
DEFAULT_FRAMES = 16
LEVEL_FRAMES = 8
"""Frames that one gain is chosen for: it waits for all of them."""
CORE_FRAMES = 2
AHEAD_FRAMES = 1
"""Frames that the analysis looks ahead. Its reach is 17; `hzc-bench packets` shows that more bring
nothing."""
SILENCE = 1e-4
"""Peak of a silent frame, 54 dB under the level of speech: not heard next to it."""
PAUSE_FRAMES = 4
"""Silent frames in a row that make a pause, in which nothing is sent but marks."""
MARK_FRAMES = 32
"""Frames of a pause from one mark to the next."""
COARSER = 4
"""Step indexes by which a frame that fits no packet is made coarser at a time."""


class PacketEncoder:
    """Blocks of samples of one channel go in, packets come out."""

    def __init__(
        self,
        model: Model,
        networks: Networks,
        sample_rate_hz: int,
        *,
        max_bytes: int = DEFAULT_BYTES,
        max_frames: int = DEFAULT_FRAMES,
        step_index: int | None = None,
    ) -> None:
        """Start a stream.

        Args:
            model: An open weight file.
            networks: Its networks.
            sample_rate_hz: Of the blocks, 1000 … 768000.
            max_bytes: Of a packet, 32 … 1400.
            max_frames: Of a packet, 1 … 63, eight to a second.
            step_index: Coarseness, -64 … 63; None for the model's default.

        Raises:
            ArgumentError: a number is out of range.
        """
        step_index = model.default_step_index if step_index is None else step_index
        max_bytes = _whole("max_bytes", max_bytes, MIN_BYTES, MAX_BYTES)
        config = model.config
        self.n_frames = 0
        """Frames that have been sent, or were silent: eight to a second of sound."""
        self.n_unsent = 0
        """Frames that no packet could hold, however coarse."""
        self._model, self._key, self._hop = model, Key.of(model), config.hop_length
        self._max_payload_bytes = max_bytes - OVERHEAD_BYTES
        self._max_frames = _whole("max_frames", max_frames, 1, MAX_FRAMES)
        self._step_index = _whole("step index", step_index, MIN_STEP_INDEX, MAX_STEP_INDEX)
        low, high = MIN_SAMPLE_RATE_HZ, MAX_SAMPLE_RATE_HZ
        self._rate_hz = _whole("sample rate", sample_rate_hz, low, high)
        self._model_rate_hz = config.sample_rate_hz
        self._level = StreamLevel(self._rate_hz, 1, self._model_rate_hz, LEVEL_FRAMES)
        self._windowed = Windowed(
            networks.latent,
            WindowPlan(CORE_FRAMES, config.analysis_context_frames, self._hop, 1, AHEAD_FRAMES),
        )
        self._n_samples = self._n_analysed = 0
        self._unseen = empty(1)  # samples of the frame that is not complete
        self._silent: deque[bool] = deque()  # of the frames that are analysed next
        self._frames: list[FloatArray] = []  # of the packet in the making, [D] each
        self._payload, self._gain_half_db = b"", 0
        self._n_silent, self._is_pause = 0, False

    def push(self, block: FloatArray) -> Iterator[bytes]:
        """Take samples, float32 [1, sample]; yield the packets that are done."""
        yield from self._analysed(self._level.push(block))

    def finish(self) -> Iterator[bytes]:
        """Yield the other packets; the last one says where the sound ends."""
        n_samples = -(-self._level.n_samples * self._model_rate_hz // self._rate_hz)
        n_frames = -(-n_samples // self._hop)
        rest = self._level.finish()[:, : max(0, n_samples - self._n_samples)]
        n_missing = n_frames * self._hop - self._n_samples - rest.shape[1]
        yield from self._analysed(np.pad(rest, ((0, 0), (0, max(0, n_missing)))))
        if n_missing < 0:  # the resampler gave a sample or two more
            self._windowed.drop_last(-n_missing)
        if (y := self._windowed.finish()) is not None:
            yield from self._taken(y)
        yield from self._flushed()
        yield pack(Packet(self._position, trim=n_frames * self._hop - n_samples), self._key)

    @property
    def duration_s(self) -> float:
        """Seconds of sound so far."""
        return self._level.n_samples / self._rate_hz

    def _analysed(self, x: FloatArray) -> Iterator[bytes]:
        self._n_samples += x.shape[1]
        held = np.concatenate([self._unseen, x], axis=1)
        n_whole = held.shape[1] // self._hop
        whole, self._unseen = np.split(held, [n_whole * self._hop], axis=1)
        self._silent.extend(np.abs(whole.reshape(n_whole, self._hop)).max(axis=1) < SILENCE)
        if (y := self._windowed.push(x)) is not None:
            yield from self._taken(y)

    def _taken(self, y: FloatArray) -> Iterator[bytes]:
        """Put frames, float32 [1, D, n], into packets."""
        for frame in y[0].T:
            is_silent = self._silent.popleft() if self._silent else False
            gain_half_db = self._level.gains_half_db[self._n_analysed // LEVEL_FRAMES]
            self._n_analysed += 1
            self._n_silent = self._n_silent + 1 if is_silent else 0
            if self._n_silent < PAUSE_FRAMES:
                self._is_pause = False
                yield from self._added(frame, gain_half_db)
            else:
                yield from self._paused()

    def _paused(self) -> Iterator[bytes]:
        if not self._is_pause:
            yield from self._flushed()
            self._is_pause = True
        if (self._n_silent - PAUSE_FRAMES) % MARK_FRAMES == 0:
            yield pack(Packet(self._position), self._key)
        self.n_frames += 1

    def _added(self, frame: FloatArray, gain_half_db: int) -> Iterator[bytes]:
        if gain_half_db != self._gain_half_db:
            yield from self._flushed()
            self._gain_half_db = gain_half_db
        payload = self._coded([*self._frames, frame], self._step_index)
        if len(payload) > self._max_payload_bytes and self._frames:
            yield from self._flushed()
            payload = self._coded([frame], self._step_index)
        self._frames.append(frame)
        self._payload = payload
        if len(self._frames) == self._max_frames:
            yield from self._flushed()

    def _flushed(self) -> Iterator[bytes]:
        """Yield the packet in the making; a frame that is too large for any is made coarser."""
        n_frames, step_index, payload = len(self._frames), self._step_index, self._payload
        if n_frames == 0:
            return
        while len(payload) > self._max_payload_bytes and step_index < MAX_STEP_INDEX:
            step_index = min(step_index + COARSER, MAX_STEP_INDEX)
            payload = self._coded(self._frames, step_index)
        packet = Packet(self._position, n_frames, step_index, self._gain_half_db, payload)
        self.n_frames += n_frames
        self._frames = []
        if len(payload) <= self._max_payload_bytes:
            yield pack(packet, self._key)
        else:
            self.n_unsent += n_frames

    def _coded(self, frames: list[FloatArray], step_index: int) -> bytes:
        step = quantize.steps(self._model.base_step, step_index)
        symbols = quantize.to_symbols(np.stack(frames, axis=1), step)
        return self._model.prior.encode(symbols, step_index)

    @property
    def _position(self) -> int:
        return self.n_frames % POSITIONS


def _whole(what: str, value: float, low: int, high: int) -> int:
    if not (isinstance(value, Real) and value % 1 == 0 and low <= value <= high):
        raise ArgumentError(f"{what} {value!r} (a whole number of {low} to {high} expected)")
    return int(value)
