"""The command line in this process and in real ones, with a small private model."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from harness import HZC, Cli, Long, Start, Wav

from hzc.codec import Codec


@pytest.fixture(params=["onnx", pytest.param("torch", marks=pytest.mark.slow)])
def backend(request: pytest.FixtureRequest) -> str:
    """What runs the networks: the whole suite goes over both."""
    return str(request.param)


@pytest.fixture
def cli(tmp_path: Path, tiny_model: Path, backend: str, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """`cli("encode", ..., code=0)`; see `Cli`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HZC_BACKEND", backend)
    for name in ("HZC_MODEL", "HZC_DEVICE", "HZC_THREADS", "HZC_DEBUG", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return Cli(tmp_path, tiny_model)


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
            suffix = name.rpartition(".")[2]
            kind = {"aif": "AIFF", "opus": "OGG"}.get(suffix, suffix.upper())
            subtype = "OPUS" if path.suffix == ".opus" else subtype
            soundfile.write(stream, samples, rate, subtype=subtype, format=kind)
        return path

    return write


@pytest.fixture(scope="session")
def coded(tiny_codec: Codec, sound: Callable[..., np.ndarray]) -> bytes:
    """A .hzc file of the tiny model: 2.5 s at 16 kHz."""
    return tiny_codec.encode(sound(40_000), 16_000)


@pytest.fixture(scope="session")
def long(tiny_codec: Codec, sound: Callable[..., np.ndarray]) -> Long:
    """Five chunks of the tiny model."""
    return Long(tiny_codec.encode(sound(round(45.5 * 16_000)), 16_000))


@pytest.fixture
def hzc(tmp_path: Path, coded: bytes) -> Path:
    """The same as talk.hzc in the test's folder."""
    path = tmp_path / "talk.hzc"
    path.write_bytes(coded)
    return path


@pytest.fixture
def environment(tiny_model: Path, backend: str) -> dict[str, str]:
    """Environment of a real hzc process."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HZC_")}
    return {
        **kept, "HZC_MODEL": str(tiny_model), "HZC_BACKEND": backend, "OMP_NUM_THREADS": "1",
    }  # fmt: skip


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
