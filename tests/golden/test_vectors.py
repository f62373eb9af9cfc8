"""The golden files: symbols exact on every machine, sound within a tolerance, faults by class."""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

import hzc
from hzc import container, errors
from hzc.errors import FormatError, HzcError, ModelError
from hzc.model import registry
from hzc.model.file import Model

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "formats" / "vectors"
PAGE = ROOT / "formats" / "hzc-1.md"
MANIFEST = json.loads((VECTORS / "MANIFEST.json").read_text(encoding="utf-8"))
ALL = {entry["file"]: entry for entry in MANIFEST["vectors"]}
GOOD = sorted(name for name in ALL if not name.startswith("faulty/"))
FAULTY = sorted(name for name in ALL if name.startswith("faulty/"))
HEADER_FIELDS = (
    "model_id", "fingerprint", "sample_rate_hz", "n_channels", "step_index", "n_latent",
    "n_frames", "n_samples",
)  # fmt: skip
MAX_BYTES = 300_000
MAX_DAMAGED_BYTES = 300
"""Files that are damaged in every possible way are not larger."""

CHECKS = dict(
    re.findall(
        r"^\| ([A-Z]\d+) \|.*\| (\w+) \|$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
)
"""Class of every check of section 11."""
SAYS = {
    "H1": "magic number|it is empty",
    "H2": r"format version \d+, flags",
    "H3": "sample rate code 15 is reserved",
    "H4": "integer longer than 5 bytes",
    "H5": "integer not in its shortest form",
    "H6": "header checksum",
    "H7": "must be given by its code",
    "H8": r"^\d+ frames \(1 to",
    "H9": "sample rate",
    "H10": "trim of .* does not fit",
    "H11": "model id 0|latent dimensions 0|step index|step offset",
    "M1": "the file needs model 239",
    "M2": "other tables",
    "R1": "chunk 0 declares (81|0) frames",
    "R2": "integer longer than 5 bytes",
    "R3": "integer not in its shortest form",
    "R4": r"\d+ bytes are declared for",
    "R5": "checksum of chunk",
    "R6": "channels of chunk 0 differ",
    "R7": "declares a gain of",
    "E1": "integer longer than 5 bytes",
    "E2": "integer not in its shortest form",
    "E3": "checksum of chunk",
    "E4": "the end record says",
    "E5": "^0 frames",
    "E6": "trim of .* does not fit",
    "X1": "bytes after the end",
    "P1": "payload is not a coded stream",
    "": "truncated",
}
"""What hzc says where a check fails: that a file is refused for something else would show."""


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


def test_manifest_names_every_file_and_no_other():
    found = {p.relative_to(VECTORS).as_posix() for p in VECTORS.rglob("*") if p.is_file()}
    references = {ALL[name]["reference"] for name in GOOD if "reference" in ALL[name]}
    assert found == {*ALL, *references, "MANIFEST.json"}
    assert len(ALL) == len(MANIFEST["vectors"])


def test_all_vectors_together_are_small():
    assert sum(p.stat().st_size for p in VECTORS.rglob("*") if p.is_file()) < MAX_BYTES


def test_purposes_differ():
    purposes = Counter(entry["purpose"] for entry in ALL.values())
    assert [purpose for purpose, n in purposes.items() if n > 1] == []


@pytest.mark.parametrize("name", sorted(ALL))
def test_vector_has_the_pinned_bytes(name):
    assert hashlib.sha256(read(name)).hexdigest() == ALL[name]["sha256"]


def test_there_are_vectors_of_every_check():
    assert len(CHECKS) > 20
    assert {ALL[name]["check"] for name in FAULTY} == {*CHECKS, ""}


@pytest.mark.parametrize(("flags", "changes"), [([], {}), (["--i-change-the-format"], {"CI": "1"})])
def test_make_vectors_refuses_unless_it_is_meant_and_never_on_ci(flags, changes):
    command = [sys.executable, ROOT / "bin" / "make-vectors", *flags]
    environment = {key: value for key, value in os.environ.items() if key != "CI"} | changes
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 2
    assert "vectors are pinned" in result.stderr


# ------------------------------------------------------------------ sound files


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


def without_offsets(data: bytes) -> bytes:
    parsed = container.unpack(data)
    fields = {**vars(parsed.header), "step_offsets": None}
    return container.pack(container.Header(**fields), parsed.chunks)


def test_explicit_steps_vector_sounds_otherwise_without_its_offsets(codec):
    name = "unusual/explicit-steps.hzc"
    reference, rate_hz = soundfile.read(VECTORS / ALL[name]["reference"], dtype="float32")
    decoded, _ = codec.decode(without_offsets(read(name)), rate_hz)
    assert snr_db(decoded, reference) < 20.0


@pytest.mark.parametrize("name", GOOD)
def test_vector_decodes_to_finite_sound_of_its_length(name, codec):
    entry = ALL[name]
    samples, _ = codec.decode(read(name), entry["sample_rate_hz"])
    n_samples, n_channels = entry["n_samples"], entry["n_channels"]
    assert samples.shape == ((n_channels, n_samples) if n_channels > 1 else (n_samples,))
    assert np.isfinite(samples).all()


def test_speech_encodes_to_nearly_the_pinned_symbols(codec):
    samples, rate_hz = soundfile.read(ROOT / MANIFEST["source_of_speech"], dtype="float32")
    pinned = codec.symbols(read("valid/speech.hzc"))
    found = codec.symbols(codec.encode(samples, rate_hz))
    assert np.mean(found != pinned) <= 0.001
    assert np.abs(found - pinned).max() <= 1


def test_vectors_reach_the_ends_of_the_range_of_symbols_and_both_sides_of_the_escape(codec):
    symbols = codec.symbols(read("unusual/extreme-symbols.hzc"))
    assert {-32768, 0, 32767} <= set(symbols.ravel().tolist())
    prior, (symbols,) = codec.model.prior, codec.symbols(read("unusual/escape-borders.hzc"))
    means, _ = prior.gaussians(symbols, 0)
    residuals = set((symbols - np.floor(means + 0.5)).ravel().astype(int).tolist())
    largest = prior.max_residual
    assert residuals == {-largest - 1, -largest, largest, largest + 1}


# ------------------------------------------------------------------ faulty files


@pytest.mark.parametrize("name", FAULTY)
def test_faulty_vector_is_refused_as_its_check_says(name, codec):
    entry = ALL[name]
    assert entry["error"] == CHECKS.get(entry["check"], "Truncated")
    with pytest.raises(HzcError) as refused:
        refuse(read(name), codec.model)
    assert type(refused.value) is getattr(errors, f"{entry['error']}Error")
    assert re.search(SAYS[entry["check"]], str(refused.value)), refused.value


@pytest.mark.parametrize("name", FAULTY)
def test_codec_refuses_a_faulty_vector_as_its_check_says(name, codec):
    expected = getattr(errors, f"{ALL[name]['error']}Error")
    for refused_by in (codec.decode, codec.symbols):
        with pytest.raises(expected):
            refused_by(read(name))


def chunks_before_the_fault(data: bytes) -> list[container.Chunk]:
    taken = []
    try:
        taken.extend(container.Reader(_Trickle(data)).chunks())
    except FormatError:
        return taken
    pytest.fail("no fault was found")


@pytest.mark.parametrize("name", [n for n in FAULTY if ALL[n]["check"] not in ("M1", "M2", "P1")])
def test_reader_gives_out_only_chunks_before_the_fault(name):
    n_found, group = len(chunks_before_the_fault(read(name))), ALL[name]["check"][:1]
    assert n_found <= {"H": 0, "R": 1}.get(group, 2)


class _Trickle:
    """A stream that gives one byte at a time."""

    def __init__(self, data: bytes) -> None:
        self._left = data

    def read(self, n_bytes: int, /) -> bytes:
        piece, self._left = self._left[: min(1, n_bytes)], self._left[min(1, n_bytes) :]
        return piece


# ------------------------------------------------------------------ the command line


def run(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hzc", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def errors_of(stderr: str) -> list[str]:
    """Return the lines that are no hints; none is part of a traceback."""
    lines = [line for line in stderr.splitlines() if not line.startswith("hint: ")]
    assert all(line.startswith("hzc: ") for line in lines), stderr
    assert "internal error" not in stderr
    return lines


EXIT_CODES = {"UnknownModel": 5, "Desync": 5}
"""All others are 4."""
OF_EACH_CLASS = {ALL[name]["error"]: name for name in FAULTY if ALL[name]["check"] != "P1"}


@pytest.mark.parametrize("error", sorted(OF_EACH_CLASS))
def test_check_command_refuses_with_the_exit_code_and_one_line(error):
    path = VECTORS / OF_EACH_CLASS[error]
    result = run("check", path)
    assert result.returncode == EXIT_CODES.get(error, 4)
    assert result.stdout == ""
    (line,) = errors_of(result.stderr)
    assert line.startswith(f"hzc: {path}: ")


@pytest.mark.parametrize(
    "name",
    [
        OF_EACH_CLASS["Truncated"],
        OF_EACH_CLASS["Desync"],
        "faulty/payload-that-is-no-coded-stream.hzc",
    ],
)
def test_decode_command_refuses_with_the_exit_code_and_one_line(name, tmp_path):
    result = run("decode", VECTORS / name, tmp_path / "out.wav")
    assert result.returncode == EXIT_CODES.get(ALL[name]["error"], 4)
    assert len(errors_of(result.stderr)) == 1
    assert list(tmp_path.iterdir()) == []


def test_check_command_goes_through_all_vectors_and_says_one_line_of_each_faulty_one():
    result = run("check", *(VECTORS / name for name in [*GOOD, *FAULTY]))
    assert result.returncode == 1
    refused = {name for name in FAULTY if ALL[name]["check"] != "P1"}
    *lines, summary = result.stderr.splitlines()
    said = errors_of("\n".join(lines))
    assert [line.split(": ")[1] for line in said] == [
        str(VECTORS / name) for name in FAULTY if name in refused
    ]
    assert f"{len(refused)} failed" in summary
    sound = [line.split("  ")[0] for line in result.stdout.splitlines()]
    assert sound == [str(VECTORS / name) for name in [*GOOD, *FAULTY] if name not in refused]


# ------------------------------------------------------------------ damage, exhaustive


SMALL = [name for name in GOOD if len(read(name)) < MAX_DAMAGED_BYTES]


@pytest.mark.parametrize("name", SMALL)
def test_any_flipped_bit_of_a_small_vector_is_detected(name, codec):
    data = read(name)
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises((FormatError, ModelError)):
            codec.check(container.unpack(bytes(damaged)).header)


@pytest.mark.parametrize("name", SMALL)
def test_any_prefix_of_a_small_vector_is_truncated(name):
    data = read(name)
    for n_bytes in range(1, len(data)):
        with pytest.raises(errors.TruncatedError):
            container.unpack(data[:n_bytes])
