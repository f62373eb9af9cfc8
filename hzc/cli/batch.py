"""One loop for the commands that do the same to many files."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn, TypeVar

import click

from hzc import runner
from hzc.cli.options import refuse_terminal
from hzc.cli.plan import Plan
from hzc.cli.progress import seconds_bar
from hzc.cli.report import Report, say, show_error, shown
from hzc.errors import HzcError, OutputError
from hzc.files import STDIO, is_special
from hzc.jobs import Outcome
from hzc.options import Options

R = TypeVar("R")
OptionsT = TypeVar("OptionsT", bound=Options)


@dataclass(frozen=True)
class Manner:
    """How many files are processed, and what is printed."""

    quiet: bool
    as_json: bool
    n_workers: int = 1
    n_threads: int | None = None
    fail_fast: bool = False
    is_tree: bool = False
    is_dry_run: bool = False


def run_jobs(
    jobs: Sequence[runner.Job[R]],
    lost: Sequence[HzcError],
    show: Callable[[R, Report], None],
    manner: Manner,
) -> Report:
    """Do every job, show each result, go on after failures; return the report.

    Args:
        jobs: What to do.
        lost: What failed before any work.
        show: Prints one result, and counts it.
        manner: How.
    """
    report = Report(len(jobs) + len(lost), manner.quiet, manner.as_json, manner.is_tree)
    for error in lost:
        report.failed(error, os.fspath(error.path or ""))
    # Worker processes do not have this one's standard input, nor its pipes.
    n_workers = 1 if any(is_special(job.source) for job in jobs) else manner.n_workers
    with (
        seconds_bar(quiet=manner.quiet or manner.as_json) as progress,
        closing(runner.run(jobs, n_workers, manner.n_threads, progress)) as results,
    ):
        for result in results:
            show(result, report)
            if report.failures and manner.fail_fast:
                break
    report.summary()
    return report


def make_targets(
    made: Plan,
    job: Callable[[str, str, OptionsT], runner.Job[Outcome]],
    options: OptionsT,
    describe: Callable[[Outcome], tuple[str, dict[str, Any]]],
    manner: Manner,
) -> NoReturn:
    """Do what is planned, print what became of each target, and exit.

    Args:
        made: Sources and targets.
        job: Returns the job of a source and a target.
        options: Of every job.
        describe: Returns the line and the JSON values of a target that was made.
        manner: How they are processed.

    Raises:
        UsageError: options contradict each other, or binary output would go to a terminal.
    """
    prepare_targets(made, options, as_json=manner.as_json, dry_run=manner.is_dry_run)
    jobs = [job(source, target, options) for source, target in made.pairs]
    report = run_jobs(jobs, made.unreadable, partial(show_outcome, describe=describe), manner)
    raise click.exceptions.Exit(report.exit_code)


def prepare_targets(made: Plan, options: Options, *, as_json: bool, dry_run: bool) -> None:
    """Check the targets of a plan before any work, and make their folders.

    Raises:
        UsageError: options contradict each other, or binary output would go to a terminal.
        Exit: the plan was printed, and nothing is to be made.
    """
    targets = [target for _, target in made.pairs]
    if as_json and STDIO in targets:
        raise click.UsageError("--json and an output on stdout do not go together")
    if options.force and options.skip_existing:
        raise click.UsageError("--force and --skip-existing contradict each other")
    if dry_run:
        _print_plan(made, options)
    for target in targets:
        refuse_terminal(target)
    if made.folder is not None:
        for folder in {os.path.dirname(target) for target in targets} - {""}:
            with suppress(OSError):  # the job reports it
                os.makedirs(folder, exist_ok=True)


def _print_plan(made: Plan, options: Options) -> NoReturn:
    for source, target in made.pairs:
        if not (options.skip_existing and os.path.isfile(target)):
            say(f"{shown(source)} -> {shown(target)}")
    for error in made.unreadable:
        show_error(error)
    raise click.exceptions.Exit(1 if made.unreadable else 0)


def show_outcome(
    outcome: Outcome, report: Report, describe: Callable[[Outcome], tuple[str, dict[str, Any]]]
) -> None:
    """Print and count what became of one target."""
    report.warn(outcome.source, outcome.warnings)
    error, is_made = outcome.error, outcome.duration_s is not None
    text, values = describe(outcome) if is_made else ("", {})
    text = f"{shown(outcome.target)}  {text}"
    if outcome.is_skipped:
        report.skipped(outcome.target)
    elif error is None:
        report.done(text, values)
    else:
        name = outcome.target if isinstance(error, OutputError) else outcome.source
        report.failed(error, name, text, values)
