"""The page where model, quantiser, prior and container meet.

samples ── mix, gain, resample ── g_a ── y ── steps ── symbols ── prior ── payloads ── container
samples ── resample, gain ── g_s ── y_hat ── steps ── symbols ── prior ── payloads ── container
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from os import PathLike

import numpy as np
import numpy.typing as npt
import torch

from hzc import audio, container, quantize
from hzc.audio import Blocks, FloatArray, Source
from hzc.container import CHUNK_FRAMES, Chunk, Container, Header
from hzc.entropy import IntArray
from hzc.errors import DesyncError, LatentError, UnknownModelError, UnsupportedAudioError
from hzc.model.load import load_analysis, load_synthesis
from hzc.model.windows import WindowPlan, run_windowed
from hzc.modelfile import ModelFile, open_for_id, open_model

TARGET_LEVEL_DB = -26.0
"""Level (95th percentile of 20 ms frames) that recordings are brought to before analysis."""
MAX_GAIN_HALF_DB = 80
CORE_FRAMES = 3 * CHUNK_FRAMES
"""Frames that one window of a transform gives: 30 s."""
DECODE_CHUNKS = 64
"""Chunks whose symbols are decoded side by side."""


Progress = Callable[[float], None]


def _ignore(seconds: float) -> None:
    """Tell nobody about progress."""


@dataclass(frozen=True)
class Encoded:
    """An encoded recording and what is known about it beyond the file."""

    data: bytes
    """The .hzc file."""
    symbols: IntArray
    """What was coded, int32 [channel, D, F]."""
    kl_bits: float
    """KL divergence of the latent's posterior from the prior: hertz's information content."""


class Codec:
    """A model, ready to encode and decode.

    The networks are loaded when they are first needed.
    """

    def __init__(self, file: ModelFile, device: str = "cpu") -> None:
        """Use an opened weight file; see `load` for the usual way."""
        self.file, self.device = file, device

    @classmethod
    def load(cls, model: str | PathLike[str] | None = None, device: str = "cpu") -> Codec:
        """Return the codec of a registered model, or of a weight file.

        Args:
            model: Name, path of a .safetensors file, or None for the default model.
            device: Torch device, "cpu" or "cuda".

        Raises:
            UnknownModelError: no such name.
            WeightsError: the weights are missing or damaged.
        """
        return cls(open_model(model), device)

    @classmethod
    def for_model_id(
        cls, model_id: int, model: str | PathLike[str] | None = None, device: str = "cpu"
    ) -> Codec:
        """Return the codec that a file was made with.

        Args:
            model_id: The id in the file's header.
            model: Name or weight file that the user gives for it, or None to look the id up.
            device: Torch device.

        Raises:
            UnknownModelError: the id is not registered, or `model` has another one.
            WeightsError: the weights are missing or damaged.
        """
        return cls(open_for_id(model_id, model), device)

    def check(self, header: Header) -> None:
        """Raise unless this codec can decode what the header describes.

        Raises:
            UnknownModelError: the file names another model.
            DesyncError: the model has other tables than the file's encoder had.
        """
        if header.model_id != self.file.model_id:
            raise UnknownModelError(
                f"the file needs model {header.model_id}, not {self.file.name} "
                f"(model {self.file.model_id})"
            )
        self.file.check(header)

    # ------------------------------------------------------------------ encoding

    def encode(
        self,
        samples: npt.ArrayLike,
        sample_rate_hz: int,
        *,
        step_index: int | None = None,
        keep_channels: bool = False,
    ) -> bytes:
        """Return the bytes of a .hzc file.

        Args:
            samples: Float [sample] or [channel, sample], full scale ±1, any level.
            sample_rate_hz: 1000 … 768000.
            step_index: Coarseness, -64 … 64, eight to an octave of the step; None for the model's
                default, which aims at 1 kbit/s.
            keep_channels: Code every channel, instead of their mean.

        Raises:
            UnsupportedAudioError: no samples, NaN or infinity, too many channels, or the rate.
            ValueError: the step index is out of range.
        """
        if step_index is not None and abs(step_index) > container.MAX_STEP_INDEX:
            raise ValueError(f"step index {step_index} is outside ±{container.MAX_STEP_INDEX}")
        source = audio.array_source(samples, int(sample_rate_hz))
        return self.encode_source(source, step_index=step_index, keep_channels=keep_channels).data

    def encode_source(
        self,
        source: Source,
        *,
        step_index: int | None = None,
        keep_channels: bool = False,
        progress: Progress = _ignore,
    ) -> Encoded:
        """Return the encoding of a source; its samples are never all in memory.

        Args:
            source: Audio of any length.
            step_index: As `encode`.
            keep_channels: As `encode`.
            progress: Told the seconds of audio done since it was last called.

        Raises:
            UnsupportedAudioError: as `encode`.
        """
        _check_geometry(source, keep_channels)
        source = source if keep_channels else audio.mixed(source)
        header = self._header(source, step_index)
        step = quantize.steps(self.file.base_step, header.step_index)
        chunks: list[Chunk] = []
        # One array from the start: a small one kept from every chunk would lie between the large
        # ones that come and go, and the C library's heap would grow by 2 MB each time.
        shape = (header.n_channels, header.n_latent, header.n_frames or 0)
        coded: IntArray = np.empty(shape, dtype=np.int32)
        kl_bits = 0.0
        for y in _rechunked(self._latent_blocks(source, header), CHUNK_FRAMES):
            start = len(chunks) * CHUNK_FRAMES
            symbols = coded[:, :, start : start + y.shape[-1]]
            symbols[...] = quantize.to_symbols(y, step)
            payloads = [self.file.prior.encode(s, header.step_index) for s in symbols]
            chunks.append(Chunk(y.shape[-1], tuple(payloads)))
            kl_bits += sum(
                self._kl_bits(latent / step[:, None], s, header.step_index)
                for latent, s in zip(y, symbols, strict=True)
            )
            progress(y.shape[-1] / container.FRAME_RATE_HZ)
        return Encoded(container.pack(header, chunks), coded, kl_bits)

    def verify(self, encoded: Encoded) -> None:
        """Decode what was encoded.

        Raises:
            DesyncError: other symbols came back than went in.
        """
        if not np.array_equal(self.symbols(encoded.data), encoded.symbols):
            raise DesyncError("verification failed: other symbols came back than were coded")

    def latents(self, samples: npt.ArrayLike, sample_rate_hz: int) -> FloatArray:
        """Return the latent's means before quantisation, float32 [channel, D, F].

        Divide by `codec.file.base_step[:, None]` for the scale that the quantiser rounds at.

        Raises:
            UnsupportedAudioError: as `encode`.
        """
        source = audio.array_source(samples, sample_rate_hz)
        _check_geometry(source, keep_channels=True)
        blocks = self._latent_blocks(source, self._header(source, None))
        return np.concatenate(list(blocks), axis=-1)

    def _header(self, source: Source, step_index: int | None) -> Header:
        found = audio.survey(source)
        n_frames = container.n_frames_for(found.n_samples, source.sample_rate_hz)
        if n_frames > container.MAX_FRAMES:
            raise UnsupportedAudioError(f"{found.n_samples} samples are more than a file can hold")
        gain_half_db = 0
        if found.level_db > audio.SILENCE_DB:
            wanted = round(2.0 * (TARGET_LEVEL_DB - found.level_db))
            gain_half_db = max(-MAX_GAIN_HALF_DB, min(MAX_GAIN_HALF_DB, wanted))
        return Header(
            model_id=self.file.model_id,
            fingerprint=self.file.prior.fingerprint,
            n_latent=self.file.config.n_latent,
            n_frames=n_frames,
            n_samples=found.n_samples,
            sample_rate_hz=source.sample_rate_hz,
            n_channels=source.n_channels,
            step_index=self.file.default_step_index if step_index is None else step_index,
            gain_half_db=gain_half_db,
        )

    def _latent_blocks(self, source: Source, header: Header) -> Blocks:
        """Yield the latent of a source, float32 [channel, D, frames]."""
        config = self.file.config
        assert header.n_frames is not None
        gain = np.float32(_gain(header))
        blocks = audio.resampled(
            source.blocks(), source.n_channels, source.sample_rate_hz, config.sample_rate_hz
        )
        loud = (block * gain for block in blocks)
        whole = audio.fitted(loud, source.n_channels, header.n_frames * config.hop_length)
        plan = WindowPlan(
            core_frames=CORE_FRAMES,
            context_frames=config.analysis_context_frames,
            n_in=config.hop_length,
            n_out=1,
        )
        return run_windowed(self._analyse, whole, plan)

    def _kl_bits(self, scaled: FloatArray, symbols: IntArray, step_index: int) -> float:
        """KL(N(y, step² / 12) || prior) in bits, for y in steps, float32 [D, F].

        The prior's density is the mixture of Gaussians that its tables discretise; the expectation
        is taken by Gauss–Hermite quadrature.
        """
        mean, scale_index = self.file.prior.gaussians(symbols, step_index)
        scales, weights = (part[scale_index] for part in self.file.mixtures)  # [D, F, width]
        sigma = 1.0 / sqrt(12.0)
        nats = np.full(scaled.shape, -0.5 - np.log(sigma))
        for node, share in zip(*np.polynomial.hermite_e.hermegauss(9), strict=True):
            z = ((scaled + sigma * node - mean)[:, :, None] / scales).astype(np.float64)
            density = (weights / scales * np.exp(-0.5 * z**2)).sum(axis=-1)
            nats -= share / sqrt(2.0 * np.pi) * np.log(density + 1e-30)
        return float(nats.sum() / np.log(2.0))

    @cached_property
    def _analysis(self) -> torch.nn.Module:
        return load_analysis(self.file, self.device)

    def _analyse(self, x: FloatArray) -> FloatArray:
        """Run g_a: float32 [channel, sample] to [channel, D, F]."""
        return self._run(self._analysis, x)

    # ------------------------------------------------------------------ decoding

    def decode(self, data: bytes, sample_rate_hz: int | None = None) -> tuple[FloatArray, int]:
        """Return the samples in a .hzc file, and their rate.

        Args:
            data: A whole file.
            sample_rate_hz: Rate to return; None for the model's 16 kHz.

        Returns:
            samples: float32 [sample] for one channel, else [channel, sample]; not clipped.
            sample_rate_hz: Their rate.

        Raises:
            FormatError: the bytes are not a whole, undamaged .hzc file.
            UnknownModelError: another model is needed.
            DesyncError: the model has other tables than the encoder had.
        """
        parsed = container.unpack(data)
        self.check(parsed.header)
        rate = sample_rate_hz or self.file.config.sample_rate_hz
        samples = audio.joined(self.decode_blocks(parsed, rate))
        return (samples[0] if len(samples) == 1 else samples), rate

    def decode_blocks(self, parsed: Container, sample_rate_hz: int) -> Blocks:
        """Yield the samples of a parsed file, float32 [channel, sample], `n_samples_at` in all."""
        header, config = parsed.header, self.file.config
        step = quantize.steps(self.file.base_step, header.step_index, header.step_offsets)
        y_hat = (quantize.to_latent(s, step) for s in self._symbol_blocks(parsed))
        plan = WindowPlan(
            core_frames=CORE_FRAMES,
            context_frames=config.synthesis_context_frames,
            n_in=1,
            n_out=config.hop_length,
        )
        gain = np.float32(1.0 / _gain(header))
        blocks = (block * gain for block in run_windowed(self._synthesise, y_hat, plan))
        n_samples = n_samples_at(header, config.sample_rate_hz)
        exact = audio.fitted(blocks, header.n_channels, n_samples)
        other = audio.resampled(exact, header.n_channels, config.sample_rate_hz, sample_rate_hz)
        return audio.fitted(other, header.n_channels, n_samples_at(header, sample_rate_hz))

    def symbols(self, data: bytes) -> IntArray:
        """Return the coded integers of a .hzc file, int32 [channel, D, F]; the same everywhere.

        Raises:
            FormatError: the bytes are not a whole, undamaged .hzc file.
            UnknownModelError: another model is needed.
            DesyncError: the model has other tables than the encoder had.
        """
        parsed = container.unpack(data)
        self.check(parsed.header)
        return np.concatenate(list(self._symbol_blocks(parsed)), axis=-1)

    def _symbol_blocks(self, parsed: Container) -> Iterator[IntArray]:
        """Yield int32 [channel, D, frames] for a few chunks at a time."""
        step_index, n_channels = parsed.header.step_index, parsed.header.n_channels
        per_block = max(1, DECODE_CHUNKS // n_channels)
        for start in range(0, len(parsed.chunks), per_block):
            chunks = parsed.chunks[start : start + per_block]
            payloads = [payload for chunk in chunks for payload in chunk.payloads]
            lengths = [chunk.n_frames for chunk in chunks for _ in chunk.payloads]
            decoded = self.file.prior.decode(payloads, lengths, step_index)
            yield np.stack(
                [np.concatenate(decoded[c::n_channels], axis=1) for c in range(n_channels)]
            )

    @cached_property
    def _synthesis(self) -> torch.nn.Module:
        return load_synthesis(self.file, self.device)

    def _synthesise(self, y_hat: FloatArray) -> FloatArray:
        """Run g_s: float32 [channel, D, F] to [channel, sample]."""
        return self._run(self._synthesis, y_hat)

    def _run(self, network: torch.nn.Module, x: FloatArray) -> FloatArray:
        """Run a transform on float32 [channel, …]."""
        with torch.inference_mode():
            out: torch.Tensor = network(torch.from_numpy(np.ascontiguousarray(x)).to(self.device))
        result: FloatArray = out.cpu().numpy()
        if not np.isfinite(result).all():
            raise LatentError("the network gave a value that is not finite")
        return result


def n_samples_at(header: Header, sample_rate_hz: int) -> int:
    """Return how many samples a file gives at a rate: exactly the original's at its own rate."""
    assert header.n_samples is not None
    return -(-header.n_samples * sample_rate_hz // header.sample_rate_hz)


def _gain(header: Header) -> float:
    return float(10.0 ** (header.gain_half_db / 40.0))


def _check_geometry(source: Source, keep_channels: bool) -> None:
    """Raise UnsupportedAudioError where the header could not describe the source."""
    if keep_channels and source.n_channels > container.MAX_CHANNELS:
        raise UnsupportedAudioError(
            f"{source.n_channels} channels (at most {container.MAX_CHANNELS} can be kept)",
            hint="mix them down",
        )
    low, high = container.MIN_SAMPLE_RATE_HZ, container.MAX_SAMPLE_RATE_HZ
    if not low <= source.sample_rate_hz <= high:
        raise UnsupportedAudioError(f"sample rate {source.sample_rate_hz} Hz ({low} to {high})")


def _rechunked(blocks: Blocks, n_frames: int) -> Blocks:
    """Yield the same columns in blocks of n_frames, the last one shorter."""
    held: FloatArray | None = None
    for block in blocks:
        held = block if held is None else np.concatenate([held, block], axis=-1)
        while held.shape[-1] >= n_frames:
            yield held[..., :n_frames]
            held = held[..., n_frames:]
    if held is not None and held.shape[-1]:
        yield held
