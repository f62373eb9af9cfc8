"""Runs a property under libFuzzer; needs the package atheris, which the tests do without."""

from __future__ import annotations

import importlib
import sys
from typing import NoReturn


def fuzz(name: str) -> NoReturn:
    """Run `check` of the module so named for ever, or as the options of libFuzzer say.

    The module must not have been imported: what it imports of hzc is instrumented on the way.
    """
    import atheris

    with atheris.instrument_imports(include=["hzc"]):
        module = importlib.import_module(name)
    atheris.Setup(sys.argv, module.check)
    atheris.Fuzz()
    sys.exit()
