"""`hzc decode`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import click

from hzc import container, files
from hzc.cli.batch import run_jobs
from hzc.cli.options import (
    Seconds,
    model_options,
    output_options,
    prepare_torch,
    report_options,
    split_output,
)
from hzc.cli.progress import seconds_bar
from hzc.cli.report import Report
from hzc.container import Header, Reader
from hzc.errors import LossError
from hzc.files import InputStream, Job

if TYPE_CHECKING:
    from hzc.blocks import Blocks
    from hzc.codec import Codec
    from hzc.decoder import Pace, Pieces, Span

    Chosen = Callable[[Header], Codec]

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".caf", ".au", ".w64")


class RateType(click.ParamType):  # type: ignore[type-arg]
    """A sample rate in hertz, or the word source."""

    name = "rate"

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | str:
        """Return the rate as an integer, or "source"."""
        if value == "source":
            return "source"
        if str(value).isdecimal() and 1_000 <= int(value) <= 768_000:
            return int(value)
        self.fail(f"{value!r} is neither 'source' nor a rate of 1000 to 768000 Hz", param, ctx)


@click.command("decode")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@output_options
@click.option(
    "-r",
    "--sample-rate",
    type=RateType(),
    default=16_000,
    show_default=True,
    metavar="HZ|source",
    help="Sample rate of the output; 'source' restores the original's.",
)
@click.option(
    "--start",
    type=Seconds(min=0.0),
    default=0.0,
    metavar="SECONDS",
    help="Where to start; only the chunks needed are decoded.",
)
@click.option(
    "--duration",
    type=Seconds(min=0.0, min_open=True),
    metavar="SECONDS",
    help="How much to decode.  [default: all that follows]",
)
@click.option(
    "--salvage",
    is_flag=True,
    help="Decode what is left of a damaged file, with silence where parts are lost.",
)
@model_options
@report_options
def command(
    inputs: tuple[str, ...], output: str | None, output_dir: str | None, force: bool,
    skip_existing: bool, fail_fast: bool, sample_rate: int | str, start: float,
    duration: float | None, salvage: bool, model: str | None, device: str,
    threads: int | None, quiet: bool, as_json: bool,
) -> None:  # fmt: skip
    """Decode .hzc files to audio.

    \b
    Examples:
      hzc decode talk.hzc                  makes talk.wav
      hzc decode talk.hzc talk.flac --sample-rate source
      hzc decode *.hzc -d heard/
      hzc decode talk.hzc - | aplay
      hzc decode talk.hzc part.wav --start 61.5 --duration 10
      hzc decode broken.hzc --salvage      exit code 8 where something is lost

    The suffix of the output names its format; standard output gets WAV.
    """  # noqa: D301 - click looks for the backspace itself
    inputs, output = split_output(inputs, output, output_dir, AUDIO_SUFFIXES)

    @cache
    def loaded(model_id: int) -> Codec:
        prepare_torch(device, threads)
        from hzc.codec import Codec

        return Codec.for_model_id(model_id, model, device)

    def codec(header: Header) -> Codec:
        chosen = loaded(header.model_id)
        chosen.check(header)
        return chosen

    def work(job: Job, report: Report) -> None:
        target = Target(job, sample_rate, start, duration, force, quiet or as_json)
        if salvage:
            _decode_salvaged(target, codec, report)
        elif files.is_regular(job.source):
            _decode_file(target, codec, report)
        else:
            _decode_stream(target, codec, report)

    run_jobs(
        files.plan(inputs, output, output_dir, ".wav"), work, force=force,
        skip_existing=skip_existing, fail_fast=fail_fast, quiet=quiet, as_json=as_json,
    )  # fmt: skip


@dataclass(frozen=True)
class Target:
    """What to make."""

    job: Job
    sample_rate: int | str
    """In hertz, or "source"."""
    start_s: float
    duration_s: float | None
    force: bool
    is_silent: bool

    @property
    def span(self) -> Span:
        """The stretch to decode."""
        from hzc.decoder import Span

        return Span(self.start_s, self.duration_s)

    def rate_hz(self, header: Header) -> int:
        """Return the sample rate of the output."""
        return header.sample_rate_hz if self.sample_rate == "source" else int(self.sample_rate)


def _decode_file(target: Target, codec: Chosen, report: Report) -> None:
    """Decode a file, which is proved sound before torch is imported."""
    with files.open_input(target.job.source) as stream:
        reader = Reader(InputStream(stream, target.job.source))
        for _ in reader.chunks():
            pass
    header = reader.header
    chosen = codec(header)
    with files.open_input(target.job.source) as stream:
        chunks = Reader(InputStream(stream, target.job.source)).chunks()
        report.done(*_write(target, chosen, lambda: header, chunks))


def _decode_stream(target: Target, codec: Chosen, report: Report) -> None:
    """Decode a pipe as it comes."""
    with files.open_input(target.job.source) as stream:
        reader = Reader(InputStream(stream, target.job.source))
        chosen = codec(reader.header)
        from hzc.decoder import LIVE

        report.done(*_write(target, chosen, lambda: reader.header, reader.chunks(), LIVE))


def _decode_salvaged(target: Target, codec: Chosen, report: Report) -> None:
    """Decode what is left of a file, and tell what is lost."""
    left = container.salvage(files.read_bytes(target.job.source))
    chosen = codec(left.header)
    left = chosen.decoder.vetted(left)
    text, values = _write(target, chosen, lambda: left.header, left.pieces)
    if left.is_whole:
        report.done(text, values)
    else:
        values = {**values, "lost_s": left.lost_s}
        report.salvaged(LossError(left.summary()), text, values)


def _write(
    target: Target,
    codec: Codec,
    header: Callable[[], Header],
    pieces: Pieces,
    pace: Pace | None = None,
) -> tuple[str, dict[str, Any]]:
    """Decode into the target; return what to tell people and programs of it."""
    from hzc.audio import pipes, writers
    from hzc.decoder import WHOLE, n_samples_in

    job, rate_hz = target.job, target.rate_hz(header())
    n_channels = header().n_channels
    n_samples = n_samples_in(header(), rate_hz, target.span)
    kind = writers.output_format(job.target)
    n_written = 0
    with seconds_bar((n_samples or 0) / rate_hz, job.source, quiet=target.is_silent) as progress:

        def counted() -> Blocks:
            nonlocal n_written
            for block in codec.decoder.samples(header, pieces, rate_hz, target.span, pace or WHOLE):
                yield block
                n_written += block.shape[1]
                progress(block.shape[1] / rate_hz)

        if kind == "WAV" and files.is_special(job.target):
            # What cannot be gone back in gets a header that need not be completed.
            with files.open_output(job.target, force=target.force) as write:
                n_clipped = pipes.write_wav_stream(write, counted(), rate_hz, n_channels, n_samples)
        else:
            with files.atomic_write(job.target, force=target.force) as partial:
                size = writers.Size(n_channels, n_samples)
                n_clipped = writers.write(partial, job.target, counted(), rate_hz, size)
    clipped = f"  ({n_clipped} samples clipped)" if n_clipped else ""
    return f"{job.target}  {n_written / rate_hz:.2f} s  {rate_hz} Hz{clipped}", {
        "source": job.source, "path": job.target, "duration_s": n_written / rate_hz,
        "sample_rate_hz": rate_hz, "n_channels": n_channels, "n_clipped": n_clipped,
    }  # fmt: skip
