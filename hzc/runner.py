"""Runs jobs one after the other, or in worker processes; one model per process.

A job that fails gives its outcome with the error in it, and the others go on. The workers are
spawned, not forked: torch hangs in a fork of a process that has used its threads.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from hzc.errors import HzcError, WorkerDiedError
from hzc.jobs import Models, Progress, ignore

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

R_co = TypeVar("R_co", covariant=True)
R = TypeVar("R")

SHARING = {"OMP_WAIT_POLICY": "passive", "OPENBLAS_NUM_THREADS": "1"}
"""Settings with which several processes do not slow each other.

Threads that wait for work otherwise keep their cores busy: four encodings at once on two cores took
twice as long. The networks do the work, so that numpy's own linear algebra needs one thread only.
"""
ENDING_SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]
UNINTERRUPTIBLE = ("hzc.coding.entropy", "importlib._bootstrap", "soundfile")
"""Modules whose native code fails if a signal handler raises an exception in it.

An import is one of them: an interrupted native module raises ImportError."""
RETRY_S = 0.005
END_S = 5.0
"""How long a worker may take to end."""


class Job(Protocol[R_co]):
    """Something to do with one file or one shard; picklable."""

    @property
    def source(self) -> str:
        """The file, or "-"."""

    def run(self, models: Models, progress: Progress) -> R_co:
        """Do it, or raise an HzcError."""

    def failed(self, error: HzcError) -> R_co:
        """Return the result of a job that raised an error."""


class Worker(Protocol):
    """Does one job at a time, somewhere else."""

    index: int
    """Number of the job it is doing, -1 for none."""

    def give(self, index: int, job: Job[Any]) -> None:
        """Let it do a job."""

    def take(self, job: Job[R]) -> R:
        """Return the result of its job, `job.failed(WorkerDiedError)` where it has died."""

    def is_alive(self) -> bool:
        """Whether it can do another job."""

    def end(self) -> None:
        """Let it end."""

    def wait(self) -> None:
        """Wait for its end."""


W = TypeVar("W", bound=Worker)


class Pool(Protocol[W]):
    """Where workers come from."""

    def start(self) -> W:
        """Return a new worker."""

    def ready(self, busy: Sequence[W]) -> Sequence[W]:
        """Wait for results; return those workers, at least one, that have one or have died."""


def run(
    jobs: Sequence[Job[R]],
    n_workers: int = 1,
    n_threads: int | None = None,
    progress: Progress = ignore,
    pool: Pool[Any] | None = None,
) -> Generator[R, None, None]:
    """Yield the result of every job, in the order of the jobs.

    Close the iterator to stop: the workers end, and no target is left half-written.

    Args:
        jobs: What to do.
        n_workers: Processes, >= 1; one for all jobs is this process itself. With more, call this
            from a script under `if __name__ == "__main__":`, as for all of multiprocessing.
        n_threads: Threads of each worker; None for what OMP_NUM_THREADS says, or else to share the
            cores out.
        progress: Called with the seconds of audio done, where this process does the work.
        pool: Where the workers come from, even a single one; None for processes of this machine.
    """
    n_workers = min(n_workers, len(jobs))
    if n_workers > 1 and pool is None:
        pool = Processes(n_workers, n_threads)
    if pool is not None:
        yield from _run_in_workers(jobs, n_workers, pool)
        return
    models = Models()
    for job in jobs:
        try:
            result = job.run(models, progress)
        except HzcError as error:
            result = job.failed(error)
        yield result


def n_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def share_cores() -> None:
    """Apply `SHARING` to this process; call it before numpy or torch is imported."""
    for name, value in SHARING.items():
        os.environ.setdefault(name, value)


def limit_threads(n_threads: int) -> None:
    """Limit the threads of every library; call it before numpy or torch is imported."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(n_threads)
    os.environ["OPENBLAS_NUM_THREADS"] = "1"


# ------------------------------------------------------------------ workers


