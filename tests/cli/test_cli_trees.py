"""Folders, several files at once, the meaning of names, and the same door from Python."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from harness import RAW, Cli, Start, Wav, finish, snapshot, wait_for

import hzc as library
from hzc import runner
from hzc.errors import AudioReadError, HzcError, OutputExistsError
from hzc.jobs import DecodeJob, EncodeJob, Models, Outcome
from hzc.options import EncodeOptions

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX processes")


def files_below(folder: str) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in Path(folder).rglob("*") if p.is_file())


# ------------------------------------------------------------------ folders


@pytest.fixture
def tree(wav: Wav) -> list[str]:
    """Recordings in src/, and what else lies there; returns the names of their .hzc."""
    for name in ("a.wav", "x/b.FLAC", "x/y z/c.ogg", "x/y z/d.aif"):
        wav(f"src/{name.lower()}", seconds=0.2)
    Path("src/x/b.flac").rename("src/x/b.FLAC")
    Path("src/notes.txt").write_text("no audio")
    Path("src/.wav").touch()
    Path("src/folder.wav").symlink_to("x")
    return ["a.hzc", "x/b.hzc", "x/y z/c.hzc", "x/y z/d.hzc"]


@posix
def test_tree_when_there_and_back_then_mirrored_and_resumable(cli: Cli, tree: list[str]) -> None:
    shown = cli("encode", "-r", "-n", "src", "-d", "deep/coded").text
    assert shown.splitlines()[1] == "src/x/b.FLAC -> deep/coded/x/b.hzc"
    assert not Path("deep").exists()
    result = cli("encode", "-r", "src", "-d", "deep/coded")
    assert files_below("deep/coded") == tree
    assert result.stderr.endswith("hzc: 4 of 4 files done\n")
    Path("deep/coded/a.hzc").unlink()
    result = cli("encode", "-r", "--skip-existing", "src", "-d", "deep/coded")
    assert result.stderr.endswith("hzc: 1 of 4 files done, 3 skipped\n")
    assert len(cli("check", "-r", "deep").text.splitlines()) == 4
    assert "total (4 files)" in cli("bitrate", "-r", "deep").text
    cli("decode", "-r", "-q", "deep/coded", "-d", "heard")
    assert files_below("heard") == [name.replace(".hzc", ".wav") for name in tree]


@posix
def test_tree_when_some_fail_then_the_rest_is_done_and_exit_1(cli: Cli, tree: list[str]) -> None:
    Path("src/x/bad.wav").write_text("no audio")
    Path("src/gone.wav").symlink_to("nowhere")
    Path("coded").mkdir()
    Path("coded/x").write_text("a file where the folder should be")
    result = cli("encode", "-r", "src", "-d", "coded", code=1)
    assert files_below("coded") == ["a.hzc", "x"]
    assert result.stderr.endswith("hzc: 1 of 6 files done, 5 failed\n")
    assert cli("encode", "-r", "notes", "-d", "coded", code=1).stderr.startswith("hzc: notes: ")


@posix
def test_tree_when_two_sources_share_a_target_then_refused(cli: Cli, tree: list[str]) -> None:
    Path("src/a.flac").touch()
    says = "coded/a.hzc: src/a.flac and src/a.wav would both be written to it"
    cli.refuse(6, says, "encode", "-r", "src", "-d", "coded")
    cli.refuse(3, "src: cannot be read (is a directory)", "encode", "src", "-d", ".")
    Path("empty").mkdir()
    assert cli("encode", "-r", "empty", "-d", "x").stderr == "hzc: 0 of 0 files done\n"


# ------------------------------------------------------------------ several at once


@posix
def test_workers_when_two_then_the_same_files_in_the_same_order(
    cli: Cli, wav: Wav, hzc: Path, start: Start
) -> None:
    for name in ("a.wav", "b.wav", "d.wav"):
        wav(name, seconds=0.3)
    Path("c.wav").write_text("no audio")
    pipe = subprocess.PIPE
    names = [f"{name}.wav" for name in "abcd"]
    process = start("encode", "-j", "2", "--json", *names, "-d", "out", stdout=pipe)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 1, stderr
    lines = [json.loads(line) for line in stdout.splitlines()]
    assert [line["path"] for line in lines] == ["out/a.hzc", "out/b.hzc", "c.wav", "out/d.hzc"]
    cli("encode", *names, code=1)
    for name in ("a.hzc", "b.hzc", "d.hzc"):
        assert Path("out", name).read_bytes() == Path(name).read_bytes()


class Suicide:
    """A job that ends its process, or has a bug."""

    source = "a"

    def __init__(self, is_bug: bool = False) -> None:
        self.is_bug = is_bug

    def run(self, models: Models, progress: object) -> Outcome:
        if self.is_bug:
            raise ZeroDivisionError("a bug")
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    def failed(self, error: HzcError) -> Outcome:
        return Outcome(source=self.source, target="", error=error)


@posix
def test_workers_when_one_dies_then_its_job_fails_and_the_others_are_done(tmp_path: Path) -> None:
    missing = [DecodeJob(f"{n}", str(tmp_path / f"{n}.wav"), library.DecodeOptions()) for n in "ab"]
    found = list(runner.run([Suicide(), *missing, Suicide()], 2))
    said = [outcome.error.message for outcome in found]
    assert ["died" in text for text in said] == [True, False, False, True]
    assert "cannot be read" in said[1]
    with pytest.raises(RuntimeError, match="a bug"):
        list(runner.run([Suicide(is_bug=True), *missing], 2))


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_workers_when_stopped_then_they_end_and_no_file_is_half_written(
    tmp_path: Path, start: Start, number: int
) -> None:
    Path(tmp_path / "quick.raw").write_bytes(bytes(3200))
    for name in ("b.raw", "c.raw"):
        with open(tmp_path / name, "wb") as file:
            file.truncate(32_000 * 3600 * 2)
    process = start("encode", *RAW, "-j", "2", "quick.raw", "b.raw", "c.raw", "-d", "out")
    wait_for((tmp_path / "out/quick.hzc").exists, process)
    process.send_signal(number)
    stderr = finish(process)  # ends once no worker holds stderr
    assert process.returncode == 128 + number
    assert "Traceback" not in stderr
    assert os.listdir(tmp_path / "out") == ["quick.hzc"]


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc")
@pytest.mark.parametrize("n_threads", [1, 3])
def test_threads_when_limited_then_every_library_keeps_to_it(
    tmp_path: Path, environment: dict[str, str], backend: str, n_threads: int
) -> None:
    (tmp_path / "a.raw").write_bytes(bytes(16_000 * 30))
    code = (
        "import sys; from hzc.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: print(open('/proc/self/status').read())"
    )
    kept = {k: v for k, v in environment.items() if k != "OMP_NUM_THREADS"}
    words = ["encode", *RAW, "a.raw", "-q", "--threads", str(n_threads)]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=tmp_path, env=kept, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    found = re.search(r"^Threads:\s+(\d+)", done.stdout, re.MULTILINE)
    assert found
    n_idle = backend == "onnx"  # ONNX Runtime has a thread that waits
    assert int(found[1]) <= n_threads + n_idle


@posix
def test_signal_when_native_code_runs_then_it_waits(tmp_path: Path) -> None:
    code = """
