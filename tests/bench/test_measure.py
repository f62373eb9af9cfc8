"""The measuring scripts on a recording of the demo, with the default model."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

import hzc

ROOT = Path(__file__).resolve().parents[2]
RECORDING = "2033-164914-0003.flac"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one recording, and something else."""
    path = tmp_path / "recordings"
    path.mkdir()
    shutil.copy(ROOT / "demo" / "samples" / RECORDING, path)
    (path / "notes.txt").write_text("no sound")
    return path


def run(module: str, *arguments: object, code: int = 0) -> str:
    """Run a script's module, and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", f"hzc_bench.{module}", *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def test_measure_tells_rate_and_quality_of_every_recording(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("pesq")
    pytest.importorskip("pystoi")
    lines = run("measure", folder, "--csv", tmp_path / "a.csv").splitlines()
    samples, rate_hz = soundfile.read(folder / RECORDING, dtype="float32")
    kbps = 8.0 * len(hzc.load().encode(samples, rate_hz)) / (len(samples) / rate_hz) / 1000.0
    assert [line.split()[0] for line in lines] == [RECORDING, "1"]
    for line in lines:
        assert f"kbps {kbps:.3f} " in line
    with open(tmp_path / "a.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["kbps"]) == pytest.approx(kbps, abs=1e-3)
    assert 1.5 < float(row["pesq_wb"]) < 4.7
    assert 0.7 < float(row["estoi"]) < float(row["stoi"]) < 1.0
    assert abs(float(row["delay_ms"])) <= 10.0


def test_prior_gain_is_a_gain_and_the_payload_costs_what_it_should(folder: Path) -> None:
    """Static tables that know the recordings beat those that know others only."""
    first, own, others = run(
        "prior_gain", folder, "--fit-on", ROOT / "demo" / "samples"
    ).splitlines()
    found = re.fullmatch(
        r"(\d+) frames, model \w+: context ([\d.]+), payload ([\d.]+) bits/frame", first
    )
    assert found, first
    assert int(found[1]) == 45
    context, payload = float(found[2]), float(found[3])
    assert payload == pytest.approx(context, rel=0.01)
    own_bits, other_bits = (
        float(re.search(r": ([\d.]+) bits/frame, context -[\d.]+ %", line)[1])
        for line in (own, others)
    )
    assert context < own_bits < other_bits


def rows_of(printed: str) -> list[list[str]]:
    """Return the cells of a Markdown table's body."""
    lines = [line for line in printed.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_stress_measures_every_hard_case_and_noise_costs_words(folder: Path) -> None:
    pytest.importorskip("pesq")
    pytest.importorskip("pystoi")
    other = "p225_003.flac"
    shutil.copy(ROOT / "demo" / "samples" / other, folder)
    rows = {row[0]: row[1:] for row in rows_of(run("stress", folder))}
    assert len(rows) == 10
    assert all(len(cells) == 6 and 0.2 < float(cells[0]) < 2.0 for cells in rows.values())
    before = [float(rows[f"pink noise, SNR {snr} dB"][4]) for snr in (20, 10, 0)]
    assert 1.0 > before[0] > before[1] > before[2]
    assert rows["clean"][4] == "1.000"
    assert float(rows["clean"][5]) == pytest.approx(float(rows["clean"][2]), abs=1e-3)
    gated = rows["noise gate: bins 40 dB under the peak emptied"]
    assert float(gated[5]) > 0.95 * float(rows["clean"][5])
    pause = float(rows["as long a pause of silence after it"][0])
    assert pause < 0.65 * float(rows["clean"][0])
    assert rows["music: chords, no speech"][4:] == ["–", "–"]


def test_stress_of_one_recording_is_refused(folder: Path) -> None:
    pytest.importorskip("pesq")
    assert "fewer than two recordings" in run("stress", folder, code=2)


def test_measure_sources_tells_each_source_of_the_manifest(folder: Path) -> None:
    pytest.importorskip("pesq")
    pytest.importorskip("pystoi")
    other = "p225_003.flac"
    shutil.copy(ROOT / "demo" / "samples" / other, folder)
    lines = ["file\tsource\tlanguages", f"{RECORDING}\ta\ten", f"{other}\ta\ten"]
    (folder / "manifest.tsv").write_text("\n".join([*lines, ""]))
    (row,) = rows_of(run("measure_sources", "--segments", "2", folder))
    assert row[:2] == ["a", "en"]
    figures = [float(cell.split(" ± ")[0]) for cell in row[2:]]
    assert 0.5 < figures[0] < 1.5
    assert 0.7 < figures[3] < figures[2] < 1.0
