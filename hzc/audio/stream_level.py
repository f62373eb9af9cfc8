"""The level of a stream: each chunk gets the gain that it needs, once all of it has been heard."""

from __future__ import annotations

import numpy as np

from hzc.audio import level
from hzc.audio.level import HighPass, Meter
from hzc.audio.sources import Resampler
from hzc.blocks import FloatArray, empty
from hzc.container import CHUNK_FRAMES, FRAME_RATE_HZ

CHUNK_S = CHUNK_FRAMES // FRAME_RATE_HZ
MAX_GAIN_HALF_DB = 40
"""Of a stream: a chunk may be nothing but the noise between sentences."""
TOLERANCE_HALF_DB = 24
"""A stream keeps its gain until it is wrong by more than this; every change may be heard."""
PAUSE_DB = 20.0
FADE_S = 0.1
"""Rumble is faded out over this time where the filter is first needed."""


class StreamLevel:
    """Blocks at the source's rate go in; blocks at the model's rate and level come out.

    The samples of a chunk are held until the chunk is complete and its gain is known.
    """

    def __init__(self, sample_rate_hz: int, n_channels: int, model_rate_hz: int) -> None:
        """Start a stream."""
        self.n_samples = 0
        """Samples per channel so far, at the source's rate."""
        self.gains_half_db: list[int] = []
        """Gain of every chunk that is complete."""
        self._rate_hz, self._n_channels = sample_rate_hz, n_channels
        self._n_chunk_in, self._n_chunk_out = CHUNK_S * sample_rate_hz, CHUNK_S * model_rate_hz
        self._n_fade, self._model_rate_hz = round(FADE_S * model_rate_hz), model_rate_hz
        self._resampler = Resampler(n_channels, sample_rate_hz, model_rate_hz)
        self._high_pass: HighPass | None = None
        self._meter = Meter(sample_rate_hz, n_channels)
        self._held = empty(n_channels)
        self._n_out = 0

    def push(self, block: FloatArray) -> FloatArray:
        """Take a block, float32 [channel, sample]; return the samples that are done."""
        done = []
        while block.shape[1]:
            n_left = self._n_chunk_in - self.n_samples % self._n_chunk_in
            part, block = block[:, :n_left], block[:, n_left:]
            self._meter.push(part)
            self.n_samples += part.shape[1]
            self._hold(self._resampler.push(part))
            if self.n_samples % self._n_chunk_in == 0:
                self._choose_gain()
            done.append(self._levelled())
        return np.concatenate([empty(self._n_channels), *done], axis=1)

    def finish(self) -> FloatArray:
        """Return the rest."""
        if self.n_samples % self._n_chunk_in:
            self._choose_gain()
        self._hold(self._resampler.finish())
        if self._high_pass:
            self._held = np.concatenate([self._held, self._high_pass.finish()], axis=1)
        rest = self._levelled()
        # The resampler may give a sample or two beyond the last chunk.
        return np.concatenate(
            [rest, self._held * level.linear_gain(self.gains_half_db[-1])], axis=1
        )

    def _hold(self, samples: FloatArray) -> None:
        if self._high_pass:
            samples = self._high_pass.push(samples)
        self._held = np.concatenate([self._held, samples], axis=1)

    def _choose_gain(self) -> None:
        """Choose the gain of the chunk that is now complete, and filter rumble from it on."""
        found, self._meter = self._meter.finish(), Meter(self._rate_hz, self._n_channels)
        is_long = found.n_samples >= self._rate_hz  # less says nothing about rumble
        if self._high_pass is None and is_long and level.needs_high_pass(found):
            self._start_high_pass()
        if self._high_pass:  # what it takes out is no part of the level
            meter = Meter(self._model_rate_hz, self._n_channels)
            meter.push(self._held)
            found = meter.finish()
        wanted = min(level.gain_for(found.level_db), MAX_GAIN_HALF_DB)
        gain = self.gains_half_db[-1] if self.gains_half_db else wanted
        is_too_loud = wanted < gain - TOLERANCE_HALF_DB
        is_too_quiet = wanted > gain + TOLERANCE_HALF_DB and self._starts_with_pause(wanted)
        if (is_too_loud or is_too_quiet) and found.level_db > level.SILENCE_DB:
            gain = wanted
        self.gains_half_db.append(gain)

    def _starts_with_pause(self, gain_half_db: int) -> bool:
        """Whether the chunk starts 20 dB under the level that it will have.

        Else the network smears what is louder now over the border, and it is heard as a click.
        """
        start = self._held[:, : self._n_fade]
        start_db = 10.0 * np.log10(float(np.mean(np.square(start))) + 1e-20)
        return bool(start_db + gain_half_db / 2.0 < level.TARGET_LEVEL_DB - PAUSE_DB)

    def _start_high_pass(self) -> None:
        """Filter what is held, which begins with the chunk; fade over unless the stream begins."""
        self._high_pass = HighPass(self._model_rate_hz, self._n_channels)
        before, self._held = self._held, self._high_pass.push(self._held)
        n_fade = min(self._n_fade, self._held.shape[1])
        if self._n_out:
            share = np.linspace(0.0, 1.0, n_fade, dtype=np.float32)
            self._held[:, :n_fade] *= share
            self._held[:, :n_fade] += before[:, :n_fade] * (1 - share)

    def _levelled(self) -> FloatArray:
        """Return what is held of the chunks whose gain is known, with their gains."""
        done = [empty(self._n_channels)]
        while (chunk := self._n_out // self._n_chunk_out) < len(self.gains_half_db):
            n_left = (chunk + 1) * self._n_chunk_out - self._n_out
            part, self._held = self._held[:, :n_left], self._held[:, n_left:]
            if not part.shape[1]:
                break
            done.append(part * level.linear_gain(self.gains_half_db[chunk]))
            self._n_out += part.shape[1]
        return np.concatenate(done, axis=1)
