"""Runs a transform over a signal of any length in overlapping windows, with bounded memory.

A transform with finite reach gives the same result on a window as on the whole signal, except
within its reach of the window's cut edges. Those edges are computed and thrown away; at the true
ends of the signal the windows end too, so that padding is the same as for the whole.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from hzc.blocks import FloatArray
from hzc.model.backend import Networks

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor


@dataclass(frozen=True)
class WindowPlan:
    """How a transform is cut up; lengths in latent frames."""

    core_frames: int
    """Frames of output kept from every window but the last."""
    context_frames: int
    """Frames computed on either side and thrown away: at least the transform's reach."""
    n_in: int
    """Input columns per frame."""
    n_out: int
    """Output columns per frame."""
    ahead_frames: int | None = None
    """Frames computed after the core; None for `context_frames`. Fewer wait for less."""
    in_background: bool = False
    """Whether another thread computes a window while the caller goes on to fill the next one; its
    output then comes a window later."""


class Windowed:
    """A transform of a signal that arrives in blocks, float32 [channel, …, column]."""

    def __init__(self, transform: Callable[[FloatArray], FloatArray], plan: WindowPlan) -> None:
        """Start a signal.

        Args:
            transform: Maps frames * n_in columns to frames * n_out, for any whole number of frames.
            plan: Sizes of core and context.
        """
        self._transform, self._plan = transform, plan
        # With one thread, as in each worker of -j, there is none to spare.
        self._in_background = plan.in_background and os.environ.get("OMP_NUM_THREADS") != "1"
        self._held: FloatArray | None = None
        self._n_left = 0  # frames of context at the start of what is held
        self._begun: deque[Callable[[], FloatArray]] = deque()
        """Give the output of the windows that is not yet returned."""

    def push(self, block: FloatArray) -> FloatArray | None:
        """Take a block of any length; return the output that is done, None where there is none."""
        held, plan = self._held, self._plan
        held = block if held is None else np.concatenate([held, block], axis=-1)
        done: list[FloatArray] = []
        while held.shape[-1] >= (n_window := self._n_window_frames()) * plan.n_in:
            end = self._n_left + plan.core_frames
            kept = slice(self._n_left * plan.n_out, end * plan.n_out)
            self._begin(held[..., : n_window * plan.n_in], kept, in_background=self._in_background)
            done += self._outputs(n_most=int(self._in_background))
            n_dropped = max(0, end - plan.context_frames)
            held = held[..., n_dropped * plan.n_in :]
            self._n_left = end - n_dropped
        self._held = held
        return np.concatenate(done, axis=-1) if done else None

    def drop_last(self, n_columns: int) -> None:
        """Forget the last columns, at most a frame of them, before `finish`."""
        if self._held is not None:
            self._held = self._held[..., : self._held.shape[-1] - n_columns]

    def finish(self) -> FloatArray | None:
        """Return the rest of the output; all blocks together must be a whole number of frames."""
        held, plan = self._held, self._plan
        if held is not None and held.shape[-1] > self._n_left * plan.n_in:
            self._begin(held, slice(self._n_left * plan.n_out, None), in_background=False)
        done = list(self._outputs(n_most=0))
        return np.concatenate(done, axis=-1) if done else None

    def _begin(self, window: FloatArray, kept: slice, *, in_background: bool) -> None:
        def output() -> FloatArray:
            return self._transform(window)[..., kept]

        self._begun.append(self._pool.submit(output).result if in_background else output)

    def _outputs(self, n_most: int) -> Iterator[FloatArray]:
        """Yield the output of windows, in order, until n_most are left."""
        while len(self._begun) > n_most:
            yield self._begun.popleft()()

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        from concurrent.futures import ThreadPoolExecutor  # short recordings do without

        return ThreadPoolExecutor(max_workers=1)

    def _n_window_frames(self) -> int:
        """Return the frames that the next window needs."""
        ahead_frames = self._plan.ahead_frames
        if ahead_frames is None:
            ahead_frames = self._plan.context_frames
        return self._n_left + self._plan.core_frames + ahead_frames


class LatentWindows:
    """The analysis of a signal at the model's rate, in windows."""

    def __init__(
        self, networks: Networks, core_frames: int, n_channels: int, *, in_background: bool = False
    ) -> None:
        config = networks.config
        plan = WindowPlan(
            core_frames, config.analysis_context_frames, n_in=config.hop_length, n_out=1,
            in_background=in_background,
        )  # fmt: skip
        self._windowed, self._hop = Windowed(networks.latent, plan), config.hop_length
        self._empty = np.zeros((n_channels, config.n_latent, 0), dtype=np.float32)
        self._n_samples = 0

    def push(self, x: FloatArray) -> FloatArray:
        """Take samples, float32 [channel, sample]; return the frames that are done."""
        self._n_samples += x.shape[1]
        y = self._windowed.push(x)
        return self._empty if y is None else y

    def finish(self, n_frames: int) -> FloatArray:
        """Return the rest, so that there are n_frames in all."""
        missing = n_frames * self._hop - self._n_samples
        first = self._empty
        if missing >= 0:
            first = self.push(np.zeros((len(self._empty), missing), dtype=np.float32))
        else:  # the resampler gave a sample or two more
            self._windowed.drop_last(-missing)
        rest = self._windowed.finish()
        return first if rest is None else np.concatenate([first, rest], axis=-1)
