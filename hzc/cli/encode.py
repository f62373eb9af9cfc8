"""`hzc encode`."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING

import click

from hzc import files
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
from hzc.container import MAX_STEP_INDEX
from hzc.files import STDIO, Job

if TYPE_CHECKING:
    from hzc.codec import Codec


@click.command("encode")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@output_options
@click.option(
    "--channels",
    type=click.Choice(["mix", "keep"]),
    default="mix",
    show_default=True,
    help="Code the mean of the channels, or every channel.",
)
@click.option(
    "--step-index",
    type=click.IntRange(-MAX_STEP_INDEX, MAX_STEP_INDEX),
    metavar="N",
    help="Coarseness: +8 doubles the quantiser's step, -8 halves it. Default: the model's.",
)
@click.option("--verify", is_flag=True, help="Decode every file's symbols again and compare.")
@model_options
@report_options
def command(
    inputs: tuple[str, ...], output: str | None, output_dir: str | None, force: bool,
    skip_existing: bool, fail_fast: bool, channels: str, step_index: int | None, verify: bool,
    model: str | None, device: str, threads: int | None, quiet: bool, as_json: bool,
) -> None:  # fmt: skip
    """Encode audio to .hzc files.

    \b
    Examples:
      hzc encode talk.wav                  makes talk.hzc
      hzc encode talk.flac small.hzc
      hzc encode *.wav -d coded/
      cat talk.wav | hzc encode - - > talk.hzc

    INPUT is anything libsndfile reads (WAV, FLAC, Ogg, Opus, MP3, AIFF), at any sample rate and
    with any number of channels, or - for standard input.
    """  # noqa: D301 - click looks for the backspace itself
    inputs, output = split_output(inputs, output, output_dir, (".hzc",))

    @cache
    def codec() -> Codec:
        prepare_torch(device, threads)
        from hzc.codec import Codec

        return Codec.load(model, device)

    def work(job: Job, report: Report) -> None:
        from hzc import audio, container, rate

        if job.source != STDIO and os.path.isfile(job.source):
            files.check_readable(job.source)
            source = audio.open_source(job.source)
        else:
            # A pipe can be gone through once only, and audio is gone through twice.
            source = audio.open_source(files.read_bytes(job.source))
        if source.n_channels > 1 and channels == "mix":
            report.note(f"{job.source}: {source.n_channels} channels mixed down to one")
        with seconds_bar(source.duration_s, job.source, quiet=quiet or as_json) as progress:
            encoded = codec().encode_source(
                source, step_index=step_index, keep_channels=channels == "keep", progress=progress
            )
        if verify:
            codec().verify(encoded)
        files.write_bytes(job.target, encoded.data, force=force)
        measured = rate.measure(container.unpack(encoded.data), len(encoded.data))
        report.done(
            f"{job.target}  {measured.line()}",
            {"source": job.source, "path": job.target, **measured.values()},
        )

    run_jobs(
        files.plan(inputs, output, output_dir, ".hzc"), work, force=force,
        skip_existing=skip_existing, fail_fast=fail_fast, quiet=quiet, as_json=as_json,
    )  # fmt: skip
