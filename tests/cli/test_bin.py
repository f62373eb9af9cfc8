"""The scripts of bin in real subprocesses, with a stand-in for hzc that codes dummy bytes."""

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

BIN = Path(__file__).resolve().parents[2] / "bin"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the scripts are for bash on POSIX")

# The interface of hzc as far as the scripts use it. A source whose bytes hold "bad" fails, "kill"
# dies on the spot, "wait" waits for a signal; encoded bytes are a header with a duration in
# seconds, then the source's. "meet" waits for a second process that waits alike.
FAKE_HZC = r"""#!{python}
import argparse, json, os, pathlib, signal, sys, time

parser = argparse.ArgumentParser(prog="hzc")
parser.add_argument("verb", choices=["encode", "decode", "bitrate"])
parser.add_argument("inputs", nargs="+")
parser.add_argument("-d", "--output-dir", type=pathlib.Path)
parser.add_argument("-f", "--force", action="store_true")
parser.add_argument("--skip-existing", action="store_true")
parser.add_argument("-q", action="store_true")
parser.add_argument("--json", action="store_true")
parser.add_argument("--model")
arguments = parser.parse_args()
start = time.time()
record = dict(vars(arguments), output_dir=str(arguments.output_dir))
record["threads"] = os.environ.get("HZC_THREADS")
n_failed = 0
for source in map(pathlib.Path, arguments.inputs):
    try:
        data = source.read_bytes()
        if b"kill" in data:
            os.kill(os.getpid(), signal.SIGKILL)
        if b"bad" in data:
            raise ValueError("bad bytes")
        if arguments.verb != "encode" and not data.startswith(b"HZC "):
            raise ValueError("not a .hzc file")
        if arguments.verb == "bitrate":
            n_bytes, seconds = len(data), float(data.split()[1])
            rate = 8 * n_bytes / seconds / 1000
            print(json.dumps(dict(schema=1, path=str(source), bitrate_kbps=rate,
                                  n_bytes=n_bytes, duration_s=seconds)))
            continue
        suffix = ".hzc" if arguments.verb == "encode" else ".wav"
        target = arguments.output_dir / (source.stem + suffix)
        if target.exists() and arguments.skip_existing:
            continue
        if target.exists() and not arguments.force:
            raise ValueError("target exists")
        if b"wait" in data:
            pathlib.Path(os.environ["FAKE_LOG"] + ".waiting").touch()
            time.sleep(20)
        if b"meet" in data:
            log = pathlib.Path(os.environ["FAKE_LOG"])
            log.with_suffix(f".meet{os.getpid()}").touch()
            while len(list(log.parent.glob("*.meet*"))) < 2:
                if time.time() > start + 20:
                    raise ValueError("nobody came")
                time.sleep(0.01)
        target = target.resolve()
        part = target.with_name(target.name + ".part")
        part.write_bytes(b"HZC 1.0 " + data if suffix == ".hzc" else data.split(b" ", 2)[2])
        os.replace(part, target)
    except KeyboardInterrupt:
        sys.exit(130)
    except (OSError, ValueError) as error:
        n_failed += 1
        print(f"hzc: {source!r}: {error}", file=sys.stderr)
        if arguments.verb == "bitrate":
            print(json.dumps(dict(schema=1, path=str(source), error=str(error))))
with open(os.environ["FAKE_LOG"], "a") as log:
    log.write(json.dumps(record) + "\n")
sys.exit(0 if not n_failed else 4 if len(arguments.inputs) == 1 else 1)
"""

ODD_NAMES = [
    "two  words",
    "new\nline",
    "it's",
    'a "quoted" one',
    "-f",
    "--",
    "süß 語",
    "$(touch pwned)",
    "back\\slash",
    "[x]*?",
    "semi;colon & more",
    "a.b.c",
    "@",
    " ",
]


THREADS = ("HZC_THREADS", "OMP_NUM_THREADS")


