"""A second decoder, written from the specification alone, says the same as hzc of every file."""

from __future__ import annotations

import ast
import json
import os
import re
import struct
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from odd_files import mutated, odd_files, priors, random_prior, step_indexes, vlq, weight_file
from second_decoder import container as second
from second_decoder import crc, decode, errors
from second_decoder.byteorder import Explicit, Machine
from second_decoder.coder import BYTE_CUMULATIVES, Encoder
from second_decoder.prior import Prediction
from second_decoder.prior import Prior as SecondPrior
from second_decoder.weights import DTYPES, read_weights

import hzc
from hzc import container
from hzc.coding.prior import Prior
from hzc.errors import CorruptError, HzcError
from hzc.model import registry

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "tests" / "second_decoder"
VECTORS = ROOT / "formats" / "vectors"
PAGE = (ROOT / "formats" / "hzc-1.md").read_text(encoding="utf-8")
CASES = {
    entry["file"]: entry
    for entry in json.loads((VECTORS / "MANIFEST.json").read_text(encoding="utf-8"))["vectors"]
}
GOOD = sorted(name for name, entry in CASES.items() if "error" not in entry)
FAULTY = sorted(set(CASES) - set(GOOD))
LONG_FRAMES = 120
"""Files of more frames, those of all channels together, are decoded whole in slow tests only."""

thorough = settings(max_examples=2 * settings().max_examples)
"""More examples than the profile says."""


def n_frames_of(name: str) -> int:
    channels, _, frames = CASES[name]["symbols_shape"]
    return channels * frames


LONG = [name for name in GOOD if n_frames_of(name) > LONG_FRAMES]


@cache
def bytes_of(name: str) -> bytes:
    return (VECTORS / name).read_bytes()


@cache
def weights_path() -> Path:
    """The default model's weight file; that of every vector."""
    return registry.find_name(registry.default_name()).path


@pytest.fixture(scope="module")
def prior():
    return SecondPrior(read_weights(weights_path().read_bytes()))


@pytest.fixture(scope="module")
def codec():
    return hzc.load()


# --- the golden files -----------------------------------------------------------------------


@pytest.mark.parametrize("name", GOOD)
def test_header_says_what_the_manifest_says(name):
    file, case = second.read_file(bytes_of(name)), CASES[name]
    assert file.n_samples == case["n_samples"]
    assert file.header.n_channels == case["n_channels"]
    assert file.header.sample_rate == case["sample_rate_hz"]
    assert file.header.step_index == case["step_index"]
    assert [file.header.n_channels, file.header.n_latent, file.n_frames] == case["symbols_shape"]
    if "chunks" in case:
        found = [[chunk[0].n_frames, chunk[0].gain] for chunk in file.chunks]
        assert found == case["chunks"]


def check_whole(name: str, prior: SecondPrior) -> None:
    symbols = decode.decode_file(bytes_of(name), prior, form=True)
    assert decode.sha256(symbols) == CASES[name]["symbols_sha256"]
    step_index, n_before = CASES[name]["step_index"], 0
    for chunk in second.read_file(bytes_of(name)).chunks:
        for channel, record in zip(symbols, chunk, strict=True):
            frames = list(zip(*channel, strict=True))[n_before : n_before + record.n_frames]
            again = decode.encode_payload(prior, step_index, [list(frame) for frame in frames])
            assert again == record.payload
        n_before += chunk[0].n_frames


@pytest.mark.parametrize("name", [name for name in GOOD if name not in LONG])
def test_symbols_are_the_pinned_ones_and_coded_again_give_the_payloads(name, prior):
    check_whole(name, prior)


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
def test_symbols_of_long_files_too(name, prior):
    check_whole(name, prior)


@pytest.mark.parametrize("name", FAULTY)
def test_faulty_file_is_refused_as_the_manifest_says(name, prior):
    with pytest.raises(errors.FileError) as refused:
        decode.decode_file(bytes_of(name), prior)
    assert refused.type.__name__ == CASES[name]["error"]


# --- the specification's own examples -------------------------------------------------------


def test_crc_has_the_check_value():
    assert crc.crc16(b"123456789") == 0x29B1


