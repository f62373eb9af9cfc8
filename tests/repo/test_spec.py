"""formats/hzc-1.md: what is generated is up to date."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_generated_tables_and_dumps_are_up_to_date():
    command = [sys.executable, str(ROOT / "bin" / "make-dumps"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