class Processes:
    """Worker processes of this machine."""

    def __init__(self, n_workers: int, n_threads: int | None = None) -> None:
        """Share the cores out; see `run`."""
        if n_threads is None and "OMP_NUM_THREADS" not in os.environ:
            n_threads = max(1, n_cores() // n_workers)
        self._n_threads = n_threads

    def start(self) -> _Process:
        """See `Pool`."""
        return _Process(self._n_threads)

    def ready(self, busy: Sequence[_Process]) -> Sequence[_Process]:
        """See `Pool`."""
        from multiprocessing import connection

        found = connection.wait([worker.connection for worker in busy])
        return [worker for worker in busy if worker.connection in found]


class _Process:
    """A process that does one job at a time."""

    def __init__(self, n_threads: int | None) -> None:
        from multiprocessing import get_context  # a tenth of the start of a command

        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, n_threads), daemon=True)
        self.process.start()
        theirs.close()
        self.index = -1
        """Number of the job it is doing."""

    def give(self, index: int, job: Job[Any]) -> None:
        self.index = index
        with suppress(OSError):  # it has died: `take` finds out
            self.connection.send(job)

    def take(self, job: Job[R]) -> R:
        """Return the result of its job."""
        try:
            result, bug = self.connection.recv()
        except (EOFError, OSError):
            self.process.join(END_S)
            return job.failed(
                WorkerDiedError(
                    f"the worker process died (exit status {self.process.exitcode})",
                    hint="fewer --jobs need less memory",
                )
            )
        if bug is not None:
            raise RuntimeError(bug)
        found: R = result
        return found

    def is_alive(self) -> bool:
        return self.process.is_alive()

    def end(self) -> None:
        self.connection.close()
        if self.index >= 0:
            self.process.terminate()

    def wait(self) -> None:
        self.process.join(END_S)
        self.process.kill()
        self.process.join()


def _run_in_workers(
    jobs: Sequence[Job[R]], n_workers: int, pool: Pool[W]
) -> Generator[R, None, None]:
    waiting = deque(range(len(jobs)))
    workers: list[W] = []
    results: dict[int, R] = {}
    n_given = 0
    try:
        for _ in range(n_workers):
            workers.append(pool.start())
            workers[-1].give(index := waiting.popleft(), jobs[index])
        while n_given < len(jobs):
            for worker in pool.ready([worker for worker in workers if worker.index >= 0]):
                results[worker.index] = worker.take(jobs[worker.index])
                worker.index = -1
                if waiting and not worker.is_alive():
                    worker.end()
                    workers.remove(worker)
                    workers.append(worker := pool.start())
                if waiting:
                    worker.give(index := waiting.popleft(), jobs[index])
            while n_given in results:
                yield results.pop(n_given)
                n_given += 1
    finally:
        for worker in workers:
            worker.end()
        for worker in workers:
            worker.wait()


def _work(jobs: Connection, n_threads: int | None) -> None:
    """Do jobs until the other end of the connection closes."""
    end_on_signals()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends us
    share_cores()
    if n_threads is not None:
        limit_threads(n_threads)
    models = Models()
    while True:
        try:
            job: Job[Any] = jobs.recv()
        except (EOFError, OSError):
            ignore_signals()
            return
        with suppress(OSError):  # nobody is there to take it: `recv` finds out
            jobs.send(outcome(job, models))


def outcome(job: Job[R], models: Models) -> tuple[R | None, str | None]:
    """Return the result of a job, or the traceback of an error that nobody raised on purpose."""
    try:
        return job.run(models, ignore), None
    except HzcError as error:
        return job.failed(error), None
    except Exception as error:
        return None, "".join(traceback.format_exception(error))


# ------------------------------------------------------------------ signals


def end_on_signals() -> None:
    """Let Ctrl-C, SIGTERM and SIGHUP end this process through its usual clean-up.

    What is ignored, as under nohup, stays ignored.
    """
    for number in ENDING_SIGNALS:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _end)


def _end(signum: int, frame: FrameType | None) -> None:
    while frame is not None:
        if frame.f_globals.get("__name__") in UNINTERRUPTIBLE:
            # Come back in a moment.
            threading.Timer(RETRY_S, os.kill, (os.getpid(), signum)).start()
            return
        frame = frame.f_back
    ignore_signals()  # while cleaning up
    sys.exit(128 + signum)


def ignore_signals() -> None:
    """Ignore what `end_on_signals` listens to, so that nothing disturbs the end of the process."""
    for number in ENDING_SIGNALS:
        if signal.getsignal(number) is _end:
            signal.signal(number, signal.SIG_IGN)
