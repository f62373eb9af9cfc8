"""formats/hzc-1.md: what is generated is up to date, and references lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "formats" / "hzc-1.md").read_text("utf-8")


def test_generated_tables_and_dumps_are_up_to_date():
    command = [sys.executable, str(ROOT / "bin" / "make-dumps"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_references_to_sections_lead_somewhere():
    sections = set(re.findall(r"^##+ (\d+(?:\.\d+)?)", PAGE, re.M))
    assert set(re.findall(r"sections? (\d+(?:\.\d+)?)(?![\w.]*\d)", PAGE)) <= sections
    for path in (ROOT / "hzc").rglob("*.py"):
        named = re.findall(r"hzc-1\.md,\s+section\s+([\d.]*\d)", path.read_text("utf-8"))
        assert set(named) <= sections, path