def test_network_gives_the_check_values(prior):
    text = PAGE.split("<!-- begin check values -->")[1].split("<!-- end check values -->")[0]
    expected = {
        name: [int(value) for value in values.replace("−", "-").split(", ")]
        for name, values in re.findall(r"^\| (\w+) \| ([-−\d, ]+) \|$", text, re.M)
    }
    sizes = prior.sizes
    context = [3, *((7 * i % 11) - 5 for i in range(1, 1 + (sizes.n_past + 1) * sizes.n_latent))]
    context = context[: len(context) - sizes.group]
    h1, h2 = prior.hidden(sizes.n_groups - 1, context)
    found = prior.predict(sizes.n_groups - 1, context)
    assert expected == {
        "h1": h1[:4],
        "h2": h2[:4],
        "mean": [8 * p.whole + p.fraction - 4 for p in found][:4],
        "scale": [p.scale for p in found][:4],
        "whole": [p.whole for p in found][:4],
        "fraction": [p.fraction for p in found][:4],
    }


@pytest.mark.parametrize("name", ["smallest", "streamed"])
def test_examples_decode_as_hzc_says(name, prior, codec):
    dump = PAGE.split(f"<!-- begin dump {name} -->")[1].split("<!-- end dump")[0]
    rows = re.findall(r"^[0-9A-F]{4}  ((?:[0-9A-F]{2} )*[0-9A-F]{2})", dump, re.M)
    data = bytes.fromhex(" ".join(rows))
    assert decode.decode_file(data, prior, form=True) == codec.symbols(data).tolist()


@pytest.mark.parametrize("text", [b"HZC1", bytes(4), b"\xff" * 4])
def test_coder_gives_the_check_values(text):
    coder = Encoder()
    for byte in text:
        coder.entry(BYTE_CUMULATIVES, byte)
    assert coder.payload() == text.rstrip(b"\0")


# --- symbols and payloads -------------------------------------------------------------------

values = st.one_of(
    st.integers(-3, 3),
    st.integers(-150, 150),
    st.sampled_from([-32768, 32767, -129, -128, -127, 127, 128]),
    st.integers(-32768, 32767),
)


@thorough
@given(priors, step_indexes, st.integers(1, 6), st.data())
def test_any_symbols_give_one_payload_and_come_back_from_it(both, step_index, n_frames, data):
    first, other = both
    frame = st.lists(values, min_size=first.n_latent, max_size=first.n_latent)
    frames = data.draw(st.lists(frame, min_size=n_frames, max_size=n_frames))
    symbols = np.array(frames, np.int32).reshape(n_frames, first.n_latent).T
    payload = first.encode(symbols, step_index)
    assert decode.encode_payload(other, step_index, frames) == payload
    assert decode.decode_payload(other, step_index, n_frames, payload, form=True) == frames
    (found,) = first.decode([payload], [n_frames], step_index)
    np.testing.assert_array_equal(found, symbols)


def decoded_by_hzc(prior, payload: bytes, n_frames: int, step_index: int) -> list | None:
    try:
        (symbols,) = prior.decode([payload], [n_frames], step_index)
    except CorruptError:
        return None
    return symbols.T.tolist()


def decoded_by_second(prior, payload: bytes, n_frames: int, step_index: int, form: bool = False):
    try:
        return decode.decode_payload(prior, step_index, n_frames, payload, form)
    except errors.Corrupt:
        return None


@thorough
@given(
    priors,
    step_indexes,
    st.integers(1, 4),
    st.binary(max_size=24) | st.binary(max_size=24).map(lambda tail: b"\xff" * 6 + tail),
)
@example(random_prior(0, 1, 1, 0, 1, 2, False), 0, 1, b"\xff" * 5)
@example(random_prior(0, 1, 1, 0, 1, 2, False), 0, 1, b"\0")
def test_any_bytes_are_the_same_symbols_to_both(both, step_index, n_frames, payload):
    first, other = both
    symbols = decoded_by_hzc(first, payload, n_frames, step_index)
    assert decoded_by_second(other, payload, n_frames, step_index) == symbols
    if symbols is not None:
        again = first.encode(np.array(symbols, np.int32).T, step_index)
        in_form = decoded_by_second(other, payload, n_frames, step_index, form=True)
        assert (in_form == symbols) == (again == payload)


