"""The command as people call it, with what needs no further package."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from hzc_bench import spectra, speed
from hzc_bench.cli import main

SAMPLES = Path(__file__).resolve().parents[2] / "demo" / "samples"


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder with two recordings and something else, under the current one."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "speech"
    path.mkdir()
    for name in ("p225_003.flac", "2033-164914-0003.flac"):
        shutil.copy(SAMPLES / name, path)
    (path / "notes.txt").write_text("no sound")
    return path


def bench(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(main, ["speech", *arguments])
    assert done.exit_code == code, (done.output, done.exception)
    return done.stdout if code == 0 else done.stderr


def test_bench_measures_reports_and_remembers(folder, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(speed, "LENGTH_S", 2.0)
    words = ("--codecs", "hzc,original", "--metrics", "logmel,level_db")
    out = bench(*words, "--report", "RESULTS.md", "--html", "listen.html", "--csv", "a.csv")
    assert [line.split()[0] for line in out.splitlines()] == ["hzc", "original"]
    text = Path("RESULTS.md").read_text(encoding="utf-8")
    assert "| hzc, whole process |" in text
    assert "| hzc, in process |" in text
    assert "2 recordings" in text
    assert Path("results/quality.png").is_file()
    assert Path("results/figures.csv").read_bytes() == Path("a.csv").read_bytes()
    assert "p225_003.flac" in Path("listen.html").read_text(encoding="utf-8")
    monkeypatch.setattr(spectra, "log_mel_distance", lambda x, y: pytest.fail("computed again"))
    assert bench(*words) == out


@pytest.mark.parametrize("words", ["--codecs mp3", "--metrics taste", "--codecs hzc,,hzc"])
def test_bench_of_unknown_names_says_what_there_is(folder, words):
    error = bench(*words.split(), code=2)
    assert "there are: hzc, original, opus-6" in error or "there are: pesq_wb" in error


def test_bench_of_a_folder_without_recordings_is_refused(folder):
    for path in folder.glob("*.flac"):
        path.unlink()
    assert "no recordings in speech" in bench("--codecs", "hzc", "--metrics", "logmel", code=2)


def test_bench_names_peers_that_are_not_installed(folder, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    done = CliRunner().invoke(
        main, ["speech", "--codecs", "original,opus-6", "--metrics", "logmel"]
    )
    assert done.exit_code == 0
    assert "left out: Opus 6 kbit/s: opusenc, opusdec not found" in done.stderr
    assert "opus" not in done.stdout
