"""From the chunks of a file to samples.

    container ── payloads ── prior ── symbols ── y_hat ── g_s ── gain ── resample ── samples

A file is parsed whole and decoded in windows; a pipe goes through the same stages chunk by chunk.
Where a chunk is lost, silence keeps its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from math import ceil, inf
from numbers import Real

import numpy as np

from hzc.audio.level import linear_gain
from hzc.audio.sources import Resampler
from hzc.blocks import Blocks, FloatArray, empty
from hzc.coding import quantize
from hzc.coding.chunks import decoded
from hzc.coding.entropy import IntArray
from hzc.container import (
    CHUNK_FRAMES,
    FRAME_RATE_HZ,
    MAX_SAMPLE_RATE_HZ,
    MIN_SAMPLE_RATE_HZ,
    AnyHeader,
    Chunk,
    Container,
    Gap,
    Header,
    Reader,
    Salvaged,
)
from hzc.errors import ArgumentError, CorruptError, OutOfRangeError
from hzc.model.backend import Networks, Transform
from hzc.model.file import Model
from hzc.model.windows import Windowed, WindowPlan

CORE_FRAMES = 3 * CHUNK_FRAMES
"""Frames that one window of the network gives: 30 s."""
LIVE_CORE_FRAMES = CHUNK_FRAMES
FADE_S = 0.01
"""Fade next to a gap, so that it does not click."""
RESAMPLER_FRAMES = FRAME_RATE_HZ
"""A second before and after a span, for the resampler to settle."""
RESAMPLED_AT_ONCE = 1 << 18
"""Samples, of all channels together, that resampling gives at once, which bounds the memory."""
LUCKY_BITS = 40
"""A coded payload is shorter than the code length of its symbols by k bits once in 2^k times."""
HELD_SAMPLES = 64
"""A resampled signal is longer than it should be by a sample or two at most."""


@dataclass(frozen=True)
class Span:
    """A stretch of a recording, in seconds."""

    start_s: float = 0.0
    duration_s: float | None = None
    """None for all that follows."""

    def __post_init__(self) -> None:
        """Refuse what is not a span of time."""
        start_s, length_s = self.start_s, 1.0 if self.duration_s is None else self.duration_s
        are_numbers = isinstance(start_s, Real) and isinstance(length_s, Real)
        if not (are_numbers and 0.0 <= start_s < inf and 0.0 < length_s < inf):
            raise ArgumentError(f"a span of {self.duration_s!r} s from {start_s!r} s")

    def samples(self, sample_rate_hz: int) -> tuple[int, int | None]:
        """Return the first sample, and the one after the last."""
        first = round(self.start_s * sample_rate_hz)
        if self.duration_s is None:
            return first, None
        return first, first + round(self.duration_s * sample_rate_hz)


EVERYTHING = Span()


class Decoder:
    """The decoding half of a codec; see `Codec` for the meaning of what it returns."""

    def __init__(self, model: Model, device: str, backend: str | None = None) -> None:
        """Use an opened weight file; the network is loaded when it is first needed."""
        self.model, self.device, self.backend = model, device, backend

    @cached_property
    def _networks(self) -> Networks:
        return Networks(self.model, self.device, self.backend)

    def samples(
        self, file: Container | Salvaged, sample_rate_hz: int, span: Span = EVERYTHING
    ) -> Blocks:
        """Yield the samples of a file, float32 [channel, sample], not clipped.

        Args:
            file: Header and chunks, with gaps where one is lost. Only those that the span needs
                are decoded.
            sample_rate_hz: Rate of the samples, 1000 … 768000.
            span: What to decode.

        Raises:
            ArgumentError: the rate is out of range.
            OutOfRangeError: the file ends before the span starts.
            CorruptError: a payload cannot be a coded stream.
        """
        pieces = file.pieces if isinstance(file, Salvaged) else file.chunks
        n_samples_in(file.header, sample_rate_hz, span)
        output = _Output(self, file.header, sample_rate_hz, span, is_live=False)
        needed = list(output.needed(pieces))
        chunks = [piece for piece in needed if isinstance(piece, Chunk)]
        symbols = decoded(self.model.prior, file.header, chunks)
        for piece in needed:
            yield from output.push(piece, next(symbols) if isinstance(piece, Chunk) else None)
        yield from output.finish(file.header)

    def stream(self, reader: Reader, sample_rate_hz: int, span: Span = EVERYTHING) -> Blocks:
        """Yield the samples of a file that is read from a pipe, chunk by chunk; as `samples`.

        Raises:
            ArgumentError: as `samples`.
            FormatError: the file is damaged or cut off.
            OutOfRangeError: the file ends before the span starts.
        """
        n_samples_in(reader.header, sample_rate_hz, span)
        output = _Output(self, reader.header, sample_rate_hz, span, is_live=True)
        for chunk in output.needed(reader.chunks()):
            if isinstance(chunk, Chunk):
                (symbols,) = decoded(self.model.prior, reader.header, [chunk])
                yield from output.push(chunk, symbols)
        yield from output.finish(reader.header)

    def symbols(self, file: Container) -> IntArray:
        """Return the symbols of a file, int32 [channel, D, F].

        Raises:
            CorruptError: a payload cannot be a coded stream.
        """
        (symbols,) = self.symbols_of([file])
        return symbols

    def symbols_of(self, files: Sequence[Container]) -> list[IntArray]:
        """Return the symbols of several files, each as `symbols`; decoded side by side.

        Raises:
            CorruptError: a payload cannot be a coded stream.
        """
        parts: list[list[IntArray]] = [[] for _ in files]
        kinds = [(file.header.step_index, file.header.n_channels) for file in files]
        for kind in sorted(set(kinds)):
            alike = [i for i, other in enumerate(kinds) if other == kind]
            coded = [(i, chunk) for i in alike for chunk in files[i].chunks]
            header, chunks = files[alike[0]].header, [chunk for _, chunk in coded]
            symbols = decoded(self.model.prior, header, chunks)
            for (i, _), found in zip(coded, symbols, strict=True):
                parts[i].append(found)
        return [np.concatenate(part, axis=-1) for part in parts]

    def samples_of(self, file: Container, symbols: IntArray, sample_rate_hz: int) -> Blocks:
        """Yield the samples of a whole file, as `samples`, from its symbols."""
        n_samples_in(file.header, sample_rate_hz)
        output, start = _Output(self, file.header, sample_rate_hz, EVERYTHING, is_live=False), 0
        for chunk in output.needed(file.chunks):
            end = start + chunk.n_frames
            yield from output.push(chunk, symbols[..., start:end])
            start = end
        yield from output.finish(file.header)

    def vetted(self, salvaged: Salvaged) -> Salvaged:
        """Return what was salvaged without chunks whose checksum fits by chance.

        Coding the symbols of a payload again gives the same bytes; bytes that were never coded
        give others, or are too few for symbols as unlikely as theirs.

        Raises:
            CorruptError: no chunk is left.
        """
        pieces = tuple(
            piece
            if isinstance(piece, Gap) or self._is_coded(salvaged.header, piece)
            else Gap(piece.n_frames)
            for piece in salvaged.pieces
        )
        if not any(isinstance(piece, Chunk) for piece in pieces):
            raise CorruptError("nothing can be salvaged: no whole chunk is left")
        return replace(salvaged, pieces=pieces)

    def _is_coded(self, header: Header, chunk: Chunk) -> bool:
        prior, step_index = self.model.prior, header.step_index
        try:
            (symbols,) = decoded(prior, header, [chunk])
        except CorruptError:
            return False
        return all(
            prior.encode(channel, step_index) == payload
            and prior.ideal_bits(channel, step_index) <= 8 * len(payload) + LUCKY_BITS
            for channel, payload in zip(symbols, chunk.payloads, strict=True)
        )


class _Output:
    """Symbols of chunks go in, in order; the samples of a span come out."""

    def __init__(
        self, decoder: Decoder, header: AnyHeader, sample_rate_hz: int, span: Span, *, is_live: bool
    ) -> None:
        config, step_index = decoder.model.config, header.step_index
        self._transform = partial(decoder._networks.waveform, step_index=step_index)
        self._model_rate_hz, self._hop = config.sample_rate_hz, config.hop_length
        context_frames = config.synthesis_context_frames
        self._plan = WindowPlan(
            LIVE_CORE_FRAMES if is_live else CORE_FRAMES, context_frames, n_in=1, n_out=self._hop,
            in_background=not is_live,
        )  # fmt: skip
        self._step = quantize.steps(decoder.model.base_step, header.step_index, header.step_offsets)
        self._span, self._sample_rate_hz = span, sample_rate_hz
        self._first_frame, self._last_frame = _frames_around(span, context_frames)
        self._model_end = n_samples_at(header, self._model_rate_hz)
        self._model_at: int | None = None  # model samples before the next one
        self._run: _Run | None = None
        self._is_after_gap = False
        self._resampler = Resampler(header.n_channels, self._model_rate_hz, sample_rate_hz)
        start, end = span.samples(sample_rate_hz)
        self._n_to_skip = start - self._first_frame * sample_rate_hz // FRAME_RATE_HZ
        self._n_to_give = None if end is None else end - start
        self._n_given = 0
        self._held = empty(header.n_channels)

    def needed(self, pieces: Iterable[Chunk | Gap]) -> Iterator[Chunk | Gap]:
        """Yield the pieces that the span depends on; take no more of them."""
        end_frame = 0
        for piece in pieces:
            end_frame += piece.n_frames
            if end_frame > self._first_frame:
                if self._model_at is None:
                    self._model_at = (end_frame - piece.n_frames) * self._hop
                yield piece
            if self._last_frame is not None and end_frame >= self._last_frame:
                return

    def push(self, piece: Chunk | Gap, symbols: IntArray | None) -> Blocks:
        """Take a chunk with its symbols, int32 [channel, D, frames], or a gap."""
        if isinstance(piece, Chunk) and symbols is not None:
            if self._run is None:
                n_fade = round(FADE_S * self._model_rate_hz) if self._is_after_gap else 0
                self._run = _Run(self._transform, self._plan, n_fade)
            y_hat = quantize.to_latent(symbols, self._step)
            yield from self._resampled(self._run.push(y_hat, piece.gain_half_db))
            return
        yield from self._end_run(round(FADE_S * self._model_rate_hz))
        self._is_after_gap = True
        for _ in range(piece.n_frames):
            yield from self._resampled(np.zeros((len(self._held), self._hop), dtype=np.float32))

    def finish(self, header: AnyHeader) -> Blocks:
        """Yield the rest, given the complete header.

        Raises:
            OutOfRangeError: the file ends before the span starts.
        """
        self._model_end = n_samples_at(header, self._model_rate_hz)
        n_wanted = n_samples_in(header, self._sample_rate_hz, self._span) or self._n_to_give or 0
        yield from self._end_run(n_fade=0)
        yield from self._given(self._resampler.finish())
        n_missing = n_wanted - self._n_given
        rest = self._held[:, :n_missing]
        yield np.pad(rest, ((0, 0), (0, n_missing - rest.shape[1])))

    def _end_run(self, n_fade: int) -> Blocks:
        if self._run is not None:
            yield from self._resampled(self._run.finish(n_fade))
            self._run = None

    def _resampled(self, x: FloatArray | None) -> Blocks:
        """Resample those of the next samples at the model's rate that belong to the recording."""
        if x is None or self._model_at is None:
            return
        start = max(0, self._first_frame * self._hop - self._model_at)
        end = None if self._model_end is None else max(start, self._model_end - self._model_at)
        self._model_at += x.shape[1]
        x = x[:, start:end]
        per_sample = len(x) * self._sample_rate_hz / self._model_rate_hz
        n_at_once = ceil(RESAMPLED_AT_ONCE / per_sample)
        for first in range(0, x.shape[1], n_at_once):
            if self._n_given + self._held.shape[1] == self._n_to_give:
                return
            block = self._resampler.push(x[:, first : first + n_at_once])
            yield from self._given(block)

    def _given(self, block: FloatArray) -> Blocks:
        """Yield what belongs to the span; hold a little, in case the resampler gives too much."""
        n_skipped = min(self._n_to_skip, block.shape[1])
        self._n_to_skip -= n_skipped
        held = np.concatenate([self._held, block[:, n_skipped:]], axis=1)
        if self._n_to_give is not None:
            held = held[:, : self._n_to_give - self._n_given]
        n_done = max(0, held.shape[1] - HELD_SAMPLES)
        self._n_given += n_done
        self._held = held[:, n_done:]
        if n_done:
            yield held[:, :n_done]


