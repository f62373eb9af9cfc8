"""`hzc receive`."""

from __future__ import annotations

from contextlib import closing, suppress
from typing import TYPE_CHECKING

import click

from hzc import files
from hzc.blocks import Blocks
from hzc.cli.live import Address, AddressType, Ended, Ending
from hzc.cli.options import (
    Finite,
    force_option,
    model_options,
    refuse_terminal,
    report_options,
)
from hzc.cli.report import Report, shown
from hzc.container import FRAME_RATE_HZ, MAX_SAMPLE_RATE_HZ, MIN_SAMPLE_RATE_HZ
from hzc.errors import CorruptError, HzcError, OutputError, OutputWriteError
from hzc.files import STDIO, InputStream
from hzc.jobs import open_audio
from hzc.options import DECODED_RATE_HZ

if TYPE_CHECKING:
    from hzc.packets.decoder import PacketDecoder


@click.command("receive")
@click.argument("names", nargs=-1, required=True, metavar="[INPUT] OUTPUT")
@click.option(
    "--udp", type=AddressType(), metavar="[HOST]:PORT",
    help="Listen for datagrams, on all of this machine's addresses or on one.",
)  # fmt: skip
@click.option(
    "--sample-rate", type=click.IntRange(MIN_SAMPLE_RATE_HZ, MAX_SAMPLE_RATE_HZ),
    default=DECODED_RATE_HZ, show_default=True, metavar="HZ", help="Sample rate of the output.",
)  # fmt: skip
@click.option(
    "--wait", type=Finite(min=0.0), default=3.0, show_default=True, metavar="SECONDS",
    help="How late a datagram may come before its sound is made up.",
)  # fmt: skip
@click.option(
    "--timeout", type=Finite(min=0.0, min_open=True), default=10.0, show_default=True,
    metavar="SECONDS", help="How long after the last datagram the stream has ended.",
)  # fmt: skip
@force_option
@model_options
@report_options
def command(
    names: tuple[str, ...], udp: Address | None, sample_rate: int, wait: float, timeout: float,
    force: bool, model: str | None, device: str, backend: str | None, n_threads: int | None,
    quiet: bool, as_json: bool,
) -> None:  # fmt: skip
    """Play packets that `hzc send` made: in order, and what is lost is made up.

    \b
    Examples:
      hzc receive --udp :7000 - | aplay
      hzc receive --udp :7000 talk.wav
      hzc receive talk.packets talk.wav

    INPUT is a file of packets, or - for standard input; OUTPUT is an audio file, or - for standard
    output, which gets WAV. The stream ends where the sender says so, after --timeout, or with
    Ctrl-C; what came until then is written.
    """  # noqa: D301 - click looks for the backspace itself
    if len(names) != (2 if udp is None else 1):
        raise click.UsageError("name INPUT and OUTPUT, or OUTPUT and --udp [HOST]:PORT")
    target, source = names[-1], names[0] if udp is None else "{}:{}".format(*udp)
    if as_json and target == STDIO:
        raise click.UsageError("--json and an output on stdout do not go together")
    refuse_terminal(target)
    report = Report(1, quiet, as_json)
    with Ending() as ending:
        try:
            from hzc.codec import Codec

            files.check_target(target, force=force)
            decoder = Codec.load(model, device, backend).packet_decoder(sample_rate)
            if udp is None:
                blocks = _from_stream(source, decoder, ending)
            else:
                blocks = _from_datagrams(udp, decoder, ending, wait, timeout)
            with open_audio(target, sample_rate, 1, None, force=force) as writer:
                for block in blocks:
                    writer.write(block)
                _check(decoder)
            _report(decoder, report, source, target, writer.n_samples / sample_rate)
        except HzcError as error:
            if not (ending.exit_code and isinstance(error, OutputWriteError)):
                report.failed(error, target if isinstance(error, OutputError) else source)
    click.get_current_context().exit(ending.exit_code or report.exit_code)


def _from_stream(source: str, decoder: PacketDecoder, ending: Ending) -> Blocks:
    """Yield the samples of packets in a file or pipe."""
    from hzc.packets import links

    with files.open_input(source) as stream, suppress(Ended):
        packets = links.unframed(InputStream(stream, source))
        while not decoder.is_ended:
            with ending.wait():
                packet = next(packets, None)
            if packet is None:
                break
            decoder.push(packet)
            yield decoder.read()[None]
    yield decoder.finish()[None]


def _from_datagrams(
    udp: Address, decoder: PacketDecoder, ending: Ending, wait_s: float, timeout_s: float
) -> Blocks:
    """Yield the samples of datagrams in time."""
    from hzc.packets import links

    with closing(links.DatagramReceiver(*udp)) as receiver:

        def receive(poll_s: float) -> bytes | None:
            with ending.wait():
                return receiver.receive(poll_s)

        with suppress(Ended):
            yield from links.played(decoder, receive, wait_s=wait_s, timeout_s=timeout_s)
            return
    yield decoder.finish()[None]


def _check(decoder: PacketDecoder) -> None:
    """Raise where there is nothing to write."""
    if decoder.counts.n_played == 0:
        raise CorruptError(
            f"no packet could be played ({decoder.counts.n_refused} refused)",
            hint="sender and receiver need the same model",
        )


def _report(
    decoder: PacketDecoder, report: Report, source: str, target: str, duration_s: float
) -> None:
    counts = decoder.counts
    if counts.n_refused:
        report.warn(source, [f"packets refused: {counts.n_refused} (damaged, or another model's)"])
    lost_s = counts.n_lost_frames / FRAME_RATE_HZ
    lost = f"  ({lost_s:.2f} s lost)" if lost_s else ""
    report.done(
        f"{shown(target)}  {duration_s:.2f} s  {decoder.sample_rate_hz} Hz{lost}",
        {"source": source, "path": target, "duration_s": duration_s,
         "sample_rate_hz": decoder.sample_rate_hz, "lost_s": lost_s, **vars(counts)},
    )  # fmt: skip
