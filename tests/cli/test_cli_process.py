"""Real processes: pipes, signals, terminals, closed streams, and what is imported."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from harness import (
    HZC,
    LIMIT_S,
    RAW,
    Start,
    Wav,
    assert_one_clear_line,
    finish,
    snapshot,
    wait_for,
)

from hzc import container
from hzc.container import Chunk

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX processes")

# ------------------------------------------------------------------ pipes


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_pipe_when_the_reader_has_enough_then_exit_6_and_one_line(
    hzc: Path, start: Start, environment: dict[str, str], unbuffered: str
) -> None:
    environment["PYTHONUNBUFFERED"] = unbuffered
    # 960 kB: more than a pipe holds.
    process = start("decode", hzc, "-", "--sample-rate", "192000", stdout=subprocess.PIPE)
    assert process.stdout.read(100)[:4] == b"RIFF"
    process.stdout.close()
    stderr = process.stderr.read().decode()
    assert process.wait(LIMIT_S) == 6
    assert_one_clear_line(stderr, "standard output: cannot be written (the reader closed the pipe)")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_stdout_when_the_device_is_full_then_exit_6_and_one_line(
    wav: Wav, hzc: Path, start: Start
) -> None:
    with open("/dev/full", "wb") as full:
        commands = [
            ("bitrate", hzc),
            ("info", hzc, "--json"),
            ("cut", hzc, "-"),
            ("decode", hzc, "-"),
            ("encode", *RAW, hzc, "-"),
            ("--help",),
            ("--version",),
        ]
        for process in [start(*command, stdout=full) for command in commands]:
            says = "standard output: cannot be written (no space left on device)"
            assert_one_clear_line(finish(process), says)
            assert process.returncode == 6


def test_streams_when_closed_then_exit_3_or_6_and_one_line(
    tmp_path: Path, hzc: Path, environment: dict[str, str]
) -> None:
    def run(redirection: str, *args: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", f'"$@" {redirection}', "bash", *HZC, *map(str, args)],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    before = snapshot(tmp_path)
    for command in (["encode", "-", "-o", "x.hzc"], ["decode", "-", "-o", "x.wav"], ["info", "-"]):
        done = run("<&-", *command)
        assert done.returncode == 3
        assert_one_clear_line(done.stderr, "standard input: cannot be read (it is closed)")
        assert snapshot(tmp_path) == before
    done = run(">&-", "decode", hzc, "-")
    assert done.returncode == 6
    assert_one_clear_line(done.stderr, "standard output: cannot be written (it is closed)")
    assert run(">&- 2>&-", "info", "none.hzc").returncode == 3
    assert run("< /dev/null", "decode", "-", "-").returncode == 4


# ------------------------------------------------------------------ terminals


@pytest.mark.parametrize("command", [("encode", "a.wav", "-"), ("decode", "talk.hzc", "-")])
def test_stdout_when_it_is_a_terminal_then_binary_is_refused(
    wav: Wav, hzc: Path, start: Start, command: tuple[str, ...]
) -> None:
    pty = pytest.importorskip("pty")
    wav("a.wav")
    terminal, stdout = pty.openpty()
    try:
        process = start(*command, stdout=stdout)
        stderr = finish(process)
    finally:
        os.close(stdout)
    assert process.returncode == 2
    assert "refusing to write binary to a terminal" in stderr
    os.set_blocking(terminal, False)
    with pytest.raises(OSError):  # noqa: PT011 - EIO or EAGAIN: nothing was written
        os.read(terminal, 1)
    os.close(terminal)


# ------------------------------------------------------------------ signals


def silent_wav(path: Path, seconds: int) -> Path:
    """Write a WAV of zeros that takes no room on the disk."""
    n_bytes = 2 * 16_000 * seconds
    head = struct.pack("<4sI8sIHHIIHH4sI", b"RIFF", 36 + n_bytes, b"WAVEfmt ", 16, 1, 1, 16_000,
                       32_000, 2, 16, b"data", n_bytes)  # fmt: skip
    path.write_bytes(head)
    os.truncate(path, len(head) + n_bytes)
    return path


def stopped(process: subprocess.Popen[bytes], number: int) -> str:
    """Send a signal, and return stderr once the process has ended by it."""
    process.send_signal(number)
    stderr = finish(process)
    assert "Traceback" not in stderr
    assert process.returncode == (130 if number == signal.SIGINT else 128 + number), stderr
    return stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_signal_when_encoding_then_what_is_done_is_whole_and_the_rest_as_before(
    tmp_path: Path, wav: Wav, start: Start, number: int
) -> None:
    wav("first.wav")
    silent_wav(tmp_path / "long.wav", 40 * 60)
    (tmp_path / "long.hzc").write_bytes(b"old")
    process = start("encode", "-f", "first.wav", "long.wav")
    wait_for((tmp_path / "first.hzc").exists, process)
    stderr = stopped(process, number)
    assert ("hzc: interrupted" in stderr) == (number == signal.SIGINT)
    assert container.unpack((tmp_path / "first.hzc").read_bytes()).header.n_samples == 16_000
    assert (tmp_path / "long.hzc").read_bytes() == b"old"
    assert len(os.listdir(tmp_path)) == 4


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
def test_signal_when_decoding_then_no_partial_file_and_the_target_as_before(
    tmp_path: Path, coded: bytes, start: Start, number: int
) -> None:
    header = container.unpack(coded).header
    n_chunks = 720
    hours = container.Header(
        model_id=header.model_id,
        fingerprint=header.fingerprint,
        n_latent=header.n_latent,
        n_frames=n_chunks * 80,
        n_samples=n_chunks * 160_000,
    )
    (tmp_path / "long.hzc").write_bytes(container.pack(hours, [Chunk(80, (b"",))] * n_chunks))
    (tmp_path / "long.wav").write_bytes(b"old")
    (tmp_path / "first.hzc").write_bytes(coded)
    process = start("decode", "-f", "first.hzc", "long.hzc")
    wait_for((tmp_path / "first.wav").exists, process)
    stopped(process, number)
    assert (tmp_path / "long.wav").read_bytes() == b"old"
    assert len(os.listdir(tmp_path)) == 4


NOHUP = (
    "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); import hzc.cli; hzc.cli.main()"
)


def test_signal_when_it_is_ignored_as_under_nohup_then_the_work_goes_on(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    command = [sys.executable, "-c", NOHUP, "encode", *RAW, "-", "-o", "a.hzc"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdin=subprocess.PIPE) as process:
        process.stdin.write(bytes(1 << 20))  # more than a pipe holds: returns once hzc reads
        process.send_signal(signal.SIGHUP)
        process.stdin.close()
        assert process.wait(LIMIT_S) == 0
    assert container.unpack((tmp_path / "a.hzc").read_bytes()).header.n_samples == 1 << 19
