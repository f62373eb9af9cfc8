"""The import law of the package, as data, and the check that every file keeps it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONTRIBUTING = ROOT / "CONTRIBUTING.md"

LAW: dict[str, tuple[str, ...]] = {
    "hzc": ("~hzc.codec",),
    "hzc.__main__": ("hzc.cli",),
    "hzc.errors": (),
    "hzc.container": ("hzc.container", "hzc.errors"),
    "hzc.coding": (),
    "hzc.coding.entropy": ("constriction", "hzc.errors", "numpy"),
    "hzc.coding.prior": ("hzc.coding.entropy", "hzc.errors", "numpy"),
    "hzc.coding.quantize": ("hzc.coding.entropy", "hzc.errors", "numpy"),
    "hzc.blocks": ("numpy",),
    "hzc.audio": (),
    "hzc.audio.sources": (
        "hzc.blocks", "hzc.container", "hzc.errors", "numpy", "soundfile", "soxr",
    ),
    "hzc.audio.level": ("hzc.audio.sources", "hzc.errors", "numpy"),
    "hzc.audio.writers": ("hzc.audio.sources", "hzc.blocks", "hzc.errors", "numpy", "soundfile"),
    "hzc.audio.pipes": ("hzc.audio.sources", "hzc.audio.writers", "hzc.blocks", "hzc.errors"),
    "hzc.files": ("hzc.errors",),
    "hzc.bitrate": ("hzc.container",),
    "hzc.model.registry": ("hzc.errors",),
    "hzc.weights": (),
    "hzc.model": (),
    "hzc.model.config": ("hzc.errors",),
    "hzc.model.windows": ("numpy",),
    "hzc.model.layers": ("torch",),
    "hzc.model.transforms": ("hzc.model.config", "hzc.model.layers", "torch"),
    "hzc.model.load": (
        "hzc.errors", "hzc.model.file", "hzc.model.transforms", "hzc.model.windows", "numpy",
        "torch",
    ),
    "hzc.model.file": (
        "hzc.coding.prior", "hzc.container", "hzc.errors", "hzc.model.config",
        "hzc.model.registry", "numpy", "safetensors",
    ),
    "hzc.encoder": (
        "hzc.audio", "hzc.bitrate", "hzc.blocks", "hzc.coding.entropy", "hzc.coding.quantize",
        "hzc.container", "hzc.errors", "hzc.model.file", "hzc.model.load", "hzc.model.windows",
        "numpy", "torch",
    ),
    "hzc.decoder": (
        "hzc.audio", "hzc.blocks", "hzc.coding.entropy", "hzc.coding.quantize", "hzc.container",
        "hzc.encoder", "hzc.errors", "hzc.model.file", "hzc.model.load", "hzc.model.windows",
        "numpy", "torch",
    ),
    "hzc.codec": (
        "hzc.audio", "hzc.blocks", "hzc.coding.entropy", "hzc.container", "hzc.decoder",
        "hzc.encoder", "hzc.errors", "hzc.model.file", "numpy",
    ),
    "hzc.cli": (
        "click", "hzc", "hzc.bitrate", "hzc.cli", "hzc.container", "hzc.errors", "hzc.files",
        "hzc.model.registry", "~hzc.audio.pipes", "~hzc.audio.sources", "~hzc.audio.writers",
        "~hzc.blocks", "~hzc.codec", "~hzc.decoder", "~hzc.model.file",
    ),
    "hzc.cli.options": ("click", "hzc.files", "~hzc.model.registry", "~torch"),
    "hzc.cli.progress": ("tqdm",),
    "hzc.cli.train": ("click", "hzc.errors", "~hzc.train"),
    "hzc_bench": (
        "click", "hzc", "hzc.audio", "hzc.bitrate", "hzc.blocks", "hzc.codec", "hzc.container",
        "hzc.errors", "hzc_bench", "matplotlib", "numpy", "soundfile", "soxr", "torch",
        "~distillmos", "~jiwer", "~pesq", "~pocketsphinx", "~pystoi", "~pyworld", "~resemblyzer",
        "~visqol",
    ),
    "hzc.train": (
        "hzc.audio", "hzc.bitrate", "hzc.codec", "hzc.coding.prior", "hzc.coding.quantize",
        "hzc.container", "hzc.encoder", "hzc.errors", "hzc.model", "hzc.train", "numpy", "torch",
        "tqdm",
    ),
}  # fmt: skip
"""What each file, or each file under a package, may import beside the standard library.

