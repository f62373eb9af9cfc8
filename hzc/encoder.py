"""From samples to the bytes of a file.

samples ── mix, gain, resample ── g_a ── y ── steps ── symbols ── prior ── payloads ── container

A recording that can be gone through twice is levelled as a whole, and its length stands in the
header. What comes through a pipe is levelled chunk by chunk and written as it comes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from math import sqrt

import numpy as np
import torch

from hzc import container
from hzc.audio import level, sources
from hzc.audio.sources import Source
from hzc.bitrate import Rate
from hzc.blocks import (
    Blocks,
    FloatArray,
    cut_at_multiples,
    fitted,
    joined,
    limited,
    rechunked,
    start_of,
)
from hzc.coding import quantize
from hzc.coding.entropy import IntArray
from hzc.container import CHUNK_FRAMES, FRAME_RATE_HZ, AnyHeader, Chunk, Header, StreamHeader
from hzc.errors import DesyncError, UnsupportedAudioError
from hzc.model.file import Model
from hzc.model.load import load_analysis, run
from hzc.model.windows import WindowPlan, run_windowed

TARGET_LEVEL_DB = -26.0
"""Level (95th percentile of 20 ms frames) that recordings are brought to before analysis."""
MAX_GAIN_HALF_DB = 80
MAX_LIVE_GAIN_HALF_DB = 40
"""Of a stream: what has been heard so far may be the noise before the speech."""
LIVE_TOLERANCE_HALF_DB = 24
"""A stream keeps its gain until it is wrong by more than this; every change may be heard."""
CORE_FRAMES = 3 * CHUNK_FRAMES
"""Frames that one window of the transform gives: 30 s."""
LIVE_CORE_FRAMES = CHUNK_FRAMES
CHUNK_S = CHUNK_FRAMES // FRAME_RATE_HZ
STREAM_AFTER_S = 12.0
"""What is longer is written as it comes, without its length in the header."""

Progress = Callable[[float], None]


def ignore(seconds: float) -> None:
    """Tell nobody about progress."""


@dataclass(frozen=True)
class Encoded:
    """An encoded recording and what is known about it beyond the file."""

    data: bytes
    """The .hzc file."""
    kl_bits: float | None
    """KL divergence of the latent's posterior from the prior: hertz's information content."""


@dataclass(frozen=True)
class _Coded:
    """One chunk, coded."""

    chunk: Chunk
    scaled: FloatArray
    """Latent in steps, float32 [channel, D, F]."""
    symbols: IntArray
    """int32 [channel, D, F]."""


class Encoder:
    """The encoding half of a codec; see `Codec` for the meaning of what it returns."""

    def __init__(self, model: Model, device: str) -> None:
        """Use an opened weight file; the network is loaded when it is first needed."""
        self.model, self.device = model, device

    def encode(
        self,
        source: Source,
        *,
        step_index: int | None = None,
        keep_channels: bool = False,
        verify: bool = False,
        with_kl: bool = False,
        progress: Progress = ignore,
    ) -> Encoded:
        """Return the encoding of a source; its samples are never all in memory.

        Args:
            source: Audio of any length that can be gone through twice.
            step_index: Coarseness, -64 … 64; None for the model's default.
            keep_channels: Code every channel, instead of their mean.
            verify: Decode every payload again and compare.
            with_kl: Compute the KL divergence as well.
            progress: Told the seconds of audio done since it was last called.

        Raises:
            UnsupportedAudioError: no samples, NaN or infinity, too many channels, or the rate.
            DesyncError: verification failed.
        """
        source = _conformed(source, keep_channels)
        found = level.survey(source)
        header = _with_length(self._header(source, step_index), found.n_samples)
        gain_half_db = gain_for(found.level_db, MAX_GAIN_HALF_DB)
        chunks, kl_bits = [], 0.0
        for coded in self._coded(
            self._latents(source, header, gain_half_db), header, verify=verify, progress=progress
        ):
            chunks.append(replace(coded.chunk, gain_half_db=gain_half_db))
            if with_kl:
                kl_bits += self._kl_bits(coded, header.step_index)
        return Encoded(container.pack(header, chunks), kl_bits if with_kl else None)

    def encode_stream(
        self,
        source: Source,
        write: Callable[[bytes], None],
        *,
        step_index: int | None = None,
        keep_channels: bool = False,
        verify: bool = False,
        progress: Progress = ignore,
    ) -> Rate:
        """Write a source as it comes; return the rate of what was written.

        The memory needed does not grow with the length. A source that ends within 12 s gives the
        same bytes as `encode`.

        Args:
            source: Audio that can be gone through once.
            write: Takes the bytes of the file in order.
            step_index: As `encode`.
            keep_channels: As `encode`.
            verify: As `encode`.
            progress: As `encode`.

        Raises:
            UnsupportedAudioError: as `encode`.
            DesyncError: as `encode`.
        """
        source = _conformed(source, keep_channels)
        blocks = sources.checked(source.blocks(), source.sample_rate_hz)
        limit = round(STREAM_AFTER_S * source.sample_rate_hz)
        first = list(start_of(blocks, limit + 1))
        if sum(block.shape[1] for block in first) <= limit:
            short = replace(source, blocks=lambda: iter(first))
            encoded = self.encode(
                short, step_index=step_index, keep_channels=True, verify=verify, progress=progress
            )
            write(encoded.data)
            return _rate_of(encoded.data)
        header = self._header(source, step_index)
        live_level = _LiveLevel(source.sample_rate_hz)
        whole = self._padded(live_level.applied(chain(first, blocks)), source, live_level.n_frames)
        coded = self._coded(
            self._windowed(whole, LIVE_CORE_FRAMES), header, verify=verify, progress=progress
        )
        packed_header = container.pack_header(header)
        write(packed_header)
        n_bytes, payload_bytes, n_frames, n_chunks = len(packed_header), 0, 0, 0
        for n_chunks, piece in enumerate(coded, 1):
            chunk = replace(piece.chunk, gain_half_db=live_level.gains_half_db.popleft())
            record = container.pack_chunk(header, packed_header, n_chunks - 1, chunk)
            write(record)
            n_frames += chunk.n_frames
            n_bytes += len(record)
            payload_bytes += sum(map(len, chunk.payloads))
        end = container.pack_end(header, packed_header, n_chunks, n_frames, live_level.n_samples)
        write(end)
        return Rate(n_bytes + len(end), live_level.n_samples / source.sample_rate_hz, payload_bytes)

    def latents(self, source: Source) -> FloatArray:
        """Return the latent's means before quantisation, float32 [channel, D, F].

        Raises:
            UnsupportedAudioError: as `encode`.
        """
        source = _conformed(source, keep_channels=True)
        found = level.survey(source)
        header = _with_length(self._header(source, None), found.n_samples)
        gain_half_db = gain_for(found.level_db, MAX_GAIN_HALF_DB)
        return np.concatenate(list(self._latents(source, header, gain_half_db)), axis=-1)

    def _header(self, source: Source, step_index: int | None) -> StreamHeader:
        """Return the header of a streamed file: without a length."""
        return StreamHeader(
            model_id=self.model.model_id,
            fingerprint=self.model.prior.fingerprint,
            n_latent=self.model.config.n_latent,
            sample_rate_hz=source.sample_rate_hz,
            n_channels=source.n_channels,
            step_index=self.model.default_step_index if step_index is None else step_index,
        )

    def _latents(self, source: Source, header: Header, gain_half_db: int) -> Blocks:
        """Yield the latent of a source of known length, float32 [channel, D, frames]."""
        n_frames = header.n_frames
        gain = linear_gain(gain_half_db)
        # A file that is still being written may have grown since it was surveyed.
        loud = (block * gain for block in limited(source.blocks(), header.n_samples))
        return self._windowed(self._padded(loud, source, lambda: n_frames), CORE_FRAMES)

    def _padded(self, blocks: Blocks, source: Source, n_frames: Callable[[], int]) -> Blocks:
        """Yield blocks at the model's rate, in the end a whole number of frames."""
        config = self.model.config
        resampled = sources.resampled(
            blocks, source.n_channels, source.sample_rate_hz, config.sample_rate_hz
        )
        return fitted(
            resampled,
            source.n_channels,
            lambda: n_frames() * config.hop_length,
            held=config.hop_length,
        )

    def _windowed(self, blocks: Blocks, core_frames: int) -> Blocks:
        """Run g_a: float32 [channel, sample] to [channel, D, F]."""
        config = self.model.config
        plan = WindowPlan(
            core_frames=core_frames,
            context_frames=config.analysis_context_frames,
            n_in=config.hop_length,
            n_out=1,
        )
        return run_windowed(lambda x: run(self._analysis, x, self.device), blocks, plan)

    def _coded(
        self, latents: Blocks, header: AnyHeader, *, verify: bool, progress: Progress
    ) -> Iterator[_Coded]:
        """Yield the chunks of a latent."""
        step = quantize.steps(self.model.base_step, header.step_index)
        prior = self.model.prior
        for y in rechunked(latents, CHUNK_FRAMES):
            n_frames = y.shape[-1]
            symbols = quantize.to_symbols(y, step)
            payloads = [prior.encode(s, header.step_index) for s in symbols]
            if verify:
                again = prior.decode(payloads, [n_frames] * len(payloads), header.step_index)
                if not np.array_equal(np.stack(again), symbols):
                    raise DesyncError(
                        "verification failed: other symbols came back than were coded"
                    )
            yield _Coded(Chunk(n_frames, tuple(payloads)), y / step[:, None], symbols)
            progress(n_frames / FRAME_RATE_HZ)

    def _kl_bits(self, coded: _Coded, step_index: int) -> float:
        """KL(N(y, step² / 12) || prior) in bits, over all channels.

        The prior's density is the mixture of Gaussians that its tables discretise; the expectation
        is taken by Gauss–Hermite quadrature.
        """
        total = 0.0
        sigma = 1.0 / sqrt(12.0)
        for scaled, symbols in zip(coded.scaled, coded.symbols, strict=True):
            mean, scale_index = self.model.prior.gaussians(symbols, step_index)
            scales, weights = (part[scale_index] for part in self.model.mixtures)  # [D, F, width]
            nats = np.full(scaled.shape, -0.5 - np.log(sigma))
            for node, share in zip(*np.polynomial.hermite_e.hermegauss(9), strict=True):
                z = ((scaled + sigma * node - mean)[:, :, None] / scales).astype(np.float64)
                density = (weights / scales * np.exp(-0.5 * z**2)).sum(axis=-1)
                nats -= share / sqrt(2.0 * np.pi) * np.log(density + 1e-30)
            total += float(nats.sum() / np.log(2.0))
        return total

    @cached_property
    def _analysis(self) -> torch.nn.Module:
        return load_analysis(self.model, self.device)


