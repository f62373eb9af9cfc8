"""Streams of packets: what arrives, whatever the link does to them."""

from __future__ import annotations

import itertools
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

import hzc
from hzc import container
from hzc.audio.level import linear_gain
from hzc.coding import quantize
from hzc.container import Chunk, Header
from hzc.errors import ArgumentError, HzcError, UnsupportedAudioError
from hzc.model.backend import Networks
from hzc.packets.decoder import symbols_of
from hzc.packets.links import played
from hzc.packets.packet import POSITIONS, Key, Packet, pack, unpack

RATE_HZ, HOP = 16_000, 2_000
SPEECH = Path(__file__).resolve().parents[2] / "demo" / "samples" / "1688-142285-0006.flac"
few = settings(max_examples=max(5, settings().max_examples // 12))


@pytest.fixture(scope="module")
def talk(tiny_codec, sound):
    """Eight seconds of packets of half a second, with the end mark."""
    x = sound(8 * RATE_HZ - 7)
    return list(tiny_codec.packets([x], RATE_HZ, max_bytes=1400, max_frames=4))


def heard(decoder, packets):
    """Return what is played of packets, in order of their coming."""
    parts = []
    for packet in packets:
        decoder.push(packet)
        parts.append(decoder.read())
    return np.concatenate([*parts, decoder.finish()])


def level_db(x):
    return 10.0 * np.log10(np.mean(np.square(x, dtype=np.float64)) + 1e-12)


# ------------------------------------------------------------------ without loss


def test_stream_without_loss_sounds_like_the_file_of_its_symbols():
    codec, (x, rate_hz) = hzc.load(), soundfile.read(SPEECH, dtype="float32")
    packets = list(codec.packets([x], rate_hz, max_frames=6))
    key, prior = Key.of(codec.model), codec.model.prior
    read = [unpack(data, key) for data in packets]
    symbols = np.concatenate([symbols_of(packet, codec.model) for packet in read], axis=1)
    (gain,) = {packet.gain_half_db for packet in read if not packet.is_mark}
    header = Header(
        model_id=key.model_id, fingerprint=key.fingerprint, n_latent=key.n_latent,
        n_frames=symbols.shape[1], n_samples=len(x), step_index=read[0].step_index,
    )  # fmt: skip
    chunks = [
        Chunk(part.shape[1], (prior.encode(part, read[0].step_index),), gain)
        for part in np.split(symbols, range(80, symbols.shape[1], 80), axis=1)
    ]
    file, _ = codec.decode(container.pack(header, chunks))
    stream = heard(codec.packet_decoder(), packets)
    assert stream.shape == file.shape
    assert level_db(file) - level_db(file - stream) > 20.0
    padded = np.pad(x, (0, symbols.shape[1] * HOP - len(x)))[None]
    y = Networks(codec.model, "cpu").latent(padded * linear_gain(gain))
    step = quantize.steps(codec.model.base_step, read[0].step_index)
    assert np.mean(quantize.to_symbols(y, step)[0] != symbols) < 0.05


@few
@given(
    st.integers(64, 1400), st.integers(1, 63), st.integers(-64, 63), st.integers(1, 30_000),
    st.sampled_from([8_000, 11_025, 16_000, 44_100]), st.integers(1, 50_000),
)  # fmt: skip
def test_packets_stay_within_their_limits_and_no_sample_is_missing(
    tiny_codec, sound, max_bytes, max_frames, step_index, n_samples, rate_hz, block
):
    x = sound(n_samples, rate_hz)
    packets = list(
        tiny_codec.packets(
            (x[i : i + block] for i in range(0, n_samples, block)), rate_hz,
            max_bytes=max_bytes, max_frames=max_frames, step_index=step_index,
        )
    )  # fmt: skip
    read = [unpack(data, Key.of(tiny_codec.model)) for data in packets]
    assert max(map(len, packets)) <= max_bytes
    assert max(packet.n_frames for packet in read) <= max_frames
    assert read[-1].is_end
    n_model = -(-n_samples * RATE_HZ // rate_hz)
    y = heard(tiny_codec.packet_decoder(rate_hz), packets)
    assert len(y) == -(-n_model * rate_hz // RATE_HZ)
    assert len(heard(tiny_codec.packet_decoder(), packets)) == n_model


def test_blocks_of_any_size_type_and_channels_give_the_same_packets(tiny_codec, sound, talk):
    x = sound(8 * RATE_HZ - 7)
    pair = np.stack([x, x])
    for size in (999, 40_000):
        blocks = (pair[:, i : i + size] for i in range(0, len(x), size))
        again = tiny_codec.packets(blocks, RATE_HZ, max_bytes=1400, max_frames=4)
        assert list(again) == talk
    pcm = np.round(x * 32768).astype(np.int16)
    as_float = pcm.astype(np.float32) / 32768
    assert list(tiny_codec.packets([pcm], RATE_HZ)) == list(tiny_codec.packets([as_float], RATE_HZ))


def test_pause_of_digital_silence_costs_marks_alone_and_keeps_its_length(tiny_codec, sound):
    x = np.concatenate([sound(RATE_HZ), np.zeros(20 * RATE_HZ, np.float32), sound(RATE_HZ)])
    packets = list(tiny_codec.packets([x], RATE_HZ))
    read = [unpack(data, Key.of(tiny_codec.model)) for data in packets]
    pauses = [packet.position for packet in read if packet.is_mark and not packet.is_end]
    assert np.diff(pauses).tolist() == [32] * (len(pauses) - 1)
    assert 4 <= len(pauses) <= 6
    assert sum(packet.n_frames for packet in read) < 40
    decoder = tiny_codec.packet_decoder()
    y = heard(decoder, packets)
    assert len(y) == len(x)
    assert not y[3 * RATE_HZ : 20 * RATE_HZ].any()
    assert decoder.counts.n_lost_frames == 0


@pytest.mark.parametrize(
    "how", [{"max_bytes": 31}, {"max_bytes": 1401}, {"max_frames": 0}, {"step_index": 64}]
)
def test_numbers_out_of_range_are_refused(tiny_codec, how):
    with pytest.raises(ArgumentError):
        list(tiny_codec.packets([np.zeros(10)], RATE_HZ, **how))


def test_blocks_that_are_no_audio_are_refused(tiny_codec):
    for blocks, rate_hz in (([["a"]], RATE_HZ), ([[np.nan]], RATE_HZ), ([[0.0]], 10)):
        with pytest.raises((UnsupportedAudioError, ArgumentError)):
            list(tiny_codec.packets(blocks, rate_hz))


def test_endless_stream_needs_bounded_memory(tiny_codec, sound):
    second = sound(RATE_HZ)
    decoder, peaks = tiny_codec.packet_decoder(), []
    packets = tiny_codec.packets(itertools.repeat(second), RATE_HZ)
    for n_packets in (10, 25, 25):
        tracemalloc.start()
        for packet in itertools.islice(packets, n_packets):
            decoder.push(packet)
            decoder.read()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 1.1 * peaks[1] + 100_000


# ------------------------------------------------------------------ loss, order, time


@few
@given(st.data())
def test_lost_late_double_and_swapped_packets_change_no_length(tiny_codec, talk, data):
    middle = range(1, len(talk) - 1)
    kept = [0, *(i for i in middle if data.draw(st.integers(0, 3))), len(talk) - 1]
    order = list(kept)
    for i in range(1, len(order) - 2):
        if data.draw(st.booleans()):
            order[i : i + 2] = order[i : i + 2][::-1]
        if data.draw(st.integers(0, 4)) == 0:
            order.insert(i, order[data.draw(st.integers(0, i))])
    decoder = tiny_codec.packet_decoder(patience=data.draw(st.integers(0, 3)))
    assert len(heard(decoder, [talk[i] for i in order])) == 8 * RATE_HZ - 7
    counts = decoder.counts
    assert counts.n_lost_frames >= 4 * (len(talk) - len(kept)) - 3
    assert counts.n_refused == counts.n_stray == 0


def test_swapped_packets_are_played_in_order_and_copies_once(tiny_codec, talk):
    expected = heard(tiny_codec.packet_decoder(), talk)
    swapped = [talk[i] for i in (1, 0, 0, 2, 4, 3, 3, 4, 2, *range(5, len(talk)))]
    decoder = tiny_codec.packet_decoder()
    found = heard(decoder, swapped)
    assert len(found) == len(expected)
    assert level_db(found - expected) < level_db(expected) - 15.0  # other windows: other seams
    assert (decoder.counts.n_lost_frames, decoder.counts.n_played) == (0, len(talk))
    assert decoder.counts.n_double + decoder.counts.n_late == len(swapped) - len(talk)


def test_lost_frames_go_on_for_less_than_a_second_and_sound_comes_back(tiny_codec, talk):
    whole = heard(tiny_codec.packet_decoder(), talk)
    y = heard(tiny_codec.packet_decoder(), [*talk[:5], *talk[11:]])  # three seconds are lost
    second = np.split(y[: 7 * RATE_HZ], 28)  # quarters of one
    assert level_db(second[10]) > level_db(whole) - 20.0
    assert not np.concatenate(second[15:21]).any()
    assert level_db(np.concatenate(second[24:])) > level_db(whole) - 10.0


def test_clock_of_the_player_gets_every_sample_in_time(tiny_codec, talk):
    decoder = tiny_codec.packet_decoder(48_000)
    assert not decoder.read(100).any()  # nothing has come
    decoder.push(talk[0])
    for n_samples in (1, 480, 96_000):
        assert len(decoder.read(n_samples)) == n_samples
    assert decoder.counts.n_lost_frames >= 12
    assert not decoder.push(talk[1])
    assert decoder.push(talk[8])
    for packet in talk[9:]:
        decoder.push(packet)
    n_given = 100 + 1 + 480 + 96_000
    rest = decoder.finish()
    assert decoder.is_ended
    assert abs(n_given - 100 + len(rest) - 3 * (8 * RATE_HZ - 7)) <= 6_000  # before the first came


def test_stream_that_is_joined_late_or_begins_anew_is_played(tiny_codec, sound, talk):
    decoder = tiny_codec.packet_decoder()
    assert len(heard(decoder, talk[3:])) == 8 * RATE_HZ - 7 - 12 * HOP
    key = Key.of(tiny_codec.model)
    far = [moved(packet, 5_000, key) for packet in talk[:4]]
    decoder = tiny_codec.packet_decoder()
    for packet in [*talk[:4], *far]:
        decoder.push(packet)
    assert decoder.counts.n_stray == 1
    assert decoder.counts.n_lost_frames == 0
    assert decoder.counts.n_played == 7


def moved(data, n_frames, key):
    """Return a packet at another position."""
    packet = unpack(data, key)
    position = (packet.position + n_frames) % POSITIONS
    return pack(Packet(**{**vars(packet), "position": position}), key)


def test_positions_go_on_beyond_their_largest_number(tiny_codec, talk):
    key = Key.of(tiny_codec.model)
    decoder = tiny_codec.packet_decoder()
    y = heard(decoder, [moved(packet, POSITIONS - 20, key) for packet in talk])
    assert len(y) == 8 * RATE_HZ - 7
    assert decoder.counts.n_lost_frames == 0


def test_live_stream_is_played_in_time_through_a_pause_of_the_link(tiny_codec, talk):
    """Packets come on time but for five that are lost; the clock is the test's own."""
    now_s, n_samples = 0.0, []
    waiting = {i: packet for i, packet in enumerate(talk) if not 5 <= i < 10}

    def receive(timeout_s):
        nonlocal now_s
        now_s += timeout_s
        return waiting.pop(i, None) if (i := int(2 * now_s)) in waiting else None

    decoder = tiny_codec.packet_decoder()
    for block in played(decoder, receive, wait_s=1.0, timeout_s=10.0, clock=lambda: now_s):
        n_samples.append((now_s, block.shape[1]))
    given = np.cumsum([n for _, n in n_samples])
    late_s = [t - n / RATE_HZ for (t, _), n in zip(n_samples, given, strict=True)]
    assert max(late_s) < 1.8
    assert given[-1] == 8 * RATE_HZ - 7


# ------------------------------------------------------------------ hostile links


def test_every_changed_bit_of_a_packet_is_noticed(tiny_codec, talk):
    key = Key.of(tiny_codec.model)
    for data in (talk[2], talk[-1]):
        for bit in range(8 * len(data)):
            changed = bytearray(data)
            changed[bit // 8] ^= 1 << bit % 8
            with pytest.raises(HzcError):
                unpack(bytes(changed), key)


@few
@given(st.lists(st.binary(max_size=60) | st.binary(min_size=1390, max_size=1500), max_size=20))
def test_garbage_is_dropped_and_changes_nothing(tiny_codec, talk, garbage):
    expected = heard(tiny_codec.packet_decoder(), talk)
    decoder = tiny_codec.packet_decoder()
    mixed = [item for packet in talk for item in (*garbage, packet)]
    assert np.array_equal(heard(decoder, mixed), expected)
    assert decoder.counts.n_refused == len(garbage) * len(talk)


def test_replays_of_what_was_played_are_dropped_even_after_the_end(tiny_codec, talk):
    decoder = tiny_codec.packet_decoder()
    expected = heard(tiny_codec.packet_decoder(), talk)
    found = heard(decoder, [*talk[:9], *talk[:6], *talk[9:], *talk])
    assert np.array_equal(found, expected)
    assert decoder.counts.n_late == 6 + len(talk)


def test_one_false_packet_makes_a_minute_of_silence_at_most(tiny_codec, talk):
    key = Key.of(tiny_codec.model)
    decoder = tiny_codec.packet_decoder(patience=0)
    n_samples = 0
    for step in (512, 513, 4_000, 8_192, 12_000):
        decoder = tiny_codec.packet_decoder(patience=0)
        for packet in (talk[0], moved(talk[1], step, key)):
            decoder.push(packet)
            n_samples = max(n_samples, len(decoder.read()))
    assert n_samples <= (512 + 8) * HOP
