"""Packets over links that lose some: quality, overhead, delay and cost, as a section in Markdown.

All codecs lose the same stretches of time: those of the hzc packets that a channel drops.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click
import numpy as np

from hzc.codec import Codec
from hzc.container import FRAME_RATE_HZ
from hzc.errors import HzcError
from hzc.packets import encoder, player
from hzc.packets.decoder import symbols_of
from hzc.packets.packet import OVERHEAD_BYTES, Key, Packet, unpack
from hzc_bench import align, metrics, report, samples, speed
from hzc_bench.metrics import Loaded
from hzc_bench.packet_peers import Flags, Peer, peers
from hzc_bench.samples import SAMPLE_RATE_HZ, FloatArray, Recording
from hzc_bench.store import Store
from hzc_bench.systems import loaded

NAMES = ("pesq_wb", "stoi", "distillmos")
SIZES_BYTES = (32, 48, 80, 120, 240, 480, 1400)
LOSSES = (0.05, 0.1, 0.2)
BURST_PACKETS = 3.0
"""Mean length of a burst of the Gilbert-Elliott channel."""
SPAN_FRAMES = (16, 4)
"""Longest packets of the tables with loss: the default, and half a second."""
AHEADS = ((1, 4), (0, 4), (2, 4), (1, 0), (1, 1), (1, 2), (1, 8))
"""Frames that analysis and synthesis look ahead; the first are hzc's."""
N_DRAWS = 100
BLOCK = SAMPLE_RATE_HZ // 50
INTRODUCTION = """\
All codecs lose the same stretches of time: those of the hzc packets that a link drops. Random
loss drops each packet by itself; in bursts, three are lost in a row on average (Gilbert-Elliott).
hzc makes up lost frames from its prior, Opus by its own concealment; Codec 2, which has none,
repeats its last frame and fades within a second. Rates are kbit/s of hzc packets, and of coded
frames of the others; no headers of a transport are counted.
"""


@dataclass(frozen=True)
class Channel:
    """A link that loses packets; Gilbert and Elliott's: a good state, and a bad one that loses."""

    title: str
    loss: float
    burst_packets: float

    def lost(self, n_packets: int) -> Flags:
        """Return which packets are lost: of many draws the one whose share is nearest to `loss`."""
        draws = [self._drawn(n_packets, seed) for seed in range(N_DRAWS)]
        return min(draws, key=lambda lost: abs(float(lost.mean()) - self.loss))

    def _drawn(self, n_packets: int, seed: int) -> Flags:
        rng = np.random.default_rng(seed)
        leaves = 1.0 / self.burst_packets
        enters = leaves * self.loss / (1.0 - self.loss)
        state, lost = rng.random() < self.loss, np.zeros(n_packets, np.bool_)
        for i in range(n_packets):
            lost[i] = state
            state = rng.random() < (1.0 - leaves if state else enters)
        return lost


def channels() -> list[Channel]:
    """Return those that are measured; random loss has bursts of their chance length."""
    chance = [Channel(f"{p:.0%} random", p, 1.0 / (1.0 - p)) for p in LOSSES]
    bursts = [Channel(f"{p:.0%} in bursts", p, BURST_PACKETS) for p in LOSSES]
    return [Channel("none", 0.0, 1.0), *chance, *bursts]


@dataclass(frozen=True)
class Sent:
    """A recording as packets."""

    original: Recording
    data: tuple[bytes, ...]
    read: tuple[Packet, ...]

    @classmethod
    def of(cls, codec: Codec, original: Recording, **how: Any) -> Sent:
        """Send a recording."""
        data = tuple(codec.packets([original.samples], SAMPLE_RATE_HZ, **how))
        return cls(original, data, tuple(unpack(one, Key.of(codec.model)) for one in data))

    def heard(self, codec: Codec, lost: Flags) -> FloatArray:
        """Return what comes back, in time with the original."""
        decoder, parts = codec.packet_decoder(), []
        first = next(p.position for p, gone in zip(self.read, lost, strict=True) if not gone)
        for data, is_lost in zip(self.data, lost, strict=True):
            if not is_lost and decoder.push(data):
                parts.append(decoder.read())
        n_before = first * SAMPLE_RATE_HZ // FRAME_RATE_HZ
        x = np.concatenate([np.zeros(n_before, np.float32), *parts, decoder.finish()])
        heard: FloatArray = align.shifted(x, 0, len(self.original.samples)).clip(-1.0, 1.0)
        return heard

    def lost_frames(self, lost: Flags, frame_s: float) -> Flags:
        """Return which frames of another codec have their middle in lost packets."""
        n_frames = int(np.ceil(self.original.duration_s / frame_s))
        middles = (np.arange(n_frames) + 0.5) * frame_s * FRAME_RATE_HZ
        found = np.zeros(n_frames, np.bool_)
        for packet, is_lost in zip(self.read, lost, strict=True):
            end = packet.position + packet.n_frames
            found |= bool(is_lost) & (middles >= packet.position) & (middles < end)
        return found


