"""Runs the command line in this process, and says what it did."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hzc import container
from hzc.cli import main
from hzc.runner import ENDING_SIGNALS

WITH_MODEL = ("encode", "decode", "bitrate", "send", "receive")
"""Commands that take --model."""


@dataclass(frozen=True)
class Result:
    """What one command did."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout.decode()

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The lines of stdout, all of them JSON."""
        return [json.loads(line) for line in self.text.splitlines()]


def snapshot(folder: Path) -> dict[str, Any]:
    """Return what is in a folder: names, kinds and bytes."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = ("link", os.readlink(path))
        else:
            found[name] = path.read_bytes() if path.is_file() else None
    return found


def assert_one_clear_line(stderr: str, says: str) -> None:
    """Assert that stderr is one error that says so, perhaps with a hint, and nothing odd."""
    lines = stderr.splitlines()
    errors = [line for line in lines if not line.startswith(("hint: ", "hzc: warning: "))]
    assert len(errors) == 1, stderr
    assert errors[0].startswith("hzc: "), stderr
    assert says in errors[0], stderr
    assert "internal error" not in stderr
    assert "Traceback" not in stderr


@dataclass(frozen=True)
class Cli:
    """Runs hzc in this process; its working folder is the test's own."""

    folder: Path
    model: Path

    def __call__(
        self, *args: object, code: int = 0, stdin: bytes = b"", model: bool = True
    ) -> Result:
        """Run, and show everything where the exit code is not the expected one."""
        words = [os.fspath(a) if isinstance(a, os.PathLike) else str(a) for a in args]
        if model and words and words[0] in WITH_MODEL:
            words[1:1] = ["--model", str(self.model)]
        result = run_here(words, stdin)
        shown = f"$ hzc {words}\n{result.stdout[:4000]!r}\n{result.stderr}"
        assert result.code == code, shown
        assert "Traceback" not in result.stderr, shown
        assert "internal error" not in result.stderr, shown
        assert not list(self.folder.rglob("*.partial")), shown
        return result

    def put_graphs(self, weights: Path) -> None:
        """Put the graphs of the model next to a copy of its weight file."""
        for graph in self.model.parent.glob("*.onnx"):
            name = graph.name.replace(self.model.stem, weights.stem)
            shutil.copyfile(graph, weights.with_name(name))

    def refuse(self, code: int, says: str, *args: object, **kwargs: Any) -> Result:
        """Run what is refused with one clear line, and leaves every file as it was."""
        before = snapshot(self.folder)
        result = self(*args, code=code, **kwargs)
        assert_one_clear_line(result.stderr, says)
        assert snapshot(self.folder) == before
        return result

    def misuse(self, says: str, *args: object, **kwargs: Any) -> Result:
        """Run what is a usage error, and does nothing."""
        before = snapshot(self.folder)
        result = self(*args, code=2, **kwargs)
        assert says in result.stderr
        assert result.stdout == b""
        assert snapshot(self.folder) == before
        return result


def run_here(words: list[str], stdin: bytes) -> Result:
    out = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
    err = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace", write_through=True)
    handlers = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
    usual_stdin, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(stdin))
    try:
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main(words)
    finally:
        sys.stdin = usual_stdin
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert isinstance(ended.value.code, int)
    return Result(ended.value.code, out.buffer.getvalue(), err.buffer.getvalue().decode())


RUN_HZC = """
import signal
for number in (signal.SIGTERM, getattr(signal, "SIGHUP", None)):
    number and signal.signal(number, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
from hzc.cli import main
main()
"""
"""Under nohup or & the tests themselves are started with some signals ignored."""
HZC = (sys.executable, "-c", RUN_HZC)
"""A real hzc process."""

Wav = Callable[..., Path]
"""See the fixture `wav`."""
Start = Callable[..., "subprocess.Popen[bytes]"]
"""See the fixture `start`."""


class Long:
    """A file of 45.5 s in five chunks, to be damaged."""

    def __init__(self, data: bytes) -> None:
        self.data, self.file = data, container.unpack(data)
        self.head = data[: self.file.header_bytes]

    def without(self, *indexes: int) -> bytes:
        """Return the file with noise over these chunks."""
        rng, out = np.random.default_rng(0), self.head
        for index, chunk in enumerate(self.file.chunks):
            packed = container.pack_chunk(self.file.header, self.head, index, chunk)
            out += rng.bytes(len(packed)) if index in indexes else packed
        return out


LIMIT_S = 60
RAW = ("--raw", "--sample-rate", "16000")
"""No real process takes longer."""


def finish(process: subprocess.Popen[bytes]) -> str:
    """Wait for the end and return stderr."""
    _, stderr = process.communicate(timeout=LIMIT_S)
    return stderr.decode()


def wait_for(condition: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    """Wait until a running process has come so far."""
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert process.poll() is None, finish(process)
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.001)
