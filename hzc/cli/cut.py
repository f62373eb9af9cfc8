"""`hzc cut`."""

from __future__ import annotations

import click

from hzc import bitrate, container, files
from hzc.cli.batch import run_jobs
from hzc.cli.options import Seconds, report_options, split_output
from hzc.cli.report import Report
from hzc.files import Job


@click.command("cut")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT OUTPUT")
@click.option("-o", "--output", metavar="FILE", help="Target.")
@click.option("-f", "--force", is_flag=True, help="Overwrite an existing target.")
@click.option(
    "--start",
    type=Seconds(min=0.0),
    default=0.0,
    metavar="SECONDS",
    help="Start of the part.",
)
@click.option(
    "--end",
    type=Seconds(min=0.0, min_open=True),
    metavar="SECONDS",
    help="End of the part.  [default: that of the file]",
)
@report_options
def command(
    inputs: tuple[str, ...], output: str | None, force: bool, start: float, end: float | None,
    quiet: bool, as_json: bool,
) -> None:  # fmt: skip
    """Cut a part out of a .hzc file without coding it again.

    \b
    Example:
      hzc cut talk.hzc part.hzc --start 60 --end 90

    Parts start and end where chunks do, every 10 s: the start is moved back and the end on, and
    what was cut is told.
    """  # noqa: D301 - click looks for the backspace itself
    inputs, output = split_output(inputs, output, None, (".hzc",))
    if len(inputs) != 1 or output is None:
        raise click.UsageError("name one input and one output")
    if end is not None and end <= start:
        raise click.UsageError("--end must lie after --start")

    def work(job: Job, report: Report) -> None:
        parsed = container.unpack(files.read_bytes(job.source))
        part, from_s, until_s = container.cut(parsed, start, end)
        data = part.packed()
        files.write_bytes(job.target, data, force=force)
        measured = bitrate.measure(part, len(data))
        report.done(
            f"{job.target}  {from_s:.2f} s to {until_s:.2f} s  {measured.line()}",
            {"source": job.source, "path": job.target, "start_s": from_s, "end_s": until_s,
             **measured.values()},
        )  # fmt: skip

    run_jobs(
        files.plan(inputs, output, None, ".hzc"), work, force=force, skip_existing=False,
        fail_fast=False, quiet=quiet, as_json=as_json,
    )  # fmt: skip