import os, signal, sys, types
from hzc import runner
runner.end_on_signals()
native = types.ModuleType("soundfile")
exec("def call(f): return f()", native.__dict__)
native.call(lambda: os.kill(os.getpid(), signal.SIGTERM))
print("went on", flush=True)
signal.pause()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (143, "went on\n", "")


# ------------------------------------------------------------------ names


@posix
@pytest.mark.parametrize("target", ["-", "/dev/stdout", "/dev/null", "made", "made.txt"])
def test_second_name_when_it_cannot_be_an_input_then_it_is_the_output(
    cli: Cli, wav: Wav, target: str
) -> None:
    wav("a.wav", seconds=0.2)
    cli("encode", "a.wav")
    expected = Path("a.hzc").read_bytes()
    found = cli("encode", "a.wav", target).stdout
    if target.startswith("made"):
        assert Path(target).read_bytes() == expected
    elif target != "/dev/null":
        assert found == expected
    Path("a.hzc").unlink()
    assert sorted(os.listdir()) == sorted({"a.wav", target} if "made" in target else {"a.wav"})


@posix
def test_second_name_when_it_may_be_an_input_then_it_is_one(cli: Cli, wav: Wav, hzc: Path) -> None:
    wav("a.wav")
    assert "hzc: b.mp3: cannot be read" in cli("encode", "a.wav", "b.mp3", code=1).stderr
    os.mkfifo("pipe")
    cli.misuse("is a pipe: name it with -o", "encode", "a.wav", "pipe")
    cli.refuse(6, "cannot write audio with the suffix '.xyz'", "decode", hzc, "heard.xyz")
    assert "none.hzc: cannot be read" in cli("decode", hzc, "none.hzc", code=1).stderr


