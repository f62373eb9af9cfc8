"""A chunk of a latent to its symbols and payloads, at any setting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice

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
        """Return one chunk, coded; see `chunks`."""
        (chunk,) = self.chunks([y], setting, [gain_half_db], verify=verify)
        return chunk

    def chunks(
        self,
        ys: Sequence[FloatArray],
        setting: Setting,
        gains_half_db: Sequence[int],
        *,
        verify: bool = False,
    ) -> list[Chunk]:
        """Return chunks, coded; the prior sees them together.

        Args:
            ys: Latents, float32 [channel, D, F] each.
            setting: How they become symbols.
            gains_half_db: What the samples of each were raised by.
            verify: Decode every payload again and compare.

        Raises:
            LatentError: a latent is not finite.
            DesyncError: verification failed.
        """
        index, prior = setting.step_index, self.model.prior
        symbols = [self.symbols(y, setting) for y in ys]
        coded = prior.encode_all([channel for part in symbols for channel in part], index)
        if verify:
            lengths = [part.shape[-1] for part in symbols for _ in part]
            again = prior.decode(coded, lengths, index)
            if not all(map(np.array_equal, again, chain(*symbols))):
                raise DesyncError("verification failed: other symbols came back than were coded")
        payloads = iter(coded)
        return [
            Chunk(part.shape[-1], tuple(islice(payloads, len(part))), gain)
            for part, gain in zip(symbols, gains_half_db, strict=True)
        ]
