"""One packet: a few frames and all that is needed to decode them; bytes only.

    packet = version, model, position, n_frames, step index, gain (5 bytes), payload, CRC-16

Specification: formats/packets-1.md. Only the standard library is imported here.
"""

from __future__ import annotations

from binascii import crc_hqx
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hzc.container import CRC_BYTES, MAX_SYMBOL_BYTES
from hzc.errors import CorruptError, LimitError, TruncatedError, UnknownModelError, VersionError

if TYPE_CHECKING:
    from hzc.model.file import Model

VERSION = 1
HEAD_BYTES = 5
OVERHEAD_BYTES = HEAD_BYTES + CRC_BYTES
"""Beside the payload."""
MIN_BYTES, MAX_BYTES = 32, 1400
"""What a sender may be told to stay within; no packet is longer."""
MAX_FRAMES = 63
POSITIONS = 1 << 14
"""Positions count frames modulo this: 34 minutes."""
MIN_STEP_INDEX, MAX_STEP_INDEX = -64, 63
MIN_GAIN_HALF_DB, MAX_GAIN_HALF_DB = -80, 47
MODELS = 16
"""Model ids that differ by a multiple of this look alike but for the checksum."""


@dataclass(frozen=True)
class Packet:
    """What one packet says."""

    position: int
    """Of its first frame: frames since the stream began, modulo 2^14."""
    n_frames: int = 0
    """0 … 63; a packet without frames is a mark: silence from here on, or the end."""
    step_index: int = 0
    """-64 … 63; of a mark 0."""
    gain_half_db: int = 0
    """-80 … 47; of a mark 0."""
    payload: bytes = b""
    trim: int | None = None
    """Of the end: samples at the model's rate that the last frame has too many; else None."""

    @property
    def is_mark(self) -> bool:
        """Whether it has no frames."""
        return self.n_frames == 0

    @property
    def is_end(self) -> bool:
        """Whether the stream ends with it."""
        return self.trim is not None


@dataclass(frozen=True)
class Key:
    """What sender and receiver must have in common: the model."""

    model_id: int
    """1 … 255."""
    fingerprint: int
    """Of its prior, 16 bits."""
    n_latent: int
    hop_length: int
    """Samples of a frame."""

    @classmethod
    def of(cls, model: Model) -> Key:
        """Return the key of a model's packets."""
        config = model.config
        return cls(model.model_id, model.prior.fingerprint, config.n_latent, config.hop_length)

    @property
    def crc_start(self) -> int:
        """The register that the checksum of every packet goes on from."""
        return crc_hqx(bytes([self.model_id]) + self.fingerprint.to_bytes(2, "big"), 0xFFFF)


def pack(packet: Packet, key: Key) -> bytes:
    """Return the bytes of a packet."""
    low = (packet.step_index - MIN_STEP_INDEX) << 7 | packet.gain_half_db - MIN_GAIN_HALF_DB
    if packet.is_mark:
        low = 0 if packet.trim is None else packet.trim + 1
    head = VERSION << 4 | key.model_id % MODELS
    head = (head << 14 | packet.position) << 20 | packet.n_frames << 14 | low
    data = head.to_bytes(HEAD_BYTES, "big") + packet.payload
    return data + crc_hqx(data, key.crc_start).to_bytes(CRC_BYTES, "big")


def unpack(data: bytes, key: Key) -> Packet:
    """Return what the bytes of a packet say; the form of the payload is not looked at.

    Raises:
        LimitError: the packet is longer than 1400 bytes, or a field is out of range.
        TruncatedError: it is shorter than 7 bytes.
        VersionError: it needs a newer hzc.
        UnknownModelError: it was made with another model.
        CorruptError: the checksum does not match, so that it is damaged or the models differ; or
            fields contradict each other.
    """
    if len(data) > MAX_BYTES:
        raise LimitError(f"packet of {len(data)} bytes (at most {MAX_BYTES} expected)")
    if len(data) < OVERHEAD_BYTES:
        raise TruncatedError(f"packet of {len(data)} bytes (at least {OVERHEAD_BYTES} expected)")
    head = int.from_bytes(data[:HEAD_BYTES], "big")
    version, model = head >> 38, head >> 34 & MODELS - 1
    if version != VERSION:
        raise VersionError(f"packet of version {version} (expected {VERSION})", hint="update hzc")
    if model != key.model_id % MODELS:
        raise UnknownModelError(
            f"packet of model {model} modulo {MODELS} (model {key.model_id} is in use)",
            hint="--model names another one",
        )
    if crc_hqx(data[:-CRC_BYTES], key.crc_start) != int.from_bytes(data[-CRC_BYTES:], "big"):
        raise CorruptError("packet damaged, or made with another model")
    position, n_frames, low = head >> 20 & POSITIONS - 1, head >> 14 & MAX_FRAMES, head & 0x3FFF
    payload = data[HEAD_BYTES:-CRC_BYTES]
    if n_frames == 0:
        if payload:
            raise CorruptError("packet with a payload but no frames")
        if low > key.hop_length:
            raise LimitError(f"end of {low - 1} samples too many (at most {key.hop_length - 1})")
        return Packet(position, trim=low - 1 if low else None)
    if len(payload) > n_frames * key.n_latent * MAX_SYMBOL_BYTES + 8:
        raise LimitError(f"payload of {len(payload)} bytes for {n_frames} frames")
    return Packet(
        position, n_frames, (low >> 7) + MIN_STEP_INDEX, (low & 0x7F) + MIN_GAIN_HALF_DB, payload
    )
