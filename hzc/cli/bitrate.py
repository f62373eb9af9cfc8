"""`hzc bitrate`."""

from __future__ import annotations

import click

from hzc import bitrate
from hzc.bitrate import Rate
from hzc.checks import Rated, RateJob
from hzc.cli.batch import Manner, run_jobs
from hzc.cli.options import (
    effort_option,
    jobs_option,
    model_options,
    recursive_option,
    report_options,
    target_options,
)
from hzc.cli.plan import expand
from hzc.cli.report import Report, say, say_json, shown
from hzc.options import EncodeOptions, Target

RUNGS = {
    "nominal": "32-bit floats",
    "kl": "KL to the prior",
    "ideal": "ideal code length",
    "payload": "coded symbols",
    "file": "file bytes",
}


@click.command("bitrate")
@click.argument("inputs", nargs=-1, required=True, metavar="FILE...")
@click.option("--ladder", is_flag=True, help="Print the rate of every stage from latent to file.")
@target_options
@effort_option
@recursive_option
@jobs_option
@model_options
@report_options
def command(
    inputs: tuple[str, ...], ladder: bool, kbps: float | None, max_bytes: int | None,
    effort: int, recursive: bool, n_workers: int, model: str | None, device: str,
    backend: str | None, n_threads: int | None, quiet: bool, as_json: bool,
) -> None:  # fmt: skip
    """Print the bitrate of files: file bytes, header included, per second of audio.

    \b
    Examples:
      hzc bitrate *.hzc
      hzc bitrate -r coded
      hzc bitrate talk.hzc --ladder
      hzc bitrate talk.wav --ladder        encodes in memory; adds the KL rung
      hzc bitrate talk.wav --kbps 0.7
      hzc bitrate talk.wav --ladder --effort 2

    A WAV or other audio file is encoded in memory, and nothing is written. Of folders, -r takes
    the .hzc files only. What --kbps and --max-bytes ask for is printed next to what a file has.
    """  # noqa: D301 - click looks for the backspace itself
    found, unreadable = expand(inputs, (".hzc",), is_recursive=recursive)
    options = EncodeOptions(
        model=model, device=device, backend=backend, kbps=kbps, max_bytes=max_bytes, effort=effort
    )
    rates: list[Rate] = []

    def show(rated: Rated, report: Report) -> None:
        if rated.rate is None:
            assert rated.error is not None
            report.failed(rated.error, rated.source)
            return
        report.n_done += 1
        rates.append(rated.rate)
        _print(rated.source, rated.rate, rated.ladder, options.target, as_json)

    manner = Manner(quiet, as_json, n_workers, n_threads, is_tree=recursive)
    jobs = [RateJob(path, options, ladder) for path, _ in found]
    report = run_jobs(jobs, unreadable, show, manner)
    if len(rates) > 1 and not as_json:
        say(f"total ({len(rates)} files)  {bitrate.total(rates).line()}")
    click.get_current_context().exit(report.exit_code)


def _print(
    path: str, rate: Rate, rungs: dict[str, float] | None, asked: Target, as_json: bool
) -> None:
    text, values = bitrate.compared(rate, asked)
    if as_json:
        extra = {"ladder_bits_per_s": {k: round(v, 3) for k, v in rungs.items()}} if rungs else {}
        say_json({"path": path, **rate.values(), **values, **extra})
        return
    say(f"{shown(path)}  {rate.line()}{text}")
    for rung, bits_per_s in (rungs or {}).items():
        say(f"  {rung:<8} {bits_per_s:9.1f} bit/s  {bits_per_s / 8:8.1f} B/s  {RUNGS[rung]}")
