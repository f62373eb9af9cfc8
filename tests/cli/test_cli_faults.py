"""Full disks, closed doors, sudden death, rivals: a target is whole, or it is as it was.

All in real processes. What can be shown within one process is in test_cli_outputs.py.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
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
from hzc.container import CHUNK_FRAMES, Chunk

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX processes")

CHUNK_SAMPLES = 160_000
BROKEN = Path("/proc/self/mem")
"""Nothing is mapped at address 0: every read is an input/output error."""
breaks = pytest.mark.skipif(not BROKEN.exists(), reason="no file here that cannot be read")
full_device = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")

Real = Callable[..., "subprocess.CompletedProcess[str]"]
HalfWay = Callable[..., "tuple[subprocess.Popen[bytes], bytes]"]
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
        assert done.stdout.count("talk.hzc  sound  2.50 s") == 2
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


# ------------------------------------------------------------------ no permission, no answer


AS_ANYBODY = """
import ctypes, os, sys
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2
if os.geteuid() == 0:
    try:
        prctl = ctypes.CDLL(None).prctl
    except AttributeError:
        sys.exit(77)
    for right in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        if prctl(PR_CAPBSET_DROP, right, 0, 0, 0):
            sys.exit(77)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Takes from root what lets it pass over permissions, where the system can do so."""


@pytest.fixture
def as_anybody(real: Real) -> Real:
    """Run hzc as somebody whom permissions bind."""

    def run(*words: object, **settings: object) -> object:
        done = real(*words, behind=AS_ANYBODY, **settings)
        if done.returncode == 77:
            pytest.skip("root passes over permissions here")
        return done

    return run


@pytest.mark.parametrize(
    "words",
    [
        ["cat", "talk.hzc", "talk.hzc", "-o", "closed/old.hzc"],
        ["cut", "talk.hzc", "-o", "closed/old.hzc"],
    ],
    ids=lambda words: words[0],
)
def test_target_when_its_folder_is_read_only_then_exit_6_even_with_force(
    tmp_path: Path, hzc: Path, as_anybody: Real, words: list[str]
) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    (folder / "old.hzc").write_bytes(b"old")
    folder.chmod(0o555)
    before = snapshot(tmp_path)
    try:
        done = as_anybody(*words, "-f")
    finally:
        folder.chmod(0o755)
    assert done.returncode == 6, done.stderr
    assert_one_clear_line(done.stderr, "closed/old.hzc: cannot be written (permission denied)")
    assert snapshot(tmp_path) == before


def test_batch_when_some_inputs_may_not_be_read_then_the_others_are_done_and_exit_1(
    tmp_path: Path, wav: Wav, as_anybody: Real
) -> None:
    for name in ("a.wav", "b.wav", "c.wav"):
        wav(name)
    (tmp_path / "b.wav").chmod(0)
    done = as_anybody("encode", "--json", "a.wav", "b.wav", "c.wav")
    assert done.returncode == 1
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["path"] for line in told] == ["a.hzc", "b.wav", "c.hzc"]
    assert [line.get("exit_code") for line in told] == [None, 3, None]
    assert done.stderr.splitlines() == [
        "hzc: b.wav: cannot be read (permission denied)",
        "hzc: 2 of 3 files done, 1 failed",
    ]
    for name in ("a.hzc", "c.hzc"):
        assert container.unpack((tmp_path / name).read_bytes()).header.n_samples == 16_000
    assert not (tmp_path / "b.hzc").exists()


@breaks
def test_batch_when_reading_fails_in_the_middle_then_the_others_are_done_and_exit_1(
    tmp_path: Path, hzc: Path, real: Real
) -> None:
    (tmp_path / "broken.hzc").symlink_to(BROKEN)
    for command in ("check", "info", "bitrate"):
        done = real(command, "talk.hzc", "broken.hzc", "talk.hzc")
        assert done.returncode == 1
        assert done.stdout.count("talk.hzc") == 2
        assert done.stderr.splitlines()[0] == (
            "hzc: broken.hzc: cannot be read (input/output error)"
        )
        assert done.stderr.splitlines()[-1] == "hzc: 2 of 3 files done, 1 failed"


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


def silent_stream(coded: bytes, n_chunks: int) -> list[bytes]:
    """Return the parts of a streamed file: header, full chunks of empty payloads, end."""
    header = container.unpack(coded).header.without_length()
    head, chunk = container.pack_header(header), Chunk(CHUNK_FRAMES, (b"",))
    body = [container.pack_chunk(header, head, index, chunk) for index in range(n_chunks)]
    n_frames, n_samples = n_chunks * CHUNK_FRAMES, n_chunks * CHUNK_SAMPLES
    return [head, *body, container.pack_end(header, head, n_chunks, n_frames, n_samples)]


@pytest.fixture
def half_way(tmp_path: Path, start: Start, coded: bytes) -> HalfWay:
    """Start a process, wait until it has written a part, return it and its input still to come."""

    def begin(command: str, target: str, *options: str, n_chunks: int = 3) -> object:
        if command == "encode":
            sound = noise(n_chunks * CHUNK_SAMPLES)
            first, rest = sound[: 14 * 32_000], sound[14 * 32_000 :]
            options = (*RAW, *options)
        else:
            parts = silent_stream(coded, n_chunks)
            first, rest = b"".join(parts[:3]), b"".join(parts[3:])
        before = partial_files(tmp_path)
        words = [command, "-q", "-", "-o", target, *options]
        process = start(*words, stdin=subprocess.PIPE)
        process.stdin.write(first)
        process.stdin.flush()
        wait_for(
            lambda: any(p.stat().st_size > 500 for p in partial_files(tmp_path) - before), process
        )
        return process, rest

    return begin


def partial_files(folder: Path) -> set[Path]:
    return set(folder.glob(".*.partial"))


@pytest.mark.parametrize("command", ["encode", "decode"])
def test_process_when_killed_half_way_then_no_target_and_the_old_one_is_kept(
    tmp_path: Path, half_way: HalfWay, command: str
) -> None:
    (tmp_path / "old.au").write_bytes(b"old")
    for target, options in (("new.au", []), ("old.au", ["-f"])):
        process, _ = half_way(command, target, *options)
        process.kill()
        assert process.wait(LIMIT_S) == -signal.SIGKILL
    named = [name for name in os.listdir(tmp_path) if not name.startswith(".")]
    assert named == ["old.au"]
    assert (tmp_path / "old.au").read_bytes() == b"old"


def end_together(*writers: tuple[subprocess.Popen[bytes], bytes]) -> dict[int, str]:
    """Give both the rest of their input; return what they say by their exit codes."""
    for process, rest in writers:
        process.stdin.write(rest)
        process.stdin.flush()
    for process, _ in writers:
        process.stdin.close()
        process.stdin = None
    told = [finish(process) for process, _ in writers]
    return {process.returncode: text for (process, _), text in zip(writers, told, strict=True)}


def test_two_writers_when_they_share_a_target_then_the_first_wins_and_the_other_exits_6(
    tmp_path: Path, half_way: HalfWay
) -> None:
    short, long = (half_way("encode", "both.hzc", n_chunks=n) for n in (2, 3))
    assert len(partial_files(tmp_path)) == 2
    told = end_together(short, long)
    assert told.keys() == {0, 6}
    assert told[0] == ""
    assert_one_clear_line(told[6], "both.hzc: exists already")
    winner = 2 if short[0].returncode == 0 else 3
    made = container.unpack((tmp_path / "both.hzc").read_bytes())
    assert made.header.n_samples == winner * CHUNK_SAMPLES
    assert os.listdir(tmp_path) == ["both.hzc"]


def test_two_writers_when_both_may_overwrite_then_the_target_is_one_of_both(
    tmp_path: Path, half_way: HalfWay
) -> None:
    (tmp_path / "both.wav").write_bytes(b"old")
    writers = [half_way("decode", "both.wav", "-f", n_chunks=n) for n in (3, 4)]
    assert (tmp_path / "both.wav").read_bytes() == b"old"
    assert end_together(*writers) == {0: ""}
    n_samples = soundfile.info(tmp_path / "both.wav").frames
    assert n_samples in (3 * CHUNK_SAMPLES, 4 * CHUNK_SAMPLES)
    assert (tmp_path / "both.wav").stat().st_size == 44 + 2 * n_samples
    assert os.listdir(tmp_path) == ["both.wav"]
