"""One loop for the commands that make one file from another."""

from __future__ import annotations

from collections.abc import Callable

import click

from hzc import files
from hzc.cli.options import refuse_terminal
from hzc.cli.report import Report
from hzc.errors import HzcError, OutputExistsError
from hzc.files import STDIO, Job


def run_jobs(
    jobs: list[Job],
    work: Callable[[Job, Report], None],
    *,
    force: bool,
    skip_existing: bool,
    fail_fast: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Do every job; go on after a failure; exit with the report's code.

    Args:
        jobs: What to make from what.
        work: Makes one target; raises HzcError, and calls `Report.done` otherwise.
        force: Overwrite targets.
        skip_existing: Pass over targets that exist.
        fail_fast: Stop at the first failure.
        quiet: Say nothing but errors.
        as_json: JSON lines on stdout.
    """
    if as_json and any(job.target == STDIO for job in jobs):
        raise click.UsageError("--json and an output on stdout do not go together")
    if force and skip_existing:
        raise click.UsageError("--force and --skip-existing contradict each other")
    for job in jobs:
        refuse_terminal(job.target)
    report = Report(len(jobs), quiet=quiet, as_json=as_json)
    for job in jobs:
        try:
            files.check_target(job.target, force=force)
            work(job, report)
        except OutputExistsError as error:
            if skip_existing:
                report.skipped(job.target)
            else:
                report.failed(error, job.target)
        except HzcError as error:
            report.failed(error, job.source)
        if report.failures and fail_fast:
            break
    report.summary()
    click.get_current_context().exit(report.exit_code)