class Bench:
    """A temporary folder with the fake hzc, in which scripts are run."""

    def __init__(self, root):
        self.root = root
        self.hzc = root / "tools" / "fake hzc"
        self.log = root / "calls.jsonl"
        self.temporary = root / "temporary"
        self.log.touch()
        self.hzc.parent.mkdir()
        self.temporary.mkdir()
        self.hzc.write_text(FAKE_HZC.replace("{python}", sys.executable))
        self.hzc.chmod(0o755)

    def environment(self, **changes):
        """The environment of a script; None removes a variable."""
        changes = {"HZC": self.hzc, "FAKE_LOG": self.log, "TMPDIR": self.temporary, **changes}
        environment = {k: v for k, v in os.environ.items() if k not in THREADS}
        for name, value in changes.items():
            environment.pop(name, None)
            if value is not None:
                environment[name] = str(value)
        return environment

    def run(self, script, *arguments, code=0, **changes):
        """The finished process; fails unless it ends with code and leaves no temporary files."""
        done = subprocess.run(
            [BIN / script, *arguments],
            cwd=self.root,
            env=self.environment(**changes),
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=60,
        )
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        assert not list(self.temporary.iterdir())
        return done

    def write(self, name, data="x"):
        """Write one file below the folder, with its parents."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    def files(self, folder):
        """All files below a folder, as sorted relative names."""
        root = self.root / folder
        return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())

    def calls(self):
        """What the fake hzc was asked to do, in the order of its ends."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


# Encoding and decoding trees


def test_encode_tree_mirrors_folders_in_one_call_each(bench):
    for name in [
        "a.wav",
        "b.FLAC",
        "x/c.ogg",
        "x/y z/d.Mp3",
        "x/y z/e.opus",
        "q/f.aif",
        "q/g.aiff",
    ]:
        bench.write(f"src/{name}", name)
    bench.write("src/x/notes.txt")
    bench.write("src/only/notes.txt")
    done = bench.run("hzc-encode-tree", "src", "dst/deep")
    assert bench.files("dst/deep") == [
        "a.hzc", "b.hzc", "q/f.hzc", "q/g.hzc", "x/c.hzc", "x/y z/d.hzc", "x/y z/e.hzc",
    ]  # fmt: skip
    assert (bench.root / "dst/deep/x/y z/d.hzc").read_text() == "HZC 1.0 x/y z/d.Mp3"
    assert not (bench.root / "dst/deep/only").exists()
    assert len(bench.calls()) == 4
    assert done.stdout == ""
    assert "7 done, 0 skipped, 0 failed" in done.stderr


def test_decode_tree_is_the_reverse(bench):
    for name in ["a", "x/b", "x/y/c"]:
        bench.write(f"src/{name}.wav", f"audio of {name}")
    bench.run("hzc-encode-tree", "src", "coded")
    bench.run("hzc-decode-tree", "coded", "decoded")
    assert bench.files("decoded") == bench.files("src")
    assert (bench.root / "decoded/x/y/c.wav").read_text() == "audio of x/y/c"


def test_trees_keep_odd_names(bench):
    for name in ODD_NAMES:
        bench.write(f"-s r'c/{name}/{name}.wav", name)
    bench.run("hzc-encode-tree", "./-s r'c", "./-co\nded")
    bench.run("hzc-decode-tree", "./-co\nded", "back")
    assert bench.files("back") == bench.files("-s r'c")
    for name in ODD_NAMES:
        assert (bench.root / "back" / name / f"{name}.wav").read_text() == name
    assert not list(bench.root.rglob("pwned"))


def test_trees_keep_names_that_are_not_utf8(bench):
    raw = os.fsencode(bench.root) + b"/src/caf\xe9"
    try:
        os.makedirs(raw)
    except OSError:
        pytest.skip("the file system wants UTF-8")
    Path(os.fsdecode(raw + b"/\xff.wav")).write_text("x")
    bench.run("hzc-encode-tree", "src", "dst")
    assert os.listdir(os.fsencode(bench.root) + b"/dst/caf\xe9") == [b"\xff.hzc"]
    assert rates(bench.run("hzc-bitrate-report", "--csv", "dst"))["caf\udce9"][0] == 1


