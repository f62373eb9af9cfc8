"""From the chunks of a file to samples.

samples ── resample, gain ── g_s ── y_hat ── steps ── symbols ── prior ── payloads ── container

Chunks are decoded as they come; the synthesis transform runs across their borders. Where a chunk is
lost, silence keeps its place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby, islice
from math import ceil

import numpy as np
import torch

from hzc.audio import sources
from hzc.blocks import Blocks, dropped, faded, fitted, limited, scaled, zeros
from hzc.coding import quantize
from hzc.coding.entropy import IntArray
from hzc.container import CHUNK_FRAMES, FRAME_RATE_HZ, Chunk, Gap, Header, Salvaged
from hzc.encoder import linear_gain
from hzc.errors import CorruptError, OutOfRangeError
from hzc.model.file import Model
from hzc.model.load import load_synthesis, run
from hzc.model.windows import WindowPlan, run_windowed

FADE_S = 0.01
"""Fade beside a gap, so that it does not click."""
RESAMPLER_FRAMES = FRAME_RATE_HZ
"""A second before and after a span, for the resampler to settle."""
LUCKY_BITS = 40
"""A coded payload is shorter than the code length of its symbols by k bits once in 2^k times."""
HELD_SAMPLES = 64
"""A resampled signal is longer than it should be by a sample or two at most."""

Pieces = Iterable[Chunk | Gap]


@dataclass(frozen=True)
class Pace:
    """How much is decoded at once."""

    core_frames: int
    """Frames that one window of the transform gives."""
    n_payloads: int
    """Payloads whose symbols are decoded side by side."""


WHOLE = Pace(core_frames=3 * CHUNK_FRAMES, n_payloads=64)
LIVE = Pace(core_frames=CHUNK_FRAMES, n_payloads=1)


@dataclass(frozen=True)
class Span:
    """A stretch of a recording, in seconds."""

    start_s: float = 0.0
    duration_s: float | None = None
    """None for all that follows."""

    def samples(self, sample_rate_hz: int) -> tuple[int, int | None]:
        """Return the first sample, and the one after the last."""
        first = round(self.start_s * sample_rate_hz)
        if self.duration_s is None:
            return first, None
        return first, first + round(self.duration_s * sample_rate_hz)


EVERYTHING = Span()


class Decoder:
    """The decoding half of a codec; see `Codec` for the meaning of what it returns."""

    def __init__(self, model: Model, device: str) -> None:
        """Use an opened weight file; the network is loaded when it is first needed."""
        self.model, self.device = model, device

    def samples(
        self,
        header: Callable[[], Header],
        pieces: Pieces,
        sample_rate_hz: int,
        span: Span = EVERYTHING,
        pace: Pace = WHOLE,
    ) -> Blocks:
        """Yield the samples of a file, float32 [channel, sample], not clipped.

        Args:
            header: Returns the file's header, complete once all pieces have been taken.
            pieces: The file's chunks in order, with gaps where one is lost. No more of them are
                taken than the span needs.
            sample_rate_hz: Rate of the samples.
            span: What to decode.
            pace: How much at once.

        Raises:
            OutOfRangeError: the file ends before the span starts.
            CorruptError: a payload cannot be a coded stream.
        """
        first_header, config = header(), self.model.config
        n_channels, hop = first_header.n_channels, config.hop_length
        start, end = span.samples(sample_rate_hz)
        first_frame, last_frame = self._frames_around(span)
        window = _Window(pieces, first_frame, last_frame)

        def n_model_samples() -> int:
            n_covered = (window.end - first_frame) * hop
            whole = _n_samples_at(header(), config.sample_rate_hz)
            if whole is not None:
                n_covered = min(n_covered, whole - first_frame * hop)
            return max(0, n_covered)

        def n_wanted() -> int:
            known = n_samples_in(header(), sample_rate_hz, span)
            if known is None:
                assert end is not None, "all pieces were taken, and the header is not complete"
                return end - start
            return known

        waveform = self._waveform(window, first_header, pace)
        exact = fitted(
            dropped(waveform, (first_frame - window.start) * hop),
            n_channels, n_model_samples, held=hop,
        )  # fmt: skip
        out = sources.resampled(exact, n_channels, config.sample_rate_hz, sample_rate_hz)
        out = dropped(out, start - first_frame * sample_rate_hz // FRAME_RATE_HZ)
        if end is not None:
            out = limited(out, end - start)
        return fitted(out, n_channels, n_wanted, held=HELD_SAMPLES)

    def symbols(
        self, header: Header, chunks: Iterable[Chunk], pace: Pace = WHOLE
    ) -> Iterator[IntArray]:
        """Yield the symbols of every chunk, int32 [channel, D, frames].

        Raises:
            CorruptError: a payload cannot be a coded stream.
        """
        n_channels, remaining = header.n_channels, iter(chunks)
        while batch := list(islice(remaining, max(1, pace.n_payloads // n_channels))):
            payloads = [payload for chunk in batch for payload in chunk.payloads]
            lengths = [chunk.n_frames for chunk in batch for _ in chunk.payloads]
            decoded = self.model.prior.decode(payloads, lengths, header.step_index)
            for i in range(0, len(decoded), n_channels):
                yield np.stack(decoded[i : i + n_channels])

    def vetted(self, salvaged: Salvaged) -> Salvaged:
        """Return what was salvaged without chunks whose checksum fits by chance.

        Coding the symbols of a payload again gives the same bytes; bytes that were never coded
        give others, or are too few for symbols as unlikely as theirs.

        Raises:
            CorruptError: no chunk is left.
        """
        header = salvaged.header
        pieces: list[Chunk | Gap] = []
        for piece in salvaged.pieces:
            if isinstance(piece, Chunk) and not self._is_coded(header, piece):
                pieces.append(Gap(piece.n_frames))
            else:
                pieces.append(piece)
        if not any(isinstance(piece, Chunk) for piece in pieces):
            raise CorruptError("nothing can be salvaged: no whole chunk is left")
        return replace(salvaged, pieces=tuple(pieces))

    def _is_coded(self, header: Header, chunk: Chunk) -> bool:
        try:
            (symbols,) = self.symbols(header, [chunk])
        except CorruptError:
            return False
        prior, step_index = self.model.prior, header.step_index
        return all(
            prior.encode(channel, step_index) == payload
            and prior.ideal_bits(channel, step_index) <= 8 * len(payload) + LUCKY_BITS
            for channel, payload in zip(symbols, chunk.payloads, strict=True)
        )

    def _frames_around(self, span: Span) -> tuple[int, int | None]:
        """Return the frames that a span depends on; the first is at a whole second.

        Only there does a sample of every rate begin together with a frame.
        """
        margin = self.model.config.synthesis_context_frames + RESAMPLER_FRAMES
        first = max(0, int(span.start_s * FRAME_RATE_HZ) - margin)
        last = None
        if span.duration_s is not None:
            last = ceil((span.start_s + span.duration_s) * FRAME_RATE_HZ) + margin
        return first // FRAME_RATE_HZ * FRAME_RATE_HZ, last

    def _waveform(self, window: _Window, header: Header, pace: Pace) -> Blocks:
        """Yield samples at the model's rate, silence where a chunk is lost."""
        n_fade = round(FADE_S * self.model.config.sample_rate_hz)
        is_after_gap = False
        for is_gap, run_of_pieces in groupby(window, key=lambda piece: isinstance(piece, Gap)):
            if is_gap:
                n_frames = sum(piece.n_frames for piece in run_of_pieces)
                yield from zeros(header.n_channels, n_frames * self.model.config.hop_length)
            else:
                chunks = (piece for piece in run_of_pieces if isinstance(piece, Chunk))
                yield from faded(
                    self._synthesised(chunks, header, pace), n_fade,
                    at_start=is_after_gap, at_end=lambda: window.is_in_gap,
                )  # fmt: skip
            is_after_gap = is_gap

    def _synthesised(self, chunks: Iterator[Chunk], header: Header, pace: Pace) -> Blocks:
        """Run g_s over chunks in a row, and take the gain of each off again."""
        config = self.model.config
        step = quantize.steps(self.model.base_step, header.step_index, header.step_offsets)
        factors: deque[tuple[int, np.float32]] = deque()

        def noted() -> Iterator[Chunk]:
            for chunk in chunks:
                factor = np.float32(1.0) / linear_gain(chunk.gain_half_db)
                factors.append((chunk.n_frames * config.hop_length, factor))
                yield chunk

        plan = WindowPlan(
            core_frames=pace.core_frames,
            context_frames=config.synthesis_context_frames,
            n_in=1,
            n_out=config.hop_length,
        )
        y_hat = (quantize.to_latent(s, step) for s in self.symbols(header, noted(), pace))
        out = run_windowed(lambda y: run(self._synthesis, y, self.device), y_hat, plan)
        return scaled(out, factors)

    @cached_property
    def _synthesis(self) -> torch.nn.Module:
        return load_synthesis(self.model, self.device)


