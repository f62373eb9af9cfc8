"""The commands as people call them, on recordings of the demo, with the default model."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import soundfile
from click.testing import CliRunner

from hzc_bench import spectra, speed
from hzc_bench.cli import main

SAMPLES = Path(__file__).resolve().parents[2] / "demo" / "samples"
FILES = ("p225_003.flac", "2033-164914-0003.flac")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder with two recordings and something else, under the current one."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "speech"
    path.mkdir()
    for name in FILES:
        samples, sample_rate_hz = soundfile.read(SAMPLES / name, dtype="int16", frames=48_000)
        soundfile.write(path / name, samples, sample_rate_hz)
    (path / "notes.txt").write_text("no sound")
    return path


def bench(words: str, *, code: int = 0) -> str:
    done = CliRunner().invoke(main, words.split())
    assert done.exit_code == code, (done.output, done.exception)
    return done.stdout if code == 0 else done.stderr


def cells(printed: str) -> list[list[str]]:
    """Return the cells of a Markdown table's body."""
    lines = [line for line in printed.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_bench_measures_reports_and_remembers(folder, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(speed, "LENGTH_S", 2.0)
    words = "speech --codecs hzc,hzc-step8,original --steps 8 --metrics logmel,level_db"
    out = bench(f"{words} --report RESULTS.md --html listen.html --csv a.csv")
    assert [line.split()[0] for line in out.splitlines()] == ["hzc", "hzc-step8", "original"]
    text = Path("RESULTS.md").read_text(encoding="utf-8")
    assert "| hzc, whole process |" in text
    assert Path("results/quality.png").is_file()
    assert Path("results/figures.csv").read_bytes() == Path("a.csv").read_bytes()
    assert FILES[0] in Path("listen.html").read_text(encoding="utf-8")
    monkeypatch.setattr(spectra, "log_mel_distance", lambda x, y: pytest.fail("computed again"))
    assert bench(f"compare {words}") == out


def test_bench_of_published_decodes_prints_their_tables(folder):
    shutil.copytree(folder, "published/set/original")
    shutil.copytree(folder, "published/set/mimi-1.1")
    for path in Path("published").rglob("notes.txt"):
        path.unlink()
    rows = {row[0]: row[1:] for row in cells(bench("--published published --metrics logmel"))}
    assert rows["mimi"] == ["(1.1 stated)", "0.000 ± 0.000"]
    assert 0.6 < float(rows["hzc"][0]) < 1.4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("speech --codecs mp3", "there are: hzc, original, opus-6"),
        ("speech --metrics taste", "there are: pesq_wb"),
        ("speech --steps few", "whole numbers"),
        ("compare", "neither DIR nor --published"),
        ("measure empty", "0 recordings in empty"),
        ("stress empty", "0 recordings in empty, expected 2 or more"),
    ],
)
def test_wrong_words_are_named(folder, words, said):
    pytest.importorskip("pesq")
    Path("empty").mkdir()
    assert said in " ".join(bench(words, code=2).split())


def test_bench_names_peers_that_are_not_installed(folder, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    words = "speech --codecs original,opus-6 --metrics logmel"
    done = CliRunner().invoke(main, words.split())
    assert done.exit_code == 0
    assert "left out: Opus 6 kbit/s: opusenc, opusdec not found" in done.stderr
    assert "opus" not in done.stdout


def test_measure_prints_rate_and_quality_of_every_recording(folder):
    pytest.importorskip("pesq")
    lines = bench("measure speech").splitlines()
    assert [line.split()[0] for line in lines] == [*sorted(FILES), "2"]
    found = {name: float(re.search(f"{name} (-?[\\d.]+)", lines[-1])[1]) for name in
             ("kbps", "pesq_wb", "stoi", "estoi")}  # fmt: skip
    assert 0.6 < found["kbps"] < 1.4
    assert 1.5 < found["pesq_wb"] < 4.7
    assert 0.7 < found["estoi"] < found["stoi"] < 1.0


def test_prior_gain_is_a_gain_and_the_payload_costs_what_it_should(folder):
    """Static tables that know the recordings beat those that know others only."""
    first, own, others = bench(f"prior-gain speech --fit-on {SAMPLES}").splitlines()
    context, payload = map(float, re.findall(r"(?:context|payload) ([\d.]+)", first))
    assert payload == pytest.approx(context, rel=0.01)
    bits = [
        float(re.search(r": ([\d.]+) bits/frame, context -", line)[1]) for line in (own, others)
    ]
    assert context < bits[0] < bits[1]


def test_stress_measures_every_hard_case_and_noise_costs_words(folder):
    pytest.importorskip("pesq")
    rows = {row[0]: row[1:] for row in cells(bench("stress speech"))}
    assert len(rows) == 10
    before = [float(rows[f"pink noise, SNR {snr} dB"][4]) for snr in (20, 10, 0)]
    assert 1.0 > before[0] > before[1] > before[2]
    assert rows["clean"][4] == "1.000"
    assert rows["clean"][5] == rows["clean"][2]
    assert float(rows["as long a pause of silence after it"][0]) < 0.65 * float(rows["clean"][0])
    assert rows["music: chords, no speech"][4:] == ["–", "–"]


def test_sources_prints_a_line_for_each_source_of_the_manifest(folder):
    pytest.importorskip("pesq")
    lines = ["file\tsource\tlanguages", *(f"{name}\ta\ten" for name in FILES)]
    (folder / "manifest.tsv").write_text("\n".join([*lines, ""]))
    (row,) = cells(bench("sources --segments 2 speech"))
    assert row[:2] == ["a", "en"]
    assert 0.5 < float(row[2].split(" ± ")[0]) < 1.5


@pytest.mark.slow
def test_speed_prints_times_memory_and_seeking(folder, monkeypatch):
    monkeypatch.setattr(speed, "N_TIMES", 1)
    out = bench("speed --minutes 0.1 --long-minutes 0.3 speech")
    for line in ("encode 6 s: ", "decode 0.1 min: ", "opusdec", "peak memory, 0.3 min: "):
        assert line in out
