"""Clips encoded together: read once each, those of one length through the network in one call.

Only clips of exactly one length share a call: padding would change the last frames of the shorter
ones. The files are the same as those of `hzc encode`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from hzc import container
from hzc.audio import sources
from hzc.audio.levelled import Levelled, levelled
from hzc.audio.sources import Source
from hzc.blocks import FloatArray, joined
from hzc.corpus.clips import Clip, Failure, Item
from hzc.encoder import CORE_FRAMES, Encoded, Encoder, Latents, ignore
from hzc.errors import FormatError, InputError, LatentError
from hzc.jobs import Models
from hzc.options import DecodeOptions, EncodeOptions

HELD_S = 120.0
"""Recordings up to this length are in memory while they are measured and coded: read once."""


@dataclass(frozen=True)
class Limits:
    """How much is done together, in frames of 1/8 s."""

    window_frames: int
    """Clips in memory at a time; their samples take 8 kB a frame."""
    batch_frames: int
    """Clips in one call of the network."""


LIMITS = {
    # More than 16 s in one call are slower than one by one: they do not fit into the cache.
    "cpu": Limits(window_frames=7_200, batch_frames=128),
    "cuda": Limits(window_frames=57_600, batch_frames=8_192),
}


DECODED_AT_ONCE = 64
"""Clips whose symbols are decoded side by side."""
ONE_BY_ONE = Limits(window_frames=1, batch_frames=1)


@dataclass(frozen=True)
class Coded:
    """A clip that was encoded."""

    clip: Clip
    encoded: Encoded
    latents: Latents
    warnings: tuple[str, ...]


@dataclass
class _Waiting:
    """A clip on its way through the stages."""

    item: Item
    source: Source | None = None
    ready: Levelled | None = None
    latents: Latents | None = None


class BatchEncoder:
    """Encodes the clips of a shard."""

    def __init__(
        self, encoder: Encoder, options: EncodeOptions, limits: Limits | None = None
    ) -> None:
        """Encode with some options, and as much at a time as the device likes."""
        self._encoder, self._options = encoder, options
        self._limits, config = limits or LIMITS[encoder.device], encoder.model.config
        self._rate_hz, self._hop = config.sample_rate_hz, config.hop_length
        # Longer ones are cut into windows that overlap.
        self._longest = CORE_FRAMES + config.analysis_context_frames - 1

    def encode(self, items: Iterable[Item], name: str) -> Iterator[list[Coded | Failure]]:
        """Yield what became of the items, in their order, a window of them at a time.

        Args:
            items: Clips, and failures to be passed on.
            name: Of their source, for failures.
        """
        window, n_frames = list[_Waiting](), 0
        for item in items:
            window.append(self._opened(item, name))
            n_frames += window[-1].ready.n_frames if window[-1].ready else 1
            if n_frames >= self._limits.window_frames:
                yield self._done(window, name)
                window, n_frames = [], 0
        if window:
            yield self._done(window, name)

    def _opened(self, item: Item, name: str) -> _Waiting:
        """Read and measure a clip."""
        if isinstance(item, Failure):
            return _Waiting(item)
        try:
            source = sources.mixed(
                _held(sources.open_source(item.audio, strict=self._options.strict))
            )
            ready = levelled(source, self._rate_hz)
            return _Waiting(replace(item, audio=b""), source, ready)
        except Exception as error:  # whatever a library makes of a damaged clip
            return _Waiting(Failure.of(item.id, name, error))

    def _done(self, window: list[_Waiting], name: str) -> list[Coded | Failure]:
        groups: dict[int, list[_Waiting]] = defaultdict(list)
        for waiting in window:
            if waiting.ready is not None:
                groups[waiting.ready.n_frames].append(waiting)
        for n_frames, group in groups.items():
            n_at_once = max(1, self._limits.batch_frames // n_frames)
            for start in range(0, len(group), n_at_once):
                self._analyse(group[start : start + n_at_once], name)
        found = [waiting for waiting in window if waiting.latents is not None]
        latents = [waiting.latents for waiting in found if waiting.latents is not None]
        coded = iter(self._encoder.code_all(latents, self._options.step_index))
        return [self._result(waiting, coded) for waiting in window]

    def _analyse(self, group: list[_Waiting], name: str) -> None:
        """Give every clip of a group its latent; one that has none becomes a failure."""
        try:
            for waiting, latents in zip(group, self._latents(group), strict=True):
                waiting.latents = latents
        except Exception as error:
            if len(group) > 1:  # which one is it?
                for waiting in group:
                    self._analyse([waiting], name)
            elif isinstance(group[0].item, Clip):
                group[0].item = Failure.of(group[0].item.id, name, error)

    def _latents(self, group: list[_Waiting]) -> list[Latents]:
        found = [(w.source, w.ready) for w in group if w.source and w.ready]
        n_frames = found[0][1].n_frames
        if n_frames > self._longest:
            return [self._encoder.latents(source) for source, _ in found]
        x = np.concatenate([self._samples(ready) for _, ready in found])
        y = self._encoder.networks.latent(x, len(x))
        return [
            Latents(y[i : i + 1], ready, source.sample_rate_hz)
            for i, (source, ready) in enumerate(found)
        ]

    def _samples(self, ready: Levelled) -> FloatArray:
        """Return whole frames, float32 [1, sample]."""
        x, n = joined(ready.blocks(ignore)), ready.n_frames * self._hop
        return np.pad(x[:, :n], ((0, 0), (0, max(0, n - x.shape[1]))))

    def _result(self, waiting: _Waiting, coded: Iterator[Encoded]) -> Coded | Failure:
        if isinstance(waiting.item, Failure):
            return waiting.item
        if waiting.latents is None or waiting.source is None:
            raise LatentError(f"clip {waiting.item.id} was lost")
        return Coded(waiting.item, next(coded), waiting.latents, tuple(waiting.source.warnings))


def _held(source: Source) -> Source:
    """Return a source that is read once, where it is short enough to be kept.

    Raises:
        InputError: it cannot be read.
    """
    if source.duration_s is None or source.duration_s > HELD_S:
        return source
    blocks = list(source.blocks())
    if not blocks:
        raise InputError("the recording has no samples")
    return replace(source, blocks=lambda: iter(blocks))


@dataclass(frozen=True)
class Decoded:
    """A clip that was decoded."""

    clip: Clip
    samples: FloatArray
    """float32 [channel, sample], not clipped."""
    sample_rate_hz: int


class BatchDecoder:
    """Decodes the clips of a shard: the prior sees several together."""

    def __init__(self, models: Models, options: DecodeOptions) -> None:
        """Decode with some options."""
        self._models, self._options = models, options

    def decode(
        self, items: Iterable[Item], name: str, n_at_once: int
    ) -> Iterator[list[Decoded | Failure]]:
        """Yield what became of the items, in their order, n_at_once of them at a time."""
        rest = iter(items)
        while window := list(islice(rest, n_at_once)):
            clips = [item for item in window if isinstance(item, Clip)]
            try:
                done = iter(self._decoded(clips))
                yield [item if isinstance(item, Failure) else next(done) for item in window]
            except Exception:  # which one is it?
                yield [self._one(item, name) for item in window]

    def _one(self, item: Item, name: str) -> Decoded | Failure:
        if isinstance(item, Failure):
            return item
        try:
            (decoded,) = self._decoded([item])
            return decoded
        except Exception as error:  # whatever a damaged clip leads to
            return Failure.of(item.id, name, error)

    def _decoded(self, clips: list[Clip]) -> list[Decoded]:
        files = [container.unpack(clip.audio) for clip in clips if isinstance(clip.audio, bytes)]
        decoders = [self._models.to_decode(file.header, self._options).decoder for file in files]
        if len(set(decoders)) > 1:
            raise FormatError("the clips were made with several models")
        symbols = decoders[0].symbols_of(files) if decoders else []
        decoded = []
        for clip, file, known in zip(clips, files, symbols, strict=True):
            rate_hz = self._options.sample_rate_hz or file.header.sample_rate_hz
            samples = joined(decoders[0].samples_of(file, known, rate_hz))
            decoded.append(Decoded(clip, samples, rate_hz))
        return decoded
