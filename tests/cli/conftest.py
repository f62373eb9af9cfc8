"""The command line in this process and in real ones, with a small private model."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from hzc.cli import ENDING_SIGNALS, main

WITH_MODEL = ("encode", "decode", "bitrate")
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
    errors = [line for line in lines if not line.startswith(("hint: ", "hzc: note: "))]
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
        result = _run_here(words, stdin)
        shown = f"$ hzc {words}\n{result.stdout[:4000]!r}\n{result.stderr}"
        assert result.code == code, shown
        assert "Traceback" not in result.stderr, shown
        assert "internal error" not in result.stderr, shown
        assert not list(self.folder.rglob("*.partial")), shown
        return result

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


def _run_here(words: list[str], stdin: bytes) -> Result:
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


@pytest.fixture
def cli(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """`cli("encode", ..., code=0)`; see `Cli`."""
    monkeypatch.chdir(tmp_path)
    for name in ("HZC_MODEL", "HZC_DEVICE", "HZC_THREADS", "HZC_DEBUG", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return Cli(tmp_path, tiny_model)


Wav = Callable[..., Path]


@pytest.fixture
def wav(tmp_path: Path, sound: Callable[..., np.ndarray]) -> Wav:
    """Factory of sound files: `wav("a.wav")` holds a second of a speech-like sound at 16 kHz."""

    def write(
        name: str,
        samples: np.ndarray | None = None,
        rate: int = 16_000,
        *,
        seconds: float = 1.0,
        seed: int = 0,
        n_channels: int = 1,
        subtype: str | None = None,
    ) -> Path:
        if samples is None:
            n_samples = round(seconds * rate)
            channels = [sound(n_samples, rate, seed + channel) for channel in range(n_channels)]
            samples = np.stack(channels, axis=1)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "w+b") as stream:
            kind = {"aif": "AIFF", "opus": "OGG"}.get(path.suffix[1:], path.suffix[1:].upper())
            subtype = "OPUS" if path.suffix == ".opus" else subtype
            soundfile.write(stream, samples, rate, subtype=subtype, format=kind)
        return path

    return write


@pytest.fixture(scope="session")
def coded(tiny_model: Path, sound: Callable[..., np.ndarray]) -> bytes:
    """A .hzc file of the tiny model: 2.5 s at 16 kHz."""
    from hzc.codec import Codec

    return Codec.load(tiny_model).encode(sound(40_000), 16_000)


@pytest.fixture
def hzc(tmp_path: Path, coded: bytes) -> Path:
    """The same as talk.hzc in the test's folder."""
    path = tmp_path / "talk.hzc"
    path.write_bytes(coded)
    return path


@pytest.fixture
def environment(tiny_model: Path) -> dict[str, str]:
    """Environment of a real hzc process."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HZC_")}
    return {**kept, "HZC_MODEL": str(tiny_model), "OMP_NUM_THREADS": "1"}


Start = Callable[..., "subprocess.Popen[bytes]"]

HZC = (sys.executable, "-m", "hzc")


@pytest.fixture
def start(tmp_path: Path, environment: dict[str, str]) -> Iterator[Start]:
    """Start a real hzc process in the test's folder; stderr is a pipe unless told."""
    running: list[subprocess.Popen[bytes]] = []

    def begin(*args: object, **settings: Any) -> subprocess.Popen[bytes]:
        settings = {"stderr": subprocess.PIPE, "cwd": tmp_path, "env": environment, **settings}
        process = subprocess.Popen([*HZC, *map(str, args)], **settings)
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate()