def test_escape_of_a_symbol_with_an_entry_of_its_own_decodes_but_lacks_the_form():
    first, other = random_prior(0, 1, 1, 0, 1, 26, False)
    (prediction,) = other.predict(0, other.context(0, [], []))
    coder = Encoder()
    coder.entry(other.cumulatives(prediction), other.sizes.n_entries - 1)
    for byte in divmod(prediction.whole + 32768, 256):
        coder.entry(BYTE_CUMULATIVES, byte)
    payload, symbols = coder.payload(), [[prediction.whole]]
    assert decoded_by_hzc(first, payload, 1, 0) == symbols
    assert decoded_by_second(other, payload, 1, 0) == symbols
    assert decoded_by_second(other, payload, 1, 0, form=True) is None
    assert first.encode(np.array(symbols, np.int32), 0) != payload


def test_range_of_exactly_two_to_the_32_is_not_scaled():
    """Sections 7.3 and 7.4 scale a range below 2^32, not one that is 2^32."""
    shape = {"w1": (1, 2, 1), "b1": (1, 1), "w2": (1, 1, 1), "b2": (1, 1), "w3": (1, 1, 2)}
    dtypes = {name: np.int16 if name[0] == "w" else np.int32 for name in shape}
    zeros = {name: np.zeros(size, dtypes[name]) for name, size in shape.items()}
    tables = np.array([[[40, 41, 1, 65536 - 82]] * 8], np.uint16)
    first = Prior(**zeros, b3=np.zeros((1, 2), np.int32), shifts=(0,) * 4, tables=tables)
    other = SecondPrior(read_weights(weight_file(first)))
    # Frequencies 40, 41 and 40 leave a range of 2^32 and less than 2^24; 1 and 1 make it 2^32.
    symbols = [-1, 0, -1, 1, 1]
    coder = Encoder()
    for symbol in symbols:
        coder.entry(other.cumulatives(Prediction(0, 4, 0)), symbol + 1)
    assert coder._range == 2**32
    symbols += [5, 0, -1, 1, -32768, 0]
    payload = first.encode(np.array([symbols], np.int32), 0)
    assert decode.encode_payload(other, 0, [[symbol] for symbol in symbols]) == payload
    for found in (decoded_by_hzc(first, payload, 11, 0), decoded_by_second(other, payload, 11, 0)):
        assert found == [[symbol] for symbol in symbols]


@given(priors, step_indexes, st.integers(0, 2**32 - 1))
def test_network_is_the_sum_of_products_as_it_is_written(both, step_index, seed):
    first, other = both
    rng = np.random.default_rng(seed)
    past = rng.integers(-32768, 32768, (other.sizes.n_past, first.n_latent)).tolist()
    for group in range(first.n_groups):
        now = rng.integers(-200, 200, group * first.group_size).tolist()
        context = other.context(step_index, past, now)
        for layer, inputs in zip(
            other.layers[group], (context, *other.hidden(group, context)), strict=True
        ):
            assert layer.sums(inputs) == layer.plain(inputs)
        whole, index = first.predict(group, np.array([context], np.float64))
        found = other.predict(group, context)
        assert [p.whole for p in found] == whole[0].tolist()
        assert [8 * p.scale + p.fraction for p in found] == index[0].tolist()


# --- verdicts on any bytes ------------------------------------------------------------------


def verdict_of_second(data: bytes):
    try:
        file = second.read_file(data)
    except errors.FileError as error:
        return type(error).__name__
    head, chunks = file.header, []
    for chunk in file.chunks:
        payloads = tuple(record.payload for record in chunk)
        chunks.append((chunk[0].n_frames, chunk[0].gain, payloads))
    fields = (head.model_id, head.fingerprint, head.n_latent, head.sample_rate, head.n_channels)
    fields += (head.step_index, head.step_offsets, file.n_frames, file.n_samples, head.streamed)
    return fields, chunks


def verdict_of_hzc(data: bytes):
    try:
        file = container.unpack(data)
    except HzcError as error:
        return type(error).__name__.removesuffix("Error")
    assert file.packed() == data
    head = file.header
    chunks = [(chunk.n_frames, chunk.gain_half_db, chunk.payloads) for chunk in file.chunks]
    fields = (head.model_id, head.fingerprint, head.n_latent, head.sample_rate_hz, head.n_channels)
    fields += (head.step_index, head.step_offsets, head.n_frames, head.n_samples, file.is_streamed)
    return fields, chunks