def test_encode_tree_takes_links_to_files_and_trailing_slashes(bench):
    bench.write("elsewhere/a.wav")
    bench.write("elsewhere/folder/b.wav")
    (bench.root / "src").mkdir()
    (bench.root / "src/link.wav").symlink_to("../elsewhere/a.wav")
    (bench.root / "src/folder.wav").symlink_to("../elsewhere/folder")
    (bench.root / "alias").symlink_to("src")
    bench.run("hzc-encode-tree", "alias/", "dst/")
    assert bench.files("dst") == ["link.hzc"]


def test_encode_tree_run_again_does_nothing(bench):
    bench.write("src/a.wav")
    bench.run("hzc-encode-tree", "src", "dst")
    done = bench.run("hzc-encode-tree", "src", "dst")
    assert "0 done, 1 skipped, 0 failed" in done.stderr
    assert len(bench.calls()) == 1


def test_encode_tree_run_again_does_what_is_missing(bench):
    for name in ["a", "b", "x/c"]:
        bench.write(f"src/{name}.wav")
    bench.write("dst/b.hzc", "old")
    bench.run("hzc-encode-tree", "src", "dst")
    assert bench.files("dst") == ["a.hzc", "b.hzc", "x/c.hzc"]
    assert (bench.root / "dst/b.hzc").read_text() == "old"
    inputs = sorted(name for call in bench.calls() for name in call["inputs"])
    assert inputs == ["src/a.wav", "src/x/c.wav"]


def test_encode_tree_with_force_redoes_all(bench):
    bench.write("src/a.wav", "new")
    bench.write("dst/a.hzc", "old")
    done = bench.run("hzc-encode-tree", "-f", "src", "dst")
    assert (bench.root / "dst/a.hzc").read_text() == "HZC 1.0 new"
    assert "1 done, 0 skipped" in done.stderr


def test_encode_tree_with_force_lists_failures_behind_old_targets(bench):
    for name in ["bad", "good", "bad new"]:
        bench.write(f"src/{name}.wav", name)
    bench.write("dst/bad.hzc", "old")
    bench.write("dst/good.hzc", "old")
    done = bench.run("hzc-encode-tree", "-f", "src", "dst", code=123)
    assert "failed:\n  src/bad\\ new.wav\n  src/bad.wav\n" in done.stderr
    assert "1 done, 0 skipped, 2 failed" in done.stderr
    assert (bench.root / "dst/bad.hzc").read_text() == "old"
    assert (bench.root / "dst/good.hzc").read_text() == "HZC 1.0 good"


def test_encode_tree_with_force_sees_targets_behind_links(bench):
    bench.write("src/bad.wav", "bad")
    bench.write("src/good.wav", "new")
    stored = bench.write("store/good.hzc", "old")
    bench.write("dst/bad.hzc", "old")
    (bench.root / "dst/good.hzc").symlink_to(stored)
    done = bench.run("hzc-encode-tree", "--force", "src", "dst", code=123)
    assert "1 done, 0 skipped, 1 failed" in done.stderr


