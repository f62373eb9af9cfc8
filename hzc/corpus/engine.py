"""Runs the jobs of a corpus: goes on where it stopped, repeats what died, and counts everything."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hzc import runner
from hzc.corpus.clips import Failure
from hzc.corpus.jobs import ShardJob
from hzc.corpus.shards import Folder, Report
from hzc.errors import HzcError, OutputError, WorkerDiedError

MAX_DEADLY = 20
"""Clips of one slice that workers may die of; then the slice is given up."""

Show = Callable[[Report], None]


@dataclass
class Totals:
    """The sums of a corpus."""

    n_shards: int
    n_shards_before: int
    """Finished by earlier runs."""
    n_input: int = 0
    n_output: int = 0
    n_warned: int = 0
    seconds: float = 0.0
    n_bytes: int = 0
    seconds_now: float = 0.0
    """Of audio that this run has done."""
    wall_s: float = 0.0
    failures: list[tuple[int, Failure]] = field(default_factory=list)
    """With the numbers of their parts."""
    unfinished: list[tuple[str, HzcError]] = field(default_factory=list)
    """Slices without a shard."""

    def add(self, report: Report) -> None:
        """Add a finished shard."""
        self.n_input += report.n_input
        self.n_output += report.n_output
        self.n_warned += report.n_warned
        self.seconds += report.seconds
        self.n_bytes += report.n_bytes
        self.failures += [(report.part, failure) for failure in report.failed]

    def values(self) -> dict[str, Any]:
        """Return the sums for programs."""
        kinds = Counter(failure.error for _, failure in self.failures)
        return {
            "n_input": self.n_input, "n_output": self.n_output, "n_failed": len(self.failures),
            "failed_by_error": dict(kinds.most_common()), "n_warned": self.n_warned,
            "n_shards": self.n_shards, "n_shards_before": self.n_shards_before,
            "n_shards_unfinished": len(self.unfinished), "hours": round(self.seconds / 3600.0, 6),
            "n_bytes": self.n_bytes,
            "bitrate_kbps": round(8e-3 * self.n_bytes / self.seconds, 6) if self.seconds else None,
            "wall_s": round(self.wall_s, 3),
            "x_real_time": round(self.seconds_now / self.wall_s, 1) if self.wall_s else None,
        }  # fmt: skip


def run(
    jobs: Sequence[ShardJob], folder: Folder, pool: runner.Pool[Any], n_workers: int, show: Show
) -> Totals:
    """Make every shard that is not there; write the failures and the sums.

    Args:
        jobs: One for each slice of the plan.
        folder: Where the shards go; it holds this plan.
        pool: Where the workers come from.
        n_workers: How many.
        show: Called with the report of each shard that this run makes.

    Raises:
        OutputError: the output cannot be written, as when the disk is full. What is finished stays.
        HzcError: the counts do not fit.
    """
    started = time.monotonic()
    missing = [job for job in jobs if not folder.has(job.part)]
    totals = Totals(len(jobs), len(jobs) - len(missing))
    for report in _results(missing, folder, pool, n_workers):
        if isinstance(report.error, OutputError):
            raise report.error
        if report.error is not None:
            totals.unfinished.append((jobs[report.part].source, report.error))
        totals.seconds_now += report.seconds
        show(report)
    totals.wall_s = time.monotonic() - started
    for job in jobs:
        if folder.has(job.part):
            report = folder.report(job.part)
            _check(report, job)
            totals.add(report)
    folder.finish(totals.failures, totals.values())
    return totals


def _check(report: Report, job: ShardJob) -> None:
    """Raise where the clips of a slice did not all come out, or fail.

    Raises:
        HzcError: so it is.
    """
    report.check()
    if job.slice.n_clips not in (None, report.n_input):
        raise HzcError(
            f"part {job.part}: {report.n_input} clips were read of {job.slice.n_clips}",
            path=job.source,
        )


def _results(
    jobs: Sequence[ShardJob], folder: Folder, pool: runner.Pool[Any], n_workers: int
) -> Iterator[Report]:
    """Yield the reports of jobs; those whose workers died are done again, carefully.

    The first time a worker dies, that may be for want of memory: the job is repeated clip by clip.
    The clip that it dies of then is left out, and so on.
    """
    by_part = {job.part: job for job in jobs}
    while by_part:
        died: dict[int, ShardJob] = {}
        with closing(runner.run(list(by_part.values()), n_workers, pool=pool)) as reports:
            for report in reports:
                if not isinstance(report.error, WorkerDiedError):
                    yield report
                elif (again := _more_careful(by_part[report.part], folder)) is not None:
                    died[report.part] = again
                else:
                    yield report
        by_part = died


def _more_careful(job: ShardJob, folder: Folder) -> ShardJob | None:
    """Return a job whose worker died as it is to be repeated; None to give it up."""
    note = Path(folder.note(job.part))
    if not job.is_careful:
        with suppress(OSError):
            note.unlink()  # of an earlier run
        return replace(job, is_careful=True)
    try:
        deadly = job.deadly | {int(note.read_text())}
    except (OSError, ValueError):
        return None
    is_known = deadly == job.deadly
    return None if is_known or len(deadly) > MAX_DEADLY else replace(job, deadly=deadly)