class _Run:
    """Runs the network over successive chunks, and undoes their gains."""

    def __init__(self, transform: Transform, plan: WindowPlan, n_fade: int) -> None:
        """Start a row; n_fade samples are faded in after a gap."""
        self._windowed, self._hop = Windowed(transform, plan), plan.n_out
        self._factors = np.zeros(0, dtype=np.float32)  # of the frames that are not yet done
        self._n_fade_in = n_fade

    def push(self, y_hat: FloatArray, gain_half_db: int) -> FloatArray | None:
        """Take the latent of a chunk, float32 [channel, D, frames]; return what is done."""
        factor = np.float32(1.0) / linear_gain(gain_half_db)
        self._factors = np.concatenate([self._factors, np.full(y_hat.shape[-1], factor)])
        return self._levelled(self._windowed.push(y_hat))

    def finish(self, n_fade: int) -> FloatArray | None:
        """Return the rest; the last n_fade samples are faded out."""
        x = self._levelled(self._windowed.finish())
        if x is not None and n_fade:
            x[:, -n_fade:] *= _ramp(n_fade)[::-1]
        return x

    def _levelled(self, x: FloatArray | None) -> FloatArray | None:
        if x is None:
            return None
        n_frames = x.shape[1] // self._hop
        x = x * np.repeat(self._factors[:n_frames], self._hop)
        self._factors = self._factors[n_frames:]
        if self._n_fade_in:
            x[:, : self._n_fade_in] *= _ramp(self._n_fade_in)
            self._n_fade_in = 0
        return x


