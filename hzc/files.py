"""Files in and out: inputs are read once, targets are written atomically."""

from __future__ import annotations

import os
import secrets
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO, TextIO

from hzc.container import MAGIC
from hzc.errors import OutputExistsError, OutputWriteError, UnreadableError

if sys.platform != "win32":
    import fcntl

STDIO = "-"
"""Name of standard input and standard output."""
AUDIO_SUFFIXES = (
    ".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".aifc", ".caf", ".au",
    ".snd", ".w64", ".rf64", ".m4a", ".aac", ".amr", ".wma",
)  # fmt: skip
"""What folders and archives are searched for."""
LOOK_BYTES = 1 << 20
"""Limit on what is read of an input without the magic number of a .hzc file."""


# ------------------------------------------------------------------ inputs


def is_same(source: str, target: str) -> bool:
    """Whether two paths are one file."""
    return source != STDIO and os.path.realpath(source) == os.path.realpath(target)


def is_regular(source: str) -> bool:
    """Whether a path is a file that can be read again: no pipe, no device, not "-"."""
    return source != STDIO and os.path.isfile(source)


def is_special(path: str) -> bool:
    """Whether a path takes or gives bytes in order only: "-", a pipe, a device."""
    return path == STDIO or (os.path.exists(path) and not os.path.isfile(path))


def input_name(source: str) -> str:
    """Return what messages call an input."""
    return "standard input" if source == STDIO else source


class InputStream:
    """Bytes of a file or pipe; a refusal of the system is an UnreadableError."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        """Read from `stream`; errors carry `name`."""
        self._stream, self._name = stream, name

    def read(self, n_bytes: int = -1, /) -> bytes:
        """Return up to n_bytes, or all that is left; nothing at the end.

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


def read_hzc(source: str) -> bytes:
    """Return all bytes of a .hzc file, opened once; the first MiB of anything else.

    Raises:
        UnreadableError: missing, a folder, no permission.
    """
    with open_input(source) as stream:
        named = InputStream(stream, source)
        start = named.read(len(MAGIC))
        return start + (named.read() if start == MAGIC else named.read(LOOK_BYTES))


def _unreadable(source: str, error: OSError) -> UnreadableError:
    hint = "-r takes whole folders" if isinstance(error, IsADirectoryError) else None
    return UnreadableError(f"cannot be read ({reason(error)})", path=input_name(source), hint=hint)


def reason(error: OSError) -> str:
    """Return what the operating system says."""
    return (error.strerror or str(error)).lower()


# ------------------------------------------------------------------ targets


def check_target(target: str, *, force: bool) -> None:
    """Raise where a target cannot be written, so that no work is wasted.

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
def atomic_write(target: str, *, force: bool, like: str | None = None) -> Iterator[Path]:
    """Give the path of a temporary file, which becomes the target when the block ends well.

    After any exception, and after the sudden death of the process, the target is as it was. A
    target that is no regular file, such as /dev/null, is given as it is.

    Args:
        target: A path; links are followed.
        force: Replace a file that is there.
        like: Source, whose modification time the target gets if it is a file; the mode of a
            replaced file is then kept. None for neither.

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
        with _temporary(real) as (stream, path):
            yield path
            if like is not None:
                _copy_attributes(path, like, real)
            os.fsync(stream.fileno())
            _publish(stream, path, real, target, force)
    except OSError as error:
        raise OutputWriteError(
            f"cannot be written ({reason(error)})",
            path=target,
            hint="check folder, permission and free space",
        ) from error


@contextmanager
def _temporary(real: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """Give a new open file in the target's folder and a path to it, with the user's umask."""
    _sweep(real.parent)
    stream, path = _nameless(real.parent) or _named(real)
    try:
        yield stream, path
    finally:
        stream.close()
        if _has_name(path):
            path.unlink(missing_ok=True)


def _nameless(folder: Path) -> tuple[BinaryIO, Path] | None:
    """Return a file that ends with its process; None where the system has no such thing."""
    if sys.platform != "linux":
        return None
    try:
        stream = os.fdopen(os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o666), "rb")
    except OSError:
        return None
    path = Path(f"/proc/self/fd/{stream.fileno()}")
    if not path.exists():
        stream.close()
        return None
    return stream, path


