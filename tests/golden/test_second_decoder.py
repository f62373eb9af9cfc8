"""A second decoder, written from the specification alone, says the same as hzc of every file."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from binascii import crc_hqx
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from odd_files import mutated, odd_files, priors, random_prior, step_indexes, vlq, weight_file
from second_decoder import container as second
from second_decoder import decode, errors
from second_decoder.coder import Encoder
from second_decoder.prior import Prediction
from second_decoder.prior import Prior as SecondPrior
from second_decoder.weights import read_weights

from hzc import container
from hzc.coding.prior import Prior
from hzc.container import Header, n_frames_for
from hzc.errors import CorruptError, HzcError
from hzc.model import registry

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "formats" / "vectors"
CASES = {
    entry["file"]: entry
    for entry in json.loads((VECTORS / "MANIFEST.json").read_text(encoding="utf-8"))["vectors"]
}
GOOD = sorted(name for name, entry in CASES.items() if "error" not in entry)
FAULTY = sorted(set(CASES) - set(GOOD))

thorough = settings(max_examples=2 * settings().max_examples)
"""More examples than the profile says."""


@cache
def bytes_of(name: str) -> bytes:
    return (VECTORS / name).read_bytes()


def sha256(symbols: list[list[list[int]]]) -> str:
    return hashlib.sha256(np.array(symbols, ">i4").tobytes()).hexdigest()


@pytest.fixture(scope="module")
def prior():
    """The default model's; that of every vector."""
    path = registry.find_name(registry.default_name()).path
    return SecondPrior(read_weights(path.read_bytes()))


# --- the golden files -----------------------------------------------------------------------


@pytest.mark.parametrize("name", GOOD)
def test_symbols_are_the_pinned_ones_and_coded_again_give_the_payloads(name, prior):
    symbols = decode.decode_file(bytes_of(name), prior)
    assert sha256(symbols) == CASES[name]["symbols_sha256"]
    step_index, n_before = CASES[name]["step_index"], 0
    for chunk in second.read_file(bytes_of(name)).chunks:
        for channel, record in zip(symbols, chunk, strict=True):
            frames = list(zip(*channel, strict=True))[n_before : n_before + record.n_frames]
            again = decode.encode_payload(prior, step_index, [list(frame) for frame in frames])
            assert again == record.payload
        n_before += chunk[0].n_frames


@pytest.mark.parametrize("name", FAULTY)
def test_faulty_file_is_refused_as_the_manifest_says(name, prior):
    with pytest.raises(errors.FileError) as refused:
        decode.decode_file(bytes_of(name), prior)
    assert refused.type.__name__ == CASES[name]["error"]


def test_second_decoder_shares_no_code_with_hzc():
    for path in (ROOT / "tests" / "second_decoder").glob("*.py"):
        assert "import hzc" not in path.read_text(encoding="utf-8")
        assert "from hzc" not in path.read_text(encoding="utf-8")


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
def test_network_gives_the_same_means_scales_and_fingerprint(both, step_index, seed):
    first, other = both
    assert other.weights.fingerprint() == first.fingerprint
    rng = np.random.default_rng(seed)
    past = rng.integers(-32768, 32768, (other.n_past, first.n_latent)).tolist()
    now, expected = rng.integers(-200, 200, first.n_latent).tolist(), []
    for group in range(first.n_groups):
        context = other.context(step_index, past, now[: group * first.group_size])
        whole, index = first.predict(group, np.array([context], np.float64))
        found = other.predict(group, context)
        assert [p.whole for p in found] == whole[0].tolist()
        assert [8 * p.scale + p.fraction for p in found] == index[0].tolist()
        expected += found
    mean, scale = first.gaussians(np.array([*past, now], np.int32).T, step_index)
    assert mean[:, -1].tolist() == [p.whole + (p.fraction - 4) / 8 for p in expected]
    assert scale[:, -1].tolist() == [p.scale for p in expected]


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
    head += crc_hqx(head, 0xFFFF).to_bytes(2, "big")
    data = head
    records = [(bytes([count, 0, 0]), i) for i, count in enumerate(counts)]
    for record, index in [*records, (b"\0" + vlq(declared) + b"\0", len(counts))]:
        place = head[-2:] + bytes([0, 0, 0, index, 0])
        data += record + crc_hqx(place + record, 0xFFFF).to_bytes(2, "big")
    return data


def test_frames_of_all_chunks_together_have_the_same_limit_in_both(monkeypatch):
    """2^27 frames take 1677722 records; a limit of 100 shows the same."""
    monkeypatch.setattr(second, "MAX_FRAMES", 100)
    monkeypatch.setattr(container.chunks, "MAX_FRAMES", 100)
    full, over = streamed_file([80, 20], 100), streamed_file([80, 21], 101)
    assert verdict_of_second(full) == verdict_of_hzc(full)
    assert not isinstance(verdict_of_second(full), str)
    assert verdict_of_second(over) == verdict_of_hzc(over) == "Limit"


BORDERS = [1, 127, 128, 16_383, 16_384, 2**21 - 1, 2**21, 2**27]
"""Frames at which a varint gets longer, and the most."""


@pytest.mark.parametrize("rate", [*container.SAMPLE_RATES_HZ[1:], 1_000, 1_001, 37_800, 768_000])
def test_header_of_every_sample_rate_and_length_of_varint_is_read_by_both(rate):
    for n_frames in BORDERS:
        n_samples = n_frames * rate // 8
        header = Header(7, 0xABCD, 3, n_frames_for(n_samples, rate), n_samples, rate, 16, -64)
        packed = container.pack_header(header)
        found = second.read_header(second.Reader(packed))
        assert container.read_header(packed) == (header, len(packed))
        assert (found.sample_rate, found.n_channels, found.step_index) == (rate, 16, -64)
        assert second.samples(found.n_frames, rate, found.trim) == n_samples


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
def test_threads_kernels_and_torch_do_not_matter(code, n_threads, kernels):
    name = "valid/speech.hzc"
    libraries = ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM", "NUMEXPR")
    environment = {f"{library}_NUM_THREADS": str(n_threads) for library in libraries}
    if kernels is not None:
        environment["OPENBLAS_CORETYPE"] = kernels
    result = subprocess.run(
        [sys.executable, "-c", code, str(VECTORS / name)],
        env={**os.environ, **environment}, check=True, capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert result.stdout.strip() == CASES[name]["symbols_sha256"]