The longest key that fits a file counts. A name allows itself and what is under it, but `hzc` allows
the package's own names only. `~` allows the import inside functions and for type checkers only.
"""

WITHOUT_TORCH = (
    "hzc", "hzc.audio", "hzc.audio.level", "hzc.audio.pipes", "hzc.audio.sources",
    "hzc.audio.writers", "hzc.bitrate", "hzc.blocks", "hzc.cli", "hzc.coding",
    "hzc.coding.entropy", "hzc.coding.prior", "hzc.coding.quantize", "hzc.container", "hzc.errors",
    "hzc.files", "hzc.model", "hzc.model.config", "hzc.model.file", "hzc.model.registry",
    "hzc.model.windows",
    *(f"hzc.cli.{name}" for name in (
        "batch", "bitrate", "cat", "check", "cut", "decode", "encode", "info", "models", "options",
        "progress", "report", "train",
    )),
)  # fmt: skip
"""Importing these loads no torch, not even through something else."""


@dataclass(frozen=True)
class Arrow:
    """One import."""

    line: int
    target: str
    """Module, or the package whose own name is imported."""
    is_lazy: bool
    """Inside a function, or for type checkers only."""


def module_name(path: Path) -> str:
    home = ROOT / "bench" if path.is_relative_to(ROOT / "bench") else ROOT
    parts = path.relative_to(home).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    module_name(path): path
    for folder in ("hzc", "bench/hzc_bench")
    for path in sorted((ROOT / folder).rglob("*.py"))
}


def arrows(source: str) -> Iterator[Arrow]:
    """Yield the imports of a file that do not go to the standard library."""

    def visit(node: ast.AST, is_lazy: bool) -> Iterator[Arrow]:
        for child in ast.iter_child_nodes(node):
            inside = is_lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                inside = True
            names: list[str] = []
            if isinstance(child, ast.Import):
                names = [alias.name for alias in child.names]
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"line {child.lineno}: imports are absolute"
                full = [f"{child.module}.{alias.name}" for alias in child.names]
                names = [name if name in MODULES else str(child.module) for name in full]
            for name in names:
                if name.split(".")[0] not in sys.stdlib_module_names:
                    yield Arrow(child.lineno, name, inside)
            yield from visit(child, inside)

    yield from visit(ast.parse(source), False)


def rule_for(module: str) -> str:
    """Return the longest key of the law that a module falls under."""
    keys = [key for key in LAW if module == key or module.startswith(f"{key}.")]
    # `hzc` speaks for itself alone: a new file needs a line of its own.
    return max((key for key in keys if key != "hzc" or module == "hzc"), key=len, default="")


def is_allowed(arrow: Arrow, allowed: tuple[str, ...]) -> bool:
    for entry in allowed:
        name = entry.removeprefix("~")
        below = name != "hzc" and arrow.target.startswith(f"{name}.")
        if (arrow.target == name or below) and (arrow.is_lazy or not entry.startswith("~")):
            return True
    return False


def importers(package: str) -> dict[str, bool]:
    """Return the keys of the law that allow a third-party package, and whether only lazily."""
    return {
        key: f"~{package}" in allowed
        for key, allowed in LAW.items()
        if package in allowed or f"~{package}" in allowed
    }


# --- every file -----------------------------------------------------------------------------


@pytest.mark.parametrize("module", MODULES)
def test_file_imports_only_what_the_law_allows(module):
    rule = rule_for(module)
    assert rule, f"no line of the law is about {module}"
    for arrow in arrows(MODULES[module].read_text(encoding="utf-8")):
        assert is_allowed(arrow, LAW[rule]), f"{module}, line {arrow.line}: imports {arrow.target}"


def test_law_speaks_of_files_that_exist():
    for key, allowed in LAW.items():
        assert key in MODULES, key
        for name in (entry.removeprefix("~") for entry in allowed):
            assert name in MODULES or not name.startswith("hzc"), name


def test_law_allows_nothing_that_nobody_uses():
    used: dict[str, set[tuple[str, bool]]] = {key: set() for key in LAW}
    for module, path in MODULES.items():
        for arrow in arrows(path.read_text(encoding="utf-8")):
            used[rule_for(module)].add((arrow.target, arrow.is_lazy))
    for key, allowed in LAW.items():
        for entry in allowed:
            only_this = (entry,)
            found = [t for t, lazy in used[key] if is_allowed(Arrow(0, t, lazy), only_this)]
            assert found, f"{key} may import {entry} and does not"


def test_law_has_no_circles():
    after: dict[str, set[str]] = {
        module: {
            arrow.target
            for arrow in arrows(path.read_text(encoding="utf-8"))
            if arrow.target in MODULES and not arrow.is_lazy
        }
        for module, path in MODULES.items()
    }
    done: set[str] = set()
    while ready := {module for module in after if module not in done and after[module] <= done}:
        done |= ready
    assert done == set(MODULES), f"in a circle: {sorted(set(MODULES) - done)}"


# --- what the law is for --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("package", "expected"),
    [
        ("constriction", {"hzc.coding.entropy"}),
        ("soundfile", {"hzc.audio.sources", "hzc.audio.writers", "hzc_bench"}),
        ("soxr", {"hzc.audio.sources", "hzc_bench"}),
        ("safetensors", {"hzc.model.file"}),
        ("tqdm", {"hzc.cli.progress", "hzc.train"}),
        (
            "torch",
            {"hzc.model.layers", "hzc.model.transforms", "hzc.model.load", "hzc.encoder",
             "hzc.decoder", "hzc.train", "hzc.cli.options", "hzc_bench"},
        ),
        ("matplotlib", {"hzc_bench"}),
        ("hzc_bench", {"hzc_bench"}),
        ("hzc.train", {"hzc.train", "hzc.cli.train"}),
        ("hzc.cli", {"hzc.cli", "hzc.__main__"}),
        ("hzc.codec", {"hzc", "hzc_bench", "hzc.cli", "hzc.train"}),
        ("hzc.encoder", {"hzc.codec", "hzc.decoder", "hzc.train"}),
        ("hzc.decoder", {"hzc.codec", "hzc.cli"}),
        ("hzc.audio.pipes", {"hzc.cli"}),
    ],
)  # fmt: skip
def test_law_gives_each_package_its_one_door(package, expected):
    assert set(importers(package)) == expected


def test_law_keeps_the_container_on_the_standard_library():
    assert LAW["hzc.container"] == ("hzc.container", "hzc.errors")
    assert LAW["hzc.errors"] == ()


def test_import_of_what_works_without_torch_loads_none():
    code = f"import sys, {', '.join(WITHOUT_TORCH)}; print('torch' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert result.stdout == "False\n"


def test_list_of_what_works_without_torch_leaves_nothing_out():
    may_load_torch = {
        "hzc.codec", "hzc.decoder", "hzc.encoder", "hzc.model.layers", "hzc.model.load",
        "hzc.model.transforms",
    }  # fmt: skip
    rest = set(MODULES) - set(WITHOUT_TORCH) - may_load_torch
    elsewhere = re.compile(r"hzc(_bench|\.train|\.container)(\.|$)")
    assert {name for name in rest if not elsewhere.match(name)} == {"hzc.__main__", "hzc.weights"}


def test_modules_are_found_by_name_nowhere_but_in_the_command_line():
    found = [
        module
        for module, path in MODULES.items()
        if re.search(r"import_module|__import__|(?<![.\w])(exec|eval)\(", path.read_text("utf-8"))
    ]
    assert found == ["hzc.cli"]


# --- the same in words ----------------------------------------------------------------------


def door(key: str, is_lazy: bool) -> str:
    """Return a line of the law as CONTRIBUTING.md puts it."""
    name = key.removeprefix("hzc.").removeprefix("hzc_").replace(".", "/")
    return f"{'lazily ' * is_lazy}`{name}{'/' * (key in ('hzc_bench', 'hzc.train'))}`"


@pytest.mark.skipif(not CONTRIBUTING.exists(), reason="CONTRIBUTING.md is not written yet")
def test_contributing_names_the_door_of_every_package():
    text = CONTRIBUTING.read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([a-z, ]+) \| (.*) \|$", text.split("only imported by")[1], re.M)
    told = {
        package: set(doors.split(", ")) for names, doors in rows for package in names.split(", ")
    }
    packages = {
        entry.removeprefix("~").split(".")[0] for allowed in LAW.values() for entry in allowed
    } - {"hzc", "hzc_bench", "numpy", "click"}
    assert set(told) == packages
    for package, doors in told.items():
        assert doors == {door(key, is_lazy) for key, is_lazy in importers(package).items()}


# --- the check itself -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("hzc.container.header", "import numpy"),
        ("hzc.coding.prior", "import constriction"),
        ("hzc.coding.prior", "from constriction.stream import queue"),
        ("hzc.coding.prior", "from hzc import codec"),
        ("hzc.coding.prior", "from hzc.codec import Codec"),
        ("hzc.bitrate", "import os, torch"),
        ("hzc.cli.encode", "from hzc.codec import Codec"),
        ("hzc.cli.encode", "if True:\n    import torch"),
        ("hzc.cli.encode", "class A:\n    from hzc import audio"),
        ("hzc.cli.encode", "def f():\n    import hzc.train.loop"),
        ("hzc.cli.options", "import torch"),
        ("hzc.codec", "import torch"),
        ("hzc.codec", "def f():\n    from hzc.train import ema"),
        ("hzc.cli.cut", "import hzc.decoder"),
        ("hzc.blocks", "from hzc import audio"),
        ("hzc.encoder", "from hzc.decoder import Span"),
        ("hzc.container.salvage", "from hzc.bitrate import Rate"),
        ("hzc.errors", "import hzc"),
    ],
)
def test_check_of_a_forbidden_import_finds_it(module, source):
    found = list(arrows(source))
    assert found
    assert not all(is_allowed(arrow, LAW[rule_for(module)]) for arrow in found)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("hzc.container.header", "from hzc.errors import CorruptError"),
        ("hzc.coding.prior", "from hzc.coding import entropy\nimport numpy.typing as npt"),
        ("hzc.cli.encode", "def f():\n    def g():\n        from hzc.codec import Codec"),
        ("hzc.cli.encode", "if TYPE_CHECKING:\n    from hzc.codec import Codec"),
        ("hzc.cli.encode", "from hzc import __version__"),
        ("hzc.cli.train", "def f():\n    from hzc.train.loop import Trainer"),
        ("hzc.train.loop", "from hzc.model.config import CONFIGS\nimport torch.nn.functional"),
        ("hzc.errors", "import os.path\nfrom pathlib import Path"),
    ],
)
def test_check_of_an_allowed_import_lets_it_pass(module, source):
    assert all(is_allowed(arrow, LAW[rule_for(module)]) for arrow in arrows(source))


def test_check_of_a_new_file_finds_no_line_for_it():
    assert rule_for("hzc.novelty") == ""
    assert rule_for("hzc.container.novelty") == "hzc.container"
