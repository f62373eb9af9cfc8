"""Training on several processes, started by torchrun: each computes its share of every batch.

All processes draw the same batches, average their gradients and take the same steps, so that a run
is that of one process with the same configuration: `batch_size` is that of all together. Started
without torchrun, a process is alone.

What is not the same: sums in another order; the noise of the quantiser in the other processes; and
ratios of means over a batch (`complex_weight`, the feature loss), which become means over shares.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

from hzc.blocks import FloatArray
from hzc.errors import TrainingError

X = TypeVar("X", FloatArray, Tensor)


@contextmanager
def joined(device: str) -> Iterator[None]:
    """Be one of the processes that torchrun started, if it did."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    is_cuda = torch.device(device).type == "cuda"
    if is_cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if is_cuda else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def n_processes() -> int:
    """Return how many there are."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Return which one this is; number 0 writes the files."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def check_batch(n: int) -> None:
    """Raise where a batch cannot be shared out.

    Raises:
        TrainingError: so it is.
    """
    if n % n_processes():
        raise TrainingError(
            f"a batch of {n} for {n_processes()} processes",
            hint="set data.batch_size to a multiple of them",
        )


def share(x: X) -> X:
    """Return this process's part of a batch."""
    part: X = x[rank() :: n_processes()]
    return part


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Give all processes the mean of their gradients."""
    if n_processes() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= n_processes()
    ends = torch.tensor([gradient.numel() for gradient in gradients]).cumsum(0)
    for gradient, mean in zip(gradients, torch.tensor_split(flat, ends[:-1]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def averaged(row: dict[str, float], device: str) -> dict[str, float]:
    """Return the means of numbers over all processes."""
    if n_processes() == 1:
        return row
    values = torch.tensor(list(row.values()), dtype=torch.float32, device=device)
    distributed.all_reduce(values)
    return dict(zip(row, (values / n_processes()).tolist(), strict=True))


def any_of(flag: bool, device: str) -> bool:
    """Whether it is true in one of the processes: they stop together."""
    if n_processes() == 1:
        return flag
    value = torch.tensor(float(flag), device=device)
    distributed.all_reduce(value)
    return bool(value > 0)