def test_encode_tree_with_jobs_runs_processes_side_by_side(bench):
    for i in range(6):
        bench.write(f"src/{i}.wav", "meet")
    bench.run("hzc-encode-tree", "-j", "2", "src", "dst", "-q")
    assert len(bench.files("dst")) == 6
    first, second = bench.calls()
    assert len(first["inputs"]) == len(second["inputs"]) == 3
    affinity = getattr(os, "sched_getaffinity", None)
    n_cores = len(affinity(0)) if affinity else os.cpu_count()
    assert int(first["threads"]) == max(1, n_cores // 2)


def test_encode_tree_leaves_threads_alone_when_told_or_alone(bench):
    bench.write("src/a.wav")
    bench.run("hzc-encode-tree", "-j2", "src", "one", HZC_THREADS=7)
    bench.run("hzc-encode-tree", "-j2", "src", "two", OMP_NUM_THREADS=7)
    bench.run("hzc-encode-tree", "src", "three")
    assert [call["threads"] for call in bench.calls()] == ["7", None, None]


def test_encode_tree_splits_a_large_folder(bench):
    for i in range(205):
        bench.write(f"src/{i}.wav")
    bench.run("hzc-encode-tree", "src", "dst")
    assert len(bench.files("dst")) == 205
    assert [len(call["inputs"]) for call in bench.calls()] == [100, 100, 5]


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_encode_tree_lists_what_failed_and_does_the_rest(bench, jobs):
    for name in ["a", "x/b", "x/c", "z/d"]:
        bench.write(f"src/{name}.wav")
    bench.write("src/x/odd name.wav", "bad")
    bench.write("src/z/\n.wav", "bad")
    done = bench.run("hzc-encode-tree", "-j", jobs, "src", "dst", code=123)
    assert bench.files("dst") == ["a.hzc", "x/b.hzc", "x/c.hzc", "z/d.hzc"]
    listed = done.stderr.split("failed:\n")[1].splitlines()
    assert sorted(listed[:2]) == ["  $'src/z/\\n.wav'", "  src/x/odd\\ name.wav"]
    assert listed[2:] == ["hzc-encode-tree: 4 done, 0 skipped, 2 failed"]


def test_encode_tree_counts_what_a_killed_hzc_left(bench):
    bench.write("src/a.wav")
    bench.write("src/b.wav", "kill")
    bench.write("src/c.wav")
    bench.write("src/x/d.wav")
    done = bench.run("hzc-encode-tree", "src", "dst", code=123)
    assert bench.files("dst") == ["a.hzc", "x/d.hzc"]
    assert "  src/b.wav\n  src/c.wav\n" in done.stderr


def test_encode_tree_with_a_broken_link_or_blocked_folder_fails(bench):
    bench.write("src/x/a.wav")
    bench.write("dst/x", "a file where the folder should be")
    (bench.root / "src/gone.wav").symlink_to("nowhere")
    done = bench.run("hzc-encode-tree", "src", "dst", code=123)
    assert "  src/gone.wav\n  src/x/a.wav\n" in done.stderr


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all")
def test_encode_tree_with_an_unreadable_folder_does_the_rest_and_fails(bench):
    bench.write("src/a.wav")
    bench.write("src/x/b.wav")
    (bench.root / "src/x").chmod(0)
    try:
        done = bench.run("hzc-encode-tree", "src", "dst", code=123)
    finally:
        (bench.root / "src/x").chmod(0o755)
    assert "some folders could not be read" in done.stderr
    assert bench.files("dst") == ["a.hzc"]


@pytest.mark.parametrize("options", [[], ["-n"], ["-f"]])
def test_encode_tree_with_two_sources_for_a_target_does_nothing(bench, options):
    for name in ["x/a.wav", "x/a.flac", "b.wav", "b.WAV", "c.wav"]:
        bench.write(f"src/{name}")
    if len(bench.files("src")) < 5:
        pytest.skip("the file system does not tell case")
    done = bench.run("hzc-encode-tree", *options, "src", "dst", code=2)
    assert "two sources for dst/b.hzc: src/b.WAV and src/b.wav" in done.stderr
    assert "two sources for dst/x/a.hzc: src/x/a.flac and src/x/a.wav" in done.stderr
    assert done.stdout == ""
    assert not (bench.root / "dst").exists()
    assert bench.calls() == []


@pytest.mark.parametrize("script", ["hzc-encode-tree", "hzc-decode-tree"])
def test_trees_of_an_empty_folder_are_done_at_once(bench, script):
    (bench.root / "src/x").mkdir(parents=True)
    bench.write("src/.wav")
    done = bench.run(script, "src", "dst")
    assert "0 done, 0 skipped, 0 failed" in done.stderr
    assert not (bench.root / "dst").exists()


def test_encode_tree_into_its_own_source_takes_each_file_once(bench):
    bench.write("src/a.wav")
    bench.write("src/x/b.wav")
    for expected in ["2 done, 0 skipped", "0 done, 2 skipped"]:
        assert expected in bench.run("hzc-encode-tree", "src", "src/coded").stderr
    assert bench.files("src") == ["a.wav", "coded/a.hzc", "coded/x/b.hzc", "x/b.wav"]


def test_encode_tree_dry_run_prints_and_does_nothing(bench):
    bench.write("src/a.wav")
    bench.write("src/x y/b.wav")
    bench.write("dst/a.hzc")
    done = bench.run("hzc-encode-tree", "-n", "src", "dst", HZC="no-such-command")
    assert done.stdout == "src/x\\ y/b.wav -> dst/x\\ y/b.hzc\n"
    assert bench.files("dst") == ["a.hzc"]


def test_encode_tree_passes_further_options_on(bench):
    bench.write("src/a.wav")
    bench.run("hzc-encode-tree", "src", "dst", "--", "--model", "big one")
    (call,) = bench.calls()
    assert call["model"] == "big one"
    assert call["output_dir"] == "dst"


def test_encode_tree_stops_when_hzc_refuses_its_options(bench):
    for name in "abc":
        bench.write(f"src/{name}/a.wav")
    done = bench.run("hzc-encode-tree", "src", "dst", "--", "--no-such", code=2)
    assert done.stderr.count("usage: hzc") == 1


def test_encode_tree_quiet_says_nothing(bench):
    bench.write("src/a.wav")
    assert bench.run("hzc-encode-tree", "--quiet", "src", "dst").stderr == ""


def test_scripts_take_several_words_as_hzc(bench):
    bench.write("src/a.wav")
    plain = shutil.copy(bench.hzc, bench.root / "fake.py")
    bench.run("hzc-encode-tree", "src", "dst", HZC=f"{sys.executable} {plain.name}")
    assert bench.files("dst") == ["a.hzc"]


def test_scripts_find_hzc_on_the_path_and_their_library_behind_a_link(bench):
    bench.write("src/a.wav")
    shutil.copy(bench.hzc, bench.hzc.with_name("hzc"))
    (bench.root / "tools/mirror").symlink_to(BIN / "hzc-encode-tree")
    path = f"{bench.hzc.parent}{os.pathsep}{os.environ['PATH']}"
    bench.run(bench.root / "tools/mirror", "src", "dst", PATH=path, HZC=None)
    assert bench.files("dst") == ["a.hzc"]


def test_encode_tree_interrupted_ends_with_130_and_goes_on_later(bench):
    bench.write("src/a.wav")
    waiting = bench.write("src/b.wav", "wait")
    bench.write("src/x/c.wav")
    process = subprocess.Popen(
        [BIN / "hzc-encode-tree", "src", "dst"],
        cwd=bench.root,
        env=bench.environment(),
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    marker = Path(f"{bench.log}.waiting")
    deadline = time.monotonic() + 30
    while not marker.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert bench.files("dst") == ["a.hzc"]
    assert not list(bench.temporary.iterdir())
    waiting.write_text("x")
    bench.run("hzc-encode-tree", "src", "dst")
    assert bench.files("dst") == ["a.hzc", "b.hzc", "x/c.hzc"]


# Usage


@pytest.mark.parametrize("script", ["hzc-encode-tree", "hzc-decode-tree"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "wants SRC and DST"),
        (["src"], "wants SRC and DST"),
        (["src", "dst", "more"], "wants SRC and DST"),
        (["missing", "dst"], "missing: no such folder"),
        (["", "dst"], "no such folder"),
        (["src", ""], "DST is empty"),
        (["src", "file"], "file: not a folder"),
        (["src", "src/../src"], "one folder"),
        (["-x", "src", "dst"], "no such option: -x"),
        (["-j", "0", "src", "dst"], "number"),
        (["-j", "two", "src", "dst"], "number"),
        (["src", "dst", "-j"], "number"),
    ],
)
def test_trees_refuse_wrong_arguments(bench, script, arguments, message):
    bench.write("src/a.wav")
    bench.write("src/a.hzc", "HZC 1.0 x")
    bench.write("file")
    done = bench.run(script, *arguments, code=2)
    assert done.stderr.startswith(f"{script}: ")
    assert message in done.stderr
    assert bench.calls() == []


@pytest.mark.parametrize(
    "arguments", [["hzc-encode-tree", "src", "dst"], ["hzc-bitrate-report", "src"]]
)
def test_scripts_without_hzc_say_so(bench, arguments):
    bench.write("src/a.wav")
    done = bench.run(*arguments, code=2, HZC="no-such-command")
    assert "command not found: no-such-command" in done.stderr


@pytest.mark.parametrize(
    "script", ["hzc-encode-tree", "hzc-decode-tree", "hzc-bitrate-report", "check"]
)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_is_the_header_comment(bench, script, option):
    done = bench.run(script, option)
    header = (BIN / script).read_text().split("\nset -euo pipefail\n")[0].splitlines()[1:]
    assert done.stdout.splitlines() == [line[2:] for line in header]
    assert done.stdout.startswith(f"{script}: ")
    assert done.stderr == ""


# The bitrate report


def rates(done):
    """The rows of a --csv report by folder, as (files, bytes, seconds, kbit/s)."""
    rows = list(csv.reader(io.StringIO(done.stdout, newline="")))
    assert rows[0] == ["folder", "files", "n_bytes", "duration_s", "bitrate_kbps"]
    return {row[0]: (int(row[1]), int(row[2]), float(row[3]), row[4]) for row in rows[1:]}


def test_bitrate_report_sums_bytes_and_seconds(bench):
    bench.write("dir/a.hzc", b"HZC 2.0 ".ljust(300, b"."))
    bench.write("dir/x/b.hzc", b"HZC 1.5 ".ljust(200, b"."))
    bench.write("dir/x/c.HZC", b"HZC 8.5 ".ljust(1000, b"."))
    bench.write("dir/x/ignored.wav", "bad")
    assert rates(bench.run("hzc-bitrate-report", "--csv", "dir")) == {
        ".": (1, 300, 2.0, "1.2000"),
        "x": (2, 1200, 10.0, "0.9600"),
        "total": (3, 1500, 12.0, "1.0000"),
    }
    assert bench.run("hzc-bitrate-report", "dir/").stdout.splitlines() == [
        "folder  files  bytes  seconds  kbit/s",
        ".           1    300     2.00   1.200",
        "x           2  1,200    10.00   0.960",
        "total       3  1,500    12.00   1.000",
    ]


def test_bitrate_report_keeps_odd_names(bench):
    for name in ODD_NAMES:
        bench.write(f"./-d/{name}/{name}.hzc", "HZC 1.0 ")
    found = rates(bench.run("hzc-bitrate-report", "./-d", "--csv"))
    assert sorted(found) == sorted([*ODD_NAMES, "total"])
    lines = bench.run("hzc-bitrate-report", "./-d").stdout.splitlines()
    assert len(lines) == len(ODD_NAMES) + 2
    assert any(line.startswith("new\\nline ") for line in lines)
    assert any(line.startswith("süß 語 ") for line in lines)


def test_bitrate_report_lists_unreadable_files_and_counts_the_rest(bench):
    bench.write("dir/a.hzc", "HZC 1.0 ")
    bench.write("dir/x/b.hzc", "no such format")
    bench.write("dir/x/c.hzc", "HZC 1.0 ")
    done = bench.run("hzc-bitrate-report", "--csv", "dir", code=123)
    assert rates(done)["total"] == (2, 16, 2.0, "0.0640")
    assert "hzc-bitrate-report: dir/x/b.hzc: not a .hzc file\n" in done.stderr


def test_bitrate_report_into_a_closed_pipe_says_nothing(bench):
    bench.write("dir/a.hzc", "HZC 1.0 ")
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [BIN / "hzc-bitrate-report", "dir"],
        cwd=bench.root,
        env=bench.environment(),
        stdout=write_end,
        stderr=subprocess.PIPE,
    )
    os.close(write_end)
    assert b"Traceback" not in done.stderr


