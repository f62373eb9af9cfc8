"""`hzc send`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

import click

from hzc import files
from hzc.blocks import Blocks, FloatArray, rechunked
from hzc.cli.live import Address, AddressType, Ended, Ending
from hzc.cli.options import (
    force_option,
    model_options,
    raw_options,
    refuse_terminal,
    report_options,
)
from hzc.cli.report import Report, shown
from hzc.errors import HzcError, OutputError
from hzc.files import STDIO
from hzc.options import RawLayout
from hzc.packets.packet import (
    MAX_BYTES,
    MAX_FRAMES,
    MAX_STEP_INDEX,
    MIN_BYTES,
    MIN_STEP_INDEX,
)

if TYPE_CHECKING:
    from hzc.audio.sources import Source
    from hzc.packets.encoder import PacketEncoder
    from hzc.packets.links import Pace

N_ENDS, END_S = 3, 0.1
"""The last datagram goes out so often, and so far apart, since nobody confirms it."""


@click.command("send")
@click.argument("source", metavar="INPUT")
@click.argument("target", metavar="OUTPUT", required=False)
@click.option("--udp", type=AddressType(), metavar="HOST:PORT", help="Send datagrams.")
@click.option(
    "--max-bytes", type=click.IntRange(MIN_BYTES, MAX_BYTES), default=240,
    show_default=True, metavar="N", help="No packet is larger.",
)  # fmt: skip
@click.option(
    "--max-frames", type=click.IntRange(1, MAX_FRAMES), default=16, show_default=True,
    metavar="N", help="Frames of 1/8 s in a packet: fewer are sooner at the listener.",
)  # fmt: skip
@click.option(
    "--step-index", type=click.IntRange(MIN_STEP_INDEX, MAX_STEP_INDEX), metavar="N",
    help="Coarseness: +8 doubles the quantiser's step, -8 halves it.  [default: the model's]",
)  # fmt: skip
@click.option(
    "--channel", type=click.IntRange(1), metavar="N",
    help="Send this channel, from 1.  [default: the mean of all]",
)  # fmt: skip
@raw_options
@click.option(
    "--loss", type=click.FloatRange(0.0, 1.0), default=0.0, metavar="P",
    help="Leave out packets with this probability, to hear what a bad link does.",
)  # fmt: skip
@click.option("--seed", type=int, default=0, metavar="S", help="Which packets --loss leaves out.")
@force_option
@model_options
@report_options
def command(
    source: str, target: str | None, udp: Address | None, max_bytes: int, max_frames: int,
    step_index: int | None, channel: int | None, raw: bool, sample_rate: int | None,
    raw_channels: int, loss: float, seed: int, force: bool, model: str | None, device: str,
    backend: str | None, n_threads: int | None, quiet: bool, as_json: bool,
) -> None:  # fmt: skip
    """Send speech in packets that decode alone; some may be lost.

    \b
    Examples:
      arecord -f S16_LE -r 16000 -t wav | hzc send - --udp 192.0.2.7:7000
      hzc send talk.wav --udp localhost:7000 --loss 0.1
      hzc send talk.wav talk.packets --max-bytes 80
      rtl_fm ... | hzc send --raw --sample-rate 24000 - - > modem

    INPUT is an audio file, or - for standard input, which is sent while it comes. OUTPUT is a
    file, or - for standard output: each packet stands behind its length, two bytes, high byte
    first. Datagrams are sent no faster than the recording plays. Ctrl-C ends the stream cleanly.
    """  # noqa: D301 - click looks for the backspace itself
    if (target is None) == (udp is None):
        raise click.UsageError("name an OUTPUT, or --udp HOST:PORT")
    if raw != (sample_rate is not None):
        raise click.UsageError("--raw and --sample-rate go together")
    if as_json and target == STDIO:
        raise click.UsageError("--json and an output on stdout do not go together")
    if target is not None:
        refuse_terminal(target)
    name = target or "{}:{}".format(*(udp or ()))
    report, layout = Report(1, quiet, as_json), RawLayout(sample_rate or 0, raw_channels)
    settings: dict[str, Any] = {
        "max_bytes": max_bytes,
        "max_frames": max_frames,
        "step_index": step_index,
    }
    with Ending() as ending:
        try:
            from hzc.codec import Codec

            codec = Codec.load(model, device, backend)
            with ExitStack() as stack:
                with ending.wait():  # for the header, or all of what cannot be streamed
                    audio = stack.enter_context(_source(source, layout if raw else None, channel))
                sink = stack.enter_context(_sink(target, udp, force, loss, Random(seed), ending))
                encoder = codec.packet_encoder(audio.sample_rate_hz, **settings)
                duration_s = _send(encoder, audio, sink, ending)
            report.warn(source, audio.warnings)
            if encoder.n_unsent:
                report.warn(source, [f"frames that fit no packet: {encoder.n_unsent}"])
            report.done(f"{shown(name)}  {sink.line(duration_s)}",
                        {"source": source, "path": name, **sink.values(duration_s)})  # fmt: skip
        except Ended:
            pass
        except HzcError as error:
            report.failed(error, name if isinstance(error, OutputError) else source)
    click.get_current_context().exit(ending.exit_code or report.exit_code)


@dataclass
class _Sink:
    """Where packets go, and what went there."""

    send: Callable[[bytes], None]
    loss: float
    random: Random
    pace: Pace | None
    """None where packets need not keep time."""
    ending: Ending
    n_packets: int = 0
    n_bytes: int = 0
    n_dropped: int = 0

    def take(self, packet: bytes, n_frames: int) -> None:
        """Send a packet that may go when n_frames of the recording have passed, or drop it."""
        if self.pace is not None:
            with suppress(Ended), self.ending.wait():
                self.pace.wait_for(n_frames)
        self.n_packets += 1
        self.n_bytes += len(packet)
        if self.random.random() < self.loss:
            self.n_dropped += 1
        else:
            self.send(packet)

    def values(self, duration_s: float) -> dict[str, Any]:
        """Return what programs are told."""
        return {
            "duration_s": duration_s, "n_packets": self.n_packets, "n_bytes": self.n_bytes,
            "bitrate_kbps": 8e-3 * self.n_bytes / duration_s if duration_s else 0.0,
            "n_dropped": self.n_dropped,
        }  # fmt: skip

    def line(self, duration_s: float) -> str:
        """Return what people are told."""
        kbps = self.values(duration_s)["bitrate_kbps"]
        dropped = f"  ({self.n_dropped} left out)" if self.n_dropped else ""
        return f"{kbps:.3f} kbps  {duration_s:.2f} s  {self.n_packets} packets{dropped}"


def _send(encoder: PacketEncoder, audio: Source, sink: _Sink, ending: Ending) -> float:
    """Send a source to its end, or until a signal comes; return its seconds."""
    from hzc.audio import sources

    # A second at a time: that much still goes out when a signal comes.
    blocks = rechunked(sources.checked(audio.blocks(), audio.sample_rate_hz), audio.sample_rate_hz)
    while (block := _next(blocks, ending, is_live=not audio.is_repeatable)) is not None:
        for packet in encoder.push(block):
            sink.take(packet, encoder.n_frames)
    last = b""
    for last in encoder.finish():
        sink.take(last, encoder.n_frames)
    for _ in range(N_ENDS - 1 if sink.pace is not None else 0):
        time.sleep(END_S)
        sink.send(last)
    return encoder.duration_s


def _next(blocks: Blocks, ending: Ending, *, is_live: bool) -> FloatArray | None:
    """Return the next block, None at the end or when a signal has come."""
    with suppress(Ended), ending.wait() if is_live else nullcontext():
        return next(blocks, None) if ending.exit_code is None else None
    return None


@contextmanager
def _source(name: str, raw: RawLayout | None, channel: int | None) -> Iterator[Source]:
    """Give one channel of a recording, streamed unless it is a file that can be read again."""
    from hzc.audio import sources

    def chosen(source: Source) -> Source:
        return sources.one_channel(source, channel) if channel else sources.mixed(source)

    if raw is None and files.is_regular(name):
        yield chosen(sources.open_source(name))
        return
    with files.open_input(name) as stream:
        yield chosen(sources.open_source(stream, raw=raw))


@contextmanager
def _sink(
    target: str | None,
    udp: Address | None,
    force: bool,
    loss: float,
    random: Random,
    ending: Ending,
) -> Iterator[_Sink]:  # fmt: skip
    """Give where packets go."""
    from hzc.packets import links

    if target is None:
        with closing(links.DatagramSender(*(udp or ()))) as sender:
            yield _Sink(sender.send, loss, random, links.Pace(), ending)
        return
    files.check_target(target, force=force)
    with files.open_output(target, force=force) as write:
        yield _Sink(lambda packet: write(links.framed(packet)), loss, random, None, ending)
