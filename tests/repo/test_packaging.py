"""The package as users get it: entry point, data files, versions."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from hashlib import sha256
from importlib import metadata, resources
from pathlib import Path

import pytest

import hzc
from hzc import cli, container
from hzc.model import registry

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
BENCH = ROOT / "bench"
BENCH_PROJECT = tomllib.loads((BENCH / "pyproject.toml").read_text(encoding="utf-8"))
CHANGELOG = ROOT / "CHANGELOG.md"
MAX_WEIGHTS_BYTES = 100 * 10**6


def test_entry_point_resolves_to_the_command_line():
    (entry,) = metadata.entry_points(group="console_scripts", name="hzc")
    assert entry.load() is cli.main


def test_version_is_the_same_for_package_and_metadata():
    assert metadata.version("hzc") == hzc.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", hzc.__version__)


@pytest.mark.skipif(not CHANGELOG.exists(), reason="CHANGELOG.md is not written yet")
def test_version_is_the_newest_of_the_changelog():
    versions = re.findall(r"^## \[?(\d\S*?)\]?(?: |$)", CHANGELOG.read_text("utf-8"), re.M)
    assert versions[0] == hzc.__version__


def test_version_option_tells_package_format_and_default_model():
    result = subprocess.run(
        [sys.executable, "-m", "hzc", "--version"], check=True, capture_output=True, text=True
    )
    assert result.stdout == (
        f"hzc {hzc.__version__} (format {container.VERSION}, "
        f"default model {registry.default_name()})\n"
    )


def test_package_is_typed():
    assert (resources.files("hzc") / "py.typed").is_file()


def test_registered_weights_are_there_and_are_those():
    for spec in registry.models():
        data = (resources.files("hzc") / "weights" / spec.file).read_bytes()
        assert sha256(data).hexdigest() == spec.sha256


def test_weights_folder_holds_nothing_else_and_is_small():
    folder = resources.files("hzc") / "weights"
    found = {item.name for item in folder.iterdir() if item.is_file()}
    expected = {spec.file for spec in registry.models()}
    assert found == expected | {"registry.json", "__init__.py"}
    assert sum(len((folder / name).read_bytes()) for name in expected) < MAX_WEIGHTS_BYTES


def test_wheel_takes_every_data_file_along():
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["hzc"]
    files = [path for path in (ROOT / "hzc").rglob("*") if path.is_file() and path.suffix != ".py"]
    names = [str(path.relative_to(ROOT / "hzc").as_posix()) for path in files]
    data = [name for name in names if "__pycache__" not in name]
    assert {"py.typed", "weights/registry.json"} <= set(data)
    assert [name for name in data if not any(fnmatch(name, p) for p in patterns)] == []


def test_wheel_of_the_benchmark_takes_every_data_file_along():
    patterns = BENCH_PROJECT["tool"]["setuptools"]["package-data"]["hzc_bench"]
    files = [path for path in (BENCH / "hzc_bench").iterdir() if path.is_file()]
    data = [path.name for path in files if path.suffix != ".py"]
    assert {"page.html", "hard-clips.tsv"} <= set(data)
    assert [name for name in data if not any(fnmatch(name, p) for p in patterns)] == []


@pytest.mark.parametrize("name", BENCH_PROJECT["project"]["scripts"])
def test_script_of_the_benchmark_can_be_called(name):
    (entry,) = metadata.entry_points(group="console_scripts", name=name)
    assert callable(entry.load())


def test_every_folder_of_python_files_is_a_package():
    folders = {path.parent for path in (ROOT / "hzc").rglob("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_metadata_has_one_home():
    assert "project" in PROJECT
    setup = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    assert "[metadata]" not in setup
    assert "[options" not in setup
    assert "pytest" not in PROJECT["tool"]


@pytest.mark.parametrize("name", ["readme", "license-files"])
def test_files_that_the_metadata_names_exist(name):
    named = PROJECT["project"][name]
    for file in [named] if isinstance(named, str) else named:
        assert (ROOT / file).is_file(), file


def imported_in(paths):
    """Return the packages that files import, the standard library and our own left out."""
    imported = set()
    for path in paths:
        found = re.findall(r"^\s*(?:from|import) (\w+)", path.read_text(encoding="utf-8"), re.M)
        imported |= {name for name in found if name not in sys.stdlib_module_names}
    return imported - {"hzc", "hzc_bench"}


def named_in(lines):
    return {re.match(r"[\w-]+", line)[0] for line in lines}


ELSEWHERE = {"distillmos", "resemblyzer"}
"""Packages of the benchmark that a comment tells how to install."""


def test_dependencies_are_what_the_package_imports():
    paths = (ROOT / "hzc").rglob("*.py")
    assert named_in(PROJECT["project"]["dependencies"]) == imported_in(paths)


def test_the_benchmark_asks_for_what_it_imports():
    project = BENCH_PROJECT["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["all"]]
    names = {re.sub("-(prebuilt|python|wheels)$", "", name) for name in named_in(lines)}
    # The last two are there for what is imported.
    assert names - {"hzc", "librosa", "webrtcvad"} == (
        imported_in(BENCH.rglob("*.py")) - named_in(PROJECT["project"]["dependencies"]) - ELSEWHERE
    )


def test_packages_without_their_dependencies_are_named_where_the_extra_is():
    (command,) = re.findall(r"pip install --no-deps (.*)", (BENCH / "pyproject.toml").read_text())
    assert set(command.split()) >= ELSEWHERE
