"""What `import hzc` gives, and what it costs."""

from __future__ import annotations

import subprocess
import sys

import hzc


def in_fresh_interpreter(code: str, *args: str) -> str:
    """Return what the code prints."""
    result = subprocess.run(
        [sys.executable, "-c", code, *args], check=False, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_star_import_gives_exactly_all():
    code = (
        "before = set(dir()); from hzc import *; print(*sorted(set(dir()) - before - {'before'}))"
    )
    assert in_fresh_interpreter(code).split() == hzc.__all__


def test_import_hzc_loads_neither_torch_nor_numpy():
    code = "import sys, hzc; print({'torch', 'numpy', 'click', 'soundfile'} & set(sys.modules))"
    assert in_fresh_interpreter(code) == "set()\n"
