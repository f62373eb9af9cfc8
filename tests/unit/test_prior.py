"""The integer prior: exact predictions, causality, round trips, rate, fingerprint, refusals."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hzc.coding.prior import (
    ACTIVATION_MAX,
    ARRAYS,
    CONTEXT_CLIP,
    ESCAPE_BITS,
    MEAN_CLIP,
    MEAN_FRACTIONS,
    TABLE_SUM,
    Prior,
)
from hzc.errors import CorruptError, WeightsError

SIZES = {
    "4x2": {},
    "8x4": {"n_groups": 8, "group_size": 4, "context_frames": 2, "hidden": 12},
    "one-group": {"n_groups": 1, "group_size": 5},
    "no-past": {"n_groups": 2, "group_size": 3, "context_frames": 0},
    "one-scale-one-residual": {"n_scales": 1, "max_residual": 0},
}
STEP_INDEXES = (-64, -7, 0, 64)


@pytest.fixture(params=SIZES.values(), ids=SIZES.keys())
def prior(request, tiny_prior):
    return tiny_prior(3, **request.param)


def sample_symbols(prior: Prior, n_frames: int, seed: int, step_index: int = 0) -> np.ndarray:
    """Symbols drawn from the prior's own tables, int32 [D, F]; escapes where a table says so."""
    rng = np.random.default_rng(seed)
    d, k = prior.n_latent, prior.context_frames
    frames = np.zeros((k + n_frames, d), dtype=np.int32)
    for t in range(n_frames):
        for group in range(prior.n_groups):
            context = context_of(frames[t : t + k + 1], step_index)
            whole, index = prior.predict(group, context[None])
            for column in range(prior.group_size):
                table = prior.tables.reshape(-1, prior.tables.shape[2])[index[0, column]]
                entry = rng.choice(len(table), p=table / 2**16)
                value = whole[0, column] + entry - prior.max_residual
                if entry == len(table) - 1:
                    value = rng.integers(-32768, 32768)
                frames[k + t, group * prior.group_size + column] = value
    return frames[k:].T.copy()


def context_of(frames: np.ndarray, step_index: int) -> np.ndarray:
    """The network's input, float64 [1 + (K + 1) * D], for int32 [K + 1, D]."""
    clipped = np.clip(frames, -CONTEXT_CLIP, CONTEXT_CLIP)
    return np.concatenate([[step_index], clipped.reshape(-1)]).astype(np.float64)


def shift_clamp(value: int, shift: int) -> int:
    return min(max(value >> shift, 0), 4095)


