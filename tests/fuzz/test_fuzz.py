"""The properties of the fuzzers hold for their corpus and for all vectors."""

from __future__ import annotations

from pathlib import Path

import fuzz_container
import fuzz_symbols
import pytest
from sealing import resealed

from hzc import container

HERE = Path(__file__).parent
VECTORS = HERE.parents[1] / "formats" / "vectors"
CORPUS = HERE / "corpus"
"""Of every property: the inputs that libFuzzer kept, each for code that no vector reaches in that
way, and what it found, by name."""
MAX_CORPUS_BYTES = 100_000


def inputs(name: str) -> pytest.MarkDecorator:
    """Return a parametrisation over a corpus and all vectors."""
    paths = [*sorted((CORPUS / name).iterdir()), *sorted(VECTORS.rglob("*.hzc"))]
    ids = [f"{path.parent.name}/{path.name}" for path in paths]
    return pytest.mark.parametrize("path", paths, ids=ids)


@inputs("container")
def test_container_property_holds(path):
    fuzz_container.check(path.read_bytes())


@pytest.mark.parametrize("path", sorted((VECTORS / "faulty").iterdir()), ids=lambda path: path.stem)
def test_what_is_salvaged_of_a_faulty_vector_fits_together(path):
    fuzz_container.check_salvage(path.read_bytes(), None)


@inputs("symbols")
def test_symbols_property_holds(path):
    fuzz_symbols.check(path.read_bytes())


def test_corpus_is_small():
    assert sum(p.stat().st_size for p in CORPUS.rglob("*") if p.is_file()) < MAX_CORPUS_BYTES


@pytest.mark.parametrize("folder", ["valid", "unusual"])
def test_sealing_leaves_sound_files_alone(folder):
    for path in (VECTORS / folder).glob("*.hzc"):
        assert resealed(path.read_bytes()) == path.read_bytes()


@pytest.mark.parametrize(
    "name", ["header-crc", "record-crc", "end-crc", "swapped-chunks", "repeated-chunk"]
)
def test_sealing_mends_wrong_checksums(name):
    container.unpack(resealed((VECTORS / "faulty" / f"{name}.hzc").read_bytes()))


def test_sealing_can_put_another_model_in():
    data = (VECTORS / "valid" / "hop.hzc").read_bytes()
    header = container.unpack(resealed(data, b"\xf0\x12\x34\x07")).header
    assert (header.model_id, header.fingerprint, header.n_latent) == (240, 0x1234, 7)
