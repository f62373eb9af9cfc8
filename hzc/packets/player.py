"""From symbols to samples as packets come, with frames made up where some are lost.

    symbols ── y_hat ── g_s, a few frames at a time ── gain ── samples
        └── the prior's guess of what comes next, faded to silence within a second

A window of the network ends a few frames after the last frame that is kept of it. The next window
knows more about that time and says something a little else: the two are faded into each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import numpy.typing as npt

from hzc.audio.level import linear_gain
from hzc.blocks import FloatArray, empty
from hzc.coding import quantize
from hzc.coding.entropy import IntArray
from hzc.model.backend import Networks, Transform
from hzc.model.config import ModelConfig
from hzc.model.file import Model
from hzc.packets.concealment import predicted
from hzc.packets.packet import Packet

AHEAD_FRAMES = 4
"""Frames that the synthesis looks ahead. Its reach is 18; `hzc-bench packets` shows what fewer
than these cost, and that more bring nothing."""
SEAM_S = 0.01
"""Fade from window to window, and out of silence."""
HELD_FRAMES = 8
"""A lost stretch is silent after a second."""


class Player:
    """Frames go in, in the order of their time; samples at the model's rate come out."""

    def __init__(self, model: Model, networks: Networks) -> None:
        """Start a stream."""
        self._model, self._networks, self._hop = model, networks, model.config.hop_length
        self._run: Run | None = None
        self._packet = Packet(0)
        self._y = np.zeros((model.config.n_latent, 0), np.float32)
        """Latest frames, played or made up, [D, K]: the prior goes on from them."""
        self._n_made_up = 0
        self._n_silent = 0
        """Samples of silence that are held back: the end may cut them off."""
        self._is_first = True

    def play(self, packet: Packet, symbols: IntArray) -> Iterator[FloatArray]:
        """Take the frames of a packet, int32 [D, n]; yield samples, float32 [1, sample]."""
        factors = np.ones((symbols.shape[1], 2), np.float32)
        if self._n_made_up:
            factors[:1, 0] = _amplitudes(self._n_made_up)
        self._packet, self._n_made_up = packet, 0
        step = quantize.steps(self._model.base_step, packet.step_index)
        yield from self._pushed(quantize.to_latent(symbols, step), factors)

    def lose(self, n_frames: int) -> Iterator[FloatArray]:
        """Make up frames that are lost; none are held for more than a second."""
        n_held = 0 if self._run is None else min(n_frames, HELD_FRAMES - self._n_made_up)
        if n_held:
            at = self._n_made_up + np.arange(n_held)
            factors = np.stack([_amplitudes(at), _amplitudes(at + 1)], axis=1)
            self._n_made_up += n_held
            step = quantize.steps(self._model.base_step, self._packet.step_index)
            past = quantize.to_symbols(self._y, step)
            guess = predicted(self._model.prior, past, self._packet.step_index, n_held)
            yield from self._pushed(guess * step[:, None], factors)
        if n_frames > n_held:
            yield from self.pause()
            n_samples = (n_frames - n_held) * self._hop + self._n_silent
            self._n_silent = self._hop
            yield np.zeros((1, n_samples - self._n_silent), np.float32)

    def pause(self) -> Iterator[FloatArray]:
        """Go over to silence."""
        if self._run is not None:
            yield self._run.finish()
            self._run, self._n_made_up = None, 0

    def end(self, trim: int) -> Iterator[FloatArray]:
        """Yield the rest but for the last `trim` samples."""
        rest = np.zeros((1, self._n_silent), np.float32)
        if self._run is not None:
            rest, self._run = self._run.finish(), None
        self._n_silent = 0
        yield rest[:, : rest.shape[1] - min(trim, rest.shape[1])]

    def _pushed(self, y: FloatArray, factors: FloatArray) -> Iterator[FloatArray]:
        """Synthesise frames, [D, n], with factors beside the gain, [n, 2]."""
        if self._run is None:
            yield np.zeros((1, self._n_silent), np.float32)
            self._n_silent = 0
            self._run = Run(self._model.config, fades_in=not self._is_first)
            self._is_first = False
        n_past = self._model.prior.context_frames
        self._y = np.concatenate([self._y, y], axis=1)[:, max(0, y.shape[1] - n_past) :]
        factors = factors / linear_gain(self._packet.gain_half_db)
        transform = partial(self._networks.waveform, step_index=self._packet.step_index)
        yield self._run.push(y[None], factors, transform)


class Run:
    """The synthesis network over frames in a row."""

    def __init__(self, config: ModelConfig, *, fades_in: bool) -> None:
        """Start a row, out of silence if it fades in."""
        self._hop, self._context_frames = config.hop_length, config.synthesis_context_frames
        n_seam = round(SEAM_S * config.sample_rate_hz)
        self._ramp = (np.arange(n_seam, dtype=np.float32) + np.float32(0.5)) / np.float32(n_seam)
        self._before = np.zeros((1, n_seam if fades_in else 0), np.float32)
        self._y = np.zeros((1, config.n_latent, 0), np.float32)
        self._factors = np.zeros((0, 2), np.float32)
        self._n_left = 0  # frames at the start of what is held that are done
        self._transform: Transform | None = None

    def push(self, y: FloatArray, factors: FloatArray, transform: Transform) -> FloatArray:
        """Take frames; return the samples that are done, float32 [1, sample].

        Args:
            y: Latent, float32 [1, D, n].
            factors: Of the samples at start and end of every frame, float32 [n, 2].
            transform: From latent to samples.
        """
        self._transform = transform
        self._y = np.concatenate([self._y, y], axis=-1)
        self._factors = np.concatenate([self._factors, factors])
        return self._done(len(self._factors) - AHEAD_FRAMES)

    def finish(self) -> FloatArray:
        """Return the rest."""
        return self._done(len(self._factors))

    def _done(self, n_frames: int) -> FloatArray:
        """Return the next frames, float32 [1, sample]."""
        if n_frames <= 0 or self._transform is None:
            return empty(1)
        window = self._transform(self._y)[:, self._n_left * self._hop :]
        x, after = np.split(window, [n_frames * self._hop], axis=1)
        ramp = self._ramp[: self._before.shape[1]]
        x[:, : len(ramp)] = x[:, : len(ramp)] * ramp + self._before * (1 - ramp)
        self._before = after[:, : len(self._ramp)]
        at = (np.arange(self._hop, dtype=np.float32) + np.float32(0.5)) / np.float32(self._hop)
        first, last = np.split(self._factors[:n_frames], 2, axis=1)
        self._factors = self._factors[n_frames:]
        n_dropped = max(0, self._n_left + n_frames - self._context_frames)
        self._y = self._y[..., n_dropped:]
        self._n_left += n_frames - n_dropped
        levelled: FloatArray = x * (first + (last - first) * at).reshape(1, -1)
        return levelled


def _amplitudes(n_made_up: npt.ArrayLike) -> FloatArray:
    """Return the amplitude after so many made-up frames in a row."""
    left = 1.0 - np.asarray(n_made_up, np.float64) / HELD_FRAMES
    return np.maximum(left, 0.0).astype(np.float32)
