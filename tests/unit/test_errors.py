"""Errors: the exit codes that users are told, and what an error carries."""

from __future__ import annotations

import inspect
import pickle
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from hzc import cli, errors
from hzc.errors import ArgumentError, FormatError, HzcError

README = Path(__file__).resolve().parents[2] / "README.md"
CLASSES = [
    cls for cls in vars(errors).values() if inspect.isclass(cls) and issubclass(cls, HzcError)
]
EXIT_CODES = {
    "ArgumentError": 2, "InputError": 3, "FormatError": 4, "ModelError": 5, "OutputError": 6,
    "TrainingError": 7, "LossError": 8,
}  # fmt: skip


@pytest.mark.parametrize("cls", CLASSES)
def test_error_has_the_exit_code_of_its_family_and_survives_pickling(cls: type[HzcError]) -> None:
    family = next((base.__name__ for base in cls.__mro__ if base.__name__ in EXIT_CODES), None)
    assert cls.exit_code == EXIT_CODES.get(str(family), 1)
    assert issubclass(cls, ValueError) == issubclass(cls, FormatError | ArgumentError)
    assert f"{cls.__name__} " in str(errors.__doc__)
    error = pickle.loads(pickle.dumps(cls("found 1, expected 2", path="a.hzc", hint="look again")))
    assert str(error) == "a.hzc: found 1, expected 2"
    assert (error.message, error.hint) == ("found 1, expected 2", "look again")


@pytest.mark.parametrize("text", ["help", "README"])
def test_every_exit_code_is_explained(text: str) -> None:
    if text == "README":
        text = README.read_text(encoding="utf-8") if README.exists() else pytest.skip("no README")
    else:
        text = CliRunner().invoke(cli.group, ["--help"]).output
    passage = re.split("exit codes", text, maxsplit=1, flags=re.IGNORECASE)[1].split("\n\n")[0]
    told = {int(code) for code in re.findall(r"(?<![\w.])(\d{1,3})(?=\s[a-z])", passage)}
    assert told == {0, 1, 2, cli.INTERRUPTED, *EXIT_CODES.values()}