def all_lost(sent: Sequence[Sent], channel: Channel) -> list[Flags]:
    """Return which packets a channel loses, one recording after the other; marks come through."""
    may_be_lost = [np.array([not packet.is_mark for packet in one.read]) for one in sent]
    flags = np.concatenate(may_be_lost)
    flags[flags] = channel.lost(int(flags.sum()))
    return np.split(flags, np.cumsum([len(one.read) for one in sent])[:-1])


# --- tables ----------------------------------------------------------------------------------


def quality(judged: Loaded, pairs: Sequence[tuple[Recording, FloatArray]]) -> str:
    """Return the means of all metrics as one cell."""
    cells = []
    for metric in judged.metrics:
        figures = [judged.figure(metric, x.samples, y) for x, y in pairs]
        cells.append(f"{np.nanmean(figures):.{metric.digits}f}")
    return " / ".join(cells)


def loss_table(
    codec: Codec, originals: Sequence[Recording], judged: Loaded, max_frames: int,
    others: Sequence[Peer],
) -> str:  # fmt: skip
    """Return quality against loss, hzc next to codecs that lose the same stretches."""
    sent = [Sent.of(codec, x, max_frames=max_frames) for x in originals]
    duration_s = sum(x.duration_s for x in originals)
    kbps = 8e-3 * sum(len(data) for one in sent for data in one.data) / duration_s
    head, delays_ms, body = ["loss", f"hzc {kbps:.2f}"], dict[str, int](), []
    for channel in channels():
        lost = all_lost(sent, channel)
        n_packets = sum(not packet.is_mark for one in sent for packet in one.read)
        share = sum(int(flags.sum()) for flags in lost) / n_packets
        mine = [one.heard(codec, flags) for one, flags in zip(sent, lost, strict=True)]
        row = [
            f"{channel.title} ({share:.1%})",
            quality(judged, list(zip(originals, mine, strict=True))),
        ]
        for peer in others:
            coded = [
                peer.coded(one.original.samples, one.lost_frames(flags, peer.frame_s))
                for one, flags in zip(sent, lost, strict=True)
            ]
            if peer.name not in delays_ms:
                lags = [
                    align.lag_ms(x.samples, y) for x, (y, _) in zip(originals, coded, strict=True)
                ]
                delays_ms[peer.name] = round(float(np.median(lags)))
                rate = 8e-3 * sum(n for _, n in coded) / duration_s
                head.append(f"{peer.name}, {rate:.2f}")
            theirs = [
                align.shifted(y, delays_ms[peer.name], len(x.samples))
                for x, (y, _) in zip(originals, coded, strict=True)
            ]
            row.append(quality(judged, list(zip(originals, theirs, strict=True))))
        body.append(row)
    return report.table(head, body)


def overhead_table(codec: Codec, originals: Sequence[Recording]) -> str:
    """Return rate and overhead for each limit of bytes."""
    body, duration_s = [], sum(x.duration_s for x in originals)
    for max_bytes in SIZES_BYTES:
        sent = [Sent.of(codec, x, max_bytes=max_bytes, max_frames=63) for x in originals]
        sizes = [len(data) for one in sent for data in one.data]
        frames = [p.n_frames for one in sent for p in one.read if not p.is_mark]
        total = sum(sizes)
        coarser = np.mean([p.step_index > codec.model.default_step_index
                           for one in sent for p in one.read if not p.is_mark])  # fmt: skip
        body.append([
            str(max_bytes), f"{max(sizes)}", f"{np.mean(frames) / FRAME_RATE_HZ:.2f} s",
            f"{8e-3 * (total - OVERHEAD_BYTES * len(sizes)) / duration_s:.3f}",
            f"{8e-3 * total / duration_s:.3f}",
            f"{OVERHEAD_BYTES * len(sizes) / total:.1%}", f"{coarser:.1%}",
        ])  # fmt: skip
    head = ["limit, bytes", "largest", "mean length", "payload, kbit/s", "packets, kbit/s",
            "beside the payload", "coarser packets"]  # fmt: skip
    return report.table(head, body)


def ahead_table(codec: Codec, originals: Sequence[Recording], judged: Loaded) -> str:
    """Return quality for other look-aheads, packets of half a second."""
    body = []
    for analysis, synthesis in AHEADS:
        with ExitStack() as stack:
            stack.enter_context(patch.object(encoder, "AHEAD_FRAMES", analysis))
            stack.enter_context(patch.object(encoder, "CORE_FRAMES", 1))
            stack.enter_context(patch.object(player, "AHEAD_FRAMES", synthesis))
            sent = [Sent.of(codec, x, max_frames=4) for x in originals]
            heard = [one.heard(codec, np.zeros(len(one.data), np.bool_)) for one in sent]
        cells = quality(judged, list(zip(originals, heard, strict=True)))
        body.append([f"{125 * analysis} ms", f"{125 * synthesis} ms", cells])
    files = [
        np.clip(codec.decode(codec.encode(x.samples, SAMPLE_RATE_HZ))[0], -1, 1) for x in originals
    ]
    body.append(["a file", "a file", quality(judged, list(zip(originals, files, strict=True)))])
    return report.table(
        ["analysis", "synthesis", " / ".join(m.title for m in judged.metrics)], body
    )


