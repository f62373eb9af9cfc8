"""`hzc encode`."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from hzc.bitrate import compared
from hzc.cli.batch import Manner, make_targets
from hzc.cli.options import (
    effort_option,
    file_options,
    model_options,
    raw_options,
    report_options,
    target_options,
)
from hzc.cli.plan import MEDIA_SUFFIXES, plan, split_names
from hzc.container import MAX_STEP_INDEX
from hzc.files import AUDIO_SUFFIXES
from hzc.jobs import EncodeJob, Outcome
from hzc.options import EncodeOptions, RawLayout, Target


@click.command("encode")
@click.argument("names", nargs=-1, required=True, metavar="INPUT... [OUTPUT]")
@file_options
@click.option(
    "--channels", type=click.Choice(["mix", "keep"]), default="mix", show_default=True,
    help="Code the mean of the channels, or every channel.",
)  # fmt: skip
@click.option(
    "--channel", type=click.IntRange(1), metavar="N", help="Code this channel alone, from 1."
)
@click.option(
    "--step-index", type=click.IntRange(-MAX_STEP_INDEX, MAX_STEP_INDEX), metavar="N",
    help="Coarseness: +8 doubles the quantiser's step, -8 halves it.  [default: the model's]",
)  # fmt: skip
@target_options
@effort_option
@click.option("--strict", is_flag=True, help="Refuse recordings that are cut off or damaged.")
@click.option("--verify", is_flag=True, help="Decode every file's symbols again and compare.")
@raw_options
@model_options
@report_options
def command(
    names: tuple[str, ...], output: str | None, output_dir: str | None, recursive: bool,
    n_workers: int, force: bool, skip_existing: bool, fail_fast: bool, dry_run: bool,
    preserve: bool, channels: str, channel: int | None, step_index: int | None,
    kbps: float | None, max_bytes: int | None, effort: int, strict: bool, verify: bool, raw: bool,
    sample_rate: int | None, raw_channels: int, model: str | None, device: str,
    backend: str | None, n_threads: int | None, quiet: bool, as_json: bool,
) -> None:  # fmt: skip
    """Encode audio to .hzc files.

    \b
    Examples:
      hzc encode talk.wav                  makes talk.hzc
      hzc encode talk.flac small.hzc
      hzc encode *.wav -d coded/
      hzc encode talk.wav --kbps 0.7
      hzc encode message.wav --max-bytes 200
      hzc encode talk.wav --effort 1
      hzc encode -r recordings -d coded -j 4
      arecord -f S16_LE -r 16000 -t wav | hzc encode - - > talk.hzc
      rtl_fm ... | hzc encode --raw --sample-rate 24000 - radio.hzc

    INPUT is an audio file (WAV, FLAC, Ogg, Opus, MP3, AIFF and others), at any sample rate and
    with any number of channels, or - for standard input. OUTPUT is a .hzc file, or - for standard
    output. WAV and raw audio are streamed from pipes: 10 s at a time, in constant memory. Other
    formats are copied to a temporary file first.

    Without --kbps the quality is constant and the rate follows the sound. With it every file comes
    to R, header included, or just below: within 2 % from 10 s on. A pipe is held for a minute, then
    written at the steps that this minute needs, and steered: sound that costs much more or less
    than the first minute moves its mean. Pipes of more than a minute take no --max-bytes.

    With --effort 1 or 2 every chunk is searched for symbols that sound closer to the recording, at
    no more bits; 2 takes three times as long and gains a little more. Decoders need nothing new.
    The same machine gives the same file, whatever --threads and --jobs; another processor may round
    differently.
    """  # noqa: D301 - click looks for the backspace itself
    if sample_rate is not None and not raw:
        raise click.UsageError("--sample-rate is only valid with --raw")
    if raw_channels > 1 and not raw:
        raise click.UsageError("--raw-channels is only valid with --raw")
    if raw and sample_rate is None:
        raise click.UsageError("--raw needs --sample-rate")
    if channel is not None and channels == "keep":
        raise click.UsageError("--channel and --channels keep contradict each other")
    if step_index is not None and kbps is not None:
        raise click.UsageError("--step-index and --kbps contradict each other")
    options = EncodeOptions(
        model=model, device=device, backend=backend, force=force, skip_existing=skip_existing,
        preserve=preserve, channels=channel or channels, step_index=step_index, kbps=kbps,
        max_bytes=max_bytes, effort=effort, strict=strict, verify=verify,
        raw=RawLayout(sample_rate, raw_channels) if sample_rate else None,
    )  # fmt: skip
    chosen = split_names(
        names, output, output_dir, is_recursive=recursive, input_suffixes=MEDIA_SUFFIXES,
        target_suffixes=(".hzc",),
    )  # fmt: skip
    manner = Manner(quiet, as_json, n_workers, n_threads, fail_fast, recursive, dry_run)
    shown = partial(describe, asked=options.target)
    make_targets(plan(chosen, ".hzc", AUDIO_SUFFIXES), EncodeJob, options, shown, manner)


def describe(outcome: Outcome, asked: Target) -> tuple[str, dict[str, Any]]:
    """Return the line and the JSON values of an encoded file."""
    rate, n_mixed = outcome.rate, outcome.n_mixed
    assert rate is not None
    mixed = f"  ({n_mixed} channels mixed down to one)" if n_mixed > 1 else ""
    text, asked_values = compared(rate, asked)
    values = {"source": outcome.source, "path": outcome.target, **rate.values(), **asked_values}
    return rate.line() + text + mixed, {**values, "warnings": outcome.warnings}
