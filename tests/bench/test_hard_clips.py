"""make-hard-clips on small packages made here, and the tables that it goes by. No network."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from hzc_bench import hard_clips

LIB = Path(hard_clips.__file__).parent
CLIPS_TSV, PACKAGES_TSV = "hard-clips.tsv", "hard-packages.tsv"
RATE_HZ = 16_000
SILENCE = round(0.3 * RATE_HZ)
PACKAGES = {"letters": "4:1.0-1", "game": "2.5"}
CLIPS = [
    ("children", "girl-00", "letters", "usr/share/b.wav"),
    ("children", "girl-00", "letters", "usr/share/a.wav"),
    ("shouting", "soldier-00", "game", "usr/data.pk3/sound/attack.ogg"),
    ("shouting", "soldier-01", "game", "usr/loud.wav"),
]

needs_dpkg = pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="dpkg-deb not found")


def table(name: str) -> list[dict[str, str]]:
    """Return the lines of a table, read without the script."""
    lines = (LIB / name).read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader((line for line in lines if line[0] != "#"), delimiter="\t"))


def write_table(path: Path, *rows: tuple[str, ...]) -> None:
    path.write_text("# A comment.\n" + "".join("\t".join(row) + "\n" for row in rows))


def write_clips_table(lib: Path, clips: list[tuple[str, str, str, str]] = CLIPS) -> None:
    write_table(lib / CLIPS_TSV, ("folder", "clip", "package", "path"), *clips)


def tone(n_samples: int, peak: float, *, seed: int = 0) -> np.ndarray:
    """Return a sound whose highest sample is the peak, as 16 bits know it."""
    noise = np.random.default_rng(seed).uniform(-1.0, 1.0, n_samples)
    return np.round(noise / np.abs(noise).max() * peak * 2**15) / 2**15


A, B, LOUD = tone(2_000, 0.5, seed=1), tone(3_000, 0.7, seed=2), tone(8_000, 0.9999, seed=3)


def package(folder: Path, name: str) -> Path:
    """Return a .deb of what is in folder/name, its version's colon written as apt-get does."""
    control = folder / name / "DEBIAN" / "control"
    control.parent.mkdir()
    fields = {
        "Package": name, "Version": PACKAGES[name], "Architecture": "all",
        "Maintainer": "Nobody <nobody@example.org>", "Description": "sounds",
    }  # fmt: skip
    control.write_text("".join(f"{field}: {value}\n" for field, value in fields.items()))
    deb = folder / f"{name}_{PACKAGES[name].replace(':', '%3a')}_all.deb"
    command = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", folder / name, deb]
    subprocess.run(command, check=True, capture_output=True)
    shutil.rmtree(folder / name)
    return deb


@pytest.fixture(scope="session")
def debs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packages; not to be changed."""
    folder = tmp_path_factory.mktemp("debs")
    for file in ("letters/usr/share", "game/usr"):
        (folder / file).mkdir(parents=True)
    soundfile.write(folder / "letters/usr/share/a.wav", A, RATE_HZ)
    stereo = np.stack([B * 0.5, B * 1.25], axis=1)  # its mean is B × 0.875
    soundfile.write(folder / "letters/usr/share/b.wav", stereo, RATE_HZ, subtype="FLOAT")
    soundfile.write(folder / "game/usr/loud.wav", LOUD, RATE_HZ)
    ogg = io.BytesIO()
    soundfile.write(ogg, tone(22_050, 0.3), 22_050, format="OGG")
    with zipfile.ZipFile(folder / "game/usr/data.pk3", "w") as archive:
        archive.writestr("sound/attack.ogg", ogg.getvalue())
    for name in PACKAGES:
        package(folder, name)
    return folder


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, debs: Path) -> ModuleType:
    """The script, with tables for the small packages."""
    lib = tmp_path / "lib"
    lib.mkdir()
    digests = []
    for name, version in PACKAGES.items():
        data = next(debs.glob(f"{name}_*.deb")).read_bytes()
        digests.append((name, version, "GPL-2", hashlib.sha256(data).hexdigest()))
    write_table(lib / PACKAGES_TSV, ("package", "version", "licence", "sha256"), *digests)
    write_clips_table(lib)
    monkeypatch.setattr(hard_clips, "LIB", lib)
    return hard_clips


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where clips go, in a folder of its own."""
    return tmp_path / "made" / "clips"