def delays_s(codec: Codec, x: FloatArray, max_frames: int) -> tuple[float, float]:
    """Return mean and greatest delay from a sample's input to its output, the link taking none."""
    coder = codec.packet_encoder(SAMPLE_RATE_HZ, max_frames=max_frames)
    decoder, n_out, found = codec.packet_decoder(), 0, []
    for start in range(0, len(x) - BLOCK + 1, BLOCK):
        for data in coder.push(x[None, start : start + BLOCK]):
            decoder.push(data)
        n_new = len(decoder.read())
        if n_new:
            found.append((n_new, start + BLOCK - n_out, start + BLOCK - n_out - n_new))
        n_out += n_new
    weights, first, last = np.array(found).T
    mean = np.average((first + last) / 2, weights=weights)
    return float(mean) / SAMPLE_RATE_HZ, float(first.max()) / SAMPLE_RATE_HZ


def cost_lines(codec: Codec, originals: Sequence[Recording]) -> Iterator[str]:
    """Yield delay and time of computing."""
    x = speed.joined(originals)[: 60 * SAMPLE_RATE_HZ]
    body = []
    for max_frames in (16, 8, 4, 1):
        mean_s, most_s = delays_s(codec, x, max_frames)
        body.append([f"{max_frames / FRAME_RATE_HZ:g} s", f"{mean_s:.2f} s", f"{most_s:.2f} s"])
    yield report.table(["packets of at most", "mean delay", "greatest"], body)
    started = time.process_time()
    data = list(codec.packets([x], SAMPLE_RATE_HZ))
    encoded = time.process_time()
    decoder = codec.packet_decoder()
    for one in data:
        decoder.push(one)
        decoder.read()
    done = time.process_time()
    seconds = len(x) / SAMPLE_RATE_HZ
    yield (
        f"A second of sound takes {1e3 * (encoded - started) / seconds:.0f} ms of one core to send "
        f"and {1e3 * (done - encoded) / seconds:.0f} ms to receive ({report.processor()}).\n"
    )


def garbage_line(codec: Codec, n_packets: int) -> str:
    """Return how many random packets with a right checksum pass for coded ones."""
    from binascii import crc_hqx

    key, rng, n_passed = Key.of(codec.model), np.random.default_rng(0), 0
    for _ in range(n_packets):
        n_frames, n_bytes = int(rng.integers(1, 64)), int(rng.integers(1, 234))
        head = 1 << 4 | key.model_id % 16
        head = (
            (head << 14 | int(rng.integers(1 << 14))) << 20
            | n_frames << 14
            | int(rng.integers(1 << 14))
        )
        data = head.to_bytes(5, "big") + rng.bytes(n_bytes)
        data += crc_hqx(data, key.crc_start).to_bytes(2, "big")
        try:
            symbols_of(unpack(data, key), codec.model)
            n_passed += 1
        except HzcError:
            pass
    return (
        f"Of {n_packets} random packets with right head and checksum, {n_passed} passed for coded "
        "ones."
    )


@click.command()
@click.argument(
    "folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.option("--model", metavar="NAME", help="Or a .safetensors file; default: hzc's own.")
@click.option(
    "--clips", type=click.IntRange(1), metavar="N", help="So many, evenly spaced over all."
)
@click.option("--cache", default=Path(".hzc-bench.sqlite"), show_default=True, metavar="FILE",
              type=click.Path(path_type=Path), help="Figures known from earlier runs.")  # fmt: skip
def main(folder: Path, model: str | None, clips: int | None, cache: Path) -> None:
    """Print a section about packets: overhead, loss next to other codecs, delay and cost."""
    codec, _ = loaded(model)
    found = samples.recordings(folder)
    originals = found[:: max(1, len(found) // clips)][:clips] if clips else found
    judged = metrics.load(NAMES, Store(cache))
    titles = " / ".join(metric.title for metric in judged.metrics)
    say = partial(click.echo, nl=True)
    say(f"## Packets\n\n{len(originals)} recordings, model {codec.model.name}. {INTRODUCTION}")
    say(overhead_table(codec, originals))
    others, missing = list[Peer](), ""
    try:
        others = peers()
    except OSError as error:
        missing = f" Left out: {error}."
    for max_frames in SPAN_FRAMES:
        say(f"Packets of at most {max_frames / FRAME_RATE_HZ:g} s; {titles}.{missing}\n")
        say(loss_table(codec, originals, judged, max_frames, others))
    say(f"Look-ahead, packets of half a second; {titles}.\n")
    say(ahead_table(codec, originals, judged))
    for text in cost_lines(codec, originals):
        say(text)
    say(garbage_line(codec, 500))
