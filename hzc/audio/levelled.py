"""A recording at the sample rate and the level that the networks want."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hzc import container
from hzc.audio import level
from hzc.audio.sources import Resampler, Source
from hzc.blocks import Blocks, first_samples
from hzc.errors import UnsupportedAudioError


@dataclass(frozen=True)
class Levelled:
    """A recording that is ready for the analysis."""

    blocks: Callable[[Callable[[float], None]], Blocks]
    """float32 [channel, sample] at the model's rate, to within a sample or two of the length; takes
    what is called with the seconds of audio done since its last call."""
    gain_half_db: int
    """Gain that the blocks have."""
    n_samples: int
    """Samples per channel of the recording, at its own rate."""
    n_frames: int
    """Frames of its latent."""


def levelled(source: Source, to_hz: int) -> Levelled:
    """Measure a source; return it without rumble, at one level and at the model's rate.

    Raises:
        UnsupportedAudioError: no samples, NaN or infinity, or more than a file can hold.
    """
    found = level.survey(source)
    n_frames = n_frames_of(found.n_samples, source.sample_rate_hz)
    if level.needs_high_pass(found):
        source = level.high_passed(source)
        found = level.survey(source)  # what the filter takes out is no part of the level
    gain_half_db = level.gain_for(found.level_db)

    def blocks(progress: Callable[[float], None]) -> Blocks:
        resampler = Resampler(source.n_channels, source.sample_rate_hz, to_hz)
        gain = level.linear_gain(gain_half_db)
        for block in first_samples(source.blocks(), found.n_samples):
            yield resampler.push(block * gain)
            progress(block.shape[1] / source.sample_rate_hz)
        yield resampler.finish()

    return Levelled(blocks, gain_half_db, found.n_samples, n_frames)


def n_frames_of(n_samples: int, sample_rate_hz: int) -> int:
    """Return the frames of a recording.

    Raises:
        UnsupportedAudioError: they are more than a file can hold.
    """
    n_frames = container.n_frames_for(n_samples, sample_rate_hz)
    if n_frames > container.MAX_FRAMES:
        raise UnsupportedAudioError(f"{n_samples} samples are more than a file can hold")
    return n_frames
