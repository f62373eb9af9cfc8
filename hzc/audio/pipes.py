"""Bytes in: files, memory and pipes, read in order; and copies on disk of what pipes gave."""

from __future__ import annotations

import io
import os
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from os import PathLike
from typing import BinaryIO

from hzc.blocks import Blocks
from hzc.errors import AudioReadError, UnreadableError

PIECE_BYTES = 1 << 20
"""At most this much of an input is in memory at a time."""
HEAD_BYTES = 1 << 20
"""Largest header of a piped WAV; with a longer one the pipe is copied to disk."""

Contents = str | PathLike[str] | bytes
"""A file by its path, or the contents of one."""
Opened = tuple[int, int, float | None, Callable[[], Blocks]]
"""Sample rate in Hz, channels, duration in seconds or None, and the blocks from the start."""
Lost = Callable[[str], None]
"""Takes a message about missing audio."""


def opened(file: Contents) -> BinaryIO:
    """Open a file, or contents in memory, for reading.

    Raises:
        UnreadableError: the operating system refused.
    """
    if isinstance(file, bytes):
        return io.BytesIO(file)
    try:
        return open(file, "rb")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise UnreadableError(f"cannot be read ({reason(error)})", path=file) from error


def openable(file: Contents) -> io.BytesIO | str | bytes:
    """Return what soundfile opens: contents as a stream; a path as bytes, in any encoding."""
    if isinstance(file, bytes):
        return io.BytesIO(file)
    return os.fspath(file) if os.name == "nt" else os.fsencode(file)


class Reader:
    """Reads a file or a pipe in order, and never more than asked for: a live pipe must not wait."""

    def __init__(self, stream: BinaryIO, *, is_pipe: bool) -> None:
        """Read from the start of `stream`; its `read` may return less than it is asked for."""
        self._stream, self._is_pipe = stream, is_pipe
        self._ahead = b""
        self.kept = bytearray()
        """All that came through a pipe, until `forget` is called."""

    def read(self, n_bytes: int) -> bytes:
        """Return n_bytes, or fewer at the end.

        Raises:
            UnreadableError: the operating system refused, or the pipe is non-blocking.
        """
        found = bytearray(self._ahead[:n_bytes])
        self._ahead = self._ahead[n_bytes:]
        try:
            while len(found) < n_bytes and (new := self._stream.read(n_bytes - len(found))) != b"":
                if new is None:
                    raise BlockingIOError("it is non-blocking")
                found += new
                if self._is_pipe:
                    self.kept += new
        except OSError as error:
            raise UnreadableError(f"cannot be read ({reason(error)})") from error
        return bytes(found)

    def peek(self, n_bytes: int) -> bytes:
        """Return the next n_bytes, or fewer at the end, and stay where we are."""
        found = self.read(n_bytes)
        self._ahead = found + self._ahead
        return found

    def skip(self, n_bytes: int) -> None:
        """Go past n_bytes; past the end of a file too."""
        if self._is_pipe or n_bytes <= len(self._ahead):
            self.read(n_bytes)
        else:
            self._stream.seek(n_bytes - len(self._ahead), os.SEEK_CUR)
            self._ahead = b""

    def may_skip(self, n_bytes: int) -> bool:
        """Whether n_bytes more of a pipe can be kept in memory."""
        return not self._is_pipe or len(self.kept) + n_bytes <= HEAD_BYTES

    def forget(self) -> None:
        """Keep nothing from here on."""
        self._is_pipe = False
        self.kept.clear()

    def n_bytes_left(self) -> int:
        """Return how much of a file is left; not for pipes."""
        at = self._stream.tell()
        end = self._stream.seek(0, os.SEEK_END)
        self._stream.seek(at)
        return max(0, end - at + len(self._ahead))

    def rest(self) -> Iterator[bytes]:
        """Yield all of a pipe from its start, in pieces."""
        kept = bytes(self.kept)
        self.forget()
        self._ahead = b""
        yield kept
        yield from iter(lambda: self.read(PIECE_BYTES), b"")


class Spool:
    """A copy of a pipe on disk, removed with the last user of it, or when the process ends."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        """Copy all pieces.

        Raises:
            UnreadableError: the temporary file cannot be written.
        """
        try:
            file, self.path = _nameless() or _named()
            weakref.finalize(self, _remove, file, self.path)
            file.writelines(pieces)
            file.flush()
        except OSError as error:
            raise UnreadableError(
                f"cannot be put into a temporary file ({reason(error)})",
                hint="TMPDIR names the folder for temporary files; plain WAV needs none",
            ) from error


def _nameless() -> tuple[BinaryIO, str] | None:
    """Return a file that ends with the process, even if it is killed; None if not possible."""
    if sys.platform != "linux":
        return None
    file = tempfile.TemporaryFile(prefix="hzc-")  # noqa: SIM115 - closed by `_remove`
    path = f"/proc/self/fd/{file.fileno()}"
    if not os.path.isfile(path):
        file.close()
        return None
    return file, path


def _named() -> tuple[BinaryIO, str]:
    handle, path = tempfile.mkstemp(prefix="hzc-")
    return open(handle, "wb"), path


def _remove(file: BinaryIO, path: str) -> None:
    file.close()
    with suppress(OSError):  # it has no name, is removed already, or Windows still has it open
        os.unlink(path)


def reason(error: Exception) -> str:
    """Return the message of a library or the operating system, without its full stop."""
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return str(text).strip().rstrip(".").lower()


def not_audio(why: str) -> AudioReadError:
    """Return the error of what cannot be read as audio."""
    return AudioReadError(f"not readable as audio ({why})")


def missing(missing_s: float, found_s: float) -> str:
    """Return the message that audio is missing."""
    n_digits = 2 if missing_s >= 0.01 else 4
    return f"{missing_s:.{n_digits}f} s of {missing_s + found_s:.{n_digits}f} s are missing"
