"""The range coder: exact probabilities, pinned bytes, trimming, escapes, garbage."""

from __future__ import annotations

import math
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hzc.coding.entropy import (
    MAX_VALUE,
    MIN_VALUE,
    PRECISION_BITS,
    PayloadDecoder,
    PayloadEncoder,
    coder_counts,
)
from hzc.errors import CorruptError

MASK_64 = 2**64 - 1
N_BYTE_VALUES = 256


class ReferenceDecoder:
    """Range decoder in Python's own integers: 64 bits of state, 32-bit words, 24-bit quantiles."""

    def __init__(self, payload: bytes) -> None:
        self.payload, self.offset = payload, 0
        self.lower, self.range = 0, MASK_64
        self.point = self.next_word() << 32 | self.next_word()

    def next_word(self) -> int:
        word = self.payload[self.offset : self.offset + 4].ljust(4, b"\0")
        self.offset += 4
        return int.from_bytes(word, "big")

    def take(self, frequencies: list[int]) -> int:
        """Return the next entry under frequencies that sum to 2^24."""
        scale = self.range >> 24
        quantile = (self.point - self.lower & MASK_64) // scale
        assert quantile < 2**24
        entry = cumulative = 0
        while quantile >= cumulative + frequencies[entry]:
            cumulative += frequencies[entry]
            entry += 1
        self.lower = self.lower + scale * cumulative & MASK_64
        self.range = scale * frequencies[entry]
        if self.range < 2**32:
            self.lower = self.lower << 32 & MASK_64
            self.range <<= 32
            self.point = self.point << 32 & MASK_64 | self.next_word()
        return entry

    def take_value(self) -> int:
        bytes_ = [self.take([2**24 // N_BYTE_VALUES] * N_BYTE_VALUES) for _ in range(2)]
        return bytes_[0] * N_BYTE_VALUES + bytes_[1] - 32768


def random_table(rng: np.random.Generator, n_entries: int) -> np.ndarray:
    """Frequencies of very unequal size, uint16 [n_entries], that sum to 2^16."""
    weights = np.exp(rng.normal(0.0, 4.0, n_entries))
    table = 1 + np.floor(weights / weights.sum() * (2**16 - n_entries)).astype(np.int64)
    table[rng.integers(n_entries)] += 2**16 - table.sum()
    return table.astype(np.uint16)


def fine(table: np.ndarray) -> list[int]:
    """The table's frequencies in units of 2^-24."""
    return [256 * int(frequency) for frequency in table]


TABLES = {
    "even": np.full(4, 2**14),
    "lopsided": np.array([1, 2**16 - 1]),
    "lopsided-other-way": np.array([2**16 - 1, 1]),
    "needles": np.array([1, 1, 2**16 - 5, 1, 1, 1]),
    "powers": np.array([2**15, 2**14, 2**13, 2**12, 2**11, 2**11]),
    "odd": np.array([3, 7, 65_499, 13, 5, 9]),
    "random-2": random_table(np.random.default_rng(1), 2),
    "random-30": random_table(np.random.default_rng(2), 30),
    "random-256": random_table(np.random.default_rng(3), 256),
    "flat-256": np.full(256, 256),
}


@pytest.fixture(params=TABLES.values(), ids=TABLES.keys())
def table(request):
    return request.param.astype(np.uint16)


def encode(entries: np.ndarray, counts: np.ndarray) -> bytes:
    coder = PayloadEncoder()
    coder.put(entries.astype(np.int32), counts)
    return coder.finish()


# --- probabilities --------------------------------------------------------------------------


def test_coder_counts_are_whole_numbers_one_below_the_fine_frequencies(table):
    counts = coder_counts(table)
    assert counts.dtype == np.float64
    assert counts.tolist() == [frequency - 1 for frequency in fine(table)]
    assert counts.sum() == 2**PRECISION_BITS - len(table)


def test_coder_counts_of_a_stack_keeps_its_shape(table):
    stack = np.stack([table, table[::-1]])[None]
    assert coder_counts(stack).tolist() == [
        [coder_counts(table).tolist(), coder_counts(table[::-1]).tolist()]
    ]


def test_take_at_every_border_of_the_table_changes_entry_exactly_there(table):
    """Points with a chosen 24-bit quantile show every border of constriction's own model."""
    scale = MASK_64 >> 24
    borders = np.cumsum([0, *fine(table)])
    assert borders[-1] == 2**24
    for entry in range(len(table)):
        for quantile in (int(borders[entry]), int(borders[entry + 1]) - 1):
            first, last = quantile * scale, (quantile + 1) * scale - 1
            for point in (first, last):
                found = PayloadDecoder(point.to_bytes(8, "big")).take(coder_counts(table)[None])
                assert found.tolist() == [entry]


def test_put_random_entries_decodes_alike_by_the_reference(table):
    rng = np.random.default_rng(5)
    entries = rng.integers(0, len(table), 400)
    decoder = ReferenceDecoder(encode(entries, np.stack([coder_counts(table)] * 400)))
    frequencies = fine(table)
    assert [decoder.take(frequencies) for _ in range(400)] == entries.tolist()


def test_put_likely_entries_decodes_alike_by_the_reference(table):
    rng = np.random.default_rng(6)
    entries = rng.choice(len(table), 2_000, p=table / 2**16)
    decoder = ReferenceDecoder(encode(entries, np.stack([coder_counts(table)] * 2_000)))
    frequencies = fine(table)
    assert [decoder.take(frequencies) for _ in range(2_000)] == entries.tolist()


def test_put_changing_tables_decodes_alike_by_both_decoders():
    rng = np.random.default_rng(7)
    tables = [random_table(rng, 26) for _ in range(500)]
    entries = np.array([rng.choice(26, p=table / 2**16) for table in tables])
    counts = np.stack([coder_counts(table) for table in tables])
    payload = encode(entries, counts)
    reference = ReferenceDecoder(payload)
    assert [reference.take(fine(table)) for table in tables] == entries.tolist()
    assert PayloadDecoder(payload).take(counts).tolist() == entries.tolist()


def test_put_in_pieces_gives_the_bytes_of_put_at_once():
    rng = np.random.default_rng(8)
    counts = np.stack([coder_counts(random_table(rng, 10)) for _ in range(60)])
    entries = rng.integers(0, 10, 60).astype(np.int32)
    coder = PayloadEncoder()
    for start, end in ((0, 0), (0, 1), (1, 17), (17, 17), (17, 60), (60, 60)):
        coder.put(entries[start:end], counts[start:end])
    payload = coder.finish()
    assert payload == encode(entries, counts)
    decoder = PayloadDecoder(payload)
    pieces = [decoder.take(counts[a:b]) for a, b in ((0, 5), (5, 6), (6, 60))]
    assert np.concatenate(pieces).tolist() == entries.tolist()


def test_payload_of_typical_entries_is_as_long_as_their_information():
    rng = np.random.default_rng(9)
    table = random_table(rng, 20)
    entries = rng.choice(20, 5_000, p=table / 2**16)
    bits = -np.log2(table[entries] / 2**16).sum()
    payload = encode(entries, np.stack([coder_counts(table)] * 5_000))
    assert math.ceil(bits) <= 8 * len(payload) <= bits + 32


def test_finish_of_short_payloads_costs_under_four_bits_on_average():
    rng = np.random.default_rng(11)
    table = random_table(rng, 20)
    counts = np.stack([coder_counts(table)] * 60)
    overhead = []
    for _ in range(400):
        n_entries = rng.integers(1, 60)
        entries = rng.choice(20, n_entries, p=table / 2**16)
        ideal_bits = -np.log2(table[entries] / 2**16).sum()
        overhead.append(8 * len(encode(entries, counts[:n_entries])) - ideal_bits)
    assert 0 < np.mean(overhead) < 4


# --- bytes ----------------------------------------------------------------------------------

GOLDEN_TABLE = np.array([1, 99, 900, 9_000, 45_536, 9_000, 900, 100], dtype=np.uint16)
GOLDEN = {
    (4,): "28",
    (0,): "",
    (7,): "ff9c",
    (3, 4, 5, 2, 4, 4, 4, 6, 1, 0, 7): "1e01a350bf2257",
    tuple(range(8)) * 4: "0000000153f7056ede9db85109df17de9034154c94e30001461542",
}


@pytest.mark.parametrize(("entries", "expected"), GOLDEN.items())
def test_finish_fixed_entries_gives_the_golden_bytes(entries, expected):
    counts = np.stack([coder_counts(GOLDEN_TABLE)] * len(entries))
    payload = encode(np.array(entries), counts)
    assert payload.hex() == expected
    reference = ReferenceDecoder(payload)
    assert tuple(reference.take(fine(GOLDEN_TABLE)) for _ in entries) == entries


def test_finish_values_between_entries_gives_the_golden_bytes():
    counts = coder_counts(GOLDEN_TABLE)[None]
    coder = PayloadEncoder()
    for entry, value in ((7, -32768), (4, None), (7, 32767), (7, -1)):
        coder.put(np.array([entry], dtype=np.int32), counts)
        if value is not None:
            coder.put_value(value)
    assert coder.finish().hex() == "ff9c0054bb1953fab288"


def test_finish_of_nothing_gives_no_bytes():
    assert PayloadEncoder().finish() == b""


def test_finish_never_ends_in_a_zero_byte():
    rng = np.random.default_rng(10)
    counts = np.stack([coder_counts(np.full(256, 256, dtype=np.uint16))] * 7)
    lengths = set()
    for _ in range(600):
        entries = rng.integers(0, 256, 7)
        payload = encode(entries, counts)
        assert not payload.endswith(b"\0")
        assert PayloadDecoder(payload).take(counts).tolist() == entries.tolist()
        lengths.add(len(payload))
    assert len(lengths) > 1


def test_take_reads_zeros_past_the_end_of_the_payload():
    counts = np.stack([coder_counts(GOLDEN_TABLE)] * 40)
    payload = encode(np.array([4, 3, 5, 4] * 10), counts)
    for n_zeros in range(9):
        assert PayloadDecoder(payload + bytes(n_zeros)).take(counts).tolist() == [4, 3, 5, 4] * 10
    assert PayloadDecoder(b"").take(counts).tolist() == [0] * 40


# --- escaped values -------------------------------------------------------------------------


def test_value_range_is_that_of_two_bytes():
    assert (MIN_VALUE, MAX_VALUE) == (-32768, 32767)


@pytest.mark.parametrize("value", [-32768, -32767, -257, -256, -1, 0, 1, 255, 256, 32766, 32767])
def test_put_value_alone_round_trips_and_costs_two_bytes_at_most(value):
    coder = PayloadEncoder()
    coder.put_value(value)
    payload = coder.finish()
    assert PayloadDecoder(payload).take_value() == value
    assert ReferenceDecoder(payload).take_value() == value
    assert len(payload) <= 3


@given(st.lists(st.integers(MIN_VALUE, MAX_VALUE), max_size=40))
def test_put_value_any_values_round_trip_by_both_decoders(values):
    coder = PayloadEncoder()
    for value in values:
        coder.put_value(value)
    payload = coder.finish()
    assert 8 * len(payload) <= 16 * len(values) + 16
    decoder, reference = PayloadDecoder(payload), ReferenceDecoder(payload)
    assert [decoder.take_value() for _ in values] == values
    assert [reference.take_value() for _ in values] == values


# --- garbage --------------------------------------------------------------------------------


@given(st.binary(max_size=80), st.integers(0, 2**32 - 1))
def test_take_garbage_returns_entries_of_the_table_or_raises_corrupt(payload, seed):
    rng = np.random.default_rng(seed)
    counts = np.stack([coder_counts(random_table(rng, 12)) for _ in range(30)])
    decoder = PayloadDecoder(payload)
    with suppress(CorruptError):
        for _ in range(3):
            entries = decoder.take(counts)
            assert entries.shape == (30,)
            assert entries.min() >= 0
            assert entries.max() < 12
            assert MIN_VALUE <= decoder.take_value() <= MAX_VALUE


def test_take_point_beyond_the_last_quantile_raises_corrupt():
    counts = coder_counts(GOLDEN_TABLE)[None]
    with pytest.raises(CorruptError, match="not a coded stream"):
        PayloadDecoder(b"\xff" * 8).take(counts)


def test_take_value_point_beyond_the_last_quantile_raises_corrupt():
    with pytest.raises(CorruptError, match="not a coded stream"):
        PayloadDecoder(b"\xff" * 8).take_value()
