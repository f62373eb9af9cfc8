"""A chunk of a latent to its symbols and payloads, at any setting."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import repeat

import numpy as np

from hzc.blocks import FloatArray
from hzc.coding import quantize
from hzc.coding.entropy import IntArray
from hzc.coding.rounding import Rounding
from hzc.container import Chunk
from hzc.errors import DesyncError
from hzc.model.file import Model
from hzc.rate_control import Setting


@dataclass(frozen=True)
class ChunkCoder:
    """Codes chunks with the steps and the prior of a model."""

    model: Model

    def symbols(self, y: FloatArray, setting: Setting) -> IntArray:
        """Return float32 [channel, D, F] as int32."""
        step = quantize.steps(self.model.base_step, setting.step_index)
        nearest = quantize.to_symbols(y, step)
        if setting.level == 0:
            return nearest
        prior, index = self.model.prior, setting.step_index
        pairs = zip(y / step[:, None], nearest, strict=True)
        return np.stack([Rounding(*pair, prior, index).symbols(setting.level) for pair in pairs])

    def chunk(
        self, y: FloatArray, setting: Setting, gain_half_db: int, *, verify: bool = False
    ) -> Chunk:
        """Return a chunk, coded.

        Args:
            y: Latent, float32 [channel, D, F].
            setting: How it becomes symbols.
            gain_half_db: What its samples were raised by.
            verify: Decode every payload again and compare.

        Raises:
            LatentError: the latent is not finite.
            DesyncError: verification failed.
        """
        symbols, prior = self.symbols(y, setting), self.model.prior
        payloads = tuple(map(prior.encode, symbols, repeat(setting.step_index)))
        if verify:
            lengths = [y.shape[-1]] * len(payloads)
            again = prior.decode(list(payloads), lengths, setting.step_index)
            if not np.array_equal(np.stack(again), symbols):
                raise DesyncError("verification failed: other symbols came back than were coded")
        return Chunk(y.shape[-1], payloads, gain_half_db)
