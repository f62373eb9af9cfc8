"""The search of a whole recording: chunk by chunk, several at once, in constant memory.

    … ─ context ─┬─ chunk ─┬─ context ─ …      one window: context is searched too, and thrown away

A window's result follows from its samples and latents alone, and each is computed by one thread.
So the file is the same however many threads there are, and whoever finishes first.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event

import numpy as np
import torch

from hzc.blocks import FloatArray
from hzc.container import CHUNK_FRAMES
from hzc.search.descent import Descent, Listener, Window
from hzc.search.effort import CONTEXT_FRAMES, EFFORTS, MAX_WORKERS


class Search:
    """The stage of the efforts above 0."""

    def __init__(self, listener: Listener, n_channels: int, step_index: int, effort: int) -> None:
        """Start with the first frame of a recording."""
        self._listener, self._step_index = listener, step_index
        self._effort = EFFORTS[effort]
        self._hop = listener.config.hop_length
        self._x = np.zeros((n_channels, 0), dtype=np.float32)
        self._y = np.zeros((n_channels, listener.config.n_latent, 0), dtype=np.float32)
        self._n_left = 0  # frames of context at the start of what is held
        self._stop = Event()
        self._n_workers = min(torch.get_num_threads(), MAX_WORKERS)
        self._pool = ThreadPoolExecutor(self._n_workers, initializer=_be_one_thread)
        self._pending: deque[list[Future[FloatArray]]] = deque()

    def stop(self) -> None:
        """End the threads within a step."""
        self._stop.set()
        self._pool.shutdown(cancel_futures=True)

    def push(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """See `Stage`; what comes back is on whole steps."""
        self._x = np.concatenate([self._x, x], axis=1)
        self._y = np.concatenate([self._y, y], axis=2)
        n_window = self._n_left + CHUNK_FRAMES + CONTEXT_FRAMES
        while self._y.shape[2] >= n_window and self._x.shape[1] >= n_window * self._hop:
            self._submit(n_window, CHUNK_FRAMES)
            n_window = self._n_left + CHUNK_FRAMES + CONTEXT_FRAMES
        return self._finished(self._n_workers)

    def finish(self, y: FloatArray) -> FloatArray:
        """See `Stage`; what the last frame lacks of samples is silence."""
        self._y = np.concatenate([self._y, y], axis=2)
        n_missing = self._y.shape[2] * self._hop - self._x.shape[1]
        self._x = np.pad(self._x, ((0, 0), (0, max(0, n_missing))))
        while (n_held := self._y.shape[2]) > self._n_left:
            n_core = min(CHUNK_FRAMES, n_held - self._n_left)
            self._submit(min(n_held, self._n_left + n_core + CONTEXT_FRAMES), n_core)
        return self._finished(0)

    def _submit(self, n_frames: int, n_core: int) -> None:
        """Let the window at the start of what is held be searched; forget what is behind it."""
        end = self._n_left + n_core
        parts = (self._n_left, n_core, n_frames - end)
        windows = [
            Window(y, x, tuple(n for n in parts if n), slice(self._n_left, end))
            for y, x in zip(
                self._y[..., :n_frames], self._x[:, : n_frames * self._hop], strict=True
            )
        ]
        self._pending.append([self._pool.submit(self._searched, window) for window in windows])
        n_dropped = max(0, end - CONTEXT_FRAMES)
        self._y = self._y[..., n_dropped:]
        self._x = self._x[:, n_dropped * self._hop :]
        self._n_left = end - n_dropped

    def _searched(self, window: Window) -> FloatArray:
        descent = Descent(self._listener, window, self._step_index, self._effort)
        return descent.run(self._stop)

    def _finished(self, n_waiting: int) -> FloatArray:
        """Return what is done, and wait until no more than some chunks are left."""
        done = [self._y[..., :0]]
        while self._pending and (
            len(self._pending) > n_waiting or all(part.done() for part in self._pending[0])
        ):
            done.append(np.stack([part.result() for part in self._pending.popleft()]))
        return np.concatenate(done, axis=2)


def _be_one_thread() -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
