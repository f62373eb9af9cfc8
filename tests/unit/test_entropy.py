"""The range coder: exact probabilities, pinned bytes, trimming, escapes, garbage."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from second_decoder.coder import BYTE_CUMULATIVES, Decoder

from hzc.coding.entropy import MAX_VALUE, MIN_VALUE, PayloadDecoder, PayloadEncoder, coder_counts
from hzc.errors import CorruptError

MASK_64 = 2**64 - 1


class Reference(Decoder):
    """The second decoder's range coder, whose state is Python's own integers."""

    def take(self, table: np.ndarray) -> int:
        return self.entry([0, *(256 * np.cumsum(table, dtype=np.int64)).tolist()])

    def take_value(self) -> int:
        return self.entry(BYTE_CUMULATIVES) * 256 + self.entry(BYTE_CUMULATIVES) - 32768


def random_table(rng: np.random.Generator, n_entries: int) -> np.ndarray:
    """Frequencies of very unequal size, uint16 [n_entries], that sum to 2^16."""
    weights = np.exp(rng.normal(0.0, 4.0, n_entries))
    table = 1 + np.floor(weights / weights.sum() * (2**16 - n_entries)).astype(np.int64)
    table[rng.integers(n_entries)] += 2**16 - table.sum()
    return table.astype(np.uint16)


TABLES = [
    [2**14] * 4, [1, 2**16 - 1], [2**16 - 1, 1], [1, 1, 2**16 - 5, 1, 1, 1], [256] * 256,
    *(random_table(np.random.default_rng(n), n) for n in (2, 30, 256)),
]  # fmt: skip
RANDOM = random_table(np.random.default_rng(9), 20)
ONE_ROW = coder_counts(RANDOM)[None]


def payload_of(entries: object, counts: np.ndarray) -> bytes:
    coder = PayloadEncoder()
    coder.put(np.array(entries, dtype=np.int32), counts)
    return coder.finish()


@pytest.mark.parametrize("table", TABLES)
def test_every_table_is_used_exactly(table):
    """Points with a chosen 24-bit quantile show every border of constriction's own model."""
    counts = coder_counts(np.array(table, dtype=np.uint16))
    assert counts.tolist() == [256 * int(frequency) - 1 for frequency in table]
    scale = MASK_64 >> 24
    borders = (256 * np.cumsum([0, *table], dtype=np.int64)).tolist()
    for entry in range(len(table)):
        for point in (borders[entry] * scale, borders[entry + 1] * scale - 1):
            found = PayloadDecoder(point.to_bytes(8, "big")).take(counts[None])
            assert found.tolist() == [entry]


@pytest.mark.parametrize("seed", range(6))
def test_changing_tables_decode_alike_by_both_decoders_and_in_pieces(seed):
    rng = np.random.default_rng(seed)
    tables = np.array([random_table(rng, 26) for _ in range(500)])
    likely = [rng.choice(26, p=table / 2**16) for table in tables]
    entries = np.array(likely if seed % 2 else rng.integers(0, 26, 500), dtype=np.int32)
    counts = coder_counts(tables)
    coder = PayloadEncoder()
    for start, end in ((0, 0), (0, 1), (1, 17), (17, 17), (17, 500)):
        coder.put(entries[start:end], counts[start:end])
    payload = coder.finish()
    assert payload == payload_of(entries, counts)
    reference, decoder = Reference(payload), PayloadDecoder(payload)
    assert [reference.take(table) for table in tables] == entries.tolist()
    assert reference.canonical() == payload
    pieces = [decoder.take(counts[a:b]) for a, b in ((0, 5), (5, 6), (6, 500))]
    assert np.concatenate(pieces).tolist() == entries.tolist()


def test_payloads_are_as_long_as_their_information_and_never_end_in_zero():
    rng = np.random.default_rng(11)
    overhead = []
    for n_entries in (5_000, *rng.integers(1, 60, 400)):
        entries = rng.choice(20, n_entries, p=RANDOM / 2**16)
        ideal_bits = -np.log2(RANDOM[entries] / 2**16).sum()
        payload = payload_of(entries, np.tile(ONE_ROW, (n_entries, 1)))
        assert not payload.endswith(b"\0")
        overhead.append(8 * len(payload) - ideal_bits)
    assert 0 <= overhead[0] <= 32
    assert 0 < np.mean(overhead) < 4


GOLDEN_TABLE = np.array([1, 99, 900, 9_000, 45_536, 9_000, 900, 100], dtype=np.uint16)
GOLDEN = {
    (): "",
    (4,): "28",
    (0,): "",
    (7,): "ff9c",
    (3, 4, 5, 2, 4, 4, 4, 6, 1, 0, 7): "1e01a350bf2257",
    tuple(range(8)) * 4: "0000000153f7056ede9db85109df17de9034154c94e30001461542",
}


@pytest.mark.parametrize(("entries", "expected"), GOLDEN.items())
def test_fixed_entries_give_the_golden_bytes_and_zeros_follow_for_ever(entries, expected):
    counts = np.tile(coder_counts(GOLDEN_TABLE), (len(entries), 1))
    payload = payload_of(entries, counts)
    assert payload.hex() == expected
    for n_zeros in range(9):
        reference = Reference(payload + bytes(n_zeros))
        assert tuple(reference.take(GOLDEN_TABLE) for _ in entries) == entries
        assert tuple(PayloadDecoder(payload + bytes(n_zeros)).take(counts)) == entries


def test_values_between_entries_give_the_golden_bytes():
    coder = PayloadEncoder()
    for entry, value in ((7, -32768), (4, None), (7, 32767), (7, -1)):
        coder.put(np.array([entry], dtype=np.int32), coder_counts(GOLDEN_TABLE)[None])
        if value is not None:
            coder.put_value(value)
    assert coder.finish().hex() == "ff9c0054bb1953fab288"


@given(st.lists(st.integers(-32768, 32767) | st.sampled_from([-32768, 32767, -1]), max_size=40))
def test_escaped_values_round_trip_by_both_decoders_at_two_bytes_each(values):
    coder = PayloadEncoder()
    for value in values:
        coder.put_value(value)
    payload = coder.finish()
    assert len(payload) <= 2 * len(values) + 2
    decoder, reference = PayloadDecoder(payload), Reference(payload)
    assert [decoder.take_value() for _ in values] == values
    assert [reference.take_value() for _ in values] == values


@given(st.binary(max_size=80), st.integers(0, 2**32 - 1))
def test_garbage_gives_entries_of_the_table_or_raises_corrupt(payload, seed):
    rng = np.random.default_rng(seed)
    counts = coder_counts(np.array([random_table(rng, 12) for _ in range(30)]))
    decoder = PayloadDecoder(payload)
    with suppress(CorruptError):
        for _ in range(3):
            entries = decoder.take(counts)
            assert set(entries.tolist()) <= set(range(12))
            assert MIN_VALUE <= decoder.take_value() <= MAX_VALUE


@pytest.mark.parametrize("take", [lambda d: d.take(ONE_ROW), PayloadDecoder.take_value])
def test_point_beyond_the_last_quantile_raises_corrupt(take):
    with pytest.raises(CorruptError, match="not a coded stream"):
        take(PayloadDecoder(b"\xff" * 8))