@pytest.fixture
def make(script: ModuleType, out: Path, debs: Path) -> Callable[..., str]:
    """`make(code=0, packages=debs)` runs the script and returns what it said.

    Nothing hidden is left beside the clips; after an error nothing is changed, and it is one line.
    """

    def run(code: int = 0, packages: Path | None = debs) -> str:
        before = sorted(out.parent.rglob("*"))
        options = ["--packages", str(packages)] if packages else []
        result = CliRunner().invoke(script.main, [*options, str(out)])
        assert result.exit_code == code, result.output
        assert not list(out.parent.glob(".*"))
        if code:
            assert sorted(out.parent.rglob("*")) == before
            assert result.stderr.startswith("Error: ")
            assert result.stderr.count("\n") == 1
        return result.output

    return run


def program(folder: Path, name: str, text: str) -> None:
    """Write a shell script."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def test_help_of_the_script_is_its_docstring():
    command = [sys.executable, "-m", "hzc_bench.hard_clips", "-h"]
    assert "usage: make-hard-clips [--packages DIR] OUT" in subprocess.check_output(
        command, text=True
    )


# --- what is made ---------------------------------------------------------------------------


@needs_dpkg
def test_recordings_are_joined_in_the_order_of_the_table_with_silence_between(make, out):
    said = make()
    clip, rate_hz = soundfile.read(out / "children" / "girl-00.flac")
    assert rate_hz == RATE_HZ
    wanted = np.concatenate([0.875 * B, np.zeros(SILENCE), A])
    assert clip.shape == wanted.shape
    np.testing.assert_allclose(clip, wanted, atol=1.5 / 2**15)
    assert not clip[len(B) : len(B) + SILENCE].any()
    assert said == f"children: 1 clips, {len(wanted) / RATE_HZ:.1f} s\nshouting: 2 clips, 1.5 s\n"


@needs_dpkg
def test_clips_are_16_khz_mono_flac_in_their_folders_and_nothing_else_is_left(make, out):
    make()
    found = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert found == {f"{folder}/{clip}.flac" for folder, clip, _, _ in CLIPS}
    for path in out.rglob("*.flac"):
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (RATE_HZ, 1, "PCM_16")
    from_zip = soundfile.info(out / "shouting" / "soldier-00.flac")
    assert from_zip.duration == pytest.approx(1.0, abs=1e-4)
    assert list(out.parent.iterdir()) == [out]


@needs_dpkg
def test_only_a_clip_whose_peak_is_above_is_scaled(make, out):
    make()
    loud, _ = soundfile.read(out / "shouting" / "soldier-01.flac")
    assert np.abs(loud).max() == pytest.approx(0.99, abs=1 / 2**15)
    np.testing.assert_allclose(loud, LOUD * 0.99 / np.abs(LOUD).max(), atol=1.5 / 2**15)
    quiet, _ = soundfile.read(out / "children" / "girl-00.flac")
    np.testing.assert_array_equal(quiet[-len(A) :], A)


@needs_dpkg
def test_an_empty_folder_is_filled(make, out):
    out.mkdir(parents=True)
    make()
    assert len(list(out.rglob("*.flac"))) == 3


@needs_dpkg
def test_without_packages_apt_get_downloads_the_versions_of_the_table(
    make, out, debs, tmp_path, monkeypatch
):
    text = f'echo "$@" >{tmp_path}/words; echo "W: a warning" >&2; cp {debs}/*.deb .'
    program(tmp_path / "bin", "apt-get", text)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    make(packages=None)
    words = (tmp_path / "words").read_text().split()
    assert words == ["download", "letters=4:1.0-1", "game=2.5"]
    assert len(list(out.rglob("*.flac"))) == 3


# --- what is refused ------------------------------------------------------------------------


@needs_dpkg
def test_package_with_another_checksum_is_refused(make, debs, tmp_path):
    other = shutil.copytree(debs, tmp_path / "other")
    path = next(other.glob("game_*"))
    path.write_bytes(path.read_bytes() + b"\0")
    assert f"{path}: SHA-256 is not that of game 2.5" in make(1, other)


@needs_dpkg
def test_package_that_is_not_there_is_named(make, tmp_path):
    assert f"no letters_*.deb in {tmp_path}" in make(1, tmp_path)


@needs_dpkg
@pytest.mark.parametrize("path", ["usr/none.wav", "usr/data.pk3/none.ogg", "usr/none.pk3/a.ogg"])
def test_file_missing_in_a_package_leaves_nothing_behind(make, script, path):
    write_clips_table(script.LIB, [*CLIPS, ("calm", "a-00", "game", path)])
    assert f"package game has no file {path}" in make(1)


@needs_dpkg
def test_folder_that_is_not_empty_is_left_alone(make, out):
    out.mkdir(parents=True)
    (out / "mine.txt").write_text("mine")
    assert f"{out} exists and is not empty" in make(1)


@needs_dpkg
def test_target_that_is_a_file_is_left_alone(make, out):
    out.parent.mkdir()
    out.write_text("mine")
    assert f"{out}: Not a directory" in make(1)
    assert out.read_text() == "mine"


@needs_dpkg
def test_failed_download_gives_apt_gets_first_error(make, out, tmp_path, monkeypatch):
    out.parent.mkdir()
    text = 'printf "W: odd\\nE: Failed to fetch it\\nE: Unable to fetch some\\n" >&2; exit 100'
    program(tmp_path / "bin", "apt-get", text)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    assert make(1, None) == "Error: apt-get failed: Failed to fetch it\n"


@needs_dpkg
@pytest.mark.parametrize("missing", ["dpkg", "apt-get"])
def test_missing_program_is_named(make, tmp_path, monkeypatch, missing):
    for tool in {"dpkg", "apt-get"} - {missing}:
        program(tmp_path / "bin", tool, "exit 1")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert f"{missing} not found" in make(1, None)


# --- the tables -----------------------------------------------------------------------------


def test_every_package_is_known_and_used():
    known = [row["package"] for row in table(PACKAGES_TSV)]
    assert sorted(set(known)) == known
    assert {row["package"] for row in table(CLIPS_TSV)} == set(known)
    for row in table(PACKAGES_TSV):
        assert row["version"]
        assert row["licence"] in ("GPL-2", "GPL-2+")
        assert len(bytes.fromhex(row["sha256"])) == 32


def test_no_recording_is_used_twice():
    paths = [(row["package"], row["path"]) for row in table(CLIPS_TSV)]
    assert len(set(paths)) == len(paths)
    for _, path in paths:
        assert Path(path).suffix in (".ogg", ".wav")
        assert path.startswith("usr/share/")
        assert ".." not in path


def test_clips_of_a_voice_are_numbered_without_gaps_and_their_lines_follow_each_other():
    clips = [clip for clip, _ in groupby((row["folder"], row["clip"]) for row in table(CLIPS_TSV))]
    assert len(set(clips)) == len(clips)
    voices: dict[tuple[str, str], list[int]] = {}
    for folder, clip in clips:
        voice, _, number = clip.rpartition("-")
        voices.setdefault((folder, voice), []).append(int(number))
    for numbers in voices.values():
        assert numbers == list(range(len(numbers)))
    counts = {folder: sum(of == folder for of, _ in clips) for folder, _ in clips}
    assert counts == {"children": 34, "shouting": 21, "calm": 21}


def test_every_voice_is_told_about_in_the_comments():
    lines = (LIB / CLIPS_TSV).read_text(encoding="utf-8").splitlines()
    comments = "\n".join(line for line in lines if line.startswith("#"))
    for row in table(CLIPS_TSV):
        voice = row["clip"].rpartition("-")[0]
        assert voice in comments or f"{voice.partition('_')[0]}_*" in comments
