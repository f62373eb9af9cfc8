"""Errors: exit codes, and what survives the way from a worker process."""

from __future__ import annotations

import inspect
import pickle

import pytest

from hzc import errors
from hzc.errors import ArgumentError, FormatError, HzcError

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
    error = pickle.loads(pickle.dumps(cls("found 1, expected 2", path="a.hzc", hint="look again")))
    assert str(error) == "a.hzc: found 1, expected 2"
    assert (error.message, error.path, error.hint) == ("found 1, expected 2", "a.hzc", "look again")