def streamed_file(counts: list[int], declared: int) -> bytes:
    """Return a streamed file of empty payloads whose end record declares any number of frames."""
    head = b"hzc\x11\1\2\3\x40\0\1"
    head += crc.crc16(head).to_bytes(2, "big")
    data = head
    records = [(bytes([count, 0, 0]), i) for i, count in enumerate(counts)]
    for record, index in [*records, (b"\0" + vlq(declared) + b"\0", len(counts))]:
        place = head[-2:] + bytes([0, 0, 0, index, 0])
        data += record + crc.crc16(place + record).to_bytes(2, "big")
    return data


@pytest.mark.parametrize(
    ("counts", "declared", "expected"),
    [([2, 1], 0, "Corrupt"), ([2, 1], 4, "Corrupt"), ([], 0, "Limit"), ([], 1, "Corrupt")],
)
def test_end_record_that_tells_other_frames_has_the_same_verdict(counts, declared, expected):
    data = streamed_file(counts, declared)
    assert verdict_of_second(data) == verdict_of_hzc(data) == expected


def test_frames_of_all_chunks_together_have_the_same_limit_in_both(monkeypatch):
    """2^27 frames take 1677722 records; a limit of 100 shows the same."""
    monkeypatch.setattr(second, "MAX_FRAMES", 100)
    monkeypatch.setattr(container.chunks, "MAX_FRAMES", 100)
    full, over = streamed_file([80, 20], 100), streamed_file([80, 21], 101)
    assert verdict_of_second(full) == verdict_of_hzc(full)
    assert not isinstance(verdict_of_second(full), str)
    assert verdict_of_second(over) == verdict_of_hzc(over) == "Limit"


SHORT = [name for name in CASES if (VECTORS / name).stat().st_size < 1_500]
vectors = st.sampled_from(SHORT).map(bytes_of)


@thorough
@given(mutated(odd_files()))
def test_file_with_odd_fields_has_the_same_verdict_from_both(data):
    assert verdict_of_second(data) == verdict_of_hzc(data)


@given(mutated(vectors))
def test_mutated_vector_has_the_same_verdict_from_both(data):
    assert verdict_of_second(data) == verdict_of_hzc(data)


@given(st.binary(max_size=60).map(lambda tail: b"hzc\x10" + tail) | st.binary(max_size=20))
def test_any_bytes_have_the_same_verdict_from_both(data):
    assert verdict_of_second(data) == verdict_of_hzc(data)


@pytest.mark.parametrize("name", SHORT)
def test_vector_cut_off_anywhere_has_the_same_verdict_from_both(name):
    data = bytes_of(name)
    for size in {*range(min(len(data), 60)), *range(max(0, len(data) - 30), len(data))}:
        assert verdict_of_second(data[:size]) == verdict_of_hzc(data[:size])


# --- the machine does not matter ------------------------------------------------------------

MEMORIES = {"explicit": Explicit(), "little": Machine("little"), "big": Machine("big")}


def some_short_vector() -> str:
    """The vector with the most frames of those that take no time."""
    return max((name for name in GOOD if n_frames_of(name) <= 50), key=n_frames_of)


@pytest.mark.parametrize("memory", MEMORIES.values(), ids=list(MEMORIES))
def test_machines_of_both_byte_orders_find_the_same_symbols(memory, prior):
    weights = read_weights(weights_path().read_bytes(), memory)
    assert weights == prior.weights
    expected = registry.find_name(registry.default_name()).fingerprint
    assert weights.fingerprint(memory) == expected
    name = some_short_vector()
    symbols = decode.decode_file(bytes_of(name), SecondPrior(weights))
    assert decode.sha256(symbols, memory) == CASES[name]["symbols_sha256"]


