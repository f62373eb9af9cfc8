"""Sources and targets from the names on the command line, before any work."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from hzc.cli.report import shown
from hzc.errors import HzcError, OutputClashError, UnreadableError
from hzc.files import AUDIO_SUFFIXES, STDIO, is_same, reason

MEDIA_SUFFIXES = (
    *AUDIO_SUFFIXES, ".mp4", ".mkv", ".mka", ".webm", ".mov", ".3gp", ".m4b", ".m4v", ".avi",
    ".mpg", ".mpeg", ".ts", ".flv", ".wv", ".ape", ".spx", ".gsm", ".voc", ".raw", ".pcm",
)  # fmt: skip
"""A name with one of these that does not exist was meant as an input, not as a target."""
STDIN_NAMES = ("/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")
STDOUT_NAMES = ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


@dataclass(frozen=True)
class Names:
    """What the user named."""

    inputs: tuple[str, ...]
    output: str | None
    """Target of the only input."""
    folder: str | None
    """Where all targets go."""
    is_recursive: bool = False


@dataclass
class Plan:
    """Sources and their targets."""

    pairs: list[tuple[str, str]] = field(default_factory=list)
    """Source and target of every file."""
    unreadable: list[HzcError] = field(default_factory=list)
    """Folders that could not be walked."""
    folder: str | None = None
    """Where all targets go; made if missing."""


def split_names(
    names: Sequence[str], output: str | None, folder: str | None, *,
    is_recursive: bool, input_suffixes: Sequence[str], target_suffixes: Sequence[str],
) -> Names:  # fmt: skip
    """Return inputs and output: of two names, the second is the target unless it can be an input.

    Args:
        names: The positional arguments.
        output: Argument of -o.
        folder: Argument of -d.
        is_recursive: Whether -r was given.
        input_suffixes: Of names that are inputs even if there is no such file.
        target_suffixes: Of targets, whether they exist or not.

    Raises:
        UsageError: the names contradict each other.
    """
    inputs = tuple(STDIO if name in STDIN_NAMES else name for name in names)
    if output is None and folder is None and not is_recursive and len(names) == 2:
        if _is_target(names[1], input_suffixes, target_suffixes):
            inputs, output = inputs[:1], names[1]
        elif STDIO in inputs:
            raise click.UsageError(f"{names[1]!r} cannot be the output; name it with -o")
    if output is not None and len(inputs) != 1:
        raise click.UsageError("-o goes with one input; use -d for several")
    if output is not None and folder is not None:
        raise click.UsageError("use -o or -d, not both")
    if output is not None and is_recursive:
        raise click.UsageError("-r goes with -d, not with -o")
    if inputs.count(STDIO) > 1:
        raise click.UsageError("standard input can be read once only")
    return Names(inputs, STDIO if output in STDOUT_NAMES else output, folder, is_recursive)


def _is_target(name: str, input_suffixes: Sequence[str], target_suffixes: Sequence[str]) -> bool:
    suffix = Path(name).suffix.lower()
    if name == STDIO or name in STDOUT_NAMES or suffix in target_suffixes:
        return True
    try:
        mode = os.stat(name).st_mode
    except OSError:
        return suffix not in input_suffixes
    if stat.S_ISFIFO(mode):
        raise click.UsageError(
            f"{name!r} is a pipe: name it with -o if it is the output, or use -d for two inputs"
        )
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def plan(names: Names, suffix: str, input_suffixes: Sequence[str]) -> Plan:
    """Return sources and their targets.

    Args:
        names: What the user named.
        suffix: Suffix of targets that are not named, for example ".hzc".
        input_suffixes: Of the files that are taken from folders.

    Raises:
        OutputClashError: two inputs have one target, or a target is its own source.
    """
    if names.output is not None:
        made = Plan([(names.inputs[0], names.output)])
    else:
        found, unreadable = expand(names.inputs, input_suffixes, is_recursive=names.is_recursive)
        pairs = [(path, _target(path, top, names.folder, suffix)) for path, top in found]
        made = Plan(pairs, unreadable, names.folder)
    _check_clashes(made.pairs, suffix)
    return made


def expand(
    inputs: Sequence[str], suffixes: Sequence[str], *, is_recursive: bool
) -> tuple[list[tuple[str, str | None]], list[HzcError]]:
    """Return files, each with the folder it was found below, and errors of unreadable folders.

    Links to files count, links to folders are not followed.

    Args:
        inputs: Files, and folders to be walked if `is_recursive`.
        suffixes: Of files in folders.
        is_recursive: Whether -r was given.
    """
    found: list[tuple[str, str | None]] = []
    failures: list[HzcError] = []

    def refuse(error: OSError) -> None:
        failures.append(UnreadableError(f"cannot be read ({reason(error)})", path=error.filename))

    for top in inputs:
        if not (is_recursive and os.path.isdir(top)):
            found.append((top, None))
            continue
        for folder, folders, names in os.walk(top, onerror=refuse):
            folders.sort()
            wanted = [name for name in names if os.path.splitext(name)[1].lower() in suffixes]
            found += [(os.path.join(folder, name), top) for name in sorted(wanted)]
    return found, failures


def _target(source: str, top: str | None, folder: str | None, suffix: str) -> str:
    """Return a target next to its source, or at the same place below the folder of targets."""
    if source == STDIO:
        return STDIO
    path = Path(source)
    if folder is None:
        return str(path.parent / (path.stem + suffix))
    return str(Path(folder, path.relative_to(top).parent if top else "", path.stem + suffix))


def _check_clashes(pairs: Sequence[tuple[str, str]], suffix: str) -> None:
    claimed: dict[str, str] = {}
    for source, target in pairs:
        if target == STDIO:
            continue
        if is_same(source, target):
            raise OutputClashError(
                "input and output are the same file",
                path=source,
                hint=f"this command makes {suffix} files from others; name its output with -o",
            )
        real = os.path.realpath(target)
        if real in claimed:
            raise OutputClashError(
                f"{shown(claimed[real])} and {shown(source)} would both be written to it",
                path=target,
                hint="name outputs one by one with -o",
            )
        claimed[real] = source
