"""Packets of formats/vectors-packets.json: hzc and the second decoder say the same of each."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from second_decoder import packets
from second_decoder.errors import FileError
from second_decoder.prior import Prior as SecondPrior
from second_decoder.weights import read_weights

import hzc
from hzc.errors import HzcError
from hzc.model import registry
from hzc.packets.decoder import symbols_of
from hzc.packets.packet import Key, pack, unpack

FORMATS = Path(__file__).resolve().parents[2] / "formats"
VECTORS = json.loads((FORMATS / "vectors-packets.json").read_text(encoding="utf-8"))
ALL = [bytes.fromhex(one["hex"]) for one in [*VECTORS["good"], *VECTORS["faulty"]]]
CHECKS = dict(
    re.findall(
        r"^\| (K\d) \|.*\| (\w+) \|$", (FORMATS / "packets-1.md").read_text("utf-8"), re.MULTILINE
    )
)
"""Class of every check of section 6."""


@pytest.fixture(scope="module")
def codec():
    return hzc.load()


@cache
def second_prior() -> SecondPrior:
    return SecondPrior(read_weights(registry.find_name(registry.default_name()).path.read_bytes()))


def digest(frames: list[list[int]]) -> str:
    """Return the hash of symbols [frame][dimension]."""
    return hashlib.sha256(np.array(frames, ">i4").T.tobytes()).hexdigest()


def verdict_of_hzc(data: bytes, model) -> tuple[object, ...]:
    try:
        packet = unpack(data, Key.of(model))
        symbols = symbols_of(packet, model)
    except HzcError as error:
        return (type(error).__name__.removesuffix("Error"),)
    frames = digest(symbols.T.tolist())
    return packet.position, packet.step_index, packet.gain_half_db, frames, packet.trim


def verdict_of_second(data: bytes, model) -> tuple[object, ...]:
    try:
        packet = packets.read_packet(data, second_prior(), model.config.hop_length)
    except FileError as error:
        return (type(error).__name__,)
    trim = packet.end - 1 if packet.end else None
    return packet.position, packet.step_index, packet.gain, digest(packet.frames), trim


@pytest.mark.parametrize("one", VECTORS["good"], ids=lambda one: one["name"])
def test_good_vector_is_read_as_pinned_by_both(one, codec):
    fields = ("position", "step_index", "gain_half_db", "symbols_sha256", "trim")
    expected = tuple(one[field] for field in fields)
    if one["n_frames"] == 0:  # no symbols
        expected = (*expected[:3], digest([]), one["trim"])
    data = bytes.fromhex(one["hex"])
    assert verdict_of_hzc(data, codec.model) == verdict_of_second(data, codec.model) == expected
    key = Key.of(codec.model)
    assert pack(unpack(data, key), key) == data


@pytest.mark.parametrize("one", VECTORS["faulty"], ids=lambda one: one["name"])
def test_faulty_vector_is_refused_as_its_check_says_by_both(one, codec):
    assert one["error"] == CHECKS[one["check"]]
    data = bytes.fromhex(one["hex"])
    expected = (one["error"],)
    assert verdict_of_hzc(data, codec.model) == verdict_of_second(data, codec.model) == expected


def test_there_are_vectors_of_every_check():
    assert len(CHECKS) == 9
    assert {one["check"] for one in VECTORS["faulty"]} == set(CHECKS)


@pytest.mark.parametrize("stream", VECTORS["streams"], ids=lambda stream: stream["purpose"])
def test_stream_has_the_pinned_symbols_and_samples(stream, codec):
    datagrams = [bytes.fromhex(one) for one in stream["hex"]]
    read = [packets.read_packet(data, second_prior(), 2000) for data in datagrams]
    assert digest([frame for packet in read for frame in packet.frames]) == stream["symbols_sha256"]
    decoder = codec.packet_decoder()
    n_samples = sum(len(decoder.read()) for data in datagrams if decoder.push(data))
    assert n_samples + len(decoder.finish()) == stream["n_samples"]
    symbols = [symbols_of(unpack(data, Key.of(codec.model)), codec.model) for data in datagrams]
    whole = np.concatenate(symbols, axis=1).astype(">i4")
    assert hashlib.sha256(whole.tobytes()).hexdigest() == stream["symbols_sha256"]


@settings(max_examples=20)
@given(st.sampled_from([data for data in ALL if 7 <= len(data) < 60]), st.data())
def test_resealed_changes_have_the_same_verdict_from_both(codec, data, draws):
    changed = bytearray(data[:-2])
    for _ in range(draws.draw(st.integers(1, 3))):
        changed[draws.draw(st.integers(0, len(changed) - 1))] ^= draws.draw(st.integers(1, 255))
    sealed = sealed_packet(bytes(changed), Key.of(codec.model))
    first, other = verdict_of_hzc(sealed, codec.model), verdict_of_second(sealed, codec.model)
    assert first == other or first == ("Corrupt",)  # hzc also refuses what no encoder would make


def sealed_packet(data: bytes, key: Key) -> bytes:
    from binascii import crc_hqx

    return data + crc_hqx(data, key.crc_start).to_bytes(2, "big")