def _named(real: Path) -> tuple[BinaryIO, Path]:
    """Return a file that is locked for as long as it is open, so that `_sweep` passes it over."""
    while True:
        path = _partial_name(real)
        stream = os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666), "rb")
        _lock(stream)
        if os.fstat(stream.fileno()).st_nlink:
            return stream, path
        stream.close()  # another process swept it before it was locked


def _partial_name(real: Path) -> Path:
    # 50 characters are at most 200 bytes; file systems allow 255.
    return real.with_name(f".{real.name[:50]}.{secrets.token_hex(4)}.partial")


def _has_name(path: Path) -> bool:
    return path.suffix == ".partial"


@cache
def _sweep(folder: Path) -> None:
    """Remove temporary files of processes that were killed: nobody holds their locks."""
    if sys.platform != "win32":
        for path in folder.glob(".*.????????.partial"):
            with suppress(OSError), path.open("r+b") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()


def _lock(stream: BinaryIO) -> None:
    if sys.platform != "win32":
        with suppress(OSError):  # a file system without locks
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _copy_attributes(path: Path, like: str, replaced: Path) -> None:
    """Take the time of the source, and the mode of the file that is replaced."""
    with suppress(OSError):
        os.chmod(path, stat.S_IMODE(replaced.stat().st_mode))
    with suppress(OSError):
        if not is_regular(like):
            return
        found = os.stat(like)
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def _publish(stream: BinaryIO, path: Path, real: Path, target: str, force: bool) -> None:
    """Give the finished file its name."""
    if not force:
        try:
            _link(path, real)  # unlike a rename, never replaces a file that came meanwhile
            return
        except FileExistsError:
            check_target(target, force=False)
        except OSError:
            check_target(target, force=False)  # no hard links on this file system
    if not _has_name(path):
        _lock(stream)
        _link(path, path := _partial_name(real))
    if sys.platform == "win32":
        stream.close()  # an open file keeps its name there
    try:
        os.replace(path, real)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _link(path: Path, name: Path) -> None:
    """Give an open file a name, or one more."""
    if _has_name(path):
        os.link(path, name)
        return
    # With a folder's descriptor Python calls linkat, which follows /proc/self/fd to the file.
    folder = os.open(name.parent, os.O_RDONLY)
    try:
        os.link(path, name.name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=True)
    finally:
        os.close(folder)


@contextmanager
def open_output(
    target: str, *, force: bool, like: str | None = None
) -> Iterator[Callable[[bytes], None]]:
    """Give what writes to a target in order, as `atomic_write` or to standard output for "-".

    Raises:
        OutputExistsError: the target exists and `force` is not given.
        OutputWriteError: the operating system refused, or the reader closed the pipe.
    """
    if target == STDIO:
        yield write_stdout
        return
    with atomic_write(target, force=force, like=like) as partial, partial.open("wb") as stream:

        def write(data: bytes) -> None:
            stream.write(data)
            stream.flush()  # the reader of a pipe waits for it

        yield write


def write_bytes(target: str, data: bytes, *, force: bool, like: str | None = None) -> None:
    """Write a whole file, or to standard output for "-".

    Raises:
        OutputExistsError: the target exists and `force` is not given.
        OutputWriteError: the operating system refused, or the reader closed the pipe.
    """
    with open_output(target, force=force, like=like) as write:
        write(data)


# ------------------------------------------------------------------ standard output


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
    why = "the reader closed the pipe" if broken else reason(error)
    return OutputWriteError(f"cannot be written ({why})", path="standard output")


def silence(stream: TextIO) -> None:
    """Redirect standard output or stderr to the null device after it has failed.

    Python would try to flush it again at exit, and print a traceback or change the exit code.
    """
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)
