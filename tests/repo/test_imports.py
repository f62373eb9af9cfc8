"""The import law (setup.cfg), and what commands must not load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VECTOR = next((ROOT / "formats" / "vectors" / "valid").glob("*.hzc"))
SAMPLE = ROOT / "demo" / "samples" / "p225_003.flac"
BROKEN = next((ROOT / "formats" / "vectors" / "faulty").glob("*.hzc"))
PROGRAM = """
import sys
from hzc.cli import main
try:
    main(sys.argv[1:])
finally:
    print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


def test_imports_point_one_way():
    from importlinter.cli import lint_imports

    assert lint_imports(config_filename=str(ROOT / "setup.cfg")) == 0


def loaded(folder: Path, words: str) -> set[str]:
    """Return the packages that a command has loaded when it ends."""
    names = {"VECTOR": VECTOR, "SAMPLE": SAMPLE, "BROKEN": BROKEN}
    arguments = [str(names.get(word, word)) for word in words.split()]
    command = [sys.executable, "-c", PROGRAM, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    return set(ended.stderr.splitlines()[-1].split())


@pytest.mark.parametrize(
    "words",
    [
        "--help", "--version", "encode --help", "train --help", "nonsense", "models",
        "info VECTOR", "bitrate VECTOR", "check VECTOR", "check BROKEN",
        "cut VECTOR cut.hzc", "cat VECTOR -o cat.hzc",
        "decode BROKEN no.wav", "decode --salvage missing.hzc no.wav",
    ],
)  # fmt: skip
def test_command_that_makes_no_sound_loads_nothing_heavy(tmp_path, words):
    heavy = {"torch", "onnxruntime", "matplotlib", "soundfile", "soxr", "tqdm"}
    assert loaded(tmp_path, words) & heavy == set()


@pytest.mark.parametrize(
    "words",
    [
        "encode SAMPLE yes.hzc", "decode VECTOR yes.wav", "bitrate --ladder SAMPLE",
        "encode missing.wav", "encode BROKEN no.hzc",
    ],
)  # fmt: skip
def test_command_that_makes_sound_or_is_refused_does_not_load_torch(tmp_path, words):
    assert "torch" not in loaded(tmp_path, words)
