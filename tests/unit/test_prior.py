"""The integer prior: exact predictions, causality, round trips, rate, fingerprint, refusals."""

from __future__ import annotations

import struct
from binascii import crc_hqx
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from second_decoder.prior import Layer, clamp

from hzc.coding import prior as module
from hzc.coding.prior import ARRAYS, CONTEXT_CLIP, DTYPES, MEAN_FRACTIONS, Prior
from hzc.errors import CorruptError, WeightsError

SIZES = {
    "4x2": {},
    "8x4": {"n_groups": 8, "group_size": 4, "context_frames": 2, "hidden": 12},
    "one-group": {"n_groups": 1, "group_size": 5},
    "no-past": {"n_groups": 2, "group_size": 3, "context_frames": 0},
    "one-scale-one-residual": {"n_scales": 1, "max_residual": 0},
}
EXTREMES = [-32768, -32767, -128, -127, -1, 0, 1, 127, 128, 32766, 32767]


@pytest.fixture(params=SIZES.values(), ids=SIZES.keys())
def prior(request, tiny_prior):
    return tiny_prior(3, **request.param)


def contexts(symbols: np.ndarray, prior: Prior, step_index: int) -> np.ndarray:
    """The network's input for every frame, float64 [F, 1 + (K + 1) * D], of int32 [D, F]."""
    k, n_frames = prior.context_frames, symbols.shape[1]
    padded = np.pad(np.clip(symbols.T, -CONTEXT_CLIP, CONTEXT_CLIP), ((k, 0), (0, 0)))
    rows = [[step_index, *padded[t : t + k + 1].reshape(-1)] for t in range(n_frames)]
    return np.array(rows, dtype=np.float64)


def sample_symbols(prior: Prior, n_frames: int, seed: int, step_index: int = 0) -> np.ndarray:
    """Symbols drawn from the prior's own tables, int32 [D, F]; escapes where a table says so."""
    rng = np.random.default_rng(seed)
    symbols = np.zeros((prior.n_latent, n_frames), dtype=np.int32)
    tables = prior.tables.reshape(-1, prior.tables.shape[2])
    for t in range(n_frames):
        for group in range(prior.n_groups):
            context = contexts(symbols[:, : t + 1], prior, step_index)[-1:]
            whole, index = prior.predict(group, context)
            for column, (mean, row) in enumerate(zip(whole[0], index[0], strict=True)):
                entry = rng.choice(tables.shape[1], p=tables[row] / 2**16)
                value = entry - prior.max_residual + mean
                if entry == tables.shape[1] - 1:
                    value = rng.integers(-32768, 32768)
                symbols[group * prior.group_size + column, t] = value
    return symbols


