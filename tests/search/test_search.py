"""Search: never more bits, never further from the recording, the same on every run."""

from __future__ import annotations

import os
import threading
from threading import Event

import numpy as np
import pytest
import soundfile
import torch

from hzc.audio.sources import array_source
from hzc.codec import Codec
from hzc.errors import ArgumentError, ModelError
from hzc.jobs import encode_file
from hzc.options import EncodeOptions
from hzc.search import effort
from hzc.search.descent import Descent, Listener, Window
from hzc.search.prior import PriorCost
from hzc.search.stage import Searcher, whole

RATE_HZ = 16_000


@pytest.fixture(autouse=True, scope="module")
def without_loudness():
    """Random networks are far too loud: what is heard of the rest is too little to search for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(effort, "TERMS", effort.Terms(loudness_weight=0.0))
        yield


@pytest.fixture(scope="module")
def codec(tmp_path_factory, static_prior, write_tiny_model) -> Codec:
    """The tiny networks with a prior that fits them."""
    path = tmp_path_factory.mktemp("search") / "static.safetensors"
    return Codec.load(write_tiny_model(path, static_prior))


@pytest.fixture(scope="module")
def latents(codec, sound):
    """Of 22 s: two chunks and a bit."""
    return codec.encoder.latents(array_source(sound(22 * RATE_HZ + 777), RATE_HZ))


def samples_of(latents) -> np.ndarray:
    n = latents.y.shape[2] * 2000
    x = np.concatenate(list(latents.recording.blocks(lambda done_s: None)), axis=1)[:, :n]
    return np.pad(x, ((0, 0), (0, n - x.shape[1])))


@pytest.mark.parametrize("step_index", [-20, 0, 13])
@pytest.mark.parametrize("seed", range(3))
def test_bits_with_a_gradient_are_those_of_the_integers(tiny_prior, seed, step_index):
    prior = tiny_prior(seed)
    symbols = np.random.default_rng(seed).integers(-9, 10, (prior.n_latent, 90)).astype(np.int32)
    exact = sum(prior.ideal_bits(part, step_index) for part in np.split(symbols, [7, 80], axis=1))
    z = torch.from_numpy(symbols).float().requires_grad_()
    bits = PriorCost(prior, "cpu").bits(z, [7, 73, 10], step_index).sum()
    assert bits.item() == pytest.approx(exact, rel=0.01)
    bits.backward()
    assert z.grad.isfinite().all()
    moved = (z - 0.05 * z.grad.sign()).detach()
    assert PriorCost(prior, "cpu").bits(moved, [7, 73, 10], step_index).sum() < bits


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("step_index", [-8, 0])
def test_a_window_is_nearer_at_no_more_bits(codec, latents, step_index, n):
    x, y = samples_of(latents)[0], latents.y[0]
    listener, at = Listener(codec.model, "cpu"), slice(70, 110)
    window = Window(y[:, at], x[at.start * 2000 : at.stop * 2000], (10, 30), slice(10, 40))
    step = codec.model.base_step[:, None] * np.float32(2.0 ** (step_index / 8))
    found = Descent(listener, window, step_index, effort.EFFORTS[n]).run(Event())
    symbols = np.rint(window.y / step).astype(np.int32)
    searched = symbols.copy()
    searched[:, 10:] = np.rint(found / step)
    assert not np.array_equal(searched, symbols)
    before, after = (
        codec.model.prior.ideal_bits(s[:, 10:], step_index) for s in (symbols, searched)
    )
    assert after <= before + 0.1
    target = listener.target(window.x)
    before, after = (
        listener.distortion(
            torch.from_numpy((s * step).astype(np.float32)), step_index, target, [256, 1024]
        ).item()
        for s in (symbols, searched)
    )
    assert after < before


def test_files_are_no_larger_and_the_same_on_every_run(codec, sound):
    samples = np.stack([sound(13 * RATE_HZ, seed=seed) for seed in range(2)])
    plain = codec.encode(samples, RATE_HZ, channels="keep")
    before, found = torch.get_num_threads(), set()
    try:
        for n_threads in (1, 2, 3):
            torch.set_num_threads(n_threads)
            found.add(codec.encode(samples, RATE_HZ, channels="keep", effort=1))
            assert torch.get_num_threads() == n_threads
    finally:
        torch.set_num_threads(before)
    (searched,) = found
    assert len(searched) <= len(plain)
    assert searched != plain
    assert codec.decode(searched)[0].shape == samples.shape


def test_samples_in_blocks_of_any_size_give_the_same_latent(codec, latents):
    def found(n: int) -> np.ndarray:
        blocks = np.split(x, range(n, x.shape[1], n), axis=1)
        with Searcher(codec.model, "cpu").stage(1, 0, 1) as stage:
            return whole(stage, iter(blocks), latents.y, lambda seconds: None)

    x = samples_of(latents)
    one = found(x.shape[1])
    assert one.shape == latents.y.shape
    assert np.array_equal(found(70_001), one)


def test_chunk_borders_are_as_good_as_one_window_over_them(codec, latents):
    """The context around chunks is wide enough: no more distortion near borders."""
    x, step = samples_of(latents), codec.model.base_step[:, None]
    listener = Listener(codec.model, "cpu")
    near = slice(70, 90)  # around the border at frame 80
    target = listener.target(x[0, near.start * 2000 : near.stop * 2000])

    def distortion(y: np.ndarray) -> float:
        y_hat = torch.from_numpy(np.rint(y[0, :, near] / step) * step)
        return listener.distortion(y_hat, 0, target, [256, 1024]).item()

    in_chunks = codec.encoder.refined(latents, 0, 1).y
    n_frames = latents.y.shape[2]
    window = Window(latents.y[0], x[0], (80, 80, n_frames - 160), slice(0, n_frames))
    at_once = Descent(listener, window, 0, effort.EFFORTS[1]).run(Event())[None]
    gain = distortion(latents.y) - distortion(at_once)
    assert gain > 0
    assert distortion(in_chunks) < distortion(at_once) + 0.2 * gain


def test_searched_files_keep_to_the_bytes_that_are_asked_for(codec, sound):
    samples = sound(12 * RATE_HZ)
    n_bytes = len(codec.encode(samples, RATE_HZ)) - 40
    data = codec.encode(samples, RATE_HZ, effort=1, max_bytes=n_bytes)
    assert 0.95 * n_bytes < len(data) <= n_bytes


def test_interruption_leaves_no_file_and_no_thread(tmp_path, codec, sound):
    soundfile.write(tmp_path / "a.wav", sound(42 * RATE_HZ), RATE_HZ)

    def interrupt(done_s: float, total_s: float | None) -> None:
        if done_s:
            raise KeyboardInterrupt

    options, n_threads = EncodeOptions(effort=1), threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        encode_file(
            tmp_path / "a.wav", tmp_path / "a.hzc", options, codec=codec, progress=interrupt
        )
    assert os.listdir(tmp_path) == ["a.wav"]
    assert threading.active_count() == n_threads


def test_effort_0_leaves_latents_alone_and_others_are_refused(codec, latents, monkeypatch):
    assert codec.encoder.refined(latents, 0, 0) is latents
    for wrong in (-1, effort.MAX_EFFORT + 1, 1.5, "1"):
        with pytest.raises(ArgumentError, match="effort"):
            codec.encode(np.zeros(100), RATE_HZ, effort=wrong)
    monkeypatch.setattr(effort, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="needs torch, which is not installed"):
        codec.encode(np.zeros(100), RATE_HZ, effort=1)
