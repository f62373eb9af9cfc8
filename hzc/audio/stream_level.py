"""The level of a stream: each chunk gets the gain that it needs, once all of it has been heard."""

from __future__ import annotations

from array import array

import numpy as np

from hzc.audio import level
from hzc.audio.level import HighPass, Meter, Survey
from hzc.audio.sources import Resampler
from hzc.blocks import FloatArray, empty
from hzc.container import CHUNK_FRAMES, FRAME_RATE_HZ

MAX_GAIN_HALF_DB = 40
"""Of a stream: a chunk may be nothing but the noise between sentences."""
TOLERANCE_HALF_DB = 24
"""A stream keeps its gain until it is wrong by more than this; every change may be heard."""
PAUSE_DB = 20.0
FADE_S = 0.1
"""Rumble fades out over this time where the filter is first needed; gains fade as long."""
END_S = 1.0
"""Speech that starts in the last second of a chunk goes on in the next: it decides the gain."""


class StreamLevel:
    """Blocks at the source's rate go in; blocks at the model's rate and level come out.

    The samples of a chunk are held until the chunk is complete and its gain is known; the last
    ones until the gain of the next chunk is known.
    """

    def __init__(
        self,
        sample_rate_hz: int,
        n_channels: int,
        model_rate_hz: int,
        chunk_frames: int = CHUNK_FRAMES,
    ) -> None:
        """Start a stream; chunks have whole samples at both rates."""
        self.n_samples = 0
        """Samples per channel so far, at the source's rate."""
        self.gains_half_db = array("b")
        """Gain of every chunk that is complete."""
        self._rate_hz, self._n_channels = sample_rate_hz, n_channels
        self._n_chunk_in = chunk_frames * sample_rate_hz // FRAME_RATE_HZ
        self._n_chunk_out = chunk_frames * model_rate_hz // FRAME_RATE_HZ
        self._n_quiet, self._n_quiet_needed = 0, CHUNK_FRAMES // chunk_frames
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
        return self._levelled(is_end=True)

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
        chunk = self._held[:, self._n_before_chunk() :]
        if self._high_pass:  # what it takes out is no part of the level
            found = self._survey(chunk)
        wanted = min(self._gain_for(found.level_db), self._end_wants(chunk))
        gain = self.gains_half_db[-1] if self.gains_half_db else wanted
        is_too_loud = wanted < gain - TOLERANCE_HALF_DB
        self._n_quiet = self._n_quiet + 1 if wanted > gain + TOLERANCE_HALF_DB else 0
        is_long_quiet = self._n_quiet >= self._n_quiet_needed
        is_too_quiet = is_long_quiet and self._starts_with_pause(chunk, wanted)
        if (is_too_loud or is_too_quiet) and found.level_db > level.SILENCE_DB:
            gain = wanted
        self.gains_half_db.append(gain)

    def _survey(self, samples: FloatArray) -> Survey:
        meter = Meter(self._model_rate_hz, self._n_channels)
        meter.push(samples)
        return meter.finish()

    def _gain_for(self, level_db: float) -> int:
        return min(level.gain_for(level_db), MAX_GAIN_HALF_DB)

    def _end_wants(self, chunk: FloatArray) -> int:
        """Return the gain for speech that starts in the last second, else the greatest."""
        n_end = round(END_S * self._model_rate_hz)
        if chunk.shape[1] <= n_end:
            return MAX_GAIN_HALF_DB
        rest, end = (self._survey(part).level_db for part in (chunk[:, :-n_end], chunk[:, -n_end:]))
        has_onset = 2.0 * (end - rest) > TOLERANCE_HALF_DB
        return self._gain_for(end) if has_onset else MAX_GAIN_HALF_DB

    def _starts_with_pause(self, chunk: FloatArray, gain_half_db: int) -> bool:
        """Whether a chunk starts 20 dB under the level that it will have: no word is cut."""
        power = float(np.mean(np.square(chunk[:, : self._n_fade])))
        start_db = 10.0 * np.log10(power + 1e-20)
        return bool(start_db + gain_half_db / 2.0 < level.TARGET_LEVEL_DB - PAUSE_DB)

    def _n_before_chunk(self) -> int:
        """Return the samples held that come before the chunk whose gain is chosen next."""
        return len(self.gains_half_db) * self._n_chunk_out - self._n_out

    def _start_high_pass(self) -> None:
        """Filter from the start of the chunk; fade over unless the stream begins."""
        self._high_pass = HighPass(self._model_rate_hz, self._n_channels)
        n_before = self._n_before_chunk()
        before, chunk = self._held[:, :n_before], self._held[:, n_before:]
        filtered = self._high_pass.push(chunk)
        n_fade = min(self._n_fade, filtered.shape[1])
        if self.gains_half_db:
            share = np.linspace(0.0, 1.0, n_fade, dtype=np.float32)
            filtered[:, :n_fade] *= share
            filtered[:, :n_fade] += chunk[:, :n_fade] * (1 - share)
        self._held = np.concatenate([before, filtered], axis=1)

    def _levelled(self, is_end: bool = False) -> FloatArray:
        """Return the samples held whose gain is known, with that gain."""
        n_known = len(self.gains_half_db) * self._n_chunk_out - self._n_fade - self._n_out
        n_left = self._held.shape[1] if is_end else min(n_known, self._held.shape[1])
        done = [empty(self._n_channels)]
        while n_left > 0:
            # The resampler may give a sample or two beyond the last chunk.
            chunk = min(self._n_out // self._n_chunk_out, len(self.gains_half_db) - 1)
            start = self._n_out - chunk * self._n_chunk_out
            n_part = min(n_left, max(self._n_chunk_out - start, 1))
            part, self._held = self._held[:, :n_part], self._held[:, n_part:]
            done.append(part * self._factors(chunk, start, n_part))
            self._n_out, n_left = self._n_out + n_part, n_left - n_part
        return np.concatenate(done, axis=1)

    def _factors(self, chunk: int, start: int, n_samples: int) -> FloatArray | np.float32:
        """Return the factors of samples of a chunk; they fade to the smaller gain of a neighbour.

        Else the network smears what is louder over the border, and it is heard as a click.
        """
        gains = self.gains_half_db
        gain, before = gains[chunk], gains[max(0, chunk - 1)]
        after = gains[min(chunk + 1, len(gains) - 1)]
        if gain <= min(before, after):
            return level.linear_gain(gain)
        at = start + np.arange(n_samples)
        from_before = np.clip(1.0 - at / self._n_fade, 0.0, 1.0)
        to_after = np.clip(1.0 - (self._n_chunk_out - at) / self._n_fade, 0.0, 1.0)
        half_db = gain - max(0, gain - before) * from_before - max(0, gain - after) * to_after
        return (10.0 ** (half_db / 40.0)).astype(np.float32)
