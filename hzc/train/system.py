"""What training asks of the machine: a device, a precision, and signals that can wait."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from hzc.errors import TrainingError

ENDING_SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


def check_device(device: str) -> None:
    """Raise TrainingError unless torch can put something there."""
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise TrainingError(
            f"no device {device!r} ({reason})", hint='set device = "cpu", or "cuda" with a GPU'
        ) from error


def uses_bf16(precision: str, device: str) -> bool:
    """Return whether to compute in bfloat16; "auto" times a matrix product of each kind."""
    if precision != "auto":
        return precision == "bf16"
    if torch.device(device).type != "cpu":
        return True
    return _product_s(torch.bfloat16) < 0.8 * _product_s(torch.float32)


def _product_s(dtype: torch.dtype) -> float:
    """Return the shortest of some times that a product of a layer's size takes, in seconds."""
    x, weight = torch.randn(4096, 768).to(dtype), torch.randn(768, 256).to(dtype)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        x @ weight
        times.append(time.perf_counter() - start)
    return min(times)


@contextmanager
def deferred_signals() -> Iterator[list[int]]:
    """Collect signals that end the process, so that no step is cut in two; obey them at the end.

    What is ignored, as under nohup, stays ignored.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    numbers = [n for n in ENDING_SIGNALS if signal.getsignal(n) != signal.SIG_IGN]
    before = {n: signal.signal(n, lambda number, _: received.append(number)) for n in numbers}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        signal.raise_signal(received[0])
