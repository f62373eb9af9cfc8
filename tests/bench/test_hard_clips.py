"""`hzc-bench hard-clips` on small packages made here, and its tables. No network, no dpkg."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from hzc_bench import hard_clips

LIB = Path(hard_clips.__file__).parent
CLIPS = [
    ("children", "girl-00", "letters", "usr/b.wav"),
    ("children", "girl-00", "letters", "usr/a.wav"),
    ("shouting", "soldier-00", "game", "usr/data.pk3/sound/attack.ogg"),
]
QUIET, LOUD = (np.sin(np.arange(4_000) / 9).astype(np.float32) * peak for peak in (0.5, 0.9999))


def write_table(path: Path, *rows: tuple[str, ...]) -> None:
    path.write_text("# A comment.\n" + "".join("\t".join(row) + "\n" for row in rows))


def write_clips_table(*more: tuple[str, str, str, str]) -> None:
    rows = [("folder", "clip", "package", "path"), *CLIPS, *more]
    write_table(hard_clips.LIB / "hard-clips.tsv", *rows)


def sound_file(samples: np.ndarray, kind: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, 16_000, format=kind)
    return file.getvalue()


@pytest.fixture
def debs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Packages, their tables, and programs that stand for dpkg and apt-get."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("sound/attack.ogg", sound_file(QUIET, "OGG"))
    contents = {
        "letters_1.0_all.deb": {
            "a.wav": sound_file(QUIET, "WAV"),
            "b.wav": sound_file(LOUD, "WAV"),
        },
        "game_2.5_all.deb": {"data.pk3": archive.getvalue()},
    }
    for folder in ("debs", "bin", "lib"):
        (tmp_path / folder).mkdir()
    table = [("package", "version", "licence", "sha256")]
    for name, files in contents.items():
        path = tmp_path / "debs" / name
        with tarfile.open(path, "w") as tar:
            for file, data in files.items():
                member = tarfile.TarInfo(f"usr/{file}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        table.append((*name.split("_")[:2], "GPL-2", digest))
    monkeypatch.setattr(hard_clips, "LIB", tmp_path / "lib")
    write_table(tmp_path / "lib" / "hard-packages.tsv", *table)
    write_clips_table()
    for program, text in {
        "dpkg": 'mkdir -p "$3" && tar -xf "$2" -C "$3"',
        "apt-get": f'echo "$@" >{tmp_path}/words; cp {tmp_path}/debs/*.deb .',
    }.items():
        (tmp_path / "bin" / program).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "bin" / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return tmp_path / "debs"


@pytest.fixture
def make(debs: Path, tmp_path: Path) -> Callable[..., str]:
    """`make(code, *options)` runs the command; after an error nothing is changed, in one line."""
    out = tmp_path / "made" / "clips"

    def run(code: int = 0, *options: object) -> str:
        before = sorted(out.parent.rglob("*"))
        result = CliRunner().invoke(hard_clips.main, [*map(str, options), str(out)])
        assert result.exit_code == code, result.output
        assert not list(out.parent.glob(".*"))
        if code:
            assert sorted(out.parent.rglob("*")) == before
            assert result.stderr.count("\n") == 1
        return result.output

    return run


def test_recordings_are_joined_in_the_order_of_the_table_with_silence_between(make, tmp_path):
    assert make().startswith("children: 1 clips, 0.8 s\nshouting: 1 clips")
    assert (tmp_path / "words").read_text().split() == ["download", "letters=1.0", "game=2.5"]
    clip, sample_rate_hz = soundfile.read(tmp_path / "made/clips/children/girl-00.flac")
    wanted = np.concatenate([LOUD, np.zeros(4_800), QUIET]) * 0.99 / np.abs(LOUD).max()
    assert sample_rate_hz == 16_000
    np.testing.assert_allclose(clip, wanted, atol=2e-4)
    assert len(list((tmp_path / "made").rglob("*.flac"))) == 2


def test_packages_that_are_missing_or_others_are_refused(make, debs):
    path = debs / "game_2.5_all.deb"
    path.write_bytes(path.read_bytes() + b"\0")
    assert f"{path}: SHA-256 is not that of game 2.5" in make(1, "--packages", debs)
    (debs / "letters_1.0_all.deb").unlink()
    assert f"no letters_*.deb in {debs}" in make(1, "--packages", debs)


@pytest.mark.parametrize("path", ["usr/none.wav", "usr/data.pk3/none.ogg"])
def test_file_missing_in_a_package_leaves_nothing_behind(make, path):
    write_clips_table(("calm", "a-00", "game", path))
    assert f"package game has no file {path}" in make(1)


def test_folder_that_is_not_empty_is_left_alone(make, tmp_path):
    (tmp_path / "made/clips").mkdir(parents=True)
    (tmp_path / "made/clips/mine.txt").write_text("mine")
    assert "exists and is not empty" in make(1)


def test_failed_download_gives_apt_gets_first_error(make, tmp_path):
    text = '#!/bin/sh\nprintf "W: odd\\nE: Failed to fetch it\\nE: No more\\n" >&2; exit 100\n'
    (tmp_path / "bin/apt-get").write_text(text)
    (tmp_path / "made").mkdir()
    assert make(1) == "Error: apt-get failed: Failed to fetch it\n"


def test_tables_name_known_packages_and_no_recording_twice():
    def table(name: str) -> list[dict[str, str]]:
        lines = (LIB / name).read_text(encoding="utf-8").splitlines()
        return list(csv.DictReader((line for line in lines if line[0] != "#"), delimiter="\t"))

    clips, known = table("hard-clips.tsv"), table("hard-packages.tsv")
    assert {row["package"] for row in clips} == {row["package"] for row in known}
    paths = {(row["package"], row["path"]) for row in clips}
    assert len(paths) == len(clips)
    counts = Counter(folder for folder, _ in {(row["folder"], row["clip"]) for row in clips})
    assert counts == {"children": 34, "shouting": 21, "calm": 21}
