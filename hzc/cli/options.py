"""Options that several commands share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from math import isfinite
from typing import Any, TypeVar

import click

from hzc.container import MAX_CHANNELS, MAX_SAMPLE_RATE_HZ, MIN_SAMPLE_RATE_HZ
from hzc.files import STDIO
from hzc.options import MAX_KBPS, MIN_KBPS
from hzc.runner import limit_threads
from hzc.search.effort import MAX_EFFORT

F = TypeVar("F", bound=Callable[..., Any])
Option = Callable[[F], F]


class Finite(click.FloatRange):
    """A number; infinity and NaN are refused."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number as a float."""
        number: float = super().convert(value, param, ctx)
        if not isfinite(number):
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return number


class RateType(click.ParamType):  # type: ignore[type-arg]
    """A sample rate in hertz, or the word source, which becomes 0."""

    name = "rate"

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return the rate in hertz."""
        if value == "source":
            return 0
        if str(value).isdecimal() and 1_000 <= int(value) <= 768_000:
            return int(value)
        self.fail(f"{value!r} is neither 'source' nor a rate of 1000 to 768000 Hz", param, ctx)


def all_of(*options: Option[F]) -> Option[F]:
    """Return a decorator that adds several options, in the order of --help."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


effort_option = click.option(
    "--effort", type=click.IntRange(0, MAX_EFFORT), default=0, show_default=True, metavar="N",
    help="How long to search for better sound at no more bits; above 0 needs torch.",
)  # fmt: skip
raw_options = all_of(
    click.option(
        "--raw", is_flag=True, help="INPUT is signed 16-bit little-endian PCM, no header."
    ),
    click.option(
        "--sample-rate", type=click.IntRange(MIN_SAMPLE_RATE_HZ, MAX_SAMPLE_RATE_HZ),
        metavar="HZ", help="Sample rate of raw input.",
    ),
    click.option(
        "--raw-channels", type=click.IntRange(1, MAX_CHANNELS), default=1, show_default=True,
        metavar="N", help="Channels of raw input, interleaved.",
    ),
)  # fmt: skip
recursive_option = click.option(
    "-r", "--recursive", is_flag=True, help="Search folders too, with all their subfolders."
)
jobs_option = click.option(
    "-j", "--jobs", "n_workers", type=click.IntRange(1, 9999), default=1, show_default=True,
    metavar="N", help="Files done at the same time; they share the processor cores.",
)  # fmt: skip
target_options = all_of(
    click.option(
        "--kbps", type=Finite(MIN_KBPS, MAX_KBPS), metavar="R",
        help="Rate of file bytes to come up to, 0.4 to 4.",
    ),
    click.option(
        "--max-bytes", type=click.IntRange(1), metavar="N",
        help="Most bytes of each file; what needs more is coded more coarsely.",
    ),
)  # fmt: skip
force_option = click.option("-f", "--force", is_flag=True, help="Replace targets that exist.")
output_option = click.option("-o", "--output", metavar="FILE", help="Target of the only input.")
preserve_option = click.option(
    "--preserve/--no-preserve", default=True, show_default=True,
    help="Give targets the time of their source, and replaced files their old mode.",
)  # fmt: skip


def _set_threads(ctx: click.Context, param: click.Parameter, value: int | None) -> int | None:
    if value is not None:
        limit_threads(value)
    return value


threads_option = click.option(
    "--threads", "n_threads", type=click.IntRange(1, 256), metavar="N", envvar="HZC_THREADS",
    show_envvar=True, callback=_set_threads, is_eager=True,
    help="Threads, of each job with -j.  [default: all cores, shared out]",
)  # fmt: skip


def _complete_model(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from hzc.model.registry import models

    return [spec.name for spec in models() if spec.name.startswith(incomplete)]


def file_options(function: F) -> F:
    """Add the options for targets and for many files."""
    return all_of(
        output_option,
        click.option(
            "-d", "--output-dir", metavar="DIR", help="Folder of all targets; made if missing."
        ),
        recursive_option,
        jobs_option,
        force_option,
        click.option("--skip-existing", is_flag=True, help="Leave targets that exist alone."),
        click.option("--fail-fast", is_flag=True, help="Stop at the first failure."),
        click.option(
            "-n", "--dry-run", is_flag=True, help="Print sources and targets, and do nothing."
        ),
        preserve_option,
    )(function)


def report_options(function: F) -> F:
    """Add the options for what is printed."""
    return all_of(
        click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors."),
        click.option("--json", "as_json", is_flag=True, help="JSON lines on stdout."),
    )(function)


def model_options(function: F) -> F:
    """Add the options for model, device and threads."""
    return all_of(
        click.option(
            "-m", "--model", metavar="NAME", envvar="HZC_MODEL", show_envvar=True,
            shell_complete=_complete_model, help="Registered model, or a .safetensors file.",
        ),
        click.option(
            "--device", type=click.Choice(["cpu", "cuda"]), default="cpu", envvar="HZC_DEVICE",
            show_envvar=True, show_default=True, help="Where to compute.",
        ),
        click.option(
            "--backend", type=click.Choice(["onnx", "torch"]), envvar="HZC_BACKEND",
            show_envvar=True,
            help="What runs the networks.  [default: onnx on the CPU, where it is installed]",
        ),
        threads_option,
    )(function)  # fmt: skip


def refuse_terminal(target: str) -> None:
    """Raise where binary output would go to a terminal."""
    if target == STDIO and sys.stdout is not None and sys.stdout.isatty():
        raise click.UsageError("refusing to write binary to a terminal; redirect it, or use -o")
