"""Windowed runs equal the whole-signal run, whatever the lengths, blocks and cores."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hzc.model.config import CONFIGS
from hzc.model.transforms import Analysis, Synthesis
from hzc.model.windows import WindowPlan, run_windowed

TINY = CONFIGS["tiny"]


class Neighbourhood:
    """Weighted sums over frames up to `reach` away, zeros past the ends; whole numbers throughout.

    Single precision holds every result exactly, so equal means equal.
    """

    def __init__(self, reach: int, n_in: int, n_out: int) -> None:
        self.reach, self.n_in, self.n_out = reach, n_in, n_out
        rng = np.random.default_rng(reach + 10 * n_in + 100 * n_out)
        self.weights = rng.integers(1, 5, (2 * reach + 1, n_in, n_out)).astype(np.float32)
        self.window_frames: list[int] = []

    def __call__(self, x: np.ndarray) -> np.ndarray:
        assert x.shape[-1] % self.n_in == 0
        frames = x.reshape(*x.shape[:-1], -1, self.n_in)
        n_frames = frames.shape[-2]
        self.window_frames.append(n_frames)
        assert len(self.window_frames) < 1_000, "the windows do not advance"
        no_padding = [(0, 0)] * (frames.ndim - 2)
        padded = np.pad(frames, [*no_padding, (self.reach, self.reach), (0, 0)])
        out = sum(
            padded[..., k : k + n_frames, :] @ weight for k, weight in enumerate(self.weights)
        )
        return np.maximum(out, -40.0).reshape(*x.shape[:-1], n_frames * self.n_out)


def random_signal(n_frames: int, n_in: int, leading: tuple[int, ...] = ()) -> np.ndarray:
    rng = np.random.default_rng(n_frames)
    return rng.integers(-9, 10, (*leading, n_frames * n_in)).astype(np.float32)


def split(x: np.ndarray, block_columns: list[int]) -> list[np.ndarray]:
    """Cut the last axis into blocks of the given sizes, over and over, zero sizes included."""
    blocks, start, turn = [], 0, 0
    while start < x.shape[-1]:
        size = block_columns[turn % len(block_columns)]
        blocks.append(x[..., start : start + size])
        start, turn = start + size, turn + 1
    return blocks


@given(
    n_frames=st.integers(1, 40),
    core_frames=st.integers(1, 9),
    reach=st.integers(0, 6),
    spare=st.integers(0, 2),
    n_in=st.integers(1, 4),
    n_out=st.integers(1, 4),
    block_columns=st.lists(st.integers(0, 23), min_size=1, max_size=4).filter(any),
    leading=st.sampled_from([(), (1,), (2, 3)]),
)
def test_run_windowed_any_blocks_and_cores_equals_the_whole(
    n_frames, core_frames, reach, spare, n_in, n_out, block_columns, leading
):
    transform = Neighbourhood(reach, n_in, n_out)
    x = random_signal(n_frames, n_in, leading)
    plan = WindowPlan(core_frames, reach + spare, n_in, n_out)
    pieces = list(run_windowed(transform, split(x, block_columns), plan))
    assert all(piece.shape[-1] == core_frames * n_out for piece in pieces[:-1])
    assert max(transform.window_frames) <= core_frames + 2 * plan.context_frames
    assert np.array_equal(np.concatenate(pieces, axis=-1), transform(x))


@pytest.mark.parametrize("n_frames", range(1, 30))
def test_run_windowed_every_short_length_equals_the_whole(n_frames):
    transform = Neighbourhood(3, 2, 1)
    x = random_signal(n_frames, 2)
    for core_frames in range(1, 8):
        plan = WindowPlan(core_frames, 3, 2, 1)
        whole_blocks = run_windowed(transform, [x], plan)
        single_columns = run_windowed(transform, split(x, [1]), plan)
        expected = transform(x)
        assert np.array_equal(np.concatenate(list(whole_blocks), axis=-1), expected)
        assert np.array_equal(np.concatenate(list(single_columns), axis=-1), expected)


def test_run_windowed_context_below_the_reach_differs_from_the_whole():
    transform = Neighbourhood(3, 1, 1)
    x = random_signal(30, 1)
    pieces = list(run_windowed(transform, [x], WindowPlan(5, 2, 1, 1)))
    assert not np.array_equal(np.concatenate(pieces), transform(x))


@pytest.mark.parametrize(
    "blocks", [[], [np.zeros(0, np.float32)], [np.zeros((2, 0), np.float32)] * 3]
)
def test_run_windowed_empty_signal_yields_nothing(blocks):
    assert list(run_windowed(Neighbourhood(2, 3, 1), blocks, WindowPlan(4, 2, 3, 1))) == []


def test_run_windowed_yields_before_the_signal_ends():
    """Memory stays bounded: a piece comes out as soon as its context is there."""
    fed = 0

    def blocks():
        nonlocal fed
        while True:
            fed += 1
            yield np.ones(2, np.float32)

    plan = WindowPlan(core_frames=4, context_frames=3, n_in=2, n_out=5)
    pieces = run_windowed(Neighbourhood(3, 2, 5), blocks(), plan)
    needed = []
    for _ in range(4):
        assert next(pieces).shape == (20,)
        needed.append(fed)
    assert needed == [7, 11, 15, 19]


# --- the real transforms --------------------------------------------------------------------


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("n_frames", [1, 9, 26, 45])
@pytest.mark.parametrize("core_frames", [5, 16])
def test_run_windowed_tiny_analysis_equals_the_whole(n_frames, core_frames):
    torch.manual_seed(0)
    analysis = Analysis(TINY).eval()

    @torch.inference_mode()
    def transform(x: np.ndarray) -> np.ndarray:
        return analysis(torch.from_numpy(x)).numpy()

    rng = np.random.default_rng(n_frames)
    x = rng.normal(0, 0.1, (1, n_frames * TINY.hop_length)).astype(np.float32)
    plan = WindowPlan(core_frames, TINY.analysis_context_frames, TINY.hop_length, 1)
    pieces = list(run_windowed(transform, split(x, [3_001]), plan))
    assert relative_error(np.concatenate(pieces, axis=-1), transform(x)) < 1e-4


@pytest.mark.parametrize("n_frames", [1, 9, 26, 45])
@pytest.mark.parametrize("core_frames", [5, 16])
def test_run_windowed_tiny_synthesis_equals_the_whole(n_frames, core_frames):
    torch.manual_seed(0)
    synthesis = Synthesis(TINY).eval()
    torch.nn.init.normal_(synthesis.noise_head.weight, std=0.1)

    @torch.inference_mode()
    def transform(y: np.ndarray) -> np.ndarray:
        return synthesis(torch.from_numpy(y)).numpy()

    rng = np.random.default_rng(n_frames)
    y = rng.normal(0, 1, (1, TINY.n_latent, n_frames)).astype(np.float32)
    plan = WindowPlan(core_frames, TINY.synthesis_context_frames, 1, TINY.hop_length)
    pieces = list(run_windowed(transform, split(y, [7, 1, 0]), plan))
    assert relative_error(np.concatenate(pieces, axis=-1), transform(y)) < 1e-4
