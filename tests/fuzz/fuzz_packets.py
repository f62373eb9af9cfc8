"""Any packets, in any order, read at any pace: a decoder drops or plays them, and needs no memory.

usage: fuzz_packets.py [LIBFUZZER_OPTION...] [CORPUS_FOLDER...]

The data are steps: a kind, and what it needs. The networks are left out: they see numbers only.
"""

from __future__ import annotations

if __name__ == "__main__":
    from libfuzzer import fuzz

    fuzz("fuzz_packets")

from binascii import crc_hqx
from functools import cache
from io import BytesIO

import numpy as np
from fuzz_symbols import model as model_of_symbols

from hzc.errors import HzcError
from hzc.model.file import Model
from hzc.packets.decoder import PacketDecoder
from hzc.packets.order import MAX_JUMP
from hzc.packets.packet import MAX_FRAMES, POSITIONS, Key, Packet, pack, unpack

MAX_STEPS = 60
MAX_READY_FRAMES = 2 * MAX_JUMP + 6 * MAX_FRAMES
"""What one packet can make ready: a gap, and all that waited."""


@cache
def model() -> Model:
    """Return the small model, with steps."""
    file = model_of_symbols()
    vars(file)["base_step"] = np.ones(file.prior.n_latent, np.float32)
    return file


class Networks:
    """Give zeros for every latent."""

    def waveform(self, y: np.ndarray, step_index: int) -> np.ndarray:
        return np.zeros((1, y.shape[-1] * Key.of(model()).hop_length), np.float32)


def check(data: bytes) -> None:
    """Raise AssertionError, or whatever a decoder should not raise, if it is at fault."""
    stream, key = BytesIO(data), Key.of(model())
    patience = _number(stream, 1) % 4
    decoder = PacketDecoder(model(), Networks(), patience=patience)  # type: ignore[arg-type]
    n_pushed = n_taken = 0
    for _ in range(MAX_STEPS):
        kind = stream.read(1)
        if not kind:
            break
        if kind[0] % 4 == 3:
            n_samples = _number(stream, 2)
            assert len(decoder.read(n_samples)) == n_samples or decoder.is_ended
            continue
        packet = _packet(stream, kind[0] % 4, key)
        check_bytes(packet, key)
        n_pushed += 1
        n_taken += decoder.push(packet)
        assert len(decoder._order._waiting) <= patience + 1
        assert len(decoder.read()) <= MAX_READY_FRAMES * key.hop_length
    counts = decoder.counts
    assert n_taken == n_pushed - (
        counts.n_refused + counts.n_double + counts.n_late + counts.n_stray
    )
    decoder.finish()
    assert decoder.is_ended
    assert not decoder.push(pack(Packet(0), key))


def check_bytes(data: bytes, key: Key) -> None:
    try:
        packet = unpack(data, key)
    except HzcError:
        return
    assert pack(packet, key) == data


def _packet(stream: BytesIO, kind: int, key: Key) -> bytes:
    """Return any bytes; any with a right checksum; or a coded packet near the start."""
    if kind == 0:
        return stream.read(_number(stream, 1))
    if kind == 1:
        data = bytes([1 << 6 | key.model_id % 16 << 2 | _number(stream, 1) & 3])
        data += stream.read(4 + _number(stream, 1) % 64)
        return data + crc_hqx(data, key.crc_start).to_bytes(2, "big")
    position, n_frames = _number(stream, 2) % POSITIONS, _number(stream, 1) % 4
    return pack(Packet(position, n_frames, payload=_payload(n_frames)), key)


@cache
def _payload(n_frames: int) -> bytes:
    zeros = np.zeros((model().prior.n_latent, n_frames), np.int32)
    return model().prior.encode(zeros, 0) if n_frames else b""


def _number(stream: BytesIO, n_bytes: int) -> int:
    return int.from_bytes(stream.read(n_bytes), "big")
