"""The import law (setup.cfg), and what the light commands must not load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VECTOR = next((ROOT / "formats" / "vectors" / "valid").glob("*.hzc"))
SAMPLE = str(ROOT / "demo" / "samples" / "p225_003.flac")
BROKEN = next((ROOT / "formats" / "vectors" / "faulty").glob("*.hzc"))


def test_imports_point_one_way():
    from importlinter.cli import lint_imports

    assert lint_imports(config_filename=str(ROOT / "setup.cfg")) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"], ["--version"], ["encode", "--help"], ["models"], ["info", str(VECTOR)],
        ["bitrate", str(VECTOR)], ["check", str(VECTOR)], ["cut", str(VECTOR), "{tmp}/cut.hzc"],
        ["decode", str(BROKEN), "{tmp}/no.wav"], ["encode", str(BROKEN), "{tmp}/no.hzc"],
        ["encode", SAMPLE, "{tmp}/yes.hzc"], ["decode", str(VECTOR), "{tmp}/yes.wav"],
        ["bitrate", "--ladder", SAMPLE],
    ],
    ids=lambda arguments: " ".join(arguments[:1]),
)  # fmt: skip
def test_light_commands_do_not_load_torch(tmp_path, arguments):
    words = ["hzc", *(word.format(tmp=tmp_path) for word in arguments)]
    program = (
        f"import sys; sys.argv = {words!r}\n"
        "from hzc.cli import main\n"
        "try: main()\n"
        "finally: print(sorted({'torch', 'matplotlib'} & set(sys.modules)), file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.stderr.splitlines()[-1] == "[]"
