"""Which file becomes which, and writing a target wholly or not at all."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO

from hzc.errors import OutputClashError, OutputExistsError, OutputWriteError, UnreadableError

STDIO = "-"
"""Name of standard input and standard output."""


@dataclass(frozen=True)
class Job:
    """One file to be made from another; either may be "-"."""

    source: str
    target: str


def plan(inputs: Sequence[str], output: str | None, folder: str | None, suffix: str) -> list[Job]:
    """Return what to make from what, before any work is done.

    Args:
        inputs: Files, or "-" for standard input.
        output: Target of the only input, or None.
        folder: Where targets go, or None for beside their sources.
        suffix: Suffix of targets that are not named, for example ".hzc".

    Raises:
        OutputClashError: two inputs have one target, or a target is its own source.
    """
    if output is not None:
        jobs = [Job(inputs[0], output)]
    else:
        jobs = [Job(source, _sibling(source, folder, suffix)) for source in inputs]
    claimed: dict[str, str] = {}
    for job in jobs:
        if job.target == STDIO:
            continue
        real = os.path.realpath(job.target)
        if is_same(job.source, job.target):
            raise OutputClashError(
                "input and output are the same file",
                path=job.source,
                hint=f"this command makes {suffix} files from others; name its output with -o",
            )
        if real in claimed:
            raise OutputClashError(
                f"{claimed[real]} and {job.source} would both be written to it",
                path=job.target,
                hint="name outputs one by one with -o",
            )
        claimed[real] = job.source
    return jobs


def is_same(source: str, target: str) -> bool:
    """Whether two paths are one file."""
    return source != STDIO and os.path.realpath(source) == os.path.realpath(target)


def _sibling(source: str, folder: str | None, suffix: str) -> str:
    if source == STDIO:
        return STDIO
    path = Path(source)
    return str((Path(folder) if folder else path.parent) / (path.stem + suffix))


def read_bytes(source: str) -> bytes:
    """Return all bytes of a file, or of standard input for "-".

    Raises:
        UnreadableError: missing, a folder, no permission.
    """
    if source == STDIO and sys.stdin is None:
        raise UnreadableError("cannot be read (it is closed)", path=input_name(STDIO))
    try:
        return sys.stdin.buffer.read() if source == STDIO else Path(source).read_bytes()
    except OSError as error:
        raise _unreadable(source, error) from error


class InputStream:
    """Bytes of a file or pipe, with the system's refusals as hzc's errors."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        """Read from `stream`; errors say `name`."""
        self._stream, self._name = stream, name

    def read(self, n_bytes: int, /) -> bytes:
        """Return up to n_bytes; none at the end.

        Raises:
            UnreadableError: the operating system refused.
        """
        try:
            return self._stream.read(n_bytes) or b""
        except OSError as error:
            raise _unreadable(self._name, error) from error


@contextmanager
def open_input(source: str) -> Iterator[BinaryIO]:
    """Give a file, or standard input for "-", to be read in order.

    Raises:
        UnreadableError: missing, a folder, no permission.
    """
    if source == STDIO:
        if sys.stdin is None:
            raise UnreadableError("cannot be read (it is closed)", path=input_name(STDIO))
        yield sys.stdin.buffer
        return
    with ExitStack() as stack:
        try:
            stream = stack.enter_context(open(source, "rb"))
        except OSError as error:
            raise _unreadable(source, error) from error
        yield stream


def is_regular(source: str) -> bool:
    """Whether a path names a file that can be read twice: no pipe, no device, not "-"."""
    return source != STDIO and os.path.isfile(source)


def is_special(target: str) -> bool:
    """Whether a target takes bytes in order only: "-", a pipe, a device."""
    return target == STDIO or (os.path.exists(target) and not os.path.isfile(target))


def check_readable(source: str) -> None:
    """Raise UnreadableError unless the file can be opened for reading."""
    read_start(source, 0)


def read_start(source: str, n_bytes: int) -> bytes:
    """Return the first bytes of a file.

    Raises:
        UnreadableError: missing, a folder, no permission.
    """
    try:
        with open(source, "rb") as file:
            return file.read(n_bytes)
    except OSError as error:
        raise _unreadable(source, error) from error


def _unreadable(source: str, error: OSError) -> UnreadableError:
    reason = (error.strerror or str(error)).lower()
    hint = None
    if isinstance(error, IsADirectoryError):
        hint = "bin/hzc-encode-tree and bin/hzc-decode-tree do whole folders"
    return UnreadableError(f"cannot be read ({reason})", path=input_name(source), hint=hint)


def input_name(source: str) -> str:
    """Return what messages call an input."""
    return "standard input" if source == STDIO else source


def check_target(target: str, *, force: bool) -> None:
    """Raise where a target cannot be made, so that no work is done in vain.

    Raises:
        OutputExistsError: a regular file or a dangling link is there, and `force` is not given.
        OutputWriteError: its folder is missing, it is a folder, or standard output is closed.
    """
    if target == STDIO:
        if sys.stdout is None:
            raise OutputWriteError("cannot be written (it is closed)", path="standard output")
        return
    dangles = os.path.islink(target) and not os.path.exists(target)
    if not force and (dangles or os.path.isfile(target)):
        raise OutputExistsError("exists already", path=target, hint="overwrite it with --force")
    real = os.path.realpath(target)
    if os.path.isdir(real):
        raise OutputWriteError("is a folder", path=target, hint="name a file")
    if not os.path.isdir(os.path.dirname(real)):
        raise OutputWriteError(
            "cannot be written (no such folder)", path=target, hint="make the folder first"
        )


@contextmanager
def atomic_write(target: str, *, force: bool) -> Iterator[Path]:
    """Give a temporary path beside the target, which takes its place when the block ends well.

    After any exception the temporary file is gone and the target is as it was. A target that is
    no regular file, such as /dev/null, is given as it is.

    Raises:
        OutputExistsError: the target came into being meanwhile, and `force` is not given.
        OutputWriteError: the operating system refused.
    """
    real = Path(os.path.realpath(target))
    if os.path.isdir(real):
        raise OutputWriteError("is a folder", path=target, hint="name a file")
    try:
        if is_special(target):
            yield Path(target)
            return
        # 50 characters are at most 200 bytes; file systems allow 255.
        partial = real.with_name(f".{real.name[:50]}.{secrets.token_hex(4)}.partial")
        # Created here, with the user's umask, so that refusals come before the work.
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        try:
            yield partial
            _publish(partial, real, target, force)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(target, error) from error


def _publish(partial: Path, real: Path, target: str, force: bool) -> None:
    """Give the finished file its name."""
    if not force:
        try:
            # A link, unlike a rename, never replaces a file that came meanwhile.
            os.link(partial, real)
            return
        except FileExistsError:
            check_target(target, force=False)
        except OSError:
            check_target(target, force=False)  # no hard links on this file system
    os.replace(partial, real)


def _unwritable(target: str, error: OSError) -> OutputWriteError:
    reason = (error.strerror or str(error)).lower()
    return OutputWriteError(
        f"cannot be written ({reason})", path=target, hint="check folder, permission and free space"
    )


def write_bytes(target: str, data: bytes, *, force: bool) -> None:
    """Write a whole file, or to standard output for "-".

    Raises:
        OutputExistsError: the target exists and `force` is not given.
        OutputWriteError: the operating system refused, or the reader closed the pipe.
    """
    with open_output(target, force=force) as write:
        write(data)


@contextmanager
def open_output(target: str, *, force: bool) -> Iterator[Callable[[bytes], None]]:
    """Give what writes to a target in order, as `atomic_write` or to standard output for "-".

    Raises:
        OutputExistsError: the target exists and `force` is not given.
        OutputWriteError: the operating system refused, or the reader closed the pipe.
    """
    if target == STDIO:
        yield write_stdout
        return
    with atomic_write(target, force=force) as partial, partial.open("wb") as stream:

        def write(data: bytes) -> None:
            stream.write(data)
            stream.flush()  # whoever listens at the other end of a pipe waits for it

        yield write


def write_stdout(data: bytes) -> None:
    """Write bytes to standard output.

    Raises:
        OutputWriteError: the reader closed the pipe, or the device is full.
    """
    try:
        # Python's unbuffered mode writes only as much as the system takes at once.
        rest = memoryview(data)
        while rest:
            rest = rest[sys.stdout.buffer.write(rest) or 0 :]
        sys.stdout.buffer.flush()
    except OSError as error:
        raise stdout_failure(error) from error


def stdout_failure(error: OSError) -> OutputWriteError:
    """Return what to raise after standard output failed, and write no more to it."""
    silence(sys.stdout)
    broken = isinstance(error, BrokenPipeError)
    reason = "the reader closed the pipe" if broken else (error.strerror or str(error)).lower()
    return OutputWriteError(f"cannot be written ({reason})", path="standard output")


def silence(stream: TextIO) -> None:
    """Lead standard output or stderr into nothing once it has failed.

    Python would try to flush it again at exit, and print a traceback or change the exit code.
    """
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)
