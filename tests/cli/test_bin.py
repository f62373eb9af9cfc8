"""The scripts of bin in real subprocesses: arguments and exit codes over a stand-in for hzc."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

BIN = Path(__file__).resolve().parents[2] / "bin"
pytestmark = pytest.mark.skipif(os.name == "nt", reason="the scripts are for bash on POSIX")

FAKE_HZC = """#!/bin/sh
for word; do printf '%s\\0' "$word"; done >"$FAKE_LOG"
printf '%s' "$FAKE_STDOUT"
exit "${FAKE_CODE:-0}"
"""

Run = Callable[..., "tuple[subprocess.CompletedProcess[str], list[str]]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a script in a folder with src/ and file; return the process and what hzc was given."""
    (tmp_path / "src").mkdir()
    (tmp_path / "file").touch()
    hzc, log = tmp_path / "fake hzc", tmp_path / "log"
    hzc.write_text(FAKE_HZC)
    hzc.chmod(0o755)

    def call(script: str | Path, *words: str, code: int = 0, **changes: object) -> object:
        log.unlink(missing_ok=True)
        environment = {**os.environ, "HZC": str(hzc), "FAKE_LOG": str(log), "FAKE_STDOUT": ""}
        environment |= {name: str(value) for name, value in changes.items()}
        done = subprocess.run(
            [BIN / script, *words], cwd=tmp_path, env=environment, capture_output=True,
            encoding="utf-8", errors="surrogateescape", timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done, log.read_text().split("\0")[:-1] if log.exists() else []

    return call


@pytest.mark.parametrize("verb", ["encode", "decode"])
@pytest.mark.parametrize(
    ("given", "options"),
    [
        ([], ["--skip-existing"]),
        (["-f"], ["--force"]),
        (["-j", "4", "-n", "-q"], ["--skip-existing", "-j", "4", "-n", "-q"]),
        (["-j4", "--force"], ["--force", "-j4"]),
    ],
)
def test_trees_call_hzc_once_with_their_options(
    run: Run, verb: str, given: list[str], options: list[str]
) -> None:
    _, words = run(f"hzc-{verb}-tree", *given, "src", "d s't", "--", "--model", "big one")
    expected = [verb, "-r", *options, "--model", "big one", "-d", "d s't", "--", "src"]
    assert words == expected


@pytest.mark.parametrize(
    ("found", "code"), [(0, 0), (1, 123), (2, 2), (3, 123), (6, 2), (130, 130), (143, 143)]
)
def test_trees_exit_with_their_own_codes(run: Run, found: int, code: int) -> None:
    run("hzc-encode-tree", "src", "dst", code=code, FAKE_CODE=found)


@pytest.mark.parametrize("script", ["hzc-encode-tree", "hzc-decode-tree"])
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["src"], "wants SRC and DST"),
        (["src", "dst", "more"], "wants SRC and DST"),
        (["missing", "dst"], "missing: no such folder"),
        (["src", ""], "not a folder"),
        (["src", "file"], "file: not a folder"),
        (["src", "src/../src"], "one folder"),
        (["-x", "src", "dst"], "no such option: -x"),
        (["src", "dst", "-j"], "needs a number"),
    ],
)
def test_trees_refuse_wrong_arguments(run: Run, script: str, words: list[str], says: str) -> None:
    done, called = run(script, *words, code=2)
    assert done.stderr.startswith(f"{script}: ")
    assert says in done.stderr
    assert called == []


def test_scripts_find_hzc_by_name_by_words_and_not_at_all(run: Run, tmp_path: Path) -> None:
    (tmp_path / "tree").symlink_to(BIN / "hzc-encode-tree")
    path = f"{tmp_path}:{os.environ['PATH']}"
    shutil.copy(tmp_path / "fake hzc", tmp_path / "hzc")
    assert run(tmp_path / "tree", "src", "dst", PATH=path, HZC="hzc")[1]
    assert run("hzc-encode-tree", "src", "dst", HZC=f"sh {tmp_path}/hzc")[1]
    for words in (["hzc-encode-tree", "src", "dst"], ["hzc-bitrate-report", "src"]):
        done, _ = run(*words, code=2, HZC="no-such-command")
        assert "command not found: no-such-command" in done.stderr


LINES = "".join(
    json.dumps({"path": path, **values}) + "\n"
    for path, values in (
        ("src/a.hzc", {"n_bytes": 300, "duration_s": 2.0}),
        ("src/x/b.hzc", {"n_bytes": 200, "duration_s": 1.5}),
        ("src/x/c.HZC", {"n_bytes": 1000, "duration_s": 8.5}),
        ("src/new\nline/d.hzc", {"error": "not a .hzc file"}),
    )
)


def test_bitrate_report_sums_bytes_and_seconds_of_every_folder(run: Run) -> None:
    done, words = run("hzc-bitrate-report", "--csv", "src", FAKE_STDOUT=LINES)
    assert words == ["bitrate", "-q", "-r", "--json", "--", "src"]
    assert list(csv.reader(done.stdout.splitlines())) == [
        ["folder", "files", "n_bytes", "duration_s", "bitrate_kbps"],
        [".", "1", "300", "2.000", "1.2000"],
        ["x", "2", "1200", "10.000", "0.9600"],
        ["total", "3", "1500", "12.000", "1.0000"],
    ]
    assert run("hzc-bitrate-report", "src", FAKE_STDOUT=LINES)[0].stdout.splitlines() == [
        "folder  files  bytes  seconds  kbit/s",
        ".           1    300     2.00   1.200",
        "x           2  1,200    10.00   0.960",
        "total       3  1,500    12.00   1.000",
    ]
    done, _ = run("hzc-bitrate-report", "--csv", "src")
    assert done.stdout.splitlines()[1:] == ["total,0,0,0.000,"]


@pytest.mark.parametrize(("found", "code"), [(1, 123), (4, 123), (130, 130)])
def test_bitrate_report_exits_with_its_own_codes(run: Run, found: int, code: int) -> None:
    done, _ = run("hzc-bitrate-report", "src", code=code, FAKE_STDOUT=LINES, FAKE_CODE=found)
    assert "total" in done.stdout


@pytest.mark.parametrize("words", [[], ["missing"], ["src", "src"], ["--tsv", "src"]])
def test_bitrate_report_refuses_wrong_arguments(run: Run, words: list[str]) -> None:
    assert run("hzc-bitrate-report", *words, code=2)[0].stdout == ""
