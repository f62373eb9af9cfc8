"""From samples to the bytes of a file.

    samples ── mix ── 16 kHz ── rumble, gain ── g_a ── y          phase 1: `latents`, networks only
    y ── steps ── symbols ── prior ── payloads ── container       phase 2: `code`

A recording that can be read twice has one gain, and its length is in the header. A pipe goes
through the same stages chunk by chunk, each chunk with the gain that it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, repeat
from numbers import Integral

import numpy as np

from hzc import container
from hzc.audio import level, sources
from hzc.audio.sources import Resampler, Source
from hzc.audio.stream_level import StreamLevel
from hzc.bitrate import Rate
from hzc.blocks import Blocks, FloatArray
from hzc.coding import quantize
from hzc.coding.entropy import IntArray
from hzc.container import CHUNK_FRAMES, Chunk, Header, StreamHeader
from hzc.errors import ArgumentError, DesyncError, UnsupportedAudioError
from hzc.model import kl
from hzc.model.backend import Networks
from hzc.model.file import Model
from hzc.model.windows import Windowed, WindowPlan

CORE_FRAMES = 3 * CHUNK_FRAMES
"""Frames that one window of the network gives: 30 s."""
LIVE_CORE_FRAMES = CHUNK_FRAMES
STREAM_AFTER_S = 12.0
"""A pipe that lasts longer is written chunk by chunk, without its length in the header."""

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

    @cached_property
    def _networks(self) -> Networks:
        return Networks(self.model, self.device, self.backend)

    def encode(
        self,
        source: Source,
        *,
        step_index: int | None = None,
        channels: str | int = "mix",
        verify: bool = False,
        with_kl: bool = False,
        progress: Progress = ignore,
    ) -> Encoded:
        """Return the encoding of a source; its samples are never all in memory.

        Args:
            source: Audio of any length that can be read twice.
            step_index: Coarseness, -64 … 64; None for the model's default.
            channels: "mix" codes the mean, "keep" every channel, a number that channel, from 1.
            verify: Decode every payload again and compare.
            with_kl: Compute the KL divergence as well.
            progress: Called with the seconds of audio done since its last call.

        Raises:
            UnsupportedAudioError: no samples, NaN or infinity, too many channels, or the rate.
            ArgumentError: a step index out of range, or other channels.
            DesyncError: verification failed.
        """
        step_index = self._step_index(step_index)
        latents = self.latents(source, channels=channels, progress=progress)
        return self.code(latents, step_index, verify=verify, with_kl=with_kl)

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
        analysis = _Analysis(self._networks, CORE_FRAMES, n_channels)
        gain, done = level.linear_gain(gain_half_db), []
        for block in _first_samples(source.blocks(), found.n_samples):
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
        verify: bool = False,
        with_kl: bool = False,
    ) -> Encoded:
        """Return the file of a latent: phase 2.

        Args:
            latents: What `latents` returned.
            step_index: As `encode`.
            verify: As `encode`.
            with_kl: As `encode`.

        Raises:
            ArgumentError: as `encode`.
            DesyncError: as `encode`.
        """
        n_channels, _, n_frames = latents.y.shape
        header = Header(
            n_frames=n_frames,
            n_samples=latents.n_samples,
            **vars(self._header(latents.sample_rate_hz, n_channels, step_index)),
        )
        step = quantize.steps(self.model.base_step, header.step_index)
        chunks, kl_bits = [], 0.0
        for start in range(0, n_frames, CHUNK_FRAMES):
            y = latents.y[..., start : start + CHUNK_FRAMES]
            symbols = quantize.to_symbols(y, step)
            payloads = tuple(map(self.model.prior.encode, symbols, repeat(header.step_index)))
            if verify:
                self._verify(payloads, symbols, header.step_index)
            chunks.append(Chunk(y.shape[-1], payloads, latents.gain_half_db))
            if with_kl:
                kl_bits += sum(
                    kl.divergence_bits(self.model, scaled, channel, header.step_index)
                    for scaled, channel in zip(y / step[:, None], symbols, strict=True)
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
        channels: str | int = "mix",
        verify: bool = False,
        progress: Progress = ignore,
    ) -> Rate:
        """Write a source while it is read; return the rate of what was written.

        The memory needed does not grow with the length. A source that ends within 12 s gives the
        same bytes as `encode`.

        Args:
            source: Audio that can be read once.
            write: Takes the bytes of the file in order.
            step_index: As `encode`.
            channels: As `encode`.
            verify: As `encode`.
            progress: As `encode`.

        Raises:
            UnsupportedAudioError: as `encode`.
            ArgumentError: as `encode`.
            DesyncError: as `encode`.
        """
        step_index, source = self._step_index(step_index), _chosen(source, channels)
        blocks = sources.checked(source.blocks(), source.sample_rate_hz)
        first = list(_until(blocks, STREAM_AFTER_S * source.sample_rate_hz))
        if sum(block.shape[1] for block in first) <= STREAM_AFTER_S * source.sample_rate_hz:
            short = replace(source, blocks=lambda: iter(first))
            encoded = self.encode(short, step_index=step_index, channels="keep", verify=verify)
            write(encoded.data)
            return encoded.rate
        header = self._header(source.sample_rate_hz, source.n_channels, step_index)
        stream = EncoderStream(self, header, verify)
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

    def _step_index(self, step_index: int | None) -> int:
        """Return the step index to code with."""
        if step_index is None:
            return self.model.default_step_index
        limit = container.MAX_STEP_INDEX
        if not (isinstance(step_index, Integral) and abs(step_index) <= limit):
            raise ArgumentError(f"step index {step_index!r} (-{limit} to {limit} expected)")
        return int(step_index)

    def _verify(self, payloads: tuple[bytes, ...], symbols: IntArray, step_index: int) -> None:
        """Raise DesyncError unless the payloads of a chunk give int32 [channel, D, F] again."""
        lengths = [symbols.shape[-1]] * len(payloads)
        again = self.model.prior.decode(list(payloads), lengths, step_index)
        if not np.array_equal(np.stack(again), symbols):
            raise DesyncError("verification failed: other symbols came back than were coded")


class EncoderStream:
    """A file in the making: blocks of samples go in, bytes come out."""

    def __init__(self, encoder: Encoder, header: StreamHeader, verify: bool) -> None:
        """Start a file of unknown length."""
        self._encoder, self._header, self._verify = encoder, header, verify
        model_rate_hz = encoder.model.config.sample_rate_hz
        self._level = StreamLevel(header.sample_rate_hz, header.n_channels, model_rate_hz)
        self._analysis = _Analysis(encoder._networks, LIVE_CORE_FRAMES, header.n_channels)
        self._step = quantize.steps(encoder.model.base_step, header.step_index)
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
        symbols = quantize.to_symbols(y, self._step)
        encoder, step_index = self._encoder, self._header.step_index
        payloads = tuple(map(encoder.model.prior.encode, symbols, repeat(step_index)))
        if self._verify:
            encoder._verify(payloads, symbols, step_index)
        chunk = Chunk(y.shape[-1], payloads, self._level.gains_half_db[self._n_chunks])
        record = container.pack_chunk(self._header, self._packed_header, self._n_chunks, chunk)
        self._payload_bytes += sum(map(len, payloads))
        self._n_frames += chunk.n_frames
        self._n_chunks += 1
        return record


class _Analysis:
    """The network over a signal at the model's rate, in windows."""

    def __init__(self, networks: Networks, core_frames: int, n_channels: int) -> None:
        config = networks.config
        plan = WindowPlan(
            core_frames, config.analysis_context_frames, n_in=config.hop_length, n_out=1
        )
        self._windowed, self._hop = Windowed(networks.latent, plan), config.hop_length
        self._empty = np.zeros((n_channels, config.n_latent, 0), dtype=np.float32)
        self._n_samples = 0

    def push(self, x: FloatArray) -> FloatArray:
        """Take samples, float32 [channel, sample]; return the frames that are done."""
        self._n_samples += x.shape[1]
        y = self._windowed.push(x)
        return self._empty if y is None else y

    def finish(self, n_frames: int) -> FloatArray:
        """Return the rest, so that there are n_frames in all."""
        missing = n_frames * self._hop - self._n_samples
        first = self._empty
        if missing >= 0:
            first = self.push(np.zeros((len(self._empty), missing), dtype=np.float32))
        else:  # the resampler gave a sample or two more
            self._windowed.drop_last(-missing)
        rest = self._windowed.finish()
        return first if rest is None else np.concatenate([first, rest], axis=-1)


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


def _first_samples(blocks: Blocks, n_samples: int) -> Iterator[FloatArray]:
    """Yield the first samples: a file that is still being written may have grown meanwhile."""
    for block in blocks:
        if n_samples <= 0:
            return
        yield block[:, :n_samples]
        n_samples -= block.shape[1]


def _until(blocks: Blocks, n_samples: float) -> Iterator[FloatArray]:
    """Yield blocks until there are more than n_samples, and leave the others in the iterator."""
    while n_samples >= 0 and (block := next(blocks, None)) is not None:
        n_samples -= block.shape[1]
        yield block
