"""Length and level of a recording, in one pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hzc.audio.sources import Source, checked
from hzc.errors import UnsupportedAudioError

LEVEL_FRAME_S = 0.02
RARE_ABOVE_COMMON_DB = 12.0
SILENCE_DB = -70.0
"""A recording whose loud parts are below this is left as it is."""


@dataclass(frozen=True)
class Survey:
    """What one pass over a source finds."""

    n_samples: int
    level_db: float
    """Level of the loud frames, dB below full scale; see `loud_level_db`."""


def survey(source: Source) -> Survey:
    """Count the samples and measure the level, in one pass.

    Raises:
        UnsupportedAudioError: there are no samples, or one is NaN or infinite.
    """
    frame = max(1, round(LEVEL_FRAME_S * source.sample_rate_hz))
    powers: list[npt.NDArray[np.float64]] = []
    rest = np.zeros(0)
    n_samples = 0
    for block in checked(source.blocks(), source.sample_rate_hz):
        n_samples += block.shape[1]
        # The square of a float32 far beyond full scale is no float32.
        power = np.concatenate([rest, np.square(block, dtype=np.float64).mean(axis=0)])
        whole = len(power) // frame * frame
        powers.append(power[:whole].reshape(-1, frame).mean(axis=1))
        rest = power[whole:]
    if n_samples == 0:
        raise UnsupportedAudioError("the recording has no samples")
    if len(rest):
        powers.append(rest.mean(keepdims=True))
    return Survey(n_samples, loud_level_db(np.concatenate(powers)))


def loud_level_db(frame_powers: npt.NDArray[np.float64]) -> float:
    """Return the level of speech among other things: float64 [frame], mean squares of 20 ms.

    It is the 95th percentile where there is speech enough. Where it is rare, a minute of noise
    around a sentence, the loudest frames tell: they are about 12 dB above it. A click is rarer.
    """
    common, rare = (10.0 * np.log10(np.percentile(frame_powers, q) + 1e-20) for q in (95, 99.9))
    return float(max(common, rare - RARE_ABOVE_COMMON_DB))
