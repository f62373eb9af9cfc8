"""How a file is to be encoded or decoded."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real

from hzc.errors import ArgumentError

DECODED_RATE_HZ = 16_000
"""Sample rate of decoded audio unless another one is asked for."""
MIN_KBPS, MAX_KBPS = 0.4, 4.0
"""What may be asked for, of file bytes."""


@dataclass(frozen=True)
class Target:
    """What a file is to cost."""

    kbps: float | None = None
    """8 × file bytes / seconds / 1000: at most this, and no more than 2 % less."""
    max_bytes: int | None = None
    """Bytes that the file never exceeds, whatever else is asked for."""

    def __post_init__(self) -> None:
        """Refuse what is no rate and no size.

        Raises:
            ArgumentError: the rate is outside 0.4 … 4, or the size no whole number above 0.
        """
        kbps, max_bytes = self.kbps, self.max_bytes
        if kbps is not None and not (isinstance(kbps, Real) and MIN_KBPS <= kbps <= MAX_KBPS):
            raise ArgumentError(f"rate {kbps!r} kbps ({MIN_KBPS} to {MAX_KBPS} expected)")
        if max_bytes is not None and not (isinstance(max_bytes, Integral) and max_bytes >= 1):
            raise ArgumentError(f"max_bytes {max_bytes!r} (a whole number above 0 expected)")

    @property
    def is_given(self) -> bool:
        """Whether anything is asked for."""
        return self.kbps is not None or self.max_bytes is not None


@dataclass(frozen=True)
class RawLayout:
    """How headerless audio is laid out: signed 16-bit little-endian, channels interleaved."""

    sample_rate_hz: int
    n_channels: int = 1


@dataclass(frozen=True, kw_only=True)
class Options:
    """What encoding and decoding have in common."""

    model: str | None = None
    """Registered name or path of a .safetensors file; None for the default, or the file's own."""
    device: str = "cpu"
    """"cpu" or "cuda"."""
    backend: str | None = None
    """"onnx" or "torch"; None for ONNX Runtime on the processor where it is installed."""
    force: bool = False
    """Replace a target that exists."""
    skip_existing: bool = False
    """Leave a target that exists alone; the outcome says `is_skipped`."""
    preserve: bool = True
    """Give the target the source's modification time, or the mode of the file it replaces."""


@dataclass(frozen=True, kw_only=True)
class EncodeOptions(Options):
    """How to encode a file."""

    channels: str | int = "mix"
    """"mix" codes the mean, "keep" every channel, a number that channel alone, from 1."""
    step_index: int | None = None
    """Coarseness, -64 … 64, eight to an octave of the step; None for the model's default."""
    kbps: float | None = None
    """Rate to come up to, of file bytes, 0.4 … 4; None for the quality of the step index."""
    max_bytes: int | None = None
    """Most bytes that the file may have; it is coded more coarsely where it would have more."""
    effort: int = 0
    """How long to search for a latent that sounds better, 0 … 2."""
    verify: bool = False
    """Decode all symbols again and compare."""
    raw: RawLayout | None = None
    """Layout of headerless audio; None for files that have a header."""
    strict: bool = False
    """Refuse a recording that is incomplete, which otherwise gives a warning."""

    @property
    def target(self) -> Target:
        """What the file is to cost.

        Raises:
            ArgumentError: see `Target`.
        """
        return Target(self.kbps, self.max_bytes)


@dataclass(frozen=True, kw_only=True)
class DecodeOptions(Options):
    """How to decode a file."""

    sample_rate_hz: int | None = DECODED_RATE_HZ
    """Rate of the target, 1000 … 768000; None for the original's."""
    start_s: float = 0.0
    """Where to start, >= 0."""
    duration_s: float | None = None
    """How much to decode, > 0; None for all that follows."""
    salvage: bool = False
    """Decode what is left of a damaged file, with silence where parts are lost."""