class _Window:
    """The pieces that some frames need, and where they lie."""

    def __init__(self, pieces: Pieces, first_frame: int, last_frame: int | None) -> None:
        """Pass over what lies before `first_frame`."""
        self._pieces, self._last_frame = iter(pieces), last_frame
        self.start = 0
        """Frame at which the first piece starts."""
        self.is_in_gap = False
        """Whether the piece taken last is a gap."""
        self._next = next(self._pieces, None)
        while self._next is not None and self.start + self._next.n_frames <= first_frame:
            self.start += self._next.n_frames
            self._next = next(self._pieces, None)
        self.end = self.start
        """Frame at which the pieces taken so far end."""

    def __iter__(self) -> Iterator[Chunk | Gap]:
        while self._next is not None:
            self.end += self._next.n_frames
            self.is_in_gap = isinstance(self._next, Gap)
            yield self._next
            if self._last_frame is not None and self.end >= self._last_frame:
                return
            self._next = next(self._pieces, None)


def n_samples_in(header: Header, sample_rate_hz: int, span: Span = EVERYTHING) -> int | None:
    """Return how many samples a span of a file has, or None where the file's end is not known.

    The whole of a file has exactly the original's number at the original's rate.

    Raises:
        OutOfRangeError: the file ends before the span starts.
    """
    start, end = span.samples(sample_rate_hz)
    whole = _n_samples_at(header, sample_rate_hz)
    if whole is None:
        return None
    last = whole if end is None else min(end, whole)
    if last <= start:
        raise OutOfRangeError(
            f"nothing is left at {span.start_s:g} s (it lasts {whole / sample_rate_hz:g} s)"
        )
    return last - start


def _n_samples_at(header: Header, sample_rate_hz: int) -> int | None:
    if header.n_samples is None:
        return None
    return -(-header.n_samples * sample_rate_hz // header.sample_rate_hz)