class _LiveLevel:
    """Brings a stream to the level that the model expects, one gain for each chunk.

    The first chunk is heard before its gain is chosen; every later one takes what the chunk before
    it asks for, so that nothing waits.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self.sample_rate_hz = sample_rate_hz
        self.n_samples = 0
        """Samples per channel so far."""
        self.gains_half_db: deque[int] = deque()
        """One for every chunk that has begun; taken out by whoever writes the chunk."""

    def n_frames(self) -> int:
        """Frames that cover the samples so far."""
        return container.n_frames_for(self.n_samples, self.sample_rate_hz)

    def applied(self, blocks: Iterable[FloatArray]) -> Blocks:
        """Yield the blocks, louder or quieter; cut at the borders of chunks."""
        n_chunk = CHUNK_S * self.sample_rate_hz
        pieces = cut_at_multiples(iter(blocks), n_chunk)
        heard = list(start_of(pieces, n_chunk))
        gain_half_db = self._wanted(heard, 0)
        self.gains_half_db.append(gain_half_db)
        for piece in chain(heard, pieces):
            if self.n_samples and self.n_samples % n_chunk == 0:
                wanted = self._wanted(heard, gain_half_db)
                if abs(wanted - gain_half_db) > LIVE_TOLERANCE_HALF_DB:
                    gain_half_db = wanted
                self.gains_half_db.append(gain_half_db)
                heard = []
            if self.n_samples >= n_chunk:
                heard.append(piece)
            self.n_samples += piece.shape[1]
            yield piece * linear_gain(gain_half_db)

    def _wanted(self, heard: list[FloatArray], otherwise: int) -> int:
        """Return the gain for what was heard; `otherwise` for silence."""
        level_db = level.survey(sources.array_source(joined(heard), self.sample_rate_hz)).level_db
        if level_db <= level.SILENCE_DB:
            return otherwise
        return gain_for(level_db, MAX_LIVE_GAIN_HALF_DB)


def gain_for(level_db: float, most_half_db: int) -> int:
    """Return the gain that brings a recording to the level the model expects, in half decibels.

    Args:
        level_db: As `level.Survey.level_db`.
        most_half_db: Limit on the gain, either way.
    """
    if level_db <= level.SILENCE_DB:
        return 0
    wanted = round(2.0 * (TARGET_LEVEL_DB - level_db))
    return max(-most_half_db, min(most_half_db, wanted))


def linear_gain(gain_half_db: int) -> np.float32:
    """Return the factor that a gain in half decibels stands for."""
    return np.float32(10.0 ** (gain_half_db / 40.0))


def _conformed(source: Source, keep_channels: bool) -> Source:
    """Return the source, mixed down if asked for; raise where a header could not describe it."""
    if keep_channels and source.n_channels > container.MAX_CHANNELS:
        raise UnsupportedAudioError(
            f"{source.n_channels} channels (at most {container.MAX_CHANNELS} can be kept)",
            hint="mix them down",
        )
    low, high = container.MIN_SAMPLE_RATE_HZ, container.MAX_SAMPLE_RATE_HZ
    if not low <= source.sample_rate_hz <= high:
        raise UnsupportedAudioError(f"sample rate {source.sample_rate_hz} Hz ({low} to {high})")
    return source if keep_channels else sources.mixed(source)


def _with_length(header: StreamHeader, n_samples: int) -> Header:
    n_frames = container.n_frames_for(n_samples, header.sample_rate_hz)
    if n_frames > container.MAX_FRAMES:
        raise UnsupportedAudioError(f"{n_samples} samples are more than a file can hold")
    return Header(n_frames=n_frames, n_samples=n_samples, **vars(header))


def _rate_of(data: bytes) -> Rate:
    parsed = container.unpack(data)
    duration_s = parsed.header.duration_s
    return Rate(len(data), duration_s, parsed.payload_bytes)
