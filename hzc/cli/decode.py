"""`hzc decode`."""

from __future__ import annotations

from typing import Any

import click

from hzc.cli.batch import Manner, make_targets
from hzc.cli.options import Finite, RateType, file_options, model_options, report_options
from hzc.cli.plan import plan, split_names
from hzc.files import AUDIO_SUFFIXES
from hzc.jobs import DecodeJob, Outcome
from hzc.options import DECODED_RATE_HZ, DecodeOptions


@click.command("decode")
@click.argument("names", nargs=-1, required=True, metavar="INPUT... [OUTPUT]")
@file_options
@click.option(
    "--sample-rate", type=RateType(), default=DECODED_RATE_HZ, show_default=True,
    metavar="HZ|source", help="Sample rate of the output; 'source' restores the original's.",
)  # fmt: skip
@click.option(
    "--start", type=Finite(min=0.0), default=0.0, metavar="SECONDS",
    help="Where to start; only the chunks needed are decoded.",
)  # fmt: skip
@click.option(
    "--duration", type=Finite(min=0.0, min_open=True), metavar="SECONDS",
    help="How much to decode.  [default: all that follows]",
)  # fmt: skip
@click.option(
    "--salvage", is_flag=True,
    help="Decode what is left of a damaged file, with silence where parts are lost.",
)  # fmt: skip
@model_options
@report_options
def command(
    names: tuple[str, ...], output: str | None, output_dir: str | None, recursive: bool,
    n_workers: int, force: bool, skip_existing: bool, fail_fast: bool, dry_run: bool,
    preserve: bool, sample_rate: int, start: float, duration: float | None, salvage: bool,
    model: str | None, device: str, backend: str | None, n_threads: int | None, quiet: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Decode .hzc files to audio.

    \b
    Examples:
      hzc decode talk.hzc                  makes talk.wav
      hzc decode talk.hzc talk.flac --sample-rate source
      hzc decode *.hzc -d decoded/
      hzc decode -r coded -d decoded -j 4
      hzc decode talk.hzc - | aplay
      hzc decode talk.hzc part.wav --start 61.5 --duration 10
      hzc decode broken.hzc --salvage      exit code 8 where something is lost

    INPUT is a .hzc file, or - for standard input, which is streamed. The suffix of OUTPUT names
    its format (.wav, .flac, .ogg, .opus, .mp3, .aiff and others); standard output gets WAV.
    """  # noqa: D301 - click looks for the backspace itself
    options = DecodeOptions(
        model=model, device=device, backend=backend, force=force, skip_existing=skip_existing,
        preserve=preserve, sample_rate_hz=sample_rate or None, start_s=start,
        duration_s=duration, salvage=salvage,
    )  # fmt: skip
    chosen = split_names(
        names, output, output_dir, is_recursive=recursive, input_suffixes=(".hzc",),
        target_suffixes=AUDIO_SUFFIXES,
    )  # fmt: skip
    manner = Manner(quiet, as_json, n_workers, n_threads, fail_fast, recursive, dry_run)
    make_targets(plan(chosen, ".wav", (".hzc",)), DecodeJob, options, describe, manner)


def describe(outcome: Outcome) -> tuple[str, dict[str, Any]]:
    """Return the line and the JSON values of a decoded file."""
    clipped = f"  ({outcome.n_clipped} samples clipped)" if outcome.n_clipped else ""
    values: dict[str, Any] = {
        "source": outcome.source, "path": outcome.target, "duration_s": outcome.duration_s,
        "sample_rate_hz": outcome.sample_rate_hz, "n_channels": outcome.n_channels,
        "n_clipped": outcome.n_clipped, "warnings": outcome.warnings,
    }  # fmt: skip
    if outcome.lost_s:
        values["lost_s"] = outcome.lost_s
    return f"{outcome.duration_s:.2f} s  {outcome.sample_rate_hz} Hz{clipped}", values
