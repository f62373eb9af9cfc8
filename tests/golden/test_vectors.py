"""The golden files: symbols exact on every machine, sound within a tolerance, faults by class."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import hzc
from hzc import container, errors
from hzc.errors import HzcError
from hzc.model import registry
from hzc.model.file import Model

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "formats" / "vectors"
MANIFEST = json.loads((VECTORS / "MANIFEST.json").read_text(encoding="utf-8"))
ALL = {entry["file"]: entry for entry in MANIFEST["vectors"]}
GOOD = sorted(name for name in ALL if not name.startswith("faulty/"))
FAULTY = sorted(name for name in ALL if name.startswith("faulty/"))
HEADER_FIELDS = (
    "model_id", "fingerprint", "sample_rate_hz", "n_channels", "step_index", "n_latent",
    "n_frames", "n_samples",
)  # fmt: skip


@pytest.fixture(scope="module")
def codec():
    return hzc.load()


def read(name: str) -> bytes:
    return (VECTORS / name).read_bytes()


def refuse(data: bytes, model: Model) -> None:
    """Go through a file as section 9 does, all checks of section 11 included."""
    parsed = container.unpack(data)
    registry.find_id(parsed.header.model_id)
    model.check(parsed.header)
    payloads = [payload for chunk in parsed.chunks for payload in chunk.payloads]
    lengths = [chunk.n_frames for chunk in parsed.chunks for _ in chunk.payloads]
    model.prior.decode(payloads, lengths, parsed.header.step_index)


# ------------------------------------------------------------------ the manifest


@pytest.mark.parametrize("name", sorted(ALL))
def test_vector_has_the_pinned_bytes(name):
    assert hashlib.sha256(read(name)).hexdigest() == ALL[name]["sha256"]


# ------------------------------------------------------------------ valid files


@pytest.mark.parametrize("name", GOOD)
def test_vector_has_the_pinned_header(name):
    parsed, entry = container.unpack(read(name)), ALL[name]
    header = parsed.header
    assert {key: getattr(header, key) for key in HEADER_FIELDS} == {
        key: entry[key] for key in HEADER_FIELDS
    }
    assert list(header.step_offsets or ()) == (entry["step_offsets"] or [])
    assert parsed.is_streamed == entry["is_streamed"]
    assert [[chunk.n_frames, chunk.gain_half_db] for chunk in parsed.chunks] == entry["chunks"]


@pytest.mark.parametrize("name", GOOD)
def test_vector_decodes_to_the_pinned_symbols(name, codec):
    symbols = codec.symbols(read(name))
    assert list(symbols.shape) == ALL[name]["symbols_shape"]
    digest = hashlib.sha256(symbols.astype(">i4").tobytes()).hexdigest()
    assert digest == ALL[name]["symbols_sha256"]


@pytest.mark.parametrize("name", GOOD)
def test_symbols_of_a_vector_coded_again_give_its_payloads(name, codec):
    data = read(name)
    parsed = container.unpack(data)
    symbols = codec.symbols(data)
    start = 0
    for chunk in parsed.chunks:
        piece = symbols[:, :, start : start + chunk.n_frames]
        start += chunk.n_frames
        again = tuple(codec.model.prior.encode(s, parsed.header.step_index) for s in piece)
        assert again == chunk.payloads


def snr_db(found: np.ndarray, reference: np.ndarray) -> float:
    error = found.astype(np.float64) - reference
    return float(10.0 * np.log10(np.mean(np.square(reference)) / np.mean(np.square(error))))


@pytest.mark.parametrize("name", [name for name in GOOD if "reference" in ALL[name]])
def test_vector_sounds_as_pinned(name, codec):
    reference, rate_hz = soundfile.read(VECTORS / ALL[name]["reference"], dtype="float32")
    decoded, _ = codec.decode(read(name), rate_hz)
    assert decoded.shape == reference.shape
    assert snr_db(decoded, reference) >= ALL[name]["min_snr_db"]


def test_speech_encodes_to_nearly_the_pinned_symbols(codec):
    samples, rate_hz = soundfile.read(ROOT / MANIFEST["source_of_speech"], dtype="float32")
    pinned = codec.symbols(read("valid/speech.hzc"))
    found = codec.symbols(codec.encode(samples, rate_hz))
    assert np.mean(found != pinned) <= 0.001
    assert np.abs(found - pinned).max() <= 1


# ------------------------------------------------------------------ faulty files


@pytest.mark.parametrize("name", FAULTY)
def test_faulty_vector_is_refused_as_its_check_says(name, codec):
    entry = ALL[name]
    expected = getattr(errors, f"{entry['error']}Error")
    for refused_by in (lambda data: refuse(data, codec.model), codec.decode, codec.symbols):
        with pytest.raises(HzcError) as refused:
            refused_by(read(name))
        assert type(refused.value) is expected


# ------------------------------------------------------------------ the command line


def run(*names: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hzc", "check", *(str(VECTORS / name) for name in names)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    "error", ["NotHzc", "Version", "Truncated", "Limit", "UnknownModel", "Desync"]
)
def test_check_command_refuses_a_vector_with_its_exit_code(error):
    result = run(next(name for name in FAULTY if ALL[name]["error"] == error))
    assert result.returncode == (5 if error in ("UnknownModel", "Desync") else 4)
    assert result.stdout == ""
    assert result.stderr.startswith("hzc: ")


def test_check_command_gives_every_vector_one_line():
    refused = [name for name in FAULTY if ALL[name]["check"] != "P1"]
    result = run(*GOOD, *FAULTY)
    assert result.returncode == 1
    lines = [line for line in result.stderr.splitlines() if not line.startswith("hint: ")]
    assert all(line.startswith("hzc: ") for line in lines)
    assert [line.split(": ")[1] for line in lines[:-1]] == [str(VECTORS / n) for n in refused]
    valid = [line.split("  ")[0] for line in result.stdout.splitlines()]
    assert valid == [str(VECTORS / name) for name in [*GOOD, *FAULTY] if name not in refused]


@pytest.mark.parametrize(("flags", "changes"), [([], {}), (["--i-change-the-format"], {"CI": "1"})])
def test_make_vectors_refuses_unless_it_is_meant_and_never_on_ci(flags, changes):
    command = [sys.executable, ROOT / "bin" / "make-vectors", *flags]
    environment = {key: value for key, value in os.environ.items() if key != "CI"} | changes
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 2
    assert "vectors are pinned" in result.stderr
