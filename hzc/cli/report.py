"""Counts what was done, says it, and owns the exit code.

Exit codes: 0 when all is done; with one file the code of its error; with several, 1 if any failed.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from dataclasses import dataclass, field
from typing import Any

import click

from hzc import files
from hzc.errors import HzcError, LossError

SCHEMA = 1


def tell(text: str) -> None:
    """Print one line on stderr; where that cannot be done, the work goes on untold."""
    try:
        click.echo(text, err=True)
    except OSError:
        files.silence(sys.stderr)


def show_error(error: HzcError) -> None:
    """Print one line on stderr, and a hint where there is one."""
    message = " ".join(error.message.split())  # what libraries say can have several lines
    where = "" if error.path is None else f"{os.fspath(error.path)}: "
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
    n_done: int = 0
    n_skipped: int = 0
    failures: list[HzcError] = field(default_factory=list)

    def done(self, text: str, values: dict[str, Any]) -> None:
        """Count a file that was done; `text` for people, `values` for programs."""
        self.n_done += 1
        if self.as_json:
            say_json(values)
        elif not self.quiet:
            tell(text)

    def note(self, text: str) -> None:
        """Say something worth knowing about a file that is being done."""
        if not self.quiet:
            tell(f"hzc: note: {text}")

    def skipped(self, path: str) -> None:
        """Count a file whose target exists already."""
        self.n_skipped += 1
        if self.as_json:
            say_json({"path": path, "is_skipped": True})
        elif not self.quiet:
            tell(f"{path}: skipped, exists already")

    def failed(self, error: HzcError, path: str) -> None:
        """Count a file that could not be done, and say why."""
        self._show(error, path)
        if self.as_json:
            say_json({"path": path, "error": error.message, "exit_code": error.exit_code})

    def salvaged(self, error: LossError, text: str, values: dict[str, Any]) -> None:
        """Count a file that was made from what is left of another, and say what is lost."""
        self._show(error, values["source"])
        if self.as_json:
            say_json({**values, "error": error.message, "exit_code": error.exit_code})
        elif not self.quiet:
            tell(text)

    def _show(self, error: HzcError, path: str) -> None:
        if error.path is None:
            error.path = files.input_name(path)
        self.failures.append(error)
        show_error(error)

    def summary(self) -> None:
        """Say how many of several files were done, if any failed."""
        if self.n_jobs > 1 and self.failures:
            text = f"hzc: {self.n_done} of {self.n_jobs} files done, {len(self.failures)} failed"
            tell(text)

    @property
    def exit_code(self) -> int:
        """The code that the process ends with."""
        if not self.failures:
            return 0
        return self.failures[0].exit_code if self.n_jobs == 1 else 1
