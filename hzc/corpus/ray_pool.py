"""Workers on a Ray cluster; wants `hzc[ray]`. The only importer of ray."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from typing import Any, TypeVar

from hzc import runner
from hzc.errors import ArgumentError, WorkerDiedError
from hzc.files import reason
from hzc.jobs import Models

R = TypeVar("R")
CONNECT_S = 5.0
LOCAL = "local"
"""Address that starts a cluster of this machine."""


class RayPool:
    """Actors of a cluster: one model each, one job at a time."""

    def __init__(self, address: str, n_workers: int, device: str, n_threads: int | None) -> None:
        """Connect to a cluster, or start one.

        Args:
            address: "auto", "host:port", or LOCAL.
            n_workers: How many actors there will be.
            device: An actor on "cuda" asks for one GPU.
            n_threads: Processors that an actor asks for, and its threads; None for one.

        Raises:
            ArgumentError: Ray is not installed, or there is no such cluster.
        """
        if find_spec("ray") is None:
            raise ArgumentError("--ray needs Ray", hint="pip install 'hzc[ray]'")
        import ray

        _check_address(address)
        self._ray, self._n_cpus, self._n_gpus = ray, n_threads or 1, int(device == "cuda")
        self._environment = {"PYTHONPATH": os.pathsep.join(sys.path)} if address == LOCAL else {}
        local = {"num_cpus": n_workers * self._n_cpus, "include_dashboard": False}
        try:
            ray.init(
                **(local if address == LOCAL else {"address": address}),
                ignore_reinit_error=True, log_to_driver=False, logging_level=logging.ERROR,
            )  # fmt: skip
        except (ConnectionError, ValueError, RuntimeError) as error:
            why = str(error).splitlines()[0]
            raise ArgumentError(f"no Ray cluster at {address!r} ({why})") from error

    def start(self) -> _RayWorker:
        """See `runner.Pool`."""
        n_threads = str(self._n_cpus)
        threads = {"OMP_NUM_THREADS": n_threads, "MKL_NUM_THREADS": n_threads}
        variables = {**self._environment, **runner.SHARING, **threads}
        actor = self._ray.remote(_Actor).options(
            num_cpus=self._n_cpus, num_gpus=self._n_gpus, runtime_env={"env_vars": variables}
        )
        return _RayWorker(self._ray, actor.remote())

    def ready(self, busy: Sequence[_RayWorker]) -> Sequence[_RayWorker]:
        """See `runner.Pool`."""
        found, _ = self._ray.wait([worker.result for worker in busy], num_returns=1)
        return [worker for worker in busy if worker.result in found]


def _check_address(address: str) -> None:
    """Raise where nobody listens: Ray would wait for minutes.

    Raises:
        ArgumentError: so it is.
    """
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal() and "/" not in host:
        try:
            socket.create_connection((host, int(port)), CONNECT_S).close()
        except OSError as error:
            raise ArgumentError(f"no Ray cluster at {address!r} ({reason(error)})") from error


class _Actor:
    """What runs on the cluster."""

    def __init__(self) -> None:
        self._models = Models()

    def do(self, job: runner.Job[Any]) -> tuple[Any, str | None]:
        return runner.outcome(job, self._models)


class _RayWorker:
    """An actor, seen from here."""

    def __init__(self, ray: Any, actor: Any) -> None:
        self._ray, self._actor, self._is_alive = ray, actor, True
        self.index, self.result = -1, None

    def give(self, index: int, job: runner.Job[Any]) -> None:
        self.index, self.result = index, self._actor.do.remote(job)

    def take(self, job: runner.Job[R]) -> R:
        try:
            result, bug = self._ray.get(self.result)
        except self._ray.exceptions.RayTaskError:
            raise  # this cannot be done anywhere, as where hzc is not installed
        except self._ray.exceptions.RayError as error:
            self._is_alive = False
            why = type(error).__name__
            return job.failed(WorkerDiedError(f"the worker died ({why})"))
        if bug is not None:
            raise RuntimeError(bug)
        found: R = result
        return found

    def is_alive(self) -> bool:
        return self._is_alive

    def end(self) -> None:
        with suppress(Exception):  # it may be gone already
            self._ray.kill(self._actor)

    def wait(self) -> None:
        pass
