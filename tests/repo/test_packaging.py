"""The package as users get it: entry point, data files, versions."""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatch
from hashlib import sha256
from importlib import metadata, resources
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import hzc
from hzc import cli
from hzc.model import registry

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = [(ROOT, "hzc"), (ROOT / "bench", "hzc_bench")]
MAX_WEIGHTS_BYTES = 100 * 10**6


def test_entry_point_is_the_command_line():
    (entry,) = metadata.entry_points(group="console_scripts", name="hzc")
    assert entry.load() is cli.main


def test_package_metadata_and_changelog_have_one_version():
    newest = re.search(r"^## \[?(\d[\d.]*)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert newest is not None
    assert metadata.version("hzc") == hzc.__version__ == newest[1]


def test_weights_are_the_registered_ones_and_small_enough_for_a_wheel():
    folder, n_bytes = resources.files("hzc") / "weights", 0
    for spec in registry.models():
        data = (folder / spec.file).read_bytes()
        assert sha256(data).hexdigest() == spec.sha256
        n_bytes += len(data)
    assert n_bytes < MAX_WEIGHTS_BYTES


@pytest.mark.parametrize(("root", "name"), PACKAGES, ids=["hzc", "hzc_bench"])
def test_wheel_takes_every_file_along(root, name):
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"][name]
    for path in (root / name).rglob("*"):
        inside = path.relative_to(root / name).as_posix()
        if path.suffix == ".py":
            assert (path.parent / "__init__.py").exists(), inside
        elif path.is_file() and "__pycache__" not in inside:
            assert any(fnmatch(inside, pattern) for pattern in patterns), inside


def test_runtime_requirements_are_those_of_the_package_without_torch():
    text = (ROOT / "requirements" / "runtime.txt").read_text(encoding="utf-8")
    pinned = re.findall(r"^([a-z][\w-]*)==(\S+)", text, re.M)
    for wanted in map(Requirement, metadata.requires("hzc") or ()):
        if wanted.marker is None and wanted.name != "torch":
            versions = [version for name, version in pinned if name == wanted.name]
            assert versions, wanted
            assert all(wanted.specifier.contains(version) for version in versions), wanted
    assert "torch" not in dict(pinned)
