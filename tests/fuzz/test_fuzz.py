"""The properties of the fuzzers hold for their corpus and for all vectors."""

from __future__ import annotations

from pathlib import Path

import fuzz_container
import fuzz_packets
import fuzz_symbols
import pytest

HERE = Path(__file__).parent
VECTORS = HERE.parents[1] / "formats" / "vectors"
CORPUS = HERE / "corpus"
"""Of every property: the inputs that libFuzzer kept, each for code that no vector reaches in that
way, and what it found, by name."""


def inputs(name: str) -> pytest.MarkDecorator:
    """Return a parametrisation over a corpus and all vectors."""
    paths = [*sorted((CORPUS / name).iterdir()), *sorted(VECTORS.rglob("*.hzc"))]
    ids = [f"{path.parent.name}/{path.name}" for path in paths]
    return pytest.mark.parametrize("path", paths, ids=ids)


@inputs("container")
def test_container_property_holds(path):
    fuzz_container.check(path.read_bytes())


@inputs("symbols")
def test_symbols_property_holds(path):
    fuzz_symbols.check(path.read_bytes())


@pytest.mark.parametrize("path", sorted((CORPUS / "packets").iterdir()), ids=lambda path: path.name)
def test_packets_property_holds(path):
    fuzz_packets.check(path.read_bytes())