def test_bitrate_report_takes_links_to_files_only(bench):
    target = bench.write("elsewhere/a.hzc", "HZC 1.0 ")
    (bench.root / "dir").mkdir()
    (bench.root / "dir/file.hzc").symlink_to(target)
    (bench.root / "dir/folder.hzc").symlink_to(target.parent)
    assert rates(bench.run("hzc-bitrate-report", "--csv", "dir"))["total"][0] == 1


def test_bitrate_report_fails_when_hzc_dies(bench):
    bench.write("dir/a.hzc", "kill")
    done = bench.run("hzc-bitrate-report", "dir", code=123)
    assert "a.hzc: no answer from hzc" in done.stderr


def test_bitrate_report_of_an_empty_folder_is_a_zero_total(bench):
    (bench.root / "dir").mkdir()
    assert rates(bench.run("hzc-bitrate-report", "--csv", "dir")) == {"total": (0, 0, 0.0, "")}
    assert bench.calls() == []


@pytest.mark.parametrize("arguments", [[], ["missing"], ["a", "b"], ["--tsv", "."]])
def test_bitrate_report_refuses_wrong_arguments(bench, arguments):
    assert bench.run("hzc-bitrate-report", *arguments, code=2).stdout == ""


# The checks of the house


def shell_scripts():
    """All shell scripts in bin, by their first line, and what they source."""
    scripts = [path for path in BIN.iterdir() if path.is_file()]
    first_lines = {path: path.read_bytes().split(b"\n")[0] for path in scripts}
    shell = [path for path, line in first_lines.items() if line.endswith(b"sh")]
    return sorted([*shell, *BIN.glob("lib/*.bash")])


