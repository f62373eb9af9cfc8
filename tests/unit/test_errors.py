"""The tree of errors: as drawn, with the exit codes that users are told."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from hzc import cli, errors
from hzc.errors import FormatError, HzcError

README = Path(__file__).resolve().parents[2] / "README.md"
CLASSES = {
    name: cls
    for name, cls in vars(errors).items()
    if inspect.isclass(cls) and issubclass(cls, HzcError)
}
CODES = {cls.exit_code for cls in CLASSES.values()} | {0, 2, cli.INTERRUPTED}
"""Success, click's code for wrong usage, and Ctrl-C have no class."""


def drawn() -> list[tuple[int, str, str | None, str]]:
    """Return depth, name, exit code and meaning of every line of the tree."""
    lines = (line for line in (errors.__doc__ or "").splitlines() if "Error" in line)
    tree = []
    for line in lines:
        found = re.fullmatch(r"([│├└─ ]*)(\w+Error)(?: +(\d+))? +(\S.*)", line)
        assert found, line
        branch, name, code, meaning = found.groups()
        tree.append((len(branch) // 3, name, code, meaning))
    return tree


def codes_in(text: str) -> set[int]:
    """Return the exit codes that a paragraph or a table explains, as in `3 input, 4 ...`."""
    return {int(code) for code in re.findall(r"(?:^|[\s|`,;:(])(\d{1,3})`?(?=[\s|])", text)}


def test_drawn_tree_names_every_class_once_and_no_other():
    names = [name for _, name, _, _ in drawn()]
    assert sorted(names) == sorted(CLASSES)


def test_drawn_tree_has_the_parents_of_the_classes():
    above: list[str] = []
    for depth, name, _, _ in drawn():
        del above[depth:]
        parents = [base.__name__ for base in CLASSES[name].__bases__ if issubclass(base, HzcError)]
        assert parents == above[-1:], name
        above.append(name)


def test_drawn_tree_has_the_exit_codes_of_the_classes():
    for depth, name, code, _ in drawn():
        assert (code is not None) == (depth < 2), name
        if code is not None:
            assert vars(CLASSES[name])["exit_code"] == int(code), name


def test_exit_codes_of_families_differ_and_are_inherited_below_them():
    families = [cls for cls in CLASSES.values() if HzcError in cls.__bases__]
    assert len({family.exit_code for family in families}) == len(families)
    for cls in CLASSES.values():
        assert cls.exit_code == next((f for f in families if issubclass(cls, f)), cls).exit_code


def test_help_explains_every_exit_code():
    result = CliRunner().invoke(cli.group, ["--help"])
    assert result.exit_code == 0
    text = result.output.split("Exit codes:")[1].split("\n\n")[0]
    assert codes_in(text) == CODES


def test_readme_where_it_explains_exit_codes_explains_every_one():
    text = README.read_text(encoding="utf-8") if README.exists() else ""
    found = re.search(r"exit (?:codes?|status).*?(?=\n#|\Z)", text, re.IGNORECASE | re.DOTALL)
    if found is None:
        pytest.skip("README.md says nothing about exit codes")
    passage = found[0]
    tables = [line for line in passage.splitlines() if line.startswith("|")]
    told = codes_in("\n".join(tables) if tables else passage.split("\n\n")[0])
    assert told == CODES


@pytest.mark.parametrize("cls", CLASSES.values(), ids=CLASSES)
def test_error_with_a_path_puts_it_in_front_of_the_message(cls):
    error = cls("found 1, expected 2", path=Path("a.hzc"), hint="look again")
    assert str(error) == "a.hzc: found 1, expected 2"
    assert (error.message, error.path, error.hint) == (
        "found 1, expected 2", Path("a.hzc"), "look again",
    )  # fmt: skip


def test_error_without_a_path_is_its_message_and_takes_a_path_later():
    error = HzcError("found 1, expected 2")
    assert str(error) == "found 1, expected 2"
    assert error.path is None
    assert error.hint is None
    error.path = "a.hzc"
    assert str(error) == "a.hzc: found 1, expected 2"


def test_format_errors_are_value_errors_and_the_others_are_not():
    for cls in CLASSES.values():
        assert issubclass(cls, ValueError) == issubclass(cls, FormatError)


def test_every_class_says_what_it_is_for():
    for cls in CLASSES.values():
        assert cls.__doc__
