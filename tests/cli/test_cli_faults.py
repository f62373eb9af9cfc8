"""Full disks, closed doors, sudden death, rivals: a target is whole, or it is as it was.

All in real processes. What can be shown within one process is in test_cli_outputs.py.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from harness import (
    HZC,
    LIMIT_S,
    RAW,
    Start,
    assert_one_clear_line,
    snapshot,
)

from hzc import container

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX processes")

BROKEN = Path("/proc/self/mem")
"""Nothing is mapped at address 0: every read is an input/output error."""
breaks = pytest.mark.skipif(not BROKEN.exists(), reason="no file here that cannot be read")
full_device = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")

Real = Callable[..., "subprocess.CompletedProcess[str]"]
"""See the fixtures `real` and `half_way`."""


@pytest.fixture
def real(tmp_path: Path, environment: dict[str, str]) -> Real:
    """Run a real hzc process to its end; `behind` is a script that does something first."""

    def run(*words: object, behind: str = "", **settings: object) -> object:
        command = [*HZC, *map(str, words)]
        if behind:
            command = [sys.executable, "-c", behind, *command]
        pipe = subprocess.PIPE
        settings = {"stdout": pipe, "stderr": pipe, "stdin": subprocess.DEVNULL, **settings}
        return subprocess.run(
            command, cwd=tmp_path, env=environment, text=True, timeout=LIMIT_S, check=False,
            **settings,
        )  # fmt: skip

    return run


# ------------------------------------------------------------------ no room


FEW_BYTES = """
import os, resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
os.execv(sys.argv[1], sys.argv[1:])
"""
CANNOT = "cannot be written (file too large)"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["decode", "talk.hzc", "target.wav"], "cannot write the audio (system error)"),
        (["encode", *RAW, "noise", "-o", "target.hzc"], CANNOT),
        (["cat", "talk.hzc", "talk.hzc", "-o", "target.hzc"], CANNOT),
        (["cut", "talk.hzc", "target.hzc"], CANNOT),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_process_when_its_files_may_not_grow_then_exit_6_and_the_target_is_kept(
    tmp_path: Path, hzc: Path, real: Real, words: list[str], says: str
) -> None:
    (tmp_path / "noise").write_bytes(noise(32_000))
    target = tmp_path / words[-1]
    target.write_bytes(b"old")
    before = snapshot(tmp_path)
    done = real(*words, "-f", behind=FEW_BYTES)
    assert done.returncode == 6, done.stderr
    assert_one_clear_line(done.stderr, f"{target.name}: {says}")
    assert snapshot(tmp_path) == before


FULL_DISK = """
set -eu
mount -t tmpfs -o size=64k none small
echo old > small/heard.wav
code=0
"$@" || code=$?
ls -A small
cat small/heard.wav
exit "$code"
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs a mount of its own")
def test_process_when_the_disk_is_full_then_exit_6_and_the_target_is_kept(
    tmp_path: Path, hzc: Path, environment: dict[str, str]
) -> None:
    (tmp_path / "small").mkdir()
    apart = ["unshare", "--mount", "--map-root-user", "bash", "-c"]
    settings = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True}
    try:
        probe = subprocess.run([*apart, "mount -t tmpfs none small"], check=False, **settings)
    except OSError:
        pytest.skip("no unshare here")
    if probe.returncode != 0:
        pytest.skip("mounting is not permitted here")
    command = [*apart, FULL_DISK, "bash", *HZC, "decode", "-f", str(hzc), "small/heard.wav"]
    done = subprocess.run(command, check=False, **settings)
    assert done.returncode == 6, done.stderr
    says = "small/heard.wav: cannot write the audio (system error)"
    assert_one_clear_line(done.stderr, says)
    assert done.stdout == "heard.wav\nold\n"


@full_device
def test_stderr_when_the_device_is_full_then_the_work_goes_on_and_the_exit_code_is_told(
    tmp_path: Path, hzc: Path, real: Real
) -> None:
    with open("/dev/full", "w") as full:
        done = real("check", "none.hzc", "talk.hzc", "talk.hzc", stderr=full)
        assert done.returncode == 1
        assert done.stdout.count("talk.hzc  valid  2.50 s") == 2
        assert real("check", "none.hzc", stderr=full).returncode == 3
        assert real("cat", "talk.hzc", "talk.hzc", "-o", "both.hzc", stderr=full).returncode == 0
    assert container.unpack((tmp_path / "both.hzc").read_bytes()).chunks


def test_stderr_when_its_reader_has_gone_then_ctrl_c_still_exits_130(start: Start) -> None:
    # As in `hzc ... 2>&1 | tee log`, where Ctrl-C may end tee first.
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as closed:
        process = start("check", "-", stdin=subprocess.PIPE, stderr=closed)
    process.stdin.write(bytes(1 << 20))  # more than a pipe holds: returns once hzc reads
    time.sleep(0.5)  # until it waits for more: Python may miss a signal between two reads
    process.send_signal(signal.SIGINT)
    assert process.wait(LIMIT_S) == 130


@breaks
@pytest.mark.parametrize("command", ["encode", "decode", "check"])
def test_stdin_when_reading_fails_then_exit_3_and_one_line(
    tmp_path: Path, real: Real, command: str
) -> None:
    words = [] if command == "check" else ["-o", "target.au"]
    with BROKEN.open("rb") as broken:
        done = real(command, "-", *words, stdin=broken)
    assert done.returncode == 3
    assert_one_clear_line(done.stderr, "standard input: cannot be read (input/output error)")
    assert os.listdir(tmp_path) == []


# ------------------------------------------------------------------ half-way


def noise(n_samples: int) -> bytes:
    """Return headerless 16-bit PCM."""
    rng = np.random.default_rng(n_samples)
    return rng.integers(-9_000, 9_000, n_samples, np.int16).astype("<i2").tobytes()
