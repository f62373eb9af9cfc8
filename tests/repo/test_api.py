"""What `import hzc` gives, and what it costs."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import pytest

import hzc
from hzc.container import Chunk, Header, pack


def in_fresh_interpreter(code: str, *args: str) -> str:
    """Return what the code prints."""
    result = subprocess.run(
        [sys.executable, "-c", code, *args], check=False, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_all_is_sorted_and_every_name_is_there():
    assert hzc.__all__ == sorted(hzc.__all__)
    assert all(hasattr(hzc, name) for name in hzc.__all__)
    assert not hasattr(hzc, "nonsense")


def test_star_import_gives_exactly_all():
    code = (
        "before = set(dir()); from hzc import *; print(*sorted(set(dir()) - before - {'before'}))"
    )
    assert in_fresh_interpreter(code).split() == hzc.__all__


def test_container_lists_what_it_offers():
    from hzc import container

    assert len(set(container.__all__)) == len(container.__all__)
    public = {
        name
        for name, value in vars(container).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert set(container.__all__) == public


def test_import_hzc_loads_neither_torch_nor_numpy():
    code = "import sys, hzc; print({'torch', 'numpy', 'click', 'soundfile'} & set(sys.modules))"
    assert in_fresh_interpreter(code) == "set()\n"


MAIN = """
import sys
from hzc.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    print("exit", end.code, "torch" in sys.modules)
"""


@pytest.fixture
def folder(tmp_path):
    """A folder with a sound file of no registered model, and a broken one."""
    header = Header(model_id=240, fingerprint=1, n_latent=32, n_frames=8, n_samples=16_000)
    data = pack(header, [Chunk(8, (b"x" * 90,))])
    (tmp_path / "sound.hzc").write_bytes(data)
    (tmp_path / "broken.hzc").write_bytes(data[:-1])
    return tmp_path


@pytest.mark.parametrize(
    ("args", "code"),
    [
        ("--help", 0),
        ("--version", 0),
        ("encode --help", 0),
        ("train --help", 0),
        ("models", 0),
        ("bitrate sound.hzc", 0),
        ("info sound.hzc", 0),
        ("check sound.hzc", 0),
        ("check broken.hzc", 4),
        ("cat sound.hzc sound.hzc -o both.hzc", 0),
        ("cut sound.hzc part.hzc --start 0", 0),
        ("decode broken.hzc", 4),
        ("decode --salvage missing.hzc", 3),
        ("decode missing.hzc", 3),
        ("encode missing.wav", 3),
        ("nonsense", 2),
    ],
)
def test_command_that_needs_no_network_loads_no_torch(folder, monkeypatch, args, code):
    monkeypatch.chdir(folder)
    assert in_fresh_interpreter(MAIN, *args.split()).endswith(f"exit {code} False\n")
