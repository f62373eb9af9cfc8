"""The door of the search: what latents go through between the analysis and the coder.

Torch is loaded once there is something to search.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from hzc.blocks import Blocks, FloatArray
from hzc.container import FRAME_RATE_HZ
from hzc.model.file import Model

if TYPE_CHECKING:
    from hzc.search.descent import Listener


class Stage(Protocol):
    """Takes the latent of a recording as the analysis makes it, and returns it to be coded."""

    def push(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Take what follows; return the frames that are done, float32 [channel, D, F].

        Args:
            x: Samples at the model's rate, float32 [channel, sample].
            y: Latent, float32 [channel, D, F]; it may be ahead of the samples, or behind.
        """

    def finish(self, y: FloatArray) -> FloatArray:
        """Take the last of the latent; return the rest."""


class Unsearched:
    """The stage of effort 0: latents pass."""

    def push(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """See `Stage`."""
        return y

    def finish(self, y: FloatArray) -> FloatArray:
        """See `Stage`."""
        return y


class Searcher:
    """Searches for one model on one device; its networks are loaded when they are first needed."""

    def __init__(self, model: Model, device: str) -> None:
        """Use an opened weight file, on "cpu" or "cuda"."""
        self._model, self._device = model, device

    @cached_property
    def _listener(self) -> Listener:
        from hzc.search.descent import Listener

        return Listener(self._model, self._device)

    @contextmanager
    def stage(self, n_channels: int, step_index: int, effort: int) -> Iterator[Stage]:
        """Give the stage of a recording; whatever it still computes at the end is given up.

        Args:
            n_channels: Of its latent.
            step_index: What the latent is going to be quantised with, -64 … 64.
            effort: As `hzc.search.effort.checked_effort` returns it.
        """
        if effort == 0:
            yield Unsearched()
            return
        from hzc.search.search import Search

        search = Search(self._listener, n_channels, step_index, effort)
        try:
            yield search
        finally:
            search.stop()


def whole(
    stage: Stage, blocks: Blocks, y: FloatArray, progress: Callable[[float], None]
) -> FloatArray:
    """Return the latent of a whole recording, float32 [channel, D, F], from a stage.

    Args:
        stage: What it goes through.
        blocks: Samples, as `Stage.push` takes them.
        y: The latent of the analysis.
        progress: Called with the seconds of audio done since its last call.
    """
    done = [stage.push(np.zeros((len(y), 0), dtype=np.float32), y)]
    for block in blocks:
        done.append(stage.push(block, y[..., :0]))
        progress(done[-1].shape[2] / FRAME_RATE_HZ)
    done.append(stage.finish(y[..., :0]))
    progress(done[-1].shape[2] / FRAME_RATE_HZ)
    return np.concatenate(done, axis=2)
