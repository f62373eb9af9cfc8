"""The networks: torch and numpy agree, windows equal the whole, and bad weights are refused."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sizes import TINY
from torch import nn

from hzc.errors import ArgumentError, ModelError, WeightsError
from hzc.model import dsp, layers
from hzc.model.backend import Networks
from hzc.model.config import ModelConfig
from hzc.model.file import open_model, save_model
from hzc.model.transforms import Analysis, Synthesis
from hzc.model.windows import Windowed, WindowPlan

SMALL = ModelConfig(
    "small", (6, 8, 10), (2, 1, 1), (6, 8, 10), (1, 2, 1), strides=(2, 3), n_latent=5,
    sees_step_index=True, sample_rate_hz=1_536, n_fft=96, stft_hop=32, kernel_frames=5, expansion=2,
)  # fmt: skip
PARTS = ("analysis", "synthesis")


class Small:
    """Both networks of one config, in torch and as encoder and decoder see them."""

    def __init__(self, config: ModelConfig, path, prior) -> None:
        self.config, self.path, self.prior = config, path, prior
        torch.manual_seed(1)
        self.analysis, self.synthesis = Analysis(config).eval(), Synthesis(config).eval()
        nn.init.normal_(self.synthesis.noise_head.weight, std=0.1)

    def saved(self, **changes: np.ndarray | None) -> Networks:
        arrays = {
            f"{part}.{name}": value.numpy()
            for part in PARTS
            for name, value in getattr(self, part).state_dict().items()
        }
        kept = {name: value for name, value in (arrays | changes).items() if value is not None}
        metadata = {"model_id": 240, "name": "tiny", "default_step_index": 0}
        save_model(self.path, metadata, self.config, self.prior, kept)
        return Networks(open_model(self.path), "cpu")

    def transform(self, part: str, **changes: np.ndarray | None):
        """Return a transform, what makes its input, and its sizes in windows of 5 frames."""
        networks, config, hop = self.saved(**changes), self.config, self.config.hop_length
        if part == "analysis":
            plan = WindowPlan(5, config.analysis_context_frames, hop, 1)
            return networks.latent, partial(sound_of, config), plan
        plan = WindowPlan(5, config.synthesis_context_frames, 1, hop)
        return partial(networks.waveform, step_index=9), partial(latent_of, config), plan


@pytest.fixture(params=[TINY, SMALL], ids=lambda config: config.name)
def small(request, tmp_path, tiny_prior):
    return Small(request.param, tmp_path / "m.safetensors", tiny_prior(0))


def sound_of(config: ModelConfig, n_frames: int, n_channels: int = 1) -> np.ndarray:
    rng = np.random.default_rng(n_frames)
    return rng.normal(0, 0.1, (n_channels, n_frames * config.hop_length)).astype(np.float32)


def latent_of(config: ModelConfig, n_frames: int, n_channels: int = 1) -> np.ndarray:
    """Whole numbers of steps, as a decoder gets them."""
    shape = (n_channels, config.n_latent, n_frames)
    return np.float32(0.37) * np.random.default_rng(n_frames).integers(-2, 3, shape, dtype=np.int8)


def assert_near(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype == np.float32
    assert np.abs(found - expected).max() <= 1e-4 * max(np.abs(expected).max(), 0.01)


@pytest.mark.parametrize(("n_frames", "n_channels"), [(1, 1), (7, 3)])
def test_torch_and_numpy_give_the_same_features_latents_and_waveforms(small, n_frames, n_channels):
    networks, config = small.saved(), small.config
    x, y = sound_of(config, n_frames, n_channels), latent_of(config, n_frames, n_channels)
    with torch.inference_mode():
        features = small.analysis.features(torch.from_numpy(x)).numpy()
        latent = small.analysis(torch.from_numpy(x)).numpy()
        indexes = torch.full((n_channels,), 9.0)
        waveform, draw = (
            small.synthesis(torch.from_numpy(y), indexes, 2).numpy().reshape(2, *x.shape)
        )
    found = networks.waveform(y, 9)
    assert_near(dsp.features(x, config), features)
    assert_near(networks.latent(x), latent)
    assert_near(found, waveform)
    assert_near(found[-1:], networks.waveform(y[-1:], 9))
    assert np.abs(draw - waveform).max() > 1e-4
    assert latent.shape == y.shape
    differs = not np.array_equal(found, networks.waveform(y, -64))
    assert differs == config.sees_step_index


@given(st.integers(0, 99), st.integers(1, 9), st.integers(1, 50))
def test_noise_is_the_same_bit_by_bit_and_follows_from_the_frame_alone(seed, n_frames, n_samples):
    y = np.random.default_rng(seed).normal(0, 9, (2, 7, n_frames)).astype(np.float32)
    y[:, seed % 7] = 0.0
    found = dsp.white_noise(y, n_samples)
    assert np.array_equal(found, layers.white_noise(torch.from_numpy(y), n_samples).numpy())
    assert np.array_equal(dsp.white_noise(y[1:, :, -1:], n_samples), found[1:, -n_samples:])
    assert np.array_equal(dsp.white_noise(np.where(y == 0, -y, y), n_samples), found)


def test_noise_has_golden_values_and_changes_with_any_value():
    y = np.float32([[[0.5], [-1.25]]])
    golden = [-0.0952347, -1.6571885, -1.5476203, 0.1907428]  # worked out with Python's integers
    assert dsp.white_noise(y, 4)[0].tolist() == pytest.approx(golden, abs=1e-6)
    y = latent_of(TINY, 4_000)
    drawn = dsp.white_noise(y, 128)
    assert (drawn.mean(), drawn.var()) == pytest.approx((0.0, 1.0), abs=0.01)
    y[0, 17] = np.nextafter(y[0, 17], np.float32(9.0))
    for other in (np.roll(drawn, 128), dsp.white_noise(y, 128)):
        assert abs((other * drawn).mean()) < 0.01


@pytest.mark.parametrize(("n_fft", "hop"), [(1_000, 250), (96, 32), (64, 16), (16, 8)])
@pytest.mark.parametrize("n_frames", [1, 2, 8])
def test_spectrum_is_that_of_windows_around_hops_and_has_an_inverse(n_fft, hop, n_frames):
    config = replace(TINY, n_fft=n_fft, stft_hop=hop, sample_rate_hz=64 * hop)
    x = np.random.default_rng(5).normal(size=(2, n_frames * hop)).astype(np.float32)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    padded = np.pad(x, ((0, 0), ((n_fft - hop) // 2, n_fft)))
    frames = [padded[:, t * hop : t * hop + n_fft] * window for t in range(n_frames)]
    in_torch = layers.Spectrum(n_fft, hop)
    both = dsp.spectrum(x, config), in_torch(torch.from_numpy(x))
    for found in both:
        assert np.allclose(found, np.fft.rfft(np.stack(frames, axis=1)), atol=1e-3)
    for inverse in (dsp.inverse(both[0], config), in_torch.inverse(both[1])):
        assert np.allclose(inverse, x, atol=1e-4)


@pytest.mark.parametrize("part", PARTS)
def test_input_beyond_the_context_changes_nothing_and_the_context_is_tight(small, part):
    transform, make, plan = small.transform(part)
    context = plan.context_frames
    x = make(2 * context + 3)
    centre = context + 1

    def differs(*frames: int) -> bool:
        """Whether the middle frame changes with others, given by their distance from it."""
        other = x.copy()
        for frame in frames:
            other[..., (centre + frame) * plan.n_in : (centre + frame + 1) * plan.n_in] *= -3.0
        middle = slice(centre * plan.n_out, (centre + 1) * plan.n_out)
        return not np.array_equal(transform(other)[..., middle], transform(x)[..., middle])

    assert not differs(-context - 1, context + 1)
    assert differs(2 - context, context - 2)
    assert all(differs(near) for near in (-1, 0, 1))


def test_output_of_huge_latents_and_exploding_heads_is_finite_and_bounded(small):
    nn.init.constant_(small.synthesis.head.bias, 500.0)
    found = small.saved().waveform(1e6 * latent_of(small.config, 4), 0)
    assert np.abs(found).max() < 2 * math.exp(dsp.MAX_LOG_MAGNITUDE)


def test_analysis_does_not_hear_what_lies_far_under_a_tone(small):
    """Else the empty bands that a noise gate leaves are unlike any recording."""
    latent, noise = small.saved().latent, 10 * sound_of(small.config, 6)
    angle = 2 * np.pi * 8 / small.config.n_fft * np.arange(noise.shape[1])
    tone = np.float32(0.3 * np.sin(angle))[None]

    def change(x: np.ndarray, level_db: float) -> float:
        return np.abs(latent(x + np.float32(10 ** (level_db / 20)) * noise) - latent(x)).max()

    assert np.isfinite(latent(1e4 * (tone > 0))).all()
    assert change(tone, -120.0) < 0.05 * change(tone, -40.0)
    assert change(0 * tone, -80.0) > change(tone, -80.0)


BAD_ARRAYS = [("bias", None), ("bias", np.zeros(3)), ("weight", np.zeros(())), ("more", np.ones(3))]


@pytest.mark.parametrize(("name", "array"), BAD_ARRAYS)
@pytest.mark.parametrize("part", PARTS)
def test_weights_that_do_not_fit_raise_weights_error(small, part, name, array):
    transform, make, _ = small.transform(part, **{f"{part}.head.{name}": array})
    with pytest.raises(WeightsError, match="do not fit the config") as caught:
        transform(make(2))
    assert caught.value.path == small.path


def test_windowed_forgets_the_last_columns_where_a_resampler_gave_too_many():
    windowed, x = Windowed(lambda x: x, WindowPlan(4, 1, 1, 1)), np.arange(11, dtype=np.float32)
    done = windowed.push(x)
    windowed.drop_last(2)
    assert np.concatenate([done, windowed.finish()]).tolist() == x[:-2].tolist()


# --- ONNX Runtime ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def with_graphs(tmp_path_factory, static_prior, write_tiny_model):
    """A tiny model with ONNX graphs."""
    from hzc.train.graphs import write_graphs

    path = write_tiny_model(tmp_path_factory.mktemp("onnx") / "tiny.safetensors", static_prior)
    write_graphs(open_model(path))
    return open_model(path)


@pytest.mark.parametrize(("n_channels", "n_frames"), [(1, 1), (2, 7), (1, 90)])
def test_onnx_gives_what_torch_gives(with_graphs, n_channels, n_frames):
    rng = np.random.default_rng(0)
    x = rng.normal(0, 0.1, (n_channels, n_frames * 2_000)).astype(np.float32)
    y_hat = rng.normal(0, 1, (n_channels, 32, n_frames)).astype(np.float32)
    onnx, torch_ = (Networks(with_graphs, "cpu", backend) for backend in ("onnx", "torch"))
    assert np.abs(onnx.latent(x) - torch_.latent(x)).max() < 1e-4
    assert np.abs(onnx.waveform(y_hat, 0) - torch_.waveform(y_hat, 0)).max() < 1e-4


def test_onnx_is_the_default_where_there_are_graphs(
    with_graphs, tmp_path, static_prior, write_tiny_model, monkeypatch
):
    from hzc.model import backend
    from hzc.model.onnx_backend import OnnxBackend
    from hzc.model.torch_backend import TorchBackend

    assert isinstance(backend.open_backend(with_graphs), OnnxBackend)
    bare = open_model(write_tiny_model(tmp_path / "bare.safetensors", static_prior))
    bare.graph_path("synthesis").unlink()
    assert isinstance(backend.open_backend(bare), TorchBackend)
    with pytest.raises(ArgumentError, match="processor only"):
        backend.open_backend(with_graphs, "cuda", "onnx")
    monkeypatch.setattr(backend, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="neither onnxruntime nor torch"):
        backend.open_backend(with_graphs)


def test_onnx_works_in_a_forked_child(with_graphs, monkeypatch):
    import multiprocessing

    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    networks = Networks(with_graphs, "cpu", "onnx")
    x = np.zeros((1, 4_000), dtype=np.float32)
    expected = networks.latent(x)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    worker = context.Process(target=lambda: queue.put(networks.latent(x)))
    worker.start()
    assert np.allclose(queue.get(timeout=60), expected, atol=1e-5)
    worker.join(60)


def test_graphs_of_another_model_raise_weights_error(with_graphs, tmp_path, static_prior,
                                                     write_tiny_model):  # fmt: skip
    path = write_tiny_model(tmp_path / "odd.safetensors", static_prior)
    (tmp_path / "odd.synthesis.onnx").write_bytes(b"no graph")
    with pytest.raises(WeightsError, match="do not fit the graph"):
        Networks(open_model(path), "cpu", "onnx").waveform(np.zeros((1, 32, 1), np.float32), 0)