def _ramp(n_samples: int) -> FloatArray:
    """Return factors from silence to full, float32 [sample]."""
    return (np.arange(n_samples, dtype=np.float32) + np.float32(0.5)) / np.float32(n_samples)


def _frames_around(span: Span, context_frames: int) -> tuple[int, int | None]:
    """Return the frames that a span depends on; the first is at a whole second.

    Only there does a sample of every rate begin together with a frame.
    """
    margin = context_frames + RESAMPLER_FRAMES
    first = max(0, int(span.start_s * FRAME_RATE_HZ) - margin)
    last = None
    if span.duration_s is not None:
        last = ceil((span.start_s + span.duration_s) * FRAME_RATE_HZ) + margin
    return first // FRAME_RATE_HZ * FRAME_RATE_HZ, last


def n_samples_in(header: AnyHeader, sample_rate_hz: int, span: Span = EVERYTHING) -> int | None:
    """Return how many samples a span of a file has, or None where the file's end is not known.

    The whole of a file has exactly the original's number at the original's rate.

    Raises:
        ArgumentError: the rate is out of range.
        OutOfRangeError: the file ends before the span starts.
    """
    low, high = MIN_SAMPLE_RATE_HZ, MAX_SAMPLE_RATE_HZ
    is_number = isinstance(sample_rate_hz, Real)
    if not (is_number and low <= sample_rate_hz <= high and sample_rate_hz % 1 == 0):
        raise ArgumentError(f"sample rate {sample_rate_hz!r} Hz ({low} to {high} expected)")
    start, end = span.samples(sample_rate_hz)
    whole = n_samples_at(header, sample_rate_hz)
    if whole is None:
        return None
    last = whole if end is None else min(end, whole)
    if last <= start:
        raise OutOfRangeError(
            f"nothing is left at {span.start_s:g} s (it lasts {whole / sample_rate_hz:g} s)"
        )
    return last - start


def n_samples_at(header: AnyHeader, sample_rate_hz: int) -> int | None:
    """Return how many samples a file has at a rate, None where the file's end is not known."""
    if header.n_samples is None:
        return None
    return -(-header.n_samples * sample_rate_hz // header.sample_rate_hz)
