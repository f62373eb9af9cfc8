"""`hzc decode`."""

from __future__ import annotations

import io
from functools import cache
from typing import TYPE_CHECKING

import click

from hzc import container, files
from hzc.cli.batch import run_jobs
from hzc.cli.options import (
    model_options,
    output_options,
    prepare_torch,
    report_options,
    split_output,
)
from hzc.cli.progress import seconds_bar
from hzc.cli.report import Report
from hzc.files import STDIO, Job

if TYPE_CHECKING:
    from hzc.codec import Codec
    from hzc.container import Container, Header

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
@model_options
@report_options
def command(
    inputs: tuple[str, ...], output: str | None, output_dir: str | None, force: bool,
    skip_existing: bool, fail_fast: bool, sample_rate: int | str, model: str | None, device: str,
    threads: int | None, quiet: bool, as_json: bool,
) -> None:  # fmt: skip
    """Decode .hzc files to audio.

    \b
    Examples:
      hzc decode talk.hzc                  makes talk.wav
      hzc decode talk.hzc talk.flac --sample-rate source
      hzc decode *.hzc -d heard/
      hzc decode talk.hzc - | aplay

    The suffix of the output names its format; standard output gets WAV.
    """  # noqa: D301 - click looks for the backspace itself
    inputs, output = split_output(inputs, output, output_dir, AUDIO_SUFFIXES)

    @cache
    def codec(model_id: int) -> Codec:
        prepare_torch(device, threads)
        from hzc.codec import Codec

        return Codec.for_model_id(model_id, model, device)

    def work(job: Job, report: Report) -> None:
        # The container is proved sound before torch is imported.
        parsed = container.unpack(files.read_bytes(job.source))
        chosen = codec(parsed.header.model_id)
        chosen.check(parsed.header)
        rate_hz = parsed.header.sample_rate_hz if sample_rate == "source" else int(sample_rate)
        n_clipped = _write(job, chosen, parsed, rate_hz, force, quiet or as_json)
        if n_clipped:
            report.note(f"{job.target}: {n_clipped} samples clipped")
        header = parsed.header
        report.done(
            f"{job.target}  {header.duration_s:.2f} s  {rate_hz} Hz",
            {"source": job.source, "path": job.target, "duration_s": header.duration_s,
             "sample_rate_hz": rate_hz, "n_channels": header.n_channels, "n_clipped": n_clipped},
        )  # fmt: skip

    run_jobs(
        files.plan(inputs, output, output_dir, ".wav"), work, force=force,
        skip_existing=skip_existing, fail_fast=fail_fast, quiet=quiet, as_json=as_json,
    )  # fmt: skip


def _write(
    job: Job, codec: Codec, parsed: Container, rate_hz: int, force: bool, silent: bool
) -> int:
    """Decode into the target; return how many samples were clipped."""
    from hzc import audio
    from hzc.codec import n_samples_at

    header: Header = parsed.header
    size = audio.Size(header.n_channels, n_samples_at(header, rate_hz))
    audio.output_format(job.target)
    with seconds_bar(header.duration_s or 0.0, job.source, quiet=silent) as progress:

        def counted() -> audio.Blocks:
            for block in codec.decode_blocks(parsed, rate_hz):
                yield block
                progress(block.shape[1] / rate_hz)

        if job.target == STDIO:
            buffer = io.BytesIO()
            n_clipped = audio.write(buffer, job.target, counted(), rate_hz, size)
            files.write_stdout(buffer.getvalue())
            return n_clipped
        with files.atomic_write(job.target, force=force) as partial:
            return audio.write(partial, job.target, counted(), rate_hz, size)