def reference_predict(
    prior: Prior, group: int, context: list[int]
) -> tuple[list[int], list[int], list[int]]:
    """Whole means, scale indexes and fractions by Python's own integers.

    The dimensions of this frame that are not yet coded count as zero.
    """
    w1, b1, w2, b2, w3, b3 = (getattr(prior, name)[group].tolist() for name in ARRAYS)
    n_unknown = (prior.n_groups - group) * prior.group_size
    inputs = context[: len(context) - n_unknown] + [0] * n_unknown

    def layer(values: list[int], weights: list[list[int]], biases: list[int]) -> list[int]:
        columns = zip(*weights, strict=True)
        return [
            sum(v * w for v, w in zip(values, column, strict=True)) + bias
            for column, bias in zip(columns, biases, strict=True)
        ]

    hidden = [shift_clamp(v, prior.shifts[0]) for v in layer(inputs, w1, b1)]
    hidden = [shift_clamp(v, prior.shifts[1]) for v in layer(hidden, w2, b2)]
    out = layer(hidden, w3, b3)
    eighths = [min(max(v >> prior.shifts[2], -1016), 1016) for v in out[: prior.group_size]]
    scales = [
        min(max(v >> prior.shifts[3], 0), len(prior.tables) - 1) for v in out[prior.group_size :]
    ]
    whole = [(eighth + 4) // 8 for eighth in eighths]
    fractions = [eighth - 8 * mean + 4 for eighth, mean in zip(eighths, whole, strict=True)]
    return whole, scales, fractions


def assert_predictions_equal_the_reference(prior: Prior, context: np.ndarray) -> None:
    for group in range(prior.n_groups):
        whole, index = prior.predict(group, context)
        assert whole.dtype == index.dtype == np.int32
        for row, inputs in enumerate(context.astype(int).tolist()):
            means, scales, fractions = reference_predict(prior, group, inputs)
            assert whole[row].tolist() == means
            pairs = zip(scales, fractions, strict=True)
            assert index[row].tolist() == [MEAN_FRACTIONS * s + f for s, f in pairs]


def test_format_constants_are_those_of_version_1():
    """The fingerprint does not cover them: another value needs another format version."""
    assert (ACTIVATION_MAX, CONTEXT_CLIP, MEAN_CLIP, MEAN_FRACTIONS) == (4095, 127, 1016, 8)
    assert (TABLE_SUM, ESCAPE_BITS) == (65_536, 16)


# --- predictions ----------------------------------------------------------------------------


@pytest.mark.parametrize("spread", [3, 127])
def test_predict_random_contexts_equals_python_integers(prior, spread):
    rng = np.random.default_rng(4)
    context = rng.integers(-spread, spread + 1, (25, prior.w1.shape[1])).astype(np.float64)
    context[:, 0] = rng.integers(-64, 65, 25)
    assert_predictions_equal_the_reference(prior, context)


def test_predict_extreme_parameters_equals_python_integers(tiny_prior):
    prior = tiny_prior(0)
    limits = np.iinfo(np.int32)
    for weight in (-32768, -1, 32767):
        for bias in (limits.min, -1, 0, limits.max):
            arrays = {
                name: np.full_like(getattr(prior, name), weight if name[0] == "w" else bias)
                for name in ARRAYS
            }
            for shifts in ((0, 0, 0, 0), (1, 2, 3, 4), (31, 31, 31, 31)):
                extreme = replace(prior, **arrays, shifts=shifts)
                context = np.outer([-1, 0, 1], np.full(prior.w1.shape[1], 127.0))
                assert_predictions_equal_the_reference(extreme, context)


def test_predict_spreads_over_means_scales_and_fractions(tiny_prior):
    """The other tests mean little if the tiny prior always answers alike."""
    prior = tiny_prior(0)
    rng = np.random.default_rng(5)
    context = rng.integers(-8, 9, (300, prior.w1.shape[1])).astype(np.float64)
    parts = [prior.predict(group, context) for group in range(prior.n_groups)]
    whole = np.concatenate([part[0] for part in parts])
    index = np.concatenate([part[1] for part in parts])
    assert len(np.unique(whole)) > 8
    assert len(np.unique(index // MEAN_FRACTIONS)) >= 4
    assert len(np.unique(index % MEAN_FRACTIONS)) == MEAN_FRACTIONS


def test_predict_rows_side_by_side_equal_rows_alone(prior):
    rng = np.random.default_rng(6)
    context = rng.integers(-127, 128, (33, prior.w1.shape[1])).astype(np.float64)
    for group in range(prior.n_groups):
        together = prior.predict(group, context)
        for row in range(33):
            alone = prior.predict(group, context[row : row + 1])
            assert np.array_equal(alone[0][0], together[0][row])
            assert np.array_equal(alone[1][0], together[1][row])


def test_sizes_follow_from_the_arrays(tiny_prior):
    prior = tiny_prior(0, n_groups=8, group_size=4, context_frames=2, max_residual=9)
    assert (prior.n_groups, prior.group_size, prior.n_latent) == (8, 4, 32)
    assert (prior.context_frames, prior.max_residual) == (2, 9)


# --- causality ------------------------------------------------------------------------------


def test_predict_later_groups_of_the_frame_change_nothing(prior):
    rng = np.random.default_rng(7)
    context = rng.integers(-9, 10, (20, prior.w1.shape[1])).astype(np.float64)
    for group in range(prior.n_groups):
        known = 1 + prior.context_frames * prior.n_latent + group * prior.group_size
        other = context.copy()
        other[:, known:] = 99
        for expected, found in zip(
            prior.predict(group, context), prior.predict(group, other), strict=True
        ):
            assert np.array_equal(expected, found)


def predictions(prior: Prior, symbols: np.ndarray, step_index: int = 0) -> np.ndarray:
    """Mean and table index of every symbol, int32 [F, D, 2]."""
    return np.stack(prior._predict_all(symbols.T, step_index), axis=-1)


def test_predictions_changed_symbol_changes_only_what_is_coded_after_it(tiny_prior):
    prior = tiny_prior(1)
    symbols = sample_symbols(prior, 9, seed=1)
    before = predictions(prior, symbols)
    changed_later = 0
    for t in range(9):
        for dimension in range(prior.n_latent):
            other = symbols.copy()
            other[dimension, t] += 5
            differs = (predictions(prior, other) != before).any(axis=-1)  # [F, D]
            group_end = (dimension // prior.group_size + 1) * prior.group_size
            assert not differs[:t].any()
            assert not differs[t, :group_end].any()
            assert not differs[t + prior.context_frames + 1 :].any()
            changed_later += bool(differs[t, group_end:].any()) + bool(differs[t + 1 :].any())
    assert changed_later > 9 * prior.n_latent / 2


def test_predictions_of_a_prefix_are_the_prefix_of_the_predictions(prior):
    symbols = sample_symbols(prior, 7, seed=2)
    whole = predictions(prior, symbols)
    for n_frames in range(1, 7):
        assert np.array_equal(predictions(prior, symbols[:, :n_frames]), whole[:n_frames])


def test_predictions_of_the_step_index_differ(tiny_prior):
    prior = tiny_prior(1)
    symbols = sample_symbols(prior, 30, seed=3)
    assert not np.array_equal(predictions(prior, symbols, -64), predictions(prior, symbols, 64))


# --- round trips ----------------------------------------------------------------------------


def round_trip(prior: Prior, symbols: np.ndarray, step_index: int) -> np.ndarray:
    payload = prior.encode(symbols.astype(np.int32), step_index)
    (found,) = prior.decode([payload], [symbols.shape[1]], step_index)
    assert found.dtype == np.int32
    assert found.flags.c_contiguous
    return found


@pytest.mark.parametrize("step_index", STEP_INDEXES)
def test_decode_typical_symbols_returns_them(prior, step_index):
    for n_frames in (1, 2, 17):
        symbols = sample_symbols(prior, n_frames, seed=n_frames, step_index=step_index)
        assert np.array_equal(round_trip(prior, symbols, step_index), symbols)


def test_decode_extreme_symbols_returns_them(prior):
    rng = np.random.default_rng(8)
    choices = np.array([-32768, -32767, -128, -127, -1, 0, 1, 127, 128, 32766, 32767])
    symbols = rng.choice(choices, (prior.n_latent, 25))
    assert np.array_equal(round_trip(prior, symbols, 3), symbols)


@pytest.mark.parametrize("value", [-32768, 32767])
def test_decode_all_escapes_returns_them(prior, value):
    symbols = np.full((prior.n_latent, 6), value)
    assert np.array_equal(round_trip(prior, symbols, 0), symbols)


def test_decode_symbols_around_the_largest_residual_returns_them(tiny_prior):
    prior = tiny_prior(2)
    symbols = np.zeros((prior.n_latent, 12), dtype=np.int32)
    edge = [-2, -1, 0, 1, 2]
    for t in range(12):
        for group in range(prior.n_groups):
            columns = slice(group * prior.group_size, (group + 1) * prior.group_size)
            whole = predictions(prior, symbols)[t, :, 0]
            sign = 1 if t % 2 else -1
            symbols[columns, t] = whole[columns] + sign * (prior.max_residual + edge[t % 5])
    assert np.array_equal(round_trip(prior, symbols, 0), symbols)


def test_encode_symbol_one_beyond_the_tables_costs_an_escape(tiny_prior):
    prior = tiny_prior(2)
    symbols = np.zeros((prior.n_latent, 1), dtype=np.int32)
    last = prior.n_latent - 1
    mean, index = predictions(prior, symbols)[0, last]
    table = prior.tables.reshape(-1, prior.tables.shape[2])[index]
    costs = []
    for residual in (0, prior.max_residual, prior.max_residual + 1, -prior.max_residual - 1):
        symbols[last, 0] = mean + residual
        costs.append(prior.ideal_bits(symbols, 0))
    in_bits = -np.log2(table / 2**16)
    differences = np.array(costs) - costs[0] + in_bits[prior.max_residual]
    expected = [in_bits[prior.max_residual], in_bits[-2], in_bits[-1] + 16, in_bits[-1] + 16]
    assert differences == pytest.approx(expected, abs=1e-9)


@given(st.data())
def test_decode_any_symbols_returns_them(tiny_prior, data):
    prior = tiny_prior(data.draw(st.integers(0, 3)))
    n_frames = data.draw(st.integers(1, 6))
    value = st.integers(-3, 3) | st.integers(-32768, 32767)
    n_symbols = prior.n_latent * n_frames
    values = data.draw(st.lists(value, min_size=n_symbols, max_size=n_symbols))
    step_index = data.draw(st.integers(-64, 64))
    symbols = np.array(values).reshape(prior.n_latent, n_frames)
    assert np.array_equal(round_trip(prior, symbols, step_index), symbols)


def test_encode_transposed_memory_gives_the_same_payload(tiny_prior):
    prior = tiny_prior(0)
    symbols = sample_symbols(prior, 20, seed=4)
    assert prior.encode(symbols, 0) == prior.encode(np.asfortranarray(symbols), 0)


# --- chunks side by side --------------------------------------------------------------------


@pytest.mark.parametrize(
    "n_frames", [[5], [3, 3, 3], [1, 7, 4, 7, 2], [9, 5, 1], [1, 5, 9], [80, 80, 3]]
)
def test_decode_chunks_side_by_side_equals_one_at_a_time(prior, n_frames):
    chunks = [sample_symbols(prior, n, seed=i) for i, n in enumerate(n_frames)]
    payloads = [prior.encode(chunk, 5) for chunk in chunks]
    together = prior.decode(payloads, n_frames, 5)
    assert len(together) == len(chunks)
    for found, chunk, payload, n in zip(together, chunks, payloads, n_frames, strict=True):
        (alone,) = prior.decode([payload], [n], 5)
        assert np.array_equal(found, chunk)
        assert np.array_equal(alone, chunk)


def test_decode_no_chunks_returns_none(tiny_prior):
    assert tiny_prior(0).decode([], [], 0) == []


# --- damage ---------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=3), st.integers(0, 3))
def test_decode_garbage_returns_symbols_or_raises_corrupt(tiny_prior, payloads, seed):
    prior = tiny_prior(seed)
    n_frames = [4 + i for i in range(len(payloads))]
    try:
        found = prior.decode(payloads, n_frames, 0)
    except CorruptError:
        return
    for symbols, n in zip(found, n_frames, strict=True):
        assert symbols.shape == (prior.n_latent, n)
        assert symbols.min() >= -32768
        assert symbols.max() <= 32767


def test_decode_impossible_payload_raises_corrupt(tiny_prior):
    with pytest.raises(CorruptError):
        tiny_prior(0).decode([b"\xff" * 8], [1], 0)


# --- rate -----------------------------------------------------------------------------------


@pytest.mark.parametrize("step_index", STEP_INDEXES)
def test_encode_payload_is_as_long_as_the_ideal_code(prior, step_index):
    total_payload = total_ideal = 0.0
    for seed in range(6):
        symbols = sample_symbols(prior, 40, seed=seed, step_index=step_index)
        ideal = prior.ideal_bits(symbols, step_index)
        payload = 8 * len(prior.encode(symbols, step_index))
        # Trimmed zeros can save a lucky stream a byte or two; not so on average.
        assert ideal - 16 <= payload <= 1.005 * ideal + 64
        total_payload, total_ideal = total_payload + payload, total_ideal + ideal
    assert total_ideal <= total_payload <= 1.005 * total_ideal + 6 * 32


def test_ideal_bits_equals_the_sum_over_the_tables(prior):
    symbols = sample_symbols(prior, 12, seed=9)
    k = prior.context_frames
    padded = np.concatenate([np.zeros((k, prior.n_latent), dtype=np.int32), symbols.T])
    bits = 0.0
    for t in range(12):
        context = context_of(padded[t : t + k + 1], 11).astype(int).tolist()
        for group in range(prior.n_groups):
            answers = zip(*reference_predict(prior, group, context), strict=True)
            for column, (mean, scale, fraction) in enumerate(answers):
                residual = padded[k + t, group * prior.group_size + column] - mean
                inside = abs(residual) <= prior.max_residual
                entry = residual + prior.max_residual if inside else -1
                bits += 16 - np.log2(int(prior.tables[scale, fraction, entry])) + 16 * (not inside)
    assert prior.ideal_bits(symbols, 11) == pytest.approx(bits, rel=1e-12)


def test_gaussians_are_what_the_tables_stand_for(prior):
    symbols = sample_symbols(prior, 8, seed=11)
    k = prior.context_frames
    padded = np.concatenate([np.zeros((k, prior.n_latent), dtype=np.int32), symbols.T])
    mean, scale_index = prior.gaussians(symbols, -9)
    assert mean.dtype == np.float32
    assert mean.shape == scale_index.shape == symbols.shape
    for t in range(8):
        context = context_of(padded[t : t + k + 1], -9).astype(int).tolist()
        for group in range(prior.n_groups):
            columns = slice(group * prior.group_size, (group + 1) * prior.group_size)
            means, scales, fractions = reference_predict(prior, group, context)
            eighths = [8 * m + f - 4 for m, f in zip(means, fractions, strict=True)]
            assert (8 * mean[columns, t]).tolist() == eighths
            assert scale_index[columns, t].tolist() == scales


def test_ideal_bits_of_likely_symbols_is_below_that_of_unlikely_ones(tiny_prior):
    prior = tiny_prior(0)
    symbols = sample_symbols(prior, 80, seed=10)
    shuffled = np.random.default_rng(0).permuted(symbols, axis=1)
    assert prior.ideal_bits(symbols, 0) < prior.ideal_bits(shuffled, 0)


# --- fingerprint ----------------------------------------------------------------------------


def crc16(data: bytes) -> int:
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def test_fingerprint_is_the_crc_of_the_big_endian_arrays(tiny_prior):
    prior = tiny_prior(0)
    data = b""
    for name in ARRAYS:
        values = getattr(prior, name).reshape(-1).tolist()
        data += struct.pack(f">{len(values)}{'h' if name[0] == 'w' else 'i'}", *values)
    frequencies = prior.tables.reshape(-1).tolist()
    data += bytes(prior.shifts) + struct.pack(f">{len(frequencies)}H", *frequencies)
    assert prior.fingerprint == crc16(data)


@pytest.mark.parametrize("name", ARRAYS)
def test_fingerprint_any_changed_weight_changes_it(tiny_prior, name):
    prior = tiny_prior(0)
    array = getattr(prior, name)
    for position in (0, array.size // 2, array.size - 1):
        other = array.copy()
        other.reshape(-1)[position] ^= 1
        assert replace(prior, **{name: other}).fingerprint != prior.fingerprint


@pytest.mark.parametrize("position", range(4))
def test_fingerprint_any_changed_shift_changes_it(tiny_prior, position):
    prior = tiny_prior(0)
    shifts = list(prior.shifts)
    shifts[position] += 1
    assert replace(prior, shifts=tuple(shifts)).fingerprint != prior.fingerprint


def test_fingerprint_any_changed_table_changes_it(tiny_prior):
    prior = tiny_prior(0)
    for scale in range(len(prior.tables)):
        for fraction in range(MEAN_FRACTIONS):
            tables = prior.tables.copy()
            peak = tables[scale, fraction].argmax()
            tables[scale, fraction, peak] -= 1
            tables[scale, fraction, 0] += 1
            assert replace(prior, tables=tables).fingerprint != prior.fingerprint


def test_fingerprint_of_other_memory_layout_is_the_same(tiny_prior):
    prior = tiny_prior(0)
    arrays = {name: np.asfortranarray(getattr(prior, name)) for name in (*ARRAYS, "tables")}
    assert replace(prior, **arrays).fingerprint == prior.fingerprint


# --- refusals -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*ARRAYS, "tables"])
def test_prior_array_with_a_missing_slice_raises_weights_error(tiny_prior, name):
    prior = tiny_prior(0)
    array = getattr(prior, name)
    first = 1 if name == "tables" else 0
    for axis in range(first, array.ndim):
        shorter = np.delete(array, -1, axis=axis)
        with pytest.raises(WeightsError):
            replace(prior, **{name: shorter})


@pytest.mark.parametrize("name", [*ARRAYS, "tables"])
@pytest.mark.parametrize("change", ["missing-axis", "extra-axis", "no-elements"])
def test_prior_array_of_wrong_dimensions_raises_weights_error(tiny_prior, name, change):
    prior = tiny_prior(0)
    array = getattr(prior, name)
    broken = {"missing-axis": array[0], "extra-axis": array[None], "no-elements": array[:0]}
    with pytest.raises(WeightsError):
        replace(prior, **{name: broken[change]})


def test_prior_without_outputs_raises_weights_error(tiny_prior):
    prior = tiny_prior(0)
    with pytest.raises(WeightsError):
        replace(prior, w3=prior.w3[:, :, :0], b3=prior.b3[:, :0])


def test_prior_without_inputs_for_this_frame_raises_weights_error(tiny_prior):
    prior = tiny_prior(0)
    with pytest.raises(WeightsError):
        replace(prior, w1=prior.w1[:, :1])


@pytest.mark.parametrize(
    "shifts", [(), (4, 6, 8), (4, 6, 8, 12, 1), (-1, 6, 8, 12), (4, 6, 8, 256), (4.5, 6, 8, 12)]
)
def test_prior_impossible_shifts_raises_weights_error(tiny_prior, shifts):
    with pytest.raises(WeightsError):
        replace(tiny_prior(0), shifts=shifts)


@pytest.mark.parametrize("name", [*ARRAYS, "tables"])
def test_prior_array_of_floats_raises_weights_error(tiny_prior, name):
    prior = tiny_prior(0)
    with pytest.raises(WeightsError):
        replace(prior, **{name: getattr(prior, name).astype(np.float32)})


def test_prior_zero_frequency_raises_weights_error(tiny_prior):
    prior = tiny_prior(0)
    tables = prior.tables.copy()
    tables[2, 3, 4] += tables[2, 3, 0]
    tables[2, 3, 0] = 0
    with pytest.raises(WeightsError, match="probability"):
        replace(prior, tables=tables)


@pytest.mark.parametrize("excess", [-1, 1])
def test_prior_table_of_wrong_sum_raises_weights_error(tiny_prior, excess):
    prior = tiny_prior(0)
    tables = prior.tables.copy()
    peak = tables[5, 7].argmax()
    tables[5, 7, peak] = int(tables[5, 7, peak]) + excess
    with pytest.raises(WeightsError, match="probability"):
        replace(prior, tables=tables)


def test_prior_odd_number_of_entries_raises_weights_error(tiny_prior):
    prior = tiny_prior(0)
    tables = prior.tables[:, :, 1:].copy()
    tables[:, :, -1] += prior.tables[:, :, 0]
    with pytest.raises(WeightsError, match="fit together"):
        replace(prior, tables=tables)
