"""Packets for formats/vectors-packets.json: as a sender makes them, odd but legal, and faulty.

Bytes are made from formats/packets-1.md and not by hzc.packets, so that each tests the other.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from good_files import RATE_HZ, speech

from hzc.codec import Codec
from hzc.coding.entropy import MAX_VALUE, MIN_VALUE, IntArray
from hzc.errors import CorruptError
from hzc.model.file import Model

CLASSES = {
    "K1": "Limit", "K2": "Truncated", "K3": "Version", "K4": "UnknownModel", "K5": "Corrupt",
    "K6": "Corrupt", "K7": "Limit", "K8": "Limit", "K9": "Corrupt",
}  # fmt: skip
"""Class of every check of section 6."""


@dataclass(frozen=True)
class RawPacket:
    """Section 2; nothing is checked."""

    model_id: int
    fingerprint: int
    position: int = 0
    n_frames: int = 0
    step: int = 0
    gain: int = 0
    payload: bytes = b""
    version: int = 1
    crc_error: int = 0

    def packed(self) -> bytes:
        fields = ((self.version, 2), (self.model_id % 16, 4), (self.position, 14),
                  (self.n_frames, 6), (self.step, 7), (self.gain, 7))  # fmt: skip
        bits = "".join(f"{value:0{n_bits}b}" for value, n_bits in fields)
        data = int(bits, 2).to_bytes(5, "big") + self.payload
        start = crc_hqx(bytes([self.model_id, *self.fingerprint.to_bytes(2, "big")]), 0xFFFF)
        return data + (crc_hqx(data, start) ^ self.crc_error).to_bytes(2, "big")

    def ended(self, end: int, **changes: object) -> RawPacket:
        """Return a mark: its step and gain are one field."""
        return replace(self, n_frames=0, step=end >> 7, gain=end & 0x7F, **changes)


@dataclass(frozen=True)
class Vector:
    """One packet; check is empty for one that is legal."""

    name: str
    purpose: str
    data: bytes
    check: str = ""


class Maker:
    """Makes packets of one model, right but for what it is told."""

    def __init__(self, model: Model) -> None:
        self.prior, self.hop = model.prior, model.config.hop_length
        self.plain = RawPacket(model.model_id, model.prior.fingerprint)

    def symbols(self, n_frames: int, size: int = 1, seed: int = 0) -> IntArray:
        shape = (self.prior.n_latent, n_frames)
        return np.random.default_rng(seed).integers(-size, size + 1, shape).astype(np.int32)

    def frames(self, symbols: IntArray, step_index: int = 0, **changes: object) -> RawPacket:
        """Return a packet of symbols."""
        payload = self.prior.encode(symbols, step_index)
        n_frames = symbols.shape[1]
        return replace(
            self.plain, n_frames=n_frames, step=step_index + 64, gain=80, payload=payload, **changes
        )  # type: ignore[arg-type]

    def undecodable(self) -> bytes:
        """Return a payload of one frame that no symbols have."""
        rng = np.random.default_rng(0)
        while True:
            payload = bytes([*rng.bytes(30), 1])
            try:
                self.prior.decode([payload], [1], 0)
            except CorruptError:
                return payload


def streams(codec: Codec) -> dict[str, list[bytes]]:
    """Return all packets of some recordings, by what is special about them."""
    clip = speech()
    pause = np.concatenate([clip[:32_000], np.zeros(100_000, np.float32), clip[32_000:60_001]])
    return {
        "speech, packets of at most 240 bytes": list(codec.packets([clip], RATE_HZ)),
        "packets of at most 32 bytes: frames coarser than asked for": list(
            codec.packets([clip[:24_000]], RATE_HZ, max_bytes=32, step_index=-24)
        ),
        "a pause of more than six seconds": list(codec.packets([pause], RATE_HZ, max_frames=8)),
    }


def good(model: Model) -> Iterator[Vector]:
    """Yield legal packets."""
    make = Maker(model)
    plain, one = make.plain, make.frames(make.symbols(1))

    def vector(name: str, purpose: str, packet: RawPacket) -> Vector:
        return Vector(name, purpose, packet.packed())

    yield vector("frame", "one frame of small symbols", one)
    yield vector("last-position", "position 16383", replace(one, position=16383))
    lowest, highest = ((make.symbols(2, seed=1), step) for step in (-64, 63))
    yield vector("lowest", "least step index and gain", replace(make.frames(*lowest), gain=0))
    yield vector("highest", "greatest ones", replace(make.frames(*highest), gain=127))
    zeros = np.zeros((make.prior.n_latent, 63), np.int32)
    yield vector("most-frames", "63 frames", make.frames(zeros))
    extreme = make.symbols(2, seed=2)
    extreme[::5, 0], extreme[1::5, 1] = MIN_VALUE, MAX_VALUE
    yield vector("escapes", "escaped symbols at both ends of their range", make.frames(extreme))
    yield vector("largest", "1400 bytes", largest(make))
    yield vector("pause", "pause mark", plain.ended(0, position=77))
    yield vector("end", "end mark, whole last frame", plain.ended(1, position=3))
    yield vector(
        "end-trim", "end mark, one sample of the last frame", plain.ended(make.hop, position=1)
    )
    yield vector("end-of-nothing", "a stream without a sample", plain.ended(1))


def largest(make: Maker) -> RawPacket:
    """Return a packet of exactly 1400 bytes."""
    for seed in range(1000):
        packet = make.frames(make.symbols(23, size=900, seed=seed))
        while len(packet.payload) > 1393:
            n_frames = packet.n_frames - 1
            packet = make.frames(make.symbols(23, size=900, seed=seed)[:, :n_frames])
        if len(packet.payload) == 1393:
            return packet
    raise RuntimeError("no payload of 1393 bytes was found")


def faulty(model: Model) -> Iterator[Vector]:
    """Yield packets that break one rule each; everything else about them is right."""
    make = Maker(model)
    plain, one = make.plain, make.frames(make.symbols(1))
    long = replace(one, n_frames=63, payload=bytes(range(1, 256)) * 6)

    def vector(name: str, check: str, purpose: str, packet: RawPacket | bytes) -> Vector:
        data = packet if isinstance(packet, bytes) else packet.packed()
        return Vector(name, purpose, data, check)

    too_long = replace(long, payload=long.payload[:1394])
    yield vector("too-long", "K1", "1401 bytes", too_long)
    yield vector("empty", "K2", "no bytes", b"")
    yield vector("cut-mark", "K2", "six bytes", plain.ended(0).packed()[:6])
    for version in (0, 2, 3):
        packet = replace(one, version=version)
        yield vector(f"version-{version}", "K3", "another version", packet)
    other = replace(one, model_id=one.model_id + 1)
    yield vector("other-model", "K4", "the next model id", other)
    alike = replace(one, model_id=one.model_id + 16)
    yield vector("alike-model", "K5", "a model id with the same low bits", alike)
    stranger = replace(one, fingerprint=one.fingerprint ^ 1)
    yield vector("other-fingerprint", "K5", "another prior", stranger)
    yield vector("crc", "K5", "one bit of the CRC", replace(one, crc_error=1))
    damaged = bytearray(one.packed())
    damaged[7] ^= 0x10
    yield vector("damaged", "K5", "one bit of the payload", bytes(damaged))
    yield vector("cut", "K5", "the last byte is missing", one.packed()[:-1])
    yield vector("longer", "K5", "a zero byte follows", one.packed() + b"\0")
    yield vector("mark-payload", "K6", "a mark with a payload", plain.ended(0, payload=b"\1"))
    yield vector("end-too-far", "K7", "a whole frame too many", plain.ended(make.hop + 1))
    yield vector("end-largest", "K7", "all bits of end", plain.ended(0x3FFF))
    heavy = replace(one, payload=bytes(make.prior.n_latent * 5 + 8) + b"\1")
    yield vector("payload-too-long", "K8", "more bytes than one frame can need", heavy)
    nothing = replace(one, payload=make.undecodable())
    yield vector("not-coded", "K9", "a payload that no symbols have", nothing)
    padded = replace(one, payload=one.payload + b"\1")
    yield vector("not-shortest", "K9", "a byte after the payload", padded)
    zero = replace(one, payload=one.payload + b"\0")
    yield vector("zero-behind", "K9", "a zero byte after the payload", zero)