@pytest.mark.parametrize("memory", MEMORIES.values(), ids=list(MEMORIES))
def test_weight_file_with_its_arrays_swapped_is_read_in_the_other_order(memory, prior):
    data = bytearray(weights_path().read_bytes())
    (length,) = struct.unpack("<Q", data[:8])
    description = json.loads(data[8 : 8 + length])
    for name in DTYPES:
        begin, end = (8 + length + at for at in description[name]["data_offsets"])
        dtype = {"I16": "<i2", "U16": "<u2", "I32": "<i4"}[description[name]["dtype"]]
        data[begin:end] = np.frombuffer(data[begin:end], dtype).byteswap().tobytes()
    assert read_weights(bytes(data), memory, order="big") == prior.weights


DECODE_WITHOUT_TORCH = """
import hashlib, sys
sys.modules["torch"] = None
import numpy as np
from hzc import container
from hzc.model.file import open_model
file = container.unpack(open(sys.argv[1], "rb").read())
payloads = [payload for chunk in file.chunks for payload in chunk.payloads]
lengths = [chunk.n_frames for chunk in file.chunks for _ in chunk.payloads]
decoded = open_model().prior.decode(payloads, lengths, file.header.step_index)
n = file.header.n_channels
channels = [np.concatenate(decoded[c::n], axis=1) for c in range(n)]
print(hashlib.sha256(np.stack(channels).astype(">i4").tobytes()).hexdigest())
"""
DECODE_WITH_TORCH = """
import hashlib, sys, hzc
symbols = hzc.load().symbols(open(sys.argv[1], "rb").read())
print(hashlib.sha256(symbols.astype(">i4").tobytes()).hexdigest())
"""


@pytest.mark.parametrize(
    ("code", "n_threads", "kernels"),
    [
        (DECODE_WITHOUT_TORCH, 1, None),
        (DECODE_WITHOUT_TORCH, 2, None),
        (DECODE_WITHOUT_TORCH, 2, "Prescott"),  # the oldest that OpenBLAS has for x86-64
        (DECODE_WITH_TORCH, 2, None),
    ],
    ids=["1-thread", "2-threads", "old-kernels", "torch"],
)
def test_threads_kernels_and_torch_do_not_matter(code, n_threads, kernels, prior):
    name = some_short_vector()
    libraries = ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM", "NUMEXPR")
    environment = {f"{library}_NUM_THREADS": str(n_threads) for library in libraries}
    if kernels is not None:
        environment["OPENBLAS_CORETYPE"] = kernels
    result = subprocess.run(
        [sys.executable, "-c", code, str(VECTORS / name)],
        env={**os.environ, **environment}, check=True, capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    expected = decode.sha256(decode.decode_file(bytes_of(name), prior))
    assert result.stdout.strip() == expected == CASES[name]["symbols_sha256"]


# --- the package itself ---------------------------------------------------------------------


def imported(path: Path) -> set[str]:
    """Return the first parts of the names of what a file imports from outside its package."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(str(node.module).split(".")[0])
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 1, f"{path.name} imports from outside its package"
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.name)
def test_package_imports_the_standard_library_only(path):
    assert imported(path) <= sys.stdlib_module_names
    assert not re.search(r"importlib|__import__|\bexec\(|\beval\(", path.read_text("utf-8"))


def run_module(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the package as a program on a Python that finds no installed packages."""
    command = [sys.executable, "-S", "-m", "tests.second_decoder", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_program_prints_shape_and_hash():
    name = min(GOOD, key=n_frames_of)
    result = run_module(VECTORS / name, weights_path())
    shape = " ".join(map(str, CASES[name]["symbols_shape"]))
    expected = f"shape {shape}\nsha256 {CASES[name]['symbols_sha256']}\n"
    assert (result.returncode, result.stdout) == (0, expected)


def test_program_refuses_a_damaged_file(tmp_path):
    data = bytearray(bytes_of(GOOD[0]))
    data[-1] ^= 1
    (tmp_path / "damaged.hzc").write_bytes(data)
    result = run_module(tmp_path / "damaged.hzc", weights_path())
    assert (result.returncode, result.stdout) == (4, "")
    assert result.stderr.startswith("Corrupt: ")


def test_prior_of_random_weights_has_the_same_fingerprint_in_both():
    for seed in range(2):
        first, other = random_prior(seed, 2, 2, 1, 5, 4, bool(seed))
        assert other.weights.fingerprint() == first.fingerprint