@pytest.mark.skipif(sys.platform != "linux", reason="names that are no text are for Linux")
def test_names_when_they_are_no_text_then_printed_as_a_shell_takes_them_back(
    cli: Cli, wav: Wav
) -> None:
    name = os.fsdecode(b"caf\xe9\n'.wav")
    wav("a.wav").rename(name)
    assert cli("encode", name).stderr.startswith(r"$'caf\xe9\n\'.hzc'  ")
    coded = name.replace(".wav", ".hzc")
    assert json.loads(cli("bitrate", "--json", coded).stdout)["path"] == coded
    assert "$'caf\\xe9'" in cli("info", os.fsdecode(b"caf\xe9"), code=3).stderr


# ------------------------------------------------------------------ what is kept, what is chosen


@posix
def test_target_when_made_from_a_file_then_its_time_and_the_old_mode(cli: Cli, wav: Wav) -> None:
    wav("a.wav")
    os.utime("a.wav", (10**9, 10**9))
    Path("a.hzc").touch(mode=0o600)
    cli("encode", "-f", "a.wav")
    cli("decode", "a.hzc", "b.wav")
    assert os.stat("a.hzc").st_mtime == os.stat("b.wav").st_mtime == 10**9
    assert stat.S_IMODE(os.stat("a.hzc").st_mode) == 0o600
    cli("encode", "-f", "--no-preserve", "a.wav")
    assert os.stat("a.hzc").st_mtime > time.time() - 600


def test_channel_when_picked_then_that_one_alone_is_coded(cli: Cli, wav: Wav) -> None:
    pair = wav("pair.wav", n_channels=2)
    samples, rate = soundfile.read(pair)
    for channel in (1, 2):
        wav("one.wav", np.ascontiguousarray(samples[:, channel - 1]), rate)
        cli("encode", "-f", "one.wav")
        cli("encode", "-f", "pair.wav", "--channel", channel)
        assert Path("pair.hzc").read_bytes() == Path("one.hzc").read_bytes()
    Path("pair.hzc").unlink()
    cli.refuse(3, "there is no channel 3", "encode", "pair.wav", "--channel", "3")


# ------------------------------------------------------------------ from Python


def test_library_when_files_are_made_then_outcomes_and_errors(
    cli: Cli, wav: Wav, hzc: Path
) -> None:
    wav("a.wav", n_channels=2)
    heard: list[float] = []
    options = EncodeOptions(model=str(cli.model))
    made = library.encode_file(
        "a.wav", Path("b.hzc"), options, progress=lambda s, t: heard.append(s)
    )
    assert (made.source, made.target, made.n_channels, made.n_mixed) == ("a.wav", "b.hzc", 2, 2)
    assert made.rate.n_bytes == os.path.getsize("b.hzc")
    assert sum(heard) == made.duration_s == 1.0
    assert pickle.loads(pickle.dumps(made)) == made
    with pytest.raises(OutputExistsError):
        library.encode_file("a.wav", "b.hzc", options)
    skipping = EncodeOptions(model=str(cli.model), skip_existing=True)
    assert library.encode_file("a.wav", "b.hzc", skipping).is_skipped
    codec = library.load(cli.model)
    back = library.decode_file("b.hzc", "b.flac", codec=codec)
    assert (back.duration_s, back.sample_rate_hz, back.n_channels) == (1.0, 16_000, 1)
    hzc.write_bytes(hzc.read_bytes()[:-1])
    before = snapshot(cli.folder)
    with pytest.raises(HzcError):
        library.decode_file(hzc, "c.wav", codec=codec)
    assert snapshot(cli.folder) == before


def test_strict_when_a_recording_is_incomplete_then_refused_otherwise_a_warning(
    cli: Cli, wav: Wav
) -> None:
    cut = wav("a.wav")
    cut.write_bytes(cut.read_bytes()[:-16_000])
    cli.refuse(3, "missing", "encode", "--strict", "a.wav")
    result = cli("encode", "--json", "a.wav")
    (warning,) = result.objects[0]["warnings"]
    assert "missing" in warning
    assert result.stderr == f"hzc: warning: a.wav: {warning}\n"
    with pytest.raises(AudioReadError):
        EncodeJob("a.wav", "b.hzc", EncodeOptions(model=str(cli.model), strict=True)).run(Models())