SHELLCHECK = shutil.which("shellcheck") or shutil.which(
    "shellcheck", path=str(Path(sys.executable).parent)
)


@pytest.mark.skipif(SHELLCHECK is None, reason="shellcheck is not installed")
def test_shell_scripts_pass_shellcheck():
    done = subprocess.run([SHELLCHECK, *shell_scripts()], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_scripts_are_executable_and_strict():
    for path in shell_scripts():
        is_library = path.parent.name == "lib"
        assert os.access(path, os.X_OK) != is_library, path
        assert is_library or "\nset -eu" in path.read_text(), path


@pytest.mark.parametrize("failing", [None, "ruff", "mypy", "shellcheck", "python3"])
def test_check_runs_all_steps_and_fails_with_any(tmp_path, failing):
    shutil.copytree(BIN, tmp_path / "repo/bin")
    (tmp_path / "repo/bin/tool").write_text("#!/usr/bin/env python3\n")
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ["ruff", "mypy", "shellcheck", "python3"]:
        (tools / name).write_text(
            f'#!/bin/sh\necho {name} "$@" >>"$LOG"\nexit {int(name == failing)}\n'
        )
        (tools / name).chmod(0o755)
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [tmp_path / "repo/bin/check", "-x"],
        env={**os.environ, "PATH": path, "LOG": str(tmp_path / "log")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == (failing is not None), done.stderr
    steps = (tmp_path / "log").read_text().splitlines()
    assert [step.split()[0] for step in steps] == ["ruff", "ruff", "mypy", "shellcheck", "python3"]
    assert steps[0].startswith("ruff format --check .")
    assert steps[0].endswith("bin/tool")
    assert "bin/hzc-encode-tree" in steps[3]
    assert "bin/lib/mirror.bash" in steps[3]
    assert "bin/tool" not in steps[3]
    assert steps[4] == "python3 -m pytest -n 2 --dist worksteal -m not slow -x"


def test_make_vectors_does_nothing_unless_it_is_meant():
    vectors = BIN.parent / "formats" / "vectors"
    before = {path: path.stat().st_mtime_ns for path in vectors.rglob("*")}
    done = subprocess.run([sys.executable, BIN / "make-vectors"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "vectors are pinned" in done.stderr
    assert {path: path.stat().st_mtime_ns for path in vectors.rglob("*")} == before
