"""Options that several commands share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

import click

from hzc.files import STDIO

F = TypeVar("F", bound=Callable[..., Any])


class Seconds(click.FloatRange):
    """A time; infinity and NaN are none."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the time as a float."""
        seconds: float = super().convert(value, param, ctx)
        if not isfinite(seconds):
            self.fail(f"{value!r} is not a time in seconds", param, ctx)
        return seconds


def _apply(options: list[Callable[[F], F]]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def output_options(function: F) -> F:
    """Add what decides where the output goes."""
    return _apply(
        [
            click.option("-o", "--output", metavar="FILE", help="Target of the only input."),
            click.option("-d", "--output-dir", metavar="DIR", help="Folder for all targets."),
            click.option("-f", "--force", is_flag=True, help="Overwrite existing targets."),
            click.option("--skip-existing", is_flag=True, help="Leave existing targets alone."),
            click.option("--fail-fast", is_flag=True, help="Stop at the first failure."),
        ]
    )(function)


def report_options(function: F) -> F:
    """Add what decides how much is said."""
    return _apply(
        [
            click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors."),
            click.option("--json", "as_json", is_flag=True, help="JSON lines on stdout."),
        ]
    )(function)


def model_options(function: F) -> F:
    """Add what decides which model runs where."""
    return _apply(
        [
            click.option(
                "-m", "--model", metavar="NAME", envvar="HZC_MODEL", show_envvar=True,
                shell_complete=_complete_model,
                help="Registered model, or a .safetensors file.",
            ),
            click.option(
                "--device", type=click.Choice(["cpu", "cuda"]), default="cpu",
                envvar="HZC_DEVICE", show_envvar=True, show_default=True, help="Where to compute.",
            ),
            click.option(
                "--threads", type=click.IntRange(1, 256), metavar="N", envvar="HZC_THREADS",
                show_envvar=True, help="Processor threads; default all cores.",
            ),
        ]
    )(function)  # fmt: skip


def _complete_model(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from hzc.model.registry import models

    return [spec.name for spec in models() if spec.name.startswith(incomplete)]


def prepare_torch(device: str, threads: int | None) -> None:
    """Set the number of threads; refuse a device that is not there."""
    if threads is not None:
        # numpy's linear algebra looks here when it is first imported, which is below.
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[name] = str(threads)
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    if device == "cuda" and not torch.cuda.is_available():
        raise click.UsageError("no CUDA device is available here; use --device cpu")


def split_output(
    inputs: tuple[str, ...], output: str | None, folder: str | None, suffixes: tuple[str, ...]
) -> tuple[tuple[str, ...], str | None]:
    """Return inputs and output, a second positional taken as output where it looks like one.

    `hzc encode in.wav out.hzc`: the second of two names is the target if it has a target's suffix
    or is "-".
    """
    if output is None and folder is None and len(inputs) == 2:
        first, second = inputs
        looks_like_target = second == STDIO or Path(second).suffix.lower() in suffixes
        if looks_like_target:
            return (first,), second
        if first == STDIO or second == STDIO:
            raise click.UsageError(f"{second!r} has no suffix of a target; name it with -o")
    if output is not None and len(inputs) != 1:
        raise click.UsageError("-o goes with one input; use -d for several")
    if output is not None and folder is not None:
        raise click.UsageError("use -o or -d, not both")
    if list(inputs).count(STDIO) > 1:
        raise click.UsageError("standard input can be read once only")
    return inputs, output


def refuse_terminal(target: str) -> None:
    """Raise where binary output would go to a terminal."""
    if target == STDIO and sys.stdout is not None and sys.stdout.isatty():
        raise click.UsageError("refusing to write binary to a terminal; redirect it, or use -o")
