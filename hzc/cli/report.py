"""Counts what was done, prints it, and decides the exit code.

Exit codes: 0 when all is done; with one file the code of its error; with several, 1 if any failed.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import click

from hzc import files
from hzc.errors import HzcError

SCHEMA = 1
ESCAPES = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def shown(path: str | PathLike[str]) -> str:
    r"""Return a file name on one line: unchanged, or quoted for a shell.

    >>> print(shown("two words.wav"), shown("line\nbreak.wav"), shown("caf\udce9.wav"))
    two words.wav $'line\nbreak.wav' $'caf\xe9.wav'
    """
    name = os.fspath(path)
    if name.isprintable():
        return name
    return "$'" + "".join(map(_escaped, name)) + "'"


def _escaped(character: str) -> str:
    if character in ESCAPES or character.isprintable():
        return ESCAPES.get(character, character)
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))


def tell(text: str) -> None:
    """Print one line on stderr; if that fails, print nothing more there."""
    try:
        click.echo(text, err=True)
    except OSError:
        files.silence(sys.stderr)


def show_error(error: HzcError) -> None:
    """Print one line on stderr, and a hint where there is one."""
    message = " ".join(error.message.split())  # what libraries report can have several lines
    where = "" if error.path is None else f"{shown(error.path)}: "
    tell(f"hzc: {where}{message}")
    if error.hint:
        tell(f"hint: {error.hint}")
    if os.environ.get("HZC_DEBUG"):
        tell("".join(traceback.format_exception(error)))


def say(text: str) -> None:
    """Print one line on stdout.

    Raises:
        OutputWriteError: the reader closed the pipe, or the device is full.
    """
    try:
        click.echo(text)
    except OSError as error:
        raise files.stdout_failure(error) from error


def say_json(values: dict[str, Any]) -> None:
    """Print one JSON line on stdout."""
    say(json.dumps({"schema": SCHEMA, **values}))


@dataclass
class Report:
    """What happened to each file of one command."""

    n_jobs: int
    quiet: bool = False
    as_json: bool = False
    is_tree: bool = False
    """Whether folders were walked: a summary is then printed in any case."""
    n_done: int = 0
    n_skipped: int = 0
    failures: list[HzcError] = field(default_factory=list)

    def done(self, text: str, values: dict[str, Any]) -> None:
        """Count a file that was written; `text` for people, `values` for programs."""
        self.n_done += 1
        if self.as_json:
            say_json(values)
        elif not self.quiet:
            tell(text)

    def warn(self, path: str, warnings: Iterable[str]) -> None:
        """Print warnings about an input."""
        for warning in () if self.quiet else warnings:
            tell(f"hzc: warning: {shown(files.input_name(path))}: {warning}")

    def skipped(self, path: str) -> None:
        """Count a file whose target exists already."""
        self.n_skipped += 1
        if self.as_json:
            say_json({"path": path, "is_skipped": True})
        elif not self.quiet:
            tell(f"{shown(path)}: skipped, exists already")

    def failed(
        self, error: HzcError, path: str, text: str = "", values: dict[str, Any] | None = None
    ) -> None:
        """Count a file that failed, and print why.

        Args:
            error: Why.
            path: File concerned, if the error does not name one.
            text: For people, if a target was made in spite of the error.
            values: The same for programs.
        """
        if error.path is None:
            error.path = files.input_name(path)
        self.failures.append(error)
        show_error(error)
        if self.as_json:
            failure = {"error": error.message, "exit_code": error.exit_code}
            say_json({**(values or {"path": path}), **failure})
        elif values and not self.quiet:
            tell(text)

    def summary(self) -> None:
        """Print how many of several files were done, if any failed or folders were walked."""
        counts = [f"hzc: {self.n_done} of {self.n_jobs} files done"]
        counts += [f"{self.n_skipped} skipped"] if self.n_skipped else []
        counts += [f"{len(self.failures)} failed"] if self.failures else []
        if (self.n_jobs > 1 and self.failures) or (self.is_tree and not self.quiet):
            tell(", ".join(counts))

    @property
    def exit_code(self) -> int:
        """The code that the process ends with."""
        if not self.failures:
            return 0
        return self.failures[0].exit_code if self.n_jobs == 1 and not self.is_tree else 1