def reference(prior: Prior, group: int, context: list[int]) -> list[tuple[int, int, int]]:
    """Whole mean, scale index and fraction of each dimension by Python's own integers."""
    w1, b1, w2, b2, w3, b3 = (getattr(prior, name)[group].tolist() for name in ARRAYS)
    h = context[: len(context) - (prior.n_groups - group) * prior.group_size]
    for weights, biases, shift in ((w1, b1, prior.shifts[0]), (w2, b2, prior.shifts[1])):
        h = [clamp(v >> shift, 0, 4095) for v in Layer(weights, biases).plain(h)]
    out, size = Layer(w3, b3).plain(h), prior.group_size
    eighths = [clamp(v >> prior.shifts[2], -1016, 1016) for v in out[:size]]
    scales = [clamp(v >> prior.shifts[3], 0, len(prior.tables) - 1) for v in out[size:]]
    return [((e + 4) // 8, s, (e + 4) % 8) for e, s in zip(eighths, scales, strict=True)]


def assert_predictions_equal_the_reference(prior: Prior, context: np.ndarray) -> list[np.ndarray]:
    answers = []
    for group in range(prior.n_groups):
        whole, index = prior.predict(group, context)
        assert whole.dtype == index.dtype == np.int32
        found = np.stack([whole, *np.divmod(index, MEAN_FRACTIONS)], axis=-1)
        expected = [reference(prior, group, row) for row in context.astype(int).tolist()]
        assert np.array_equal(found, expected)
        answers.append(found.reshape(-1, 3))
    return answers


def predictions(prior: Prior, symbols: np.ndarray, step_index: int = 0) -> np.ndarray:
    """Mean and scale index of every symbol, float [F, D, 2]."""
    return np.stack(prior.gaussians(symbols, step_index), axis=-1).swapaxes(0, 1)


def round_trip(prior: Prior, symbols: np.ndarray, step_index: int) -> np.ndarray:
    payload = prior.encode(symbols.astype(np.int32), step_index)
    (found,) = prior.decode([payload], [symbols.shape[1]], step_index)
    assert found.dtype == np.int32
    assert found.flags.c_contiguous
    return found


def test_format_constants_are_those_of_version_1():
    """The fingerprint does not cover them: another value needs another format version."""
    assert (module.ACTIVATION_MAX, CONTEXT_CLIP, module.MEAN_CLIP) == (4095, 127, 1016)
    assert (MEAN_FRACTIONS, module.TABLE_SUM, module.ESCAPE_BITS) == (8, 65_536, 16)


@pytest.mark.parametrize("spread", [3, 127])
def test_predict_random_contexts_equals_python_integers_and_rows_alone(prior, spread):
    rng = np.random.default_rng(4)
    context = rng.integers(-spread, spread + 1, (25, prior.w1.shape[1])).astype(np.float64)
    context[:, 0] = rng.integers(-64, 65, 25)
    answers = np.concatenate(assert_predictions_equal_the_reference(prior, context))
    assert len(np.unique(answers[:, 2])) == MEAN_FRACTIONS  # else the test would mean little
    for group in range(prior.n_groups):
        together = np.stack(prior.predict(group, context), axis=1)
        alone = [np.concatenate(prior.predict(group, row[None])) for row in context]
        assert np.array_equal(together, alone)


@pytest.mark.parametrize("weight", [-32768, -1, 32767])
@pytest.mark.parametrize("bias", [-(2**31), -1, 0, 2**31 - 1])
@pytest.mark.parametrize("shifts", [(0, 0, 0, 0), (1, 2, 3, 4), (31, 31, 31, 31)])
def test_predict_extreme_parameters_equals_python_integers(tiny_prior, weight, bias, shifts):
    prior = tiny_prior(0)
    fill = {"w": weight, "b": bias}
    arrays = {name: np.full_like(getattr(prior, name), fill[name[0]]) for name in ARRAYS}
    context = np.outer([-1, 0, 1], np.full(prior.w1.shape[1], 127.0))
    assert_predictions_equal_the_reference(replace(prior, **arrays, shifts=shifts), context)


def test_a_changed_symbol_changes_only_what_is_coded_after_it(tiny_prior):
    prior = tiny_prior(1)
    symbols = sample_symbols(prior, 9, seed=1)
    before = predictions(prior, symbols)
    assert not np.array_equal(predictions(prior, symbols, 64), before)
    n_changed_later = 0
    for t, dimension in np.ndindex(9, prior.n_latent):
        other = symbols.copy()
        other[dimension, t] += 5
        differs = (predictions(prior, other) != before).any(axis=-1)  # [F, D]
        group_end = (dimension // prior.group_size + 1) * prior.group_size
        assert not differs[:t].any()
        assert not differs[t, :group_end].any()
        assert not differs[t + prior.context_frames + 1 :].any()
        assert np.array_equal(predictions(prior, symbols[:, : t + 1]), before[: t + 1])
        n_changed_later += bool(differs[t, group_end:].any()) + bool(differs[t + 1 :].any())
    assert n_changed_later > 9 * prior.n_latent / 2


@pytest.mark.parametrize("step_index", [-64, -7, 0, 64])
def test_typical_symbols_round_trip_at_the_length_of_the_ideal_code(prior, step_index):
    total_payload = total_ideal = 0.0
    for seed, n_frames in enumerate((1, 2, 17, 40, 40, 40, 40)):
        symbols = sample_symbols(prior, n_frames, seed=seed, step_index=step_index)
        assert np.array_equal(round_trip(prior, symbols, step_index), symbols)
        ideal = prior.ideal_bits(symbols, step_index)
        payload = prior.encode(symbols, step_index)
        assert payload == prior.encode(np.asfortranarray(symbols), step_index)
        # Trimmed zeros can save a lucky stream a byte or two; not so on average.
        assert ideal - 16 <= 8 * len(payload) <= 1.005 * ideal + 64
        total_payload, total_ideal = total_payload + 8 * len(payload), total_ideal + ideal
    assert total_ideal <= total_payload <= 1.005 * total_ideal + 7 * 32


@pytest.mark.parametrize("choices", [EXTREMES, [-32768], [32767]])
def test_extreme_symbols_round_trip(prior, choices):
    symbols = np.random.default_rng(8).choice(choices, (prior.n_latent, 25))
    assert np.array_equal(round_trip(prior, symbols, 3), symbols)


@given(st.data())
def test_any_symbols_round_trip(tiny_prior, data):
    prior = tiny_prior(data.draw(st.integers(0, 3)))
    value = st.integers(-3, 3) | st.integers(-14, 14) | st.integers(-32768, 32767)
    n_symbols = prior.n_latent * data.draw(st.integers(1, 6))
    values = data.draw(st.lists(value, min_size=n_symbols, max_size=n_symbols))
    symbols = np.array(values).reshape(prior.n_latent, -1)
    assert np.array_equal(round_trip(prior, symbols, data.draw(st.integers(-64, 64))), symbols)


@pytest.mark.parametrize("n_frames", [[], [5], [1, 7, 4, 7, 2], [9, 5, 1], [80, 80, 3]])
def test_decode_chunks_side_by_side_returns_each(prior, n_frames):
    chunks = [sample_symbols(prior, n, seed=i) for i, n in enumerate(n_frames)]
    together = prior.decode([prior.encode(chunk, 5) for chunk in chunks], n_frames, 5)
    assert [found.tolist() for found in together] == [chunk.tolist() for chunk in chunks]


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=3), st.integers(0, 3))
def test_decode_garbage_returns_symbols_or_raises_corrupt(tiny_prior, payloads, seed):
    prior = tiny_prior(seed)
    with pytest.raises(CorruptError):
        prior.decode([b"\xff" * 8], [1], 0)
    n_frames = [4 + i for i in range(len(payloads))]
    try:
        found = prior.decode(payloads, n_frames, 0)
    except CorruptError:
        return
    assert [symbols.shape for symbols in found] == [(prior.n_latent, n) for n in n_frames]


@pytest.mark.parametrize("edge", [-2, -1, 0, 1, 2])
def test_ideal_bits_and_gaussians_equal_the_sum_over_the_tables(prior, edge):
    """Residuals around the largest that the tables hold, on either side."""
    symbols = sample_symbols(prior, 8, seed=9)
    bits, size = 0.0, prior.group_size
    mean, scale_index = np.zeros(symbols.shape), np.zeros(symbols.shape)
    for t in range(8):
        for group in range(prior.n_groups):
            context = contexts(symbols[:, : t + 1], prior, 11)[-1].astype(int).tolist()
            for row, (whole, scale, fraction) in enumerate(
                reference(prior, group, context), group * size
            ):
                if t % 2:
                    symbols[row, t] = whole + (-1) ** row * (prior.max_residual + edge)
                residual = symbols[row, t] - whole
                is_inside = abs(residual) <= prior.max_residual
                entry = residual + prior.max_residual if is_inside else -1
                bits += (
                    16 - np.log2(int(prior.tables[scale, fraction, entry])) + 16 * (not is_inside)
                )
                mean[row, t], scale_index[row, t] = whole + (fraction - 4) / 8, scale
    assert prior.ideal_bits(symbols, 11) == pytest.approx(bits, rel=1e-12)
    for found, expected in zip(prior.gaussians(symbols, 11), (mean, scale_index), strict=True):
        assert np.array_equal(found, expected)
    assert np.array_equal(round_trip(prior, symbols, 11), symbols)


def test_fingerprint_is_the_crc_of_the_big_endian_arrays(tiny_prior):
    prior, data = tiny_prior(0), b""
    for name in ARRAYS:
        values = getattr(prior, name).reshape(-1).tolist()
        data += struct.pack(f">{len(values)}{'h' if name[0] == 'w' else 'i'}", *values)
    frequencies = prior.tables.reshape(-1).tolist()
    data += bytes(prior.shifts) + struct.pack(f">{len(frequencies)}H", *frequencies)
    assert prior.fingerprint == crc_hqx(data, 0xFFFF)
    arrays = {name: np.asfortranarray(getattr(prior, name)) for name in DTYPES}
    assert replace(prior, **arrays).fingerprint == prior.fingerprint


def move(array: np.ndarray, *at: int, by: int) -> np.ndarray:
    other = array.copy()
    other[at] = int(other[at]) + by
    return other


def without_zero(tables: np.ndarray) -> np.ndarray:
    """A frequency of zero in a table whose sum is right."""
    first = int(tables[2, 3, 0])
    return move(move(tables, 2, 3, 0, by=-first), 2, 3, 4, by=first)


def odd(tables: np.ndarray) -> np.ndarray:
    """One entry fewer, the sums right."""
    return np.concatenate([tables[..., 1:-1], tables[..., -1:] + tables[..., :1]], axis=-1)


BROKEN = [
    *((name, change) for name in DTYPES for change in (
        lambda a: a[0], lambda a: a[None], lambda a: a[:0], lambda a: a[:, :-1],
        lambda a: a[..., :-1], lambda a: a.astype(np.float32), lambda a: a.astype(np.int64),
    )),
    *((name, lambda a: a[:-1]) for name in ARRAYS),
    ("w1", lambda a: a[:, :1]),
    ("tables", lambda a: move(a, 5, 7, 12, by=1)),
    ("tables", lambda a: move(a, 5, 7, 12, by=-1)),
    ("tables", without_zero),
    ("tables", odd),
    *(("shifts", lambda _, s=s: s) for s in (
        (), (4, 6, 8), (4, 6, 8, 12, 1), (-1, 6, 8, 12), (4, 6, 8, 64), (4.0, 6, 8, 12),
    )),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change"), BROKEN)
def test_impossible_priors_raise_weights_error(tiny_prior, name, change):
    prior = tiny_prior(0)
    with pytest.raises(WeightsError):
        replace(prior, **{name: change(getattr(prior, name))})
