"""Signals in blocks: however they are cut, the same columns come out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hzc import blocks
from hzc.blocks import Blocks, FloatArray

MAX_COLUMNS = 60
NOTHING = np.zeros((2, 0), dtype=np.float32)


@st.composite
def cut_signals(draw: st.DrawFn) -> tuple[FloatArray, list[FloatArray]]:
    """A signal of two channels, and the same in blocks; some of them are empty."""
    n_columns = draw(st.integers(0, MAX_COLUMNS))
    cuts = draw(st.lists(st.integers(0, n_columns), max_size=8).map(sorted))
    rng = np.random.default_rng(n_columns)
    whole = rng.normal(0.0, 1.0, (2, n_columns)).astype(np.float32)
    return whole, np.split(whole, cuts, axis=1)


def end_to_end(pieces: Iterator[FloatArray]) -> FloatArray:
    """The blocks as one array, even where there are none."""
    return blocks.joined([NOTHING, *pieces])


lengths = st.integers(1, MAX_COLUMNS + 9)


# --- joining and taking apart ---------------------------------------------------------------


@given(cut_signals())
def test_joined_blocks_are_the_whole(signal):
    whole, pieces = signal
    found = blocks.joined(iter(pieces))
    assert np.array_equal(found, whole)
    assert found.dtype == np.float32


def test_joined_blocks_of_the_latent_go_along_the_frames():
    parts = [np.zeros((2, 3, 4), np.float32), np.ones((2, 3, 1), np.float32)]
    found = blocks.joined(parts)
    assert found.shape == (2, 3, 5)
    assert found[0, 0].tolist() == [0, 0, 0, 0, 1]


@given(cut_signals(), st.integers(0, MAX_COLUMNS + 9))
def test_start_of_takes_just_enough_blocks_and_leaves_the_rest(signal, n_columns):
    whole, pieces = signal
    remaining = iter(pieces)
    start = list(blocks.start_of(remaining, n_columns))
    assert all(a is b for a, b in zip(start, pieces, strict=False))
    n_taken = sum(piece.shape[1] for piece in start)
    assert n_taken >= min(n_columns, whole.shape[1])
    assert sum(piece.shape[1] for piece in start[:-1]) < max(1, n_columns)
    assert np.array_equal(end_to_end(iter([*start, *remaining])), whole)


@given(cut_signals(), lengths)
def test_rechunked_gives_blocks_of_one_length_and_a_rest(signal, n_columns):
    whole, pieces = signal
    found = list(blocks.rechunked(iter(pieces), n_columns))
    assert np.array_equal(end_to_end(iter(found)), whole)
    assert [piece.shape[1] for piece in found[:-1]] == [n_columns] * len(found[:-1])
    assert len(found) == -(-whole.shape[1] // n_columns)


@given(cut_signals(), lengths)
def test_cut_at_multiples_lets_no_block_cross_one(signal, n_columns):
    whole, pieces = signal
    found = list(blocks.cut_at_multiples(iter(pieces), n_columns))
    assert np.array_equal(end_to_end(iter(found)), whole)
    ends = np.cumsum([piece.shape[1] for piece in found])
    for start, end in zip([0, *ends], ends, strict=False):
        assert start < end
        assert (end - 1) // n_columns == start // n_columns
    borders = np.cumsum([piece.shape[1] for piece in pieces])
    assert set(ends) <= {*borders, *range(0, MAX_COLUMNS + 9, n_columns)}, "cut without need"


@given(cut_signals(), st.integers(0, MAX_COLUMNS + 9))
def test_dropped_and_limited_are_the_two_sides_of_a_cut(signal, n_columns):
    whole, pieces = signal
    after = end_to_end(blocks.dropped(iter(pieces), n_columns))
    before = end_to_end(blocks.limited(iter(pieces), n_columns))
    assert np.array_equal(after, whole[:, n_columns:])
    assert np.array_equal(before, whole[:, :n_columns])


@given(cut_signals(), st.integers(0, MAX_COLUMNS + 9))
def test_limited_takes_no_block_beyond_its_end(signal, n_columns):
    _, pieces = signal
    remaining = iter(pieces)
    list(blocks.limited(remaining, n_columns))
    n_taken = len(pieces) - len(list(remaining))
    assert sum(piece.shape[1] for piece in pieces[: max(0, n_taken - 1)]) < max(1, n_columns)


# --- loudness -------------------------------------------------------------------------------


@given(cut_signals(), st.lists(st.integers(1, 20), max_size=9))
def test_scaled_multiplies_every_column_by_its_factor(signal, runs):
    whole, pieces = signal
    runs.append(MAX_COLUMNS)
    values = np.float32(0.5) + np.arange(len(runs), dtype=np.float32)
    kept = whole.copy()
    factors = deque(zip(runs, values, strict=True))
    found = end_to_end(blocks.scaled(iter(pieces), factors))
    assert np.array_equal(found, whole * np.repeat(values, runs)[: whole.shape[1]])
    assert found.dtype == np.float32
    assert np.array_equal(whole, kept), "the input was changed"
    assert sum(n for n, _ in factors) == sum(runs) - whole.shape[1]


def test_scaled_takes_factors_that_come_with_the_blocks():
    factors: deque[tuple[int, np.float32]] = deque()

    def noted() -> Blocks:
        for k in range(3):
            factors.append((4, np.float32(k)))
            yield np.ones((1, 4), np.float32)

    found = blocks.joined(blocks.scaled(noted(), factors))
    assert found.tolist() == [[0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]]
    assert not factors


def ramps(n_columns: int, n_fade: int, *, at_start: bool, at_end: bool) -> FloatArray:
    """Factors of a signal that fades, float32 [column]."""
    up = np.minimum((np.arange(n_columns, dtype=np.float32) + 0.5) / n_fade, np.float32(1.0))
    ones = np.ones(n_columns, dtype=np.float32)
    return (up if at_start else ones) * (up[::-1] if at_end else ones)


@given(cut_signals(), st.integers(1, 20), st.booleans(), st.booleans())
def test_faded_comes_from_and_goes_to_silence_where_asked(signal, n_fade, at_start, at_end):
    whole, pieces = signal
    found = end_to_end(blocks.faded(iter(pieces), n_fade, at_start=at_start, at_end=lambda: at_end))
    expected = whole * ramps(whole.shape[1], n_fade, at_start=at_start, at_end=at_end)
    assert found.dtype == np.float32
    assert found == pytest.approx(expected, rel=1e-6)
    inner = slice(n_fade if at_start else 0, -n_fade if at_end else None)
    assert np.array_equal(found[:, inner], whole[:, inner])


@given(cut_signals(), st.integers(1, 20), st.booleans(), st.booleans())
def test_faded_in_any_blocks_gives_the_same_columns(signal, n_fade, at_start, at_end):
    whole, pieces = signal
    of_pieces, of_whole = (
        end_to_end(blocks.faded(iter(given), n_fade, at_start=at_start, at_end=lambda: at_end))
        for given in (pieces, [whole])
    )
    assert np.array_equal(of_pieces, of_whole)


# --- length ---------------------------------------------------------------------------------


@given(cut_signals(), st.integers(0, MAX_COLUMNS + 9), st.integers(0, 30))
def test_fitted_gives_exactly_the_columns_asked_for(signal, n_wanted, spare):
    whole, pieces = signal
    n_given = whole.shape[1]
    held = max(0, n_given - n_wanted) + spare
    found = end_to_end(blocks.fitted(iter(pieces), 2, lambda: n_wanted, held))
    n_kept = min(n_given, n_wanted)
    assert found.shape == (2, n_wanted)
    assert found.dtype == np.float32
    assert np.array_equal(found[:, :n_kept], whole[:, :n_kept])
    assert not found[:, n_kept:].any()


def test_fitted_asks_for_the_length_once_and_at_the_end():
    taken = 0

    def pieces() -> Blocks:
        nonlocal taken
        for _ in range(5):
            taken += 1
            yield np.ones((1, 4), np.float32)

    asked = []

    def length() -> int:
        asked.append(taken)
        return 18

    assert blocks.joined(blocks.fitted(pieces(), 1, length, held=3)).shape == (1, 18)
    assert asked == [5]


def test_fitted_that_held_too_little_back_fails_rather_than_give_too_much():
    pieces = blocks.fitted(iter([np.ones((1, 9), np.float32)]), 1, lambda: 4, held=4)
    with pytest.raises(AssertionError, match="held back"):
        list(pieces)


@pytest.mark.parametrize("n_columns", [0, 1, 5, blocks.ZEROS_AT_ONCE, 3 * blocks.ZEROS_AT_ONCE + 1])
def test_zeros_are_silence_in_blocks_of_bounded_size(n_columns):
    n_left = n_columns
    for block in blocks.zeros(3, n_columns):
        assert block.dtype == np.float32
        assert block.shape[0] == 3
        assert 0 < block.shape[1] <= blocks.ZEROS_AT_ONCE
        assert not block.any()
        n_left -= block.shape[1]
    assert n_left == 0


def test_fitted_far_beyond_the_end_fills_up_in_blocks():
    n_columns = 3 * blocks.ZEROS_AT_ONCE + 1
    found = list(blocks.fitted(iter([]), 1, lambda: n_columns, held=0))
    assert max(block.shape[1] for block in found) == blocks.ZEROS_AT_ONCE
    assert sum(block.shape[1] for block in found) == n_columns


# --- nothing is held whole ------------------------------------------------------------------

LAZY: dict[str, Callable[[Blocks], Blocks]] = {
    "start_of": lambda pieces: blocks.start_of(pieces, 10_000),
    "rechunked": lambda pieces: blocks.rechunked(pieces, 25),
    "cut_at_multiples": lambda pieces: blocks.cut_at_multiples(pieces, 25),
    "dropped": lambda pieces: blocks.dropped(pieces, 15),
    "limited": lambda pieces: blocks.limited(pieces, 10_000),
    "scaled": lambda pieces: blocks.scaled(pieces, deque([(10_000, np.float32(2.0))])),
    "fitted": lambda pieces: blocks.fitted(pieces, 2, lambda: 10_000, held=20),
    "faded": lambda pieces: blocks.faded(pieces, 20, at_start=True, at_end=lambda: True),
}


@pytest.mark.parametrize("name", LAZY)
def test_blocks_come_out_soon_after_they_go_in(name):
    n_in = 0

    def endless() -> Blocks:
        nonlocal n_in
        while True:
            n_in += 10
            yield np.ones((2, 10), np.float32)

    n_out = 0
    for block in LAZY[name](endless()):
        n_out += block.shape[1]
        assert n_in - n_out <= 30
        if n_out > 500:
            break
