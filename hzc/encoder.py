"""From samples to the bytes of a file.

    samples ── mix ── 16 kHz ── rumble, gain ── g_a ── y          phase 1: `latents`, networks only
    y ── steps ── symbols ── prior ── payloads ── container       phase 2: `code`, once, or
                                                                  often to come up to a rate

A recording that can be read twice has one gain, and its length is in the header. A pipe goes
through the same stages chunk by chunk, each chunk with the gain that it needs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import chain
from numbers import Integral

import numpy as np

from hzc import container
from hzc.audio import level, sources
from hzc.audio.sources import Resampler, Source
from hzc.audio.stream_level import StreamLevel
from hzc.bitrate import Rate
from hzc.blocks import FloatArray, first_samples, until
from hzc.chunk_coder import ChunkCoder
from hzc.coding import quantize
from hzc.container import CHUNK_FRAMES, Header, StreamHeader
from hzc.errors import ArgumentError, UnsupportedAudioError
from hzc.model import kl
from hzc.model.backend import Networks
from hzc.model.file import Model
from hzc.model.windows import LatentWindows
from hzc.options import Target
from hzc.rate_control import Aim, Setting, choose_refined, choose_setting
from hzc.steering import HELD_S, Steering, steered

CORE_FRAMES = 3 * CHUNK_FRAMES
"""Frames that one window of the network gives: 30 s."""
LIVE_CORE_FRAMES = CHUNK_FRAMES
STREAM_AFTER_S = 12.0
"""A pipe that lasts longer is written chunk by chunk, without its length in the header."""

NO_TARGET = Target()

Progress = Callable[[float], None]


def ignore(seconds: float) -> None:
    """Take no notice of progress."""


@dataclass(frozen=True)
class Latents:
    """What the networks make of a recording: everything that phase 2 needs."""

    y: FloatArray
    """float32 [channel, D, F], before quantisation."""
    gain_half_db: int
    """Gain that was applied before the analysis."""
    n_samples: int
    """Samples per channel of the recording, at its own rate."""
    sample_rate_hz: int


Refine = Callable[[Latents, int], Latents]
"""Returns latents made better for a step index."""


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
        self._coder = ChunkCoder(model)

    @cached_property
    def _networks(self) -> Networks:
        return Networks(self.model, self.device, self.backend)

    def encode(
        self,
        source: Source,
        *,
        step_index: int | None = None,
        target: Target = NO_TARGET,
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
            channels: "mix" codes the mean, "keep" every channel, a number that channel, from 1.
            verify: Decode every payload again and compare.
            with_kl: Compute the KL divergence as well.
            progress: Called with the seconds of audio done since its last call.

        Raises:
            UnsupportedAudioError: no samples, NaN or infinity, too many channels, or the rate.
            ArgumentError: a step index out of range or next to a rate, or other channels.
            RateError: the target is out of reach.
            DesyncError: verification failed.
        """
        self._step_index(step_index, target)
        latents = self.latents(source, channels=channels, progress=progress)
        return self.code(latents, step_index, target=target, verify=verify, with_kl=with_kl)

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
        found = level.survey(source)
        n_frames = _n_frames(found.n_samples, source.sample_rate_hz)
        if level.needs_high_pass(found):
            source = level.high_passed(source)
            found = level.survey(source)  # what the filter takes out is no part of the level
        gain_half_db = level.gain_for(found.level_db)
        n_channels, model_rate_hz = source.n_channels, self.model.config.sample_rate_hz
        resampler = Resampler(n_channels, source.sample_rate_hz, model_rate_hz)
        analysis = LatentWindows(self._networks, CORE_FRAMES, n_channels)
        gain, done = level.linear_gain(gain_half_db), []
        for block in first_samples(source.blocks(), found.n_samples):
            done.append(analysis.push(resampler.push(block * gain)))
            progress(block.shape[1] / source.sample_rate_hz)
        done += [analysis.push(resampler.finish()), analysis.finish(n_frames)]
        y = np.concatenate(done, axis=-1)
        return Latents(y, gain_half_db, found.n_samples, source.sample_rate_hz)

    def code(
        self,
        latents: Latents,
        step_index: int | None = None,
        *,
        target: Target = NO_TARGET,
        refine: Refine | None = None,
        verify: bool = False,
        with_kl: bool = False,
    ) -> Encoded:
        """Return the file of a latent: phase 2.

        Args:
            latents: What `latents` returned.
            step_index: As `encode`.
            target: As `encode`.
            refine: Returns latents made better for a step index; None codes them as they are.
            verify: As `encode`.
            with_kl: As `encode`.

        Raises:
            ArgumentError: as `encode`.
            RateError: as `encode`.
            DesyncError: as `encode`.
        """
        index = self._step_index(step_index, target)
        latents, setting = self._chosen_setting(latents, index, target, refine)
        return self._coded(latents, setting, verify=verify, with_kl=with_kl)

    def _chosen_setting(
        self, latents: Latents, step_index: int, target: Target, refine: Refine | None
    ) -> tuple[Latents, Setting]:
        if not target.is_given:
            return refine(latents, step_index) if refine else latents, Setting(step_index)

        def size(latents: Latents, setting: Setting) -> int:
            return len(self._coded(latents, setting).data)

        aim = Aim(target, latents.n_samples / latents.sample_rate_hz, step_index)
        if refine:
            return choose_refined(latents, size, refine, aim)
        return latents, choose_setting(partial(size, latents), aim)

    def _coded(
        self, latents: Latents, setting: Setting, *, verify: bool = False, with_kl: bool = False
    ) -> Encoded:
        n_channels, _, n_frames = latents.y.shape
        header = Header(
            n_frames=n_frames,
            n_samples=latents.n_samples,
            **vars(self._header(latents.sample_rate_hz, n_channels, setting.step_index)),
        )
        step = quantize.steps(self.model.base_step, header.step_index)
        chunks, kl_bits = [], 0.0
        for start in range(0, n_frames, CHUNK_FRAMES):
            y = latents.y[..., start : start + CHUNK_FRAMES]
            chunks.append(self._coder.chunk(y, setting, latents.gain_half_db, verify=verify))
            if with_kl:
                pairs = zip(y / step[:, None], self._coder.symbols(y, setting), strict=True)
                kl_bits += sum(
                    kl.divergence_bits(self.model, *pair, header.step_index) for pair in pairs
                )
        data = container.pack(header, chunks)
        payload_bytes = sum(len(payload) for chunk in chunks for payload in chunk.payloads)
        rate = Rate(len(data), latents.n_samples / latents.sample_rate_hz, payload_bytes)
        return Encoded(data, rate, kl_bits if with_kl else None)

    def encode_stream(
        self,
        source: Source,
        write: Callable[[bytes], None],
        *,
        step_index: int | None = None,
        target: Target = NO_TARGET,
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
            channels: As `encode`.
            verify: As `encode`.
            progress: As `encode`.

        Raises:
            UnsupportedAudioError: as `encode`.
            ArgumentError: as `encode`.
            RateError: as `encode`.
            DesyncError: as `encode`.
        """
        index, source = self._step_index(step_index, target), _chosen(source, channels)
        blocks = sources.checked(source.blocks(), source.sample_rate_hz)
        n_held = (HELD_S if target.is_given else STREAM_AFTER_S) * source.sample_rate_hz
        first = list(until(blocks, n_held))
        held = replace(source, blocks=lambda: iter(first))
        if sum(block.shape[1] for block in first) <= n_held:
            encoded = self.encode(
                held, step_index=step_index, target=target, channels="keep", verify=verify
            )
            write(encoded.data)
            return encoded.rate
        steering = None
        if target.is_given:
            steering = steered(self.latents(held).y, target, self._coder)
            index = steering.step_index
        header = self._header(source.sample_rate_hz, source.n_channels, index)
        stream = EncoderStream(self, header, verify, steering)
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


class EncoderStream:
    """A file in the making: blocks of samples go in, bytes come out."""

    def __init__(
        self, encoder: Encoder, header: StreamHeader, verify: bool, steering: Steering | None
    ) -> None:
        """Start a file of unknown length."""
        self._coder, self._header, self._verify = encoder._coder, header, verify
        self._steering = steering
        model_rate_hz = encoder.model.config.sample_rate_hz
        self._level = StreamLevel(header.sample_rate_hz, header.n_channels, model_rate_hz)
        self._analysis = LatentWindows(encoder._networks, LIVE_CORE_FRAMES, header.n_channels)
        self._y = np.zeros((header.n_channels, header.n_latent, 0), dtype=np.float32)
        self._packed_header = container.pack_header(header)
        self._n_bytes = self._payload_bytes = self._n_frames = self._n_chunks = 0

    def push(self, block: FloatArray) -> bytes:
        """Take samples, float32 [channel, sample] at the header's rate; return what is done."""
        return self._written(self._analysis.push(self._level.push(block)))

    def finish(self) -> bytes:
        """Return the rest of the file."""
        header, n_samples = self._header, self._level.n_samples
        n_frames = _n_frames(n_samples, header.sample_rate_hz)
        rest = self._analysis.push(self._level.finish())
        rest = np.concatenate([rest, self._analysis.finish(n_frames)], axis=-1)
        data = self._written(rest, is_last=True)
        end = container.pack_end(
            header, self._packed_header, self._n_chunks, self._n_frames, n_samples
        )
        self._n_bytes += len(end)
        return data + end

    @property
    def rate(self) -> Rate:
        """Rate of what was written."""
        duration_s = self._level.n_samples / self._header.sample_rate_hz
        return Rate(self._n_bytes, duration_s, self._payload_bytes)

    def _written(self, y: FloatArray, is_last: bool = False) -> bytes:
        """Return the records of the chunks that are complete, the header before the first."""
        self._y = np.concatenate([self._y, y], axis=-1)
        out = b"" if self._n_bytes else self._packed_header
        while self._y.shape[-1] >= (CHUNK_FRAMES if not is_last else 1):
            out += self._record(self._y[..., :CHUNK_FRAMES])
            self._y = self._y[..., CHUNK_FRAMES:]
        self._n_bytes += len(out)
        return out

    def _record(self, y: FloatArray) -> bytes:
        setting, gain = Setting(self._header.step_index), self._level.gains_half_db[self._n_chunks]
        if self._steering:
            setting = self._steering.setting(y)
        chunk = self._coder.chunk(y, setting, gain, verify=self._verify)
        record = container.pack_chunk(self._header, self._packed_header, self._n_chunks, chunk)
        if self._steering:
            self._steering.spend(len(record), chunk.n_frames)
        self._payload_bytes += sum(map(len, chunk.payloads))
        self._n_frames += chunk.n_frames
        self._n_chunks += 1
        return record


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


def _n_frames(n_samples: int, sample_rate_hz: int) -> int:
    n_frames = container.n_frames_for(n_samples, sample_rate_hz)
    if n_frames > container.MAX_FRAMES:
        raise UnsupportedAudioError(f"{n_samples} samples are more than a file can hold")
    return n_frames
