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

from hzc.errors import ArgumentError, LatentError, ModelError, WeightsError
from hzc.model import dsp, layers
from hzc.model.backend import Networks, open_backend
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


def test_noise_has_golden_values_is_white_and_changes_with_any_value():
    y = np.float32([[[0.5], [-1.25]]])
    golden = [-0.0952347, -1.6571885, -1.5476203, 0.1907428]  # worked out with Python's integers
    assert dsp.white_noise(y, 4)[0].tolist() == pytest.approx(golden, abs=1e-6)
    assert not np.array_equal(dsp.white_noise(y[:, ::-1], 4), dsp.white_noise(y, 4))
    y = latent_of(TINY, 4_000)
    drawn = dsp.white_noise(y, 128).reshape(4_000, 128)
    assert (drawn.mean(), drawn.var()) == pytest.approx((0.0, 1.0), abs=0.01)
    assert np.abs(drawn).max() <= np.float32(math.sqrt(3.0))
    # Of 8128 correlations of 4000 independent pairs the largest is about four over √4000.
    assert np.abs(np.corrcoef(drawn.T) - np.eye(128)).max() < 6.0 / math.sqrt(4_000)
    another_draw = layers.white_noise(torch.from_numpy(y), 128, 1).numpy().reshape(4_000, 128)
    y[0, 17] = np.nextafter(y[0, 17], np.float32(9.0))
    least_change = dsp.white_noise(y, 128).reshape(4_000, 128)
    for other in (np.roll(drawn, 1, axis=0), least_change, another_draw):
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


@pytest.mark.parametrize("part", PARTS)
def test_a_value_that_is_not_finite_raises_latent_error(small, part):
    bias = getattr(small, part).head.bias.detach().numpy() + np.float32(np.nan)
    transform, make, _ = small.transform(part, **{f"{part}.head.bias": bias})
    with pytest.raises(LatentError, match="not finite"):
        transform(make(2))


BAD_ARRAYS = [("bias", None), ("bias", np.zeros(3)), ("weight", np.zeros(())), ("more", np.ones(3))]


@pytest.mark.parametrize(("name", "array"), BAD_ARRAYS)
@pytest.mark.parametrize("part", PARTS)
def test_weights_that_do_not_fit_raise_weights_error(small, part, name, array):
    transform, make, _ = small.transform(part, **{f"{part}.head.{name}": array})
    with pytest.raises(WeightsError, match="do not fit the config") as caught:
        transform(make(2))
    assert caught.value.path == small.path


def test_a_missing_cuda_device_raises_argument_error(tiny_model, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ArgumentError, match="no CUDA device"):
        open_backend(open_model(tiny_model), "cuda")


def neighbourhood(reach: int, n_in: int, n_out: int):
    """Weighted sums over frames up to `reach` away, zeros past the ends.

    Whole numbers throughout, which single precision holds exactly: so equal means equal.
    """
    weights = np.random.default_rng(reach).integers(1, 5, (2 * reach + 1, n_in, n_out))

    def transform(x: np.ndarray) -> np.ndarray:
        frames = x.reshape(*x.shape[:-1], -1, n_in)
        padded = np.pad(frames, [*[(0, 0)] * (x.ndim - 1), (reach, reach), (0, 0)])
        out = sum(padded[..., k : k + frames.shape[-2], :] @ w for k, w in enumerate(weights))
        return out.reshape(*x.shape[:-1], frames.shape[-2] * n_out)

    return transform


def run(transform, x: np.ndarray, plan: WindowPlan, block_columns: list[int], n_extra: int = 0):
    """Push blocks of the given sizes, over and over; return what came out of each, and the rest."""
    windowed, pieces, start = Windowed(transform, plan), [], 0
    x = np.pad(x, [*[(0, 0)] * (x.ndim - 1), (0, n_extra)])
    while start < x.shape[-1]:
        size = block_columns[len(pieces) % len(block_columns)]
        pieces.append(windowed.push(x[..., start : start + size]))
        start += size
    windowed.drop_last(n_extra)
    pieces.append(windowed.finish())
    return pieces, [piece for piece in pieces if piece is not None]


@given(
    st.integers(0, 40), st.integers(1, 9), st.integers(0, 6), st.integers(0, 2), st.integers(1, 4),
    st.integers(1, 4), st.lists(st.integers(0, 23), min_size=1, max_size=4).filter(any),
    st.sampled_from([(), (1,), (2, 3)]), st.data(),
)  # fmt: skip
def test_windowed_equals_the_whole_and_holds_little(
    n_frames, core, reach, spare, n_in, n_out, block_columns, leading, data
):
    shape = (*leading, n_frames * n_in)
    x = np.random.default_rng(n_frames).integers(-9, 10, shape).astype(np.float32)
    plan = WindowPlan(core, reach + spare, n_in, n_out)
    transform, widths = neighbourhood(reach, n_in, n_out), []

    def watched(x: np.ndarray) -> np.ndarray:
        widths.append(x.shape[-1] // n_in)
        return transform(x)

    n_extra = data.draw(st.integers(0, n_in - 1)) if n_frames else 0
    _, done = run(watched, x, plan, block_columns, n_extra)
    assert max(widths, default=0) <= core + 2 * plan.context_frames
    assert len(widths) <= n_frames // core + 1
    assert bool(done) == bool(n_frames)
    assert not done or np.array_equal(np.concatenate(done, axis=-1), transform(x))


def test_windowed_gives_its_output_early_and_needs_the_whole_context():
    x, transform = np.arange(60, dtype=np.float32), neighbourhood(3, 2, 5)
    pieces, _ = run(transform, x, WindowPlan(4, 3, 2, 5), [2])
    assert [i + 1 for i, piece in enumerate(pieces) if piece is not None][:4] == [7, 11, 15, 19]
    _, short = run(transform, x, WindowPlan(4, 2, 2, 5), [60])
    assert not np.array_equal(np.concatenate(short), transform(x))


@pytest.mark.parametrize("n_frames", [1, 27])
@pytest.mark.parametrize("part", PARTS)
def test_windowed_networks_equal_the_whole(small, part, n_frames):
    transform, make, plan = small.transform(part)
    x = make(n_frames)
    _, pieces = run(transform, x, plan, [3 * plan.n_in + 1, 0])
    assert_near(np.concatenate(pieces, axis=-1), transform(x))


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


def test_onnx_is_the_default_where_there_are_graphs(with_graphs, tiny_model, monkeypatch):
    from hzc.model import backend
    from hzc.model.onnx_backend import OnnxBackend
    from hzc.model.torch_backend import TorchBackend

    assert isinstance(backend.open_backend(with_graphs), OnnxBackend)
    assert isinstance(backend.open_backend(open_model(tiny_model)), TorchBackend)
    with pytest.raises(ArgumentError, match="processor only"):
        backend.open_backend(with_graphs, "cuda", "onnx")
    monkeypatch.setattr(backend, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="neither onnxruntime nor torch"):
        backend.open_backend(with_graphs)


def test_onnx_works_in_a_forked_child(with_graphs):
    import multiprocessing

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
