"""The command line of training, and all stages one after the other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from hzc.cli import main

TRAINING = Path(__file__).resolve().parents[2] / "training"


@pytest.mark.slow
def test_smoke_script_goes_through_all_stages_and_decodes(tmp_path):
    environment = {**os.environ, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    subprocess.run([TRAINING / "smoke", tmp_path], env=environment, check=True, timeout=280)
    assert (tmp_path / "smoke.safetensors").exists()
    original = soundfile.info(TRAINING.parent / "demo" / "samples" / "p225_003.flac")
    decoded = soundfile.info(tmp_path / "talk.wav")
    assert decoded.duration == pytest.approx(original.duration, abs=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.toml", "--data", "."], "hzc: none.toml: cannot read the configuration"),
        (["wrong.toml", "--data", "."], "hzc: wrong.toml: seed: input should be"),
        ([str(TRAINING / "smoke.toml"), "--data", "."], "hzc: no audio under"),
        (["prior", str(TRAINING / "smoke.toml"), "--data", "."], "no checkpoint"),
        (
            ["export", str(TRAINING / "smoke.toml"), "--id", "240", "--name", "a", "--folder",
             "none", "--measure-on", "."],
            "hzc: none: no such folder",
        ),
    ],
)  # fmt: skip
def test_wrong_commands_end_with_one_line_and_a_code(
    tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("hzc.runner.ENDING_SIGNALS", [])
    text = f'extends = "{(TRAINING / "smoke.toml").as_posix()}"\nseed = -1\n'
    Path("wrong.toml").write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit) as caught:
        main(["train", *arguments])
    assert caught.value.code == 7
    lines = capsys.readouterr().err.splitlines()
    assert message in lines[0]
    assert all(line.startswith("hint: ") for line in lines[1:])
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.toml"]
