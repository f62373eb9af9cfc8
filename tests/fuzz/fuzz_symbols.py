"""Any bytes: a file's symbols come out or an HzcError; a payload gives symbols or a CorruptError.

usage: fuzz_symbols.py [LIBFUZZER_OPTION...] [CORPUS_FOLDER...]

The model is a small one with random weights, so that the corpus outlives the shipped weights.
"""

from __future__ import annotations

if __name__ == "__main__":
    from libfuzzer import fuzz

    fuzz("fuzz_symbols")

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from sealing import resealed

from hzc import container
from hzc.coding.entropy import MAX_VALUE, MIN_VALUE
from hzc.coding.prior import MEAN_FRACTIONS, TABLE_SUM, Prior
from hzc.container import MAX_STEP_INDEX, MAX_SYMBOL_BYTES
from hzc.errors import CorruptError, HzcError, UnknownModelError
from hzc.model.config import ModelConfig
from hzc.model.file import Model, open_for_id, save_model

MODEL_ID = 240
MAX_PAYLOADS = 3
"""Of a file, that are decoded here: the work for one does not depend on the others."""
MAX_LONE_FRAMES = 20
"""Of bytes that are taken for a payload: what can happen in a frame can happen in few."""


def check(data: bytes) -> None:
    """Raise AssertionError, or whatever is no HzcError, if the way to the symbols is at fault."""
    file = model()
    check_file(file, data)
    check_file(file, resealed(data, bytes_of(file)))
    if len(data) >= 2:
        n_frames = 1 + data[0] % MAX_LONE_FRAMES
        step_index = data[1] % (2 * MAX_STEP_INDEX + 1) - MAX_STEP_INDEX
        check_payload(file.prior, data[2:], n_frames, step_index)


def check_file(file: Model, data: bytes) -> None:
    """Go the way of a decoder up to the symbols."""
    try:
        parsed = container.unpack(data)
        open_known(file, parsed.header.model_id).check(parsed.header)
    except HzcError:
        return
    payloads = [payload for chunk in parsed.chunks for payload in chunk.payloads]
    lengths = [chunk.n_frames for chunk in parsed.chunks for _ in chunk.payloads]
    some = slice(0, MAX_PAYLOADS)
    step_index = parsed.header.step_index
    try:
        together = file.prior.decode(payloads[some], lengths[some], step_index)
    except CorruptError:
        return
    (alone,) = file.prior.decode(payloads[:1], lengths[:1], step_index)
    assert np.array_equal(together[0], alone), "symbols depend on what is decoded beside them"


def check_payload(prior: Prior, payload: bytes, n_frames: int, step_index: int) -> None:
    """Decode bytes, and code what comes out again."""
    try:
        (symbols,) = prior.decode([payload], [n_frames], step_index)
    except CorruptError:
        return
    assert symbols.shape == (prior.n_latent, n_frames)
    assert symbols.dtype == np.int32
    assert symbols.min() >= MIN_VALUE
    assert symbols.max() <= MAX_VALUE
    again = prior.encode(symbols, step_index)
    (same,) = prior.decode([again], [n_frames], step_index)
    assert np.array_equal(same, symbols), "symbols do not survive being coded"
    assert prior.encode(same, step_index) == again
    assert len(again) <= symbols.size * MAX_SYMBOL_BYTES + 8
    assert 8 * len(again) <= 1.005 * prior.ideal_bits(symbols, step_index) + 64


def open_known(file: Model, model_id: int) -> Model:
    """Return the small model, or raise as if it were registered and nothing else."""
    if model_id != file.model_id:
        raise UnknownModelError(f"model {model_id}")
    return file


def bytes_of(file: Model) -> bytes:
    """Return model id, fingerprint and D as a header holds them."""
    prior = file.prior
    return bytes([file.model_id, *prior.fingerprint.to_bytes(2, "big"), prior.n_latent])


@cache
def model() -> Model:
    """Return the small model, read from a weight file as the shipped one is."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "small.safetensors"
        metadata = {"model_id": MODEL_ID, "name": "small", "default_step_index": 0}
        sizes = ModelConfig("small", (8,) * 4, (1,) * 4, (8,) * 4, (1,) * 4)
        save_model(path, metadata, sizes, small_prior(), {})
        file = open_for_id(MODEL_ID, path)
        assert file.prior.n_latent == sizes.n_latent
    return file


def small_prior() -> Prior:
    """Return a prior of 32 dimensions with random weights and narrow tables: escapes are likely."""
    rng = np.random.default_rng(0)
    n_groups, size, context_frames, hidden, n_scales, n_entries = 2, 16, 2, 6, 5, 16
    n_inputs = 1 + (context_frames + 1) * n_groups * size

    def numbers(high: int, *shape: int) -> np.ndarray:
        return rng.integers(-high, high + 1, shape)

    tables = 1 + rng.multinomial(
        TABLE_SUM - n_entries, rng.dirichlet(np.full(n_entries, 0.2)), (n_scales, MEAN_FRACTIONS)
    )
    return Prior(
        w1=numbers(2_000, n_groups, n_inputs, hidden).astype(np.int16),
        b1=numbers(2**15, n_groups, hidden).astype(np.int32),
        w2=numbers(2_000, n_groups, hidden, hidden).astype(np.int16),
        b2=numbers(2**20, n_groups, hidden).astype(np.int32),
        w3=numbers(2_000, n_groups, hidden, 2 * size).astype(np.int16),
        b3=numbers(2**18, n_groups, 2 * size).astype(np.int32),
        shifts=(5, 12, 15, 18),
        tables=tables.astype(np.uint16),
    )
