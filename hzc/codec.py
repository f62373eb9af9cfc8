"""The page where encoder and decoder of one model meet: the Python interface.

The pipeline is in `hzc.encoder` and `hzc.decoder`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from os import PathLike

import numpy.typing as npt

from hzc import container
from hzc.audio import sources
from hzc.blocks import FloatArray, joined
from hzc.coding.entropy import IntArray
from hzc.container import AnyHeader, Container
from hzc.decoder import Decoder, Span, n_samples_in
from hzc.encoder import Encoder
from hzc.errors import ArgumentError, UnknownModelError
from hzc.model.backend import Networks
from hzc.model.file import Model, open_for_id, open_model
from hzc.options import Target
from hzc.packets.decoder import DEFAULT_PATIENCE, PacketDecoder
from hzc.packets.encoder import DEFAULT_BYTES, DEFAULT_FRAMES, PacketEncoder


class Codec:
    """A model, ready to encode and decode.

    The networks are loaded when they are first needed.
    """

    def __init__(self, model: Model, device: str = "cpu", backend: str | None = None) -> None:
        """Use an opened weight file; see `load` for the usual way."""
        self.model, self.device, self.backend = model, device, backend

    @classmethod
    def load(
        cls,
        model: str | PathLike[str] | None = None,
        device: str = "cpu",
        backend: str | None = None,
    ) -> Codec:
        """Return the codec of a registered model, or of a weight file.

        Args:
            model: Name, path of a .safetensors file, or None for the default model.
            device: "cpu" or "cuda".
            backend: "onnx" or "torch"; None chooses, see `hzc.model.backend.open_backend`.

        Raises:
            UnknownModelError: no such name.
            WeightsError: the weights are missing or damaged.
        """
        return cls(open_model(model), device, backend)

    @classmethod
    def for_model_id(
        cls,
        model_id: int,
        model: str | PathLike[str] | None = None,
        device: str = "cpu",
        backend: str | None = None,
    ) -> Codec:
        """Return the codec that a file was made with.

        Args:
            model_id: The id in the file's header.
            model: Name or weight file that the user gives for it, or None to look the id up.
            device: As `load`.
            backend: As `load`.

        Raises:
            UnknownModelError: the id is not registered, or `model` has another one.
            WeightsError: the weights are missing or damaged.
        """
        return cls(open_for_id(model_id, model), device, backend)

    @cached_property
    def encoder(self) -> Encoder:
        """The encoding half, for sources and streams."""
        return Encoder(self.model, self.device, self.backend)

    @cached_property
    def decoder(self) -> Decoder:
        """The decoding half, for streams and for what is left of damaged files."""
        return Decoder(self.model, self.device, self.backend)

    def check(self, header: AnyHeader) -> None:
        """Raise unless this codec can decode what the header describes.

        Raises:
            UnknownModelError: the file names another model.
            DesyncError: the model has other tables than the file's encoder had.
        """
        if header.model_id != self.model.model_id:
            raise UnknownModelError(
                f"the file needs model {header.model_id}, not {self.model.name} "
                f"(model {self.model.model_id})"
            )
        self.model.check(header)

    def encode(
        self,
        samples: npt.ArrayLike,
        sample_rate_hz: int,
        *,
        step_index: int | None = None,
        kbps: float | None = None,
        max_bytes: int | None = None,
        effort: int = 0,
        channels: str | int = "mix",
    ) -> bytes:
        """Return the bytes of a .hzc file.

        Args:
            samples: [sample] or [channel, sample], any level. Floats have full scale ±1, integers
                are scaled by the range of their type. Lists, numpy arrays and torch tensors.
            sample_rate_hz: 1000 … 768000.
            step_index: Coarseness, -64 … 64, eight to an octave of the step; None for the model's
                default, which aims at 1 kbit/s.
            kbps: Rate to come up to instead, 0.4 … 4, of all bytes returned: at most this, and
                less than 2 % below it for 10 s and more.
            max_bytes: Most bytes to return; what needs more is coded more coarsely.
            effort: 0 … 2: how long to search for a latent that sounds closer to the samples, at
                no more bits. Above 0 needs torch; the result is the same on the same machine.
            channels: "mix" codes the mean, "keep" every channel, a number that channel, from 1.

        Raises:
            UnsupportedAudioError: no numbers, no samples, NaN or infinity, too many channels, no
                such channel, or the rate.
            ArgumentError: a step index, a rate, a size or an effort out of range, a step index and
                a rate together, or other channels.
            RateError: the rate or the size is out of reach.
            ModelError: a search without torch.
        """
        source, target = sources.array_source(samples, sample_rate_hz), Target(kbps, max_bytes)
        encoded = self.encoder.encode(
            source, step_index=step_index, target=target, effort=effort, channels=channels
        )
        return encoded.data

    def latents(self, samples: npt.ArrayLike, sample_rate_hz: int) -> FloatArray:
        """Return the latent's means before quantisation, float32 [channel, D, F].

        Channels are not mixed. Divide by `codec.model.base_step[:, None]` for the scale that the
        quantiser rounds at.

        Raises:
            UnsupportedAudioError: as `encode`.
        """
        return self.encoder.latents(sources.array_source(samples, sample_rate_hz)).y

    def decode(
        self,
        data: bytes,
        sample_rate_hz: int | None = None,
        *,
        start_s: float = 0.0,
        duration_s: float | None = None,
    ) -> tuple[FloatArray, int]:
        """Return the samples in a .hzc file, and their rate.

        Args:
            data: A whole file.
            sample_rate_hz: Rate to return, 1000 … 768000; None for the model's 16 kHz.
            start_s: Where to start, >= 0; only what is needed is decoded.
            duration_s: How much to return, > 0; None for all that follows.

        Returns:
            samples: float32 [sample] for one channel, else [channel, sample]; not clipped.
            sample_rate_hz: Their rate.

        Raises:
            FormatError: the bytes are not a whole, undamaged .hzc file.
            UnknownModelError: another model is needed.
            DesyncError: the model has other tables than the encoder had.
            OutOfRangeError: the file ends before `start_s`.
            ArgumentError: the data are no bytes, or a rate or a time is out of range.
        """
        if sample_rate_hz is None:
            sample_rate_hz = self.model.config.sample_rate_hz
        span, parsed = Span(start_s, duration_s), self._unpacked(data)
        n_samples_in(parsed.header, sample_rate_hz, span)
        sample_rate_hz = int(sample_rate_hz)
        samples = joined(self.decoder.samples(parsed, sample_rate_hz, span))
        return (samples[0] if len(samples) == 1 else samples), sample_rate_hz

    def symbols(self, data: bytes) -> IntArray:
        """Return the coded integers of a .hzc file, int32 [channel, D, F]; the same everywhere.

        Raises:
            FormatError: the bytes are not a whole, undamaged .hzc file.
            UnknownModelError: another model is needed.
            DesyncError: the model has other tables than the encoder had.
            ArgumentError: the data are no bytes.
        """
        return self.decoder.symbols(self._unpacked(data))

    def packets(
        self,
        blocks: Iterable[npt.ArrayLike],
        sample_rate_hz: int,
        *,
        max_bytes: int = DEFAULT_BYTES,
        max_frames: int = DEFAULT_FRAMES,
        step_index: int | None = None,
    ) -> Iterator[bytes]:
        """Yield packets that decode alone while a live source goes on; memory is bounded.

        Args:
            blocks: Samples in the order of time, each block as `encode` takes them. Channels are
                mixed. There may be no end of them.
            sample_rate_hz: 1000 … 768000.
            max_bytes: Of a packet, 32 … 1400.
            max_frames: Of a packet, 1 … 63, eight to a second: fewer are sooner at the listener.
            step_index: Coarseness, -64 … 63; None for the model's default.

        Raises:
            UnsupportedAudioError: a block is no audio, or the rate is out of range.
            ArgumentError: another number is out of range.
        """
        encoder = self.packet_encoder(
            sample_rate_hz, max_bytes=max_bytes, max_frames=max_frames, step_index=step_index
        )
        for block in blocks:
            source = sources.mixed(sources.array_source(block, sample_rate_hz))
            for samples in sources.checked(source.blocks(), sample_rate_hz):
                yield from encoder.push(samples)
        yield from encoder.finish()

    def packet_encoder(
        self,
        sample_rate_hz: int,
        *,
        max_bytes: int = DEFAULT_BYTES,
        max_frames: int = DEFAULT_FRAMES,
        step_index: int | None = None,
    ) -> PacketEncoder:
        """Return what `packets` is made of, for one stream."""
        return PacketEncoder(
            self.model, self._packet_networks, sample_rate_hz,
            max_bytes=max_bytes, max_frames=max_frames, step_index=step_index,
        )  # fmt: skip

    def packet_decoder(
        self, sample_rate_hz: int | None = None, *, patience: int = DEFAULT_PATIENCE
    ) -> PacketDecoder:
        """Return what plays the packets of one stream; see `PacketDecoder`."""
        return PacketDecoder(self.model, self._packet_networks, sample_rate_hz, patience=patience)

    @cached_property
    def _packet_networks(self) -> Networks:
        return Networks(self.model, self.device, self.backend)

    def _unpacked(self, data: bytes) -> Container:
        """Return a file that this codec can decode."""
        try:
            parsed = container.unpack(bytes(memoryview(data)))
        except TypeError as error:
            raise ArgumentError(f"data are a {type(data).__name__} (bytes expected)") from error
        self.check(parsed.header)
        return parsed
