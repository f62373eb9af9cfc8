"""`hzc check`."""

from __future__ import annotations

import click

from hzc.checks import Checked, CheckJob
from hzc.cli.batch import Manner, run_jobs
from hzc.cli.options import jobs_option, recursive_option, report_options
from hzc.cli.plan import expand
from hzc.cli.report import Report, say, say_json, shown


@click.command("check")
@click.argument("inputs", nargs=-1, required=True, metavar="FILE...")
@recursive_option
@jobs_option
@report_options
def command(
    inputs: tuple[str, ...], recursive: bool, n_workers: int, quiet: bool, as_json: bool
) -> None:
    """Verify .hzc files without decoding them.

    Verifies every checksum and every length, and that this hzc has the model. For a damaged file,
    prints which seconds are lost; `hzc decode --salvage` brings back the rest.

    \b
    Examples:
      hzc check *.hzc
      hzc check -r coded -j 4
    """  # noqa: D301 - click looks for the backspace itself
    found, unreadable = expand(inputs, (".hzc",), is_recursive=recursive)

    def show(checked: Checked, report: Report) -> None:
        if checked.error is not None:
            report.failed(checked.error, checked.source)
            return
        report.n_done += 1
        duration_s, n_chunks = checked.duration_s, checked.n_chunks
        if as_json:
            say_json({"path": checked.source, "duration_s": duration_s, "n_chunks": n_chunks})
        elif not quiet:
            say(f"{shown(checked.source)}  valid  {duration_s:.2f} s  {n_chunks} chunks")

    manner = Manner(quiet, as_json, n_workers, is_tree=recursive)
    report = run_jobs([CheckJob(path) for path, _ in found], unreadable, show, manner)
    click.get_current_context().exit(report.exit_code)
