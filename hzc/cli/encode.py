"""`hzc encode`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
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
from hzc.container import MAX_CHANNELS, MAX_SAMPLE_RATE_HZ, MAX_STEP_INDEX, MIN_SAMPLE_RATE_HZ
from hzc.files import Job

if TYPE_CHECKING:
    from hzc.audio.sources import Source
    from hzc.bitrate import Rate
    from hzc.codec import Codec


@dataclass(frozen=True)
class Choices:
    """How to encode."""

    step_index: int | None
    keep_channels: bool
    verify: bool


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
@click.option("--raw", is_flag=True, help="INPUT is signed 16-bit little-endian PCM, no header.")
@click.option(
    "--sample-rate",
    type=click.IntRange(MIN_SAMPLE_RATE_HZ, MAX_SAMPLE_RATE_HZ),
    metavar="HZ",
    help="Sample rate of raw input.",
)
@click.option(
    "--raw-channels",
    type=click.IntRange(1, MAX_CHANNELS),
    default=1,
    show_default=True,
    metavar="N",
    help="Channels of raw input, interleaved.",
)
@click.option("--verify", is_flag=True, help="Decode every file's symbols again and compare.")
@model_options
@report_options
def command(
    inputs: tuple[str, ...], output: str | None, output_dir: str | None, force: bool,
    skip_existing: bool, fail_fast: bool, channels: str, step_index: int | None, raw: bool,
    sample_rate: int | None, raw_channels: int, verify: bool,
    model: str | None, device: str, threads: int | None, quiet: bool, as_json: bool,
) -> None:  # fmt: skip
    """Encode audio to .hzc files.

    \b
    Examples:
      hzc encode talk.wav                  makes talk.hzc
      hzc encode talk.flac small.hzc
      hzc encode *.wav -d coded/
      arecord -f S16_LE -r 16000 -t wav | hzc encode - - > talk.hzc
      rtl_fm ... | hzc encode --raw --sample-rate 24000 - radio.hzc

    INPUT is anything libsndfile reads (WAV, FLAC, Ogg, Opus, MP3, AIFF), at any sample rate and
    with any number of channels, or - for standard input.
    """  # noqa: D301 - click looks for the backspace itself
    inputs, output = split_output(inputs, output, output_dir, (".hzc",))

    @cache
    def codec() -> Codec:
        prepare_torch(device, threads)
        from hzc.codec import Codec

        return Codec.load(model, device)

    if sample_rate is not None and not raw:
        raise click.UsageError("--sample-rate tells the rate of --raw input; other files tell it")
    if raw_channels > 1 and not raw:
        raise click.UsageError("--raw-channels tells those of --raw input; other files tell them")
    if raw and sample_rate is None:
        raise click.UsageError("--raw needs --sample-rate")
    choices = Choices(step_index, keep_channels=channels == "keep", verify=verify)
    layout = (int(sample_rate or 0), raw_channels) if raw else None

    def work(job: Job, report: Report) -> None:
        silent = quiet or as_json
        if layout is None and files.is_regular(job.source):
            measured = _encode_file(job, codec, choices, report, force, silent)
        else:
            measured = _encode_stream(job, codec, choices, report, force, silent, layout)
        report.done(
            f"{job.target}  {measured.line()}",
            {"source": job.source, "path": job.target, **measured.values()},
        )

    run_jobs(
        files.plan(inputs, output, output_dir, ".hzc"), work, force=force,
        skip_existing=skip_existing, fail_fast=fail_fast, quiet=quiet, as_json=as_json,
    )  # fmt: skip


def _encode_file(
    job: Job, codec: Callable[[], Codec], choices: Choices, report: Report, force: bool,
    silent: bool,
) -> Rate:  # fmt: skip
    """Encode a file, which can be gone through twice."""
    from hzc import bitrate, container
    from hzc.audio import sources

    files.check_readable(job.source)
    source = sources.open_source(job.source)
    encoder = codec().encoder
    _tell_mix(job, source, choices, report)
    with (
        seconds_bar(source.duration_s or 0.0, job.source, quiet=silent) as progress,
        files.open_output(job.target, force=force) as write,
    ):
        data = encoder.encode(source, **asdict(choices), progress=progress).data
        write(data)
    return bitrate.measure(container.unpack(data), len(data))


def _encode_stream(
    job: Job, codec: Callable[[], Codec], choices: Choices, report: Report, force: bool,
    silent: bool, layout: tuple[int, int] | None,
) -> Rate:  # fmt: skip
    """Encode a pipe as it comes; `layout` is rate and channels of raw samples."""
    from hzc.audio import pipes

    with files.open_input(job.source) as stream:
        source = pipes.open_stream(stream) if layout is None else pipes.open_raw(stream, *layout)
        encoder = codec().encoder
        _tell_mix(job, source, choices, report)
        with (
            seconds_bar(source.duration_s or 0.0, job.source, quiet=silent) as progress,
            files.open_output(job.target, force=force) as write,
        ):
            return encoder.encode_stream(source, write, **asdict(choices), progress=progress)


def _tell_mix(job: Job, source: Source, choices: Choices, report: Report) -> None:
    if source.n_channels > 1 and not choices.keep_channels:
        report.note(f"{job.source}: {source.n_channels} channels mixed down to one")
