"""What is counted as payload, and how programs are run."""

from __future__ import annotations

import struct
import sys

import numpy as np
import pytest

import hzc
from hzc_bench import ogg, peers


def page(*packets: bytes, is_last_open: bool = False) -> bytes:
    """Return an Ogg page with these packets; the last may go on in the next page."""
    lengths = []
    for number, packet in enumerate(packets):
        is_open = is_last_open and number == len(packets) - 1
        lengths += [255] * (len(packet) // 255) + [len(packet) % 255] * (not is_open)
    header = struct.pack("<4sBBqIIIB", b"OggS", 0, 0, 0, 7, 0, 0, len(lengths))
    return header + bytes(lengths) + b"".join(packets)


def test_payload_of_ogg_is_what_follows_the_two_headers():
    data = page(b"OpusHead") + page(b"OpusTags") + page(b"x" * 10, b"y" * 300) + page(b"z")
    assert list(ogg.packet_sizes(data)) == [8, 8, 10, 300, 1]
    assert ogg.payload_bytes(data) == 311


@pytest.mark.parametrize("size", [0, 1, 254, 255, 256, 510])
def test_packet_of_any_size_is_counted(size):
    assert list(ogg.packet_sizes(page(b"x" * size))) == [size]


def test_packet_over_two_pages_is_one():
    data = page(b"a", b"x" * 510, is_last_open=True) + page(b"y" * 5, b"b")
    assert list(ogg.packet_sizes(data)) == [1, 515, 1]


@pytest.mark.parametrize("data", [b"RIFF" * 10, page(b"x") + b"Ogg", page(b"x" * 50)[:-1]])
def test_bytes_that_are_no_ogg_raise(data):
    with pytest.raises(ValueError, match="Ogg page"):
        ogg.payload_bytes(data)


def test_payload_of_codec_2_is_the_file_without_its_header():
    assert peers.codec2("1300").payload_bytes(bytes(100)) == 93


def test_payload_of_hzc_is_the_coded_symbols(sound):
    codec = peers.Hzc()
    data = codec.encode(sound(16_000))
    assert data == hzc.load().encode(sound(16_000), 16_000)
    assert 0 < codec.payload_bytes(data) < len(data)
    assert codec.decode(data).shape == (16_000,)


def test_pcm_comes_back_to_within_half_a_step(sound):
    codec = peers.Pcm()
    data = codec.encode(sound(1000))
    assert len(data) == codec.payload_bytes(data) == 2000
    assert np.abs(codec.decode(data) - sound(1000)).max() <= 0.51 / 32767


COPY = (sys.executable, "-c", "import shutil, sys; shutil.copy(*sys.argv[1:])", "IN", "OUT")


def test_command_is_run_on_files_at_its_own_rate(sound):
    codec = peers.Command("copy", "Copy", COPY, COPY, ".bin", 8000, is_raw=True, header_bytes=4)
    data = codec.encode(sound(16_000))
    assert len(data) == 16_000
    assert codec.payload_bytes(data) == 15_996
    assert abs(len(codec.decode(data)) - 16_000) <= 2
    assert "IN" not in codec.description
    assert "a.raw a.bin" in codec.description


def test_command_gets_wav_and_gives_wav(sound):
    codec = peers.Command("copy", "Copy", COPY, COPY, ".wav")
    assert np.abs(codec.decode(codec.encode(sound(5000))) - sound(5000)).max() < 1e-4


def test_command_that_fails_raises_with_what_it_said():
    fail = (sys.executable, "-c", "import sys; sys.exit('no such thing')")
    with pytest.raises(RuntimeError, match="no such thing"):
        peers.run(fail, b"", ".wav", ".bin")


def test_programs_that_are_not_there_are_named():
    codec = peers.Command("x", "X", ("no-such-encoder", "IN"), (sys.executable, "IN"), ".x")
    assert peers.missing_tools(codec) == ["no-such-encoder"]


def test_lyra_is_looked_for_only_where_the_user_points(tmp_path):
    assert not [c for c in peers.peers() if c.name.startswith("lyra")]
    found = [c for c in peers.peers(tmp_path) if c.name.startswith("lyra")]
    assert [c.name for c in found] == ["lyra-3200", "lyra-6000", "lyra-9200"]
    assert len(peers.missing_tools(found[0])) == 2


@pytest.mark.parametrize("codec", peers.peers()[1:], ids=lambda codec: codec.name)
def test_installed_peer_gives_back_about_as_much_as_it_got(codec, sound):
    if tools := peers.missing_tools(codec):
        pytest.skip(f"{tools} not installed")
    data = codec.encode(sound(32_000))
    assert 0 < codec.payload_bytes(data) < len(data)
    assert abs(len(codec.decode(data)) - 32_000) < 2_000
