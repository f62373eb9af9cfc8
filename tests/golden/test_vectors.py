"""The golden files: symbols exact on every machine, sound within a tolerance."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

import hzc
from hzc import container

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "formats" / "vectors"
MANIFEST = json.loads((VECTORS / "MANIFEST.json").read_text(encoding="utf-8"))
CASES = {entry["file"]: entry for entry in MANIFEST["vectors"]}


@pytest.fixture(scope="module")
def codec():
    return hzc.load()


def test_manifest_names_every_vector_and_no_other():
    found = {str(p.relative_to(VECTORS)) for p in VECTORS.rglob("*.hzc")}
    assert found == set(CASES)


@pytest.mark.parametrize("name", sorted(CASES))
def test_vector_has_the_pinned_bytes_and_header(name):
    data = (VECTORS / name).read_bytes()
    assert hashlib.sha256(data).hexdigest() == CASES[name]["sha256"]
    header = container.unpack(data).header
    for field in ("n_channels", "n_samples", "sample_rate_hz", "step_index"):
        assert getattr(header, field) == CASES[name][field]


@pytest.mark.parametrize("name", sorted(CASES))
def test_vector_decodes_to_the_pinned_symbols(name, codec):
    symbols = codec.symbols((VECTORS / name).read_bytes())
    assert list(symbols.shape) == CASES[name]["symbols_shape"]
    digest = hashlib.sha256(symbols.astype(">i4").tobytes()).hexdigest()
    assert digest == CASES[name]["symbols_sha256"]


@pytest.mark.parametrize("name", sorted(CASES))
def test_symbols_of_a_vector_coded_again_give_its_payloads(name, codec):
    data = (VECTORS / name).read_bytes()
    parsed = container.unpack(data)
    symbols = codec.symbols(data)
    start = 0
    for chunk in parsed.chunks:
        piece = symbols[:, :, start : start + chunk.n_frames]
        start += chunk.n_frames
        again = tuple(codec.file.prior.encode(s, parsed.header.step_index) for s in piece)
        assert again == chunk.payloads


def test_speech_vector_sounds_as_pinned(codec):
    reference, _ = soundfile.read(VECTORS / "speech-decoded.flac", dtype="float32")
    decoded, _ = codec.decode((VECTORS / "valid" / "speech.hzc").read_bytes())
    error = decoded - reference
    snr_db = 10.0 * np.log10(np.mean(reference**2) / np.mean(error**2))
    assert snr_db >= 55.0


def test_speech_encodes_to_nearly_the_pinned_symbols(codec):
    samples, rate_hz = soundfile.read(ROOT / MANIFEST["source_of_speech"], dtype="float32")
    pinned = codec.symbols((VECTORS / "valid" / "speech.hzc").read_bytes())
    found = codec.symbols(codec.encode(samples, rate_hz))
    assert np.mean(found != pinned) <= 0.001
    assert np.abs(found - pinned).max() <= 1
