"""From samples to the bytes of a file.

    samples ── mix ── 16 kHz ── rumble, gain ── g_a ── y          phase 1: `latents`, networks only
    samples, y ── search ── y                                     on request: `refined`
    y ── steps ── symbols ── prior ── payloads ── container       phase 2: `code`, once, or
                                                                  often to come up to a rate

A recording that can be read twice has one gain, and its length is in the header. A pipe goes
through the same stages chunk by chunk, each chunk with the gain that it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import chain, islice
from numbers import Integral

import numpy as np

from hzc import container
from hzc.audio import sources
from hzc.audio.levelled import Levelled, levelled
from hzc.audio.sources import Source
from hzc.bitrate import Rate
from hzc.blocks import FloatArray, until
from hzc.chunk_coder import ChunkCoder
from hzc.coding import quantize
from hzc.container import CHUNK_FRAMES, Chunk, Header, StreamHeader
from hzc.encoder_stream import EncoderStream
from hzc.errors import ArgumentError, UnsupportedAudioError
from hzc.model import kl
from hzc.model.backend import Networks
from hzc.model.file import Model
from hzc.model.windows import LatentWindows
from hzc.options import Target
from hzc.rate_control import Aim, Setting, choose_refined, choose_setting
from hzc.search.effort import checked_effort
from hzc.search.stage import Searcher, whole
from hzc.steering import HELD_S, steered

CORE_FRAMES = 3 * CHUNK_FRAMES
"""Frames that one window of the network gives: 30 s."""
STREAM_AFTER_S = 12.0
"""A pipe that lasts longer is written chunk by chunk, without its length in the header."""

NO_TARGET = Target()

Progress = Callable[[float], None]


def ignore(seconds: float) -> None:
    """Ignore progress."""


@dataclass(frozen=True)
class Latents:
    """What the networks make of a recording: everything that phase 2 needs."""

    y: FloatArray
    """float32 [channel, D, F], before quantisation."""
    recording: Levelled
    """What the analysis heard: its gain, its length, and its samples once more."""
    sample_rate_hz: int
    """Of the recording."""

    @property
    def duration_s(self) -> float:
        """Length of the recording."""
        return self.recording.n_samples / self.sample_rate_hz


@dataclass(frozen=True)
class Encoded:
    """An encoded recording and what is known about it."""

    data: bytes
    """The .hzc file."""
    rate: Rate
    kl_bits: float | None = None
    """KL divergence of the latent's posterior from the prior: hertz's information content."""


class Encoder:
    """The encoding half of a codec; see `Codec` for the meaning of what it returns."""

    def __init__(self, model: Model, device: str, backend: str | None = None) -> None:
        """Use an opened weight file; the network is loaded when it is first needed."""
        self.model, self.device, self.backend = model, device, backend
        self._coder, self._searcher = ChunkCoder(model), Searcher(model, device)

    @cached_property
    def networks(self) -> Networks:
        """The transforms; only g_a is used."""
        return Networks(self.model, self.device, self.backend)

    def encode(
        self,
        source: Source,
        *,
        step_index: int | None = None,
        target: Target = NO_TARGET,
        effort: int = 0,
        channels: str | int = "mix",
        verify: bool = False,
        with_kl: bool = False,
        progress: Progress = ignore,
    ) -> Encoded:
        """Return the encoding of a source; its samples are never all in memory.

        Args:
            source: Audio of any length that can be read twice.
            step_index: Coarseness, -64 … 64; None for the model's default.
            target: Rate to come up to, and size that is never exceeded.
            effort: 0 … 2: how long to search for a latent that sounds better.
            channels: "mix" codes the mean, "keep" every channel, a number that channel, from 1.
            verify: Decode every payload again and compare.
            with_kl: Compute the KL divergence as well.
            progress: Called with the seconds of audio done since its last call.

        Raises:
            UnsupportedAudioError: no samples, NaN or infinity, too many channels, or the rate.
            ArgumentError: a step index out of range or next to a rate, an effort out of range, or
                other channels.
            RateError: the target is out of reach.
            ModelError: a search without torch.
            DesyncError: verification failed.
        """
        self._step_index(step_index, target)
        of_latents, of_search = (ignore, progress) if checked_effort(effort) else (progress, ignore)
        latents = self.latents(source, channels=channels, progress=of_latents)
        return self.code(
            latents, step_index, target=target, effort=effort, verify=verify, with_kl=with_kl,
            progress=of_search,
        )  # fmt: skip

    def latents(
        self, source: Source, *, channels: str | int = "keep", progress: Progress = ignore
    ) -> Latents:
        """Return the latent of a source: phase 1.

        Args:
            source: Audio of any length that can be read twice.
            channels: As `encode`.
            progress: As `encode`.

        Raises:
            UnsupportedAudioError: as `encode`.
            ArgumentError: as `encode`.
        """
        source = _chosen(source, channels)
        ready = levelled(source, self.model.config.sample_rate_hz)
        analysis = LatentWindows(self.networks, CORE_FRAMES, source.n_channels, in_background=True)
        done = [analysis.push(block) for block in ready.blocks(progress)]
        y = np.concatenate([*done, analysis.finish(ready.n_frames)], axis=-1)
        return Latents(y, ready, source.sample_rate_hz)

    def refined(
        self, latents: Latents, step_index: int, effort: int, *, progress: Progress = ignore
    ) -> Latents:
        """Return latents whose symbols sound closer to the recording, at no more bits.

        Args:
            latents: What `latents` returned; its samples are read once more.
            step_index: What the result is going to be coded with, -64 … 64.
            effort: As `encode`; 0 returns the latents as they are.
            progress: As `encode`.

        Raises:
            ArgumentError: as `encode`.
            ModelError: as `encode`.
        """
        if not checked_effort(effort):
            return latents
        with self._searcher.stage(len(latents.y), step_index, effort) as stage:
            y = whole(stage, latents.recording.blocks(ignore), latents.y, progress)
        return replace(latents, y=y)

    def code(
        self,
        latents: Latents,
        step_index: int | None = None,
        *,
        target: Target = NO_TARGET,
        effort: int = 0,
        verify: bool = False,
        with_kl: bool = False,
        progress: Progress = ignore,
    ) -> Encoded:
        """Return the file of a latent: phase 2.

        Args:
            latents: What `latents` returned.
            step_index: As `encode`.
            target: As `encode`.
            effort: As `encode`.
            verify: As `encode`.
            with_kl: As `encode`.
            progress: As `encode`, of the search.

        Raises:
            ArgumentError: as `encode`.
            RateError: as `encode`.
            ModelError: as `encode`.
            DesyncError: as `encode`.
        """
        index = self._step_index(step_index, target)
        refine = partial(self.refined, effort=effort, progress=progress)
        if target.is_given:
            latents, setting = self._aimed(latents, target, index, refine if effort else None)
        else:
            latents, setting = refine(latents, index), Setting(index)
        (encoded,) = self._coded([latents], setting, verify=verify, with_kl=with_kl)
        return encoded

    def _aimed(
        self,
        latents: Latents,
        target: Target,
        step_index: int,
        refine: Callable[[Latents, int], Latents] | None,
    ) -> tuple[Latents, Setting]:
        """Return the latents and the setting that come up to a target."""

        def size(latents: Latents, setting: Setting) -> int:
            (encoded,) = self._coded([latents], setting)
            return len(encoded.data)

        aim = Aim(target, latents.duration_s, step_index)
        if refine:
            return choose_refined(latents, size, refine, aim)
        return latents, choose_setting(partial(size, latents), aim)

    def code_all(
        self, recordings: Sequence[Latents], step_index: int | None = None
    ) -> list[Encoded]:
        """Return the files of several latents, each as `code`; the prior sees them together."""
        return self._coded(recordings, Setting(self._step_index(step_index)))

    def _coded(
        self,
        recordings: Sequence[Latents],
        setting: Setting,
        *,
        verify: bool = False,
        with_kl: bool = False,
    ) -> list[Encoded]:
        parts = [list(_chunks(latents.y)) for latents in recordings]
        gains = [
            latents.recording.gain_half_db
            for latents, part in zip(recordings, parts, strict=True)
            for _ in part
        ]
        coded = iter(self._coder.chunks(list(chain(*parts)), setting, gains, verify=verify))
        encoded = []
        for latents, part in zip(recordings, parts, strict=True):
            data, rate = self._packed(latents, list(islice(coded, len(part))), setting)
            kl_bits = sum(self._kl_bits(y, setting) for y in part) if with_kl else None
            encoded.append(Encoded(data, rate, kl_bits))
        return encoded

    def _packed(
        self, latents: Latents, chunks: list[Chunk], setting: Setting
    ) -> tuple[bytes, Rate]:
        n_channels, _, n_frames = latents.y.shape
        header = Header(
            n_frames=n_frames,
            n_samples=latents.recording.n_samples,
            **vars(self._header(latents.sample_rate_hz, n_channels, setting.step_index)),
        )
        data = container.pack(header, chunks)
        payload_bytes = sum(len(payload) for chunk in chunks for payload in chunk.payloads)
        return data, Rate(len(data), latents.duration_s, payload_bytes)

    def _kl_bits(self, y: FloatArray, setting: Setting) -> float:
        step = quantize.steps(self.model.base_step, setting.step_index)[:, None]
        pairs = zip(y / step, self._coder.symbols(y, setting), strict=True)
        return sum(kl.divergence_bits(self.model, *pair, setting.step_index) for pair in pairs)

    def encode_stream(
        self,
        source: Source,
        write: Callable[[bytes], None],
        *,
        step_index: int | None = None,
        target: Target = NO_TARGET,
        effort: int = 0,
        channels: str | int = "mix",
        verify: bool = False,
        progress: Progress = ignore,
    ) -> Rate:
        """Write a source while it is read; return the rate of what was written.

        The memory needed does not grow with the length. A source that ends within 12 s gives the
        same bytes as `encode`; with a target, one that ends within a minute. A longer one has the
        step index that its first minute needs for the rate, and is steered from there.

        Args:
            source: Audio that can be read once.
            write: Takes the bytes of the file in order.
            step_index: As `encode`.
            target: As `encode`; a size is refused where the source lasts longer than a minute.
            effort: As `encode`.
            channels: As `encode`.
            verify: As `encode`.
            progress: As `encode`.

        Raises:
            UnsupportedAudioError: as `encode`.
            ArgumentError: as `encode`.
            RateError: as `encode`.
            ModelError: as `encode`.
            DesyncError: as `encode`.
        """
        index, effort = self._step_index(step_index, target), checked_effort(effort)
        source = _chosen(source, channels)
        blocks = sources.checked(source.blocks(), source.sample_rate_hz)
        n_held = (HELD_S if target.is_given else STREAM_AFTER_S) * source.sample_rate_hz
        first = list(until(blocks, n_held))
        held = replace(source, blocks=lambda: iter(first))
        if sum(block.shape[1] for block in first) <= n_held:
            encoded = self.encode(
                held, step_index=step_index, target=target, effort=effort, channels="keep",
                verify=verify,
            )  # fmt: skip
            write(encoded.data)
            return encoded.rate
        steering = None
        if target.is_given:
            steering = steered(self.latents(held).y, target, self._coder)
            index = steering.step_index
        header = self._header(source.sample_rate_hz, source.n_channels, index)
        with self._searcher.stage(source.n_channels, index, effort) as search:
            stream = EncoderStream(self._coder, self.networks, header, search, steering, verify)
            for block in chain(first, blocks):
                if data := stream.push(block):
                    write(data)
                progress(block.shape[1] / source.sample_rate_hz)
            write(stream.finish())
        return stream.rate

    def _header(self, sample_rate_hz: int, n_channels: int, step_index: int | None) -> StreamHeader:
        """Return the header of a stream: without a length."""
        return StreamHeader(
            model_id=self.model.model_id,
            fingerprint=self.model.prior.fingerprint,
            n_latent=self.model.config.n_latent,
            sample_rate_hz=sample_rate_hz,
            n_channels=n_channels,
            step_index=self._step_index(step_index),
        )

    def _step_index(self, step_index: int | None, target: Target = NO_TARGET) -> int:
        """Return the step index to code with, where no rate is asked for."""
        if step_index is not None and target.kbps is not None:
            raise ArgumentError("a step index and a rate contradict each other")
        if step_index is None:
            return self.model.default_step_index
        limit = container.MAX_STEP_INDEX
        if not (isinstance(step_index, Integral) and abs(step_index) <= limit):
            raise ArgumentError(f"step index {step_index!r} (-{limit} to {limit} expected)")
        return int(step_index)


def _chosen(source: Source, channels: str | int) -> Source:
    """Return the channels that are to be coded; raise where a header could not describe them."""
    low, high = container.MIN_SAMPLE_RATE_HZ, container.MAX_SAMPLE_RATE_HZ
    if not low <= source.sample_rate_hz <= high:
        raise UnsupportedAudioError(f"sample rate {source.sample_rate_hz} Hz ({low} to {high})")
    if isinstance(channels, Integral):
        return sources.one_channel(source, int(channels))
    if channels == "mix":
        return sources.mixed(source)
    if channels != "keep":
        raise ArgumentError(f"channels {channels!r} ('mix', 'keep' or a number expected)")
    if source.n_channels > container.MAX_CHANNELS:
        raise UnsupportedAudioError(
            f"{source.n_channels} channels (at most {container.MAX_CHANNELS} can be kept)",
            hint="mix them down",
        )
    return source


def _chunks(y: FloatArray) -> Iterator[FloatArray]:
    """Yield the chunks of a latent, [channel, D, F]."""
    for start in range(0, y.shape[-1], CHUNK_FRAMES):
        yield y[..., start : start + CHUNK_FRAMES]
