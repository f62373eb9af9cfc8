"""The transforms: hop arithmetic, receptive fields, the spectrum and its inverse, sizes."""

from __future__ import annotations

import json
import math
from math import isfinite

import pytest
import torch
from torch import nn

from hzc.errors import WeightsError
from hzc.model.config import CONFIGS, ModelConfig
from hzc.model.layers import ConvNeXtBlock, Downsample, Spectrum, Upsample, white_noise
from hzc.model.transforms import MAX_LOG_MAGNITUDE, Analysis, Synthesis

TINY = CONFIGS["tiny"]
SMALL = ModelConfig(
    name="small",
    analysis_widths=(6, 8, 10),
    analysis_blocks=(2, 1, 1),
    synthesis_widths=(6, 8, 10),
    synthesis_blocks=(1, 2, 1),
    strides=(2, 3),
    n_latent=5,
    n_fft=96,
    stft_hop=32,
    kernel_frames=5,
    expansion=2,
)


@pytest.fixture(params=[TINY, SMALL], ids=lambda config: config.name)
def config(request):
    return request.param


@pytest.fixture
def analysis(config):
    torch.manual_seed(1)
    return Analysis(config).eval()


@pytest.fixture
def synthesis(config):
    torch.manual_seed(2)
    synthesis = Synthesis(config).eval()
    nn.init.normal_(synthesis.noise_head.weight, std=0.1)
    return synthesis


def n_parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


# --- configuration --------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONFIGS)
def test_shipped_config_has_eight_frames_a_second(name):
    config = CONFIGS[name]
    assert config.name == name
    assert config.hop_length * 8 == config.sample_rate_hz == 16_000
    assert config.n_bins == 501
    assert config.n_latent == 32


@pytest.mark.parametrize("name", CONFIGS)
def test_shipped_config_has_a_finite_reach(name):
    for context in (CONFIGS[name].analysis_context_frames, CONFIGS[name].synthesis_context_frames):
        assert isinstance(context, int)
        assert isfinite(context)
        assert 3 <= context <= 40


def test_context_frames_follow_from_blocks_kernel_and_rates():
    # Analysis: (2 / 6 + 1 / 3 + 1) blocks of 2 frames on either side, rounded up, and 2 more.
    assert SMALL.analysis_context_frames == 6
    # Synthesis: (1 / 6 + 2 / 3 + 1) blocks of 2 frames on either side, rounded up, and 2 more.
    assert SMALL.synthesis_context_frames == 6
    assert TINY.analysis_context_frames == 8


@pytest.mark.parametrize("name", CONFIGS)
def test_config_through_json_returns_the_same(name):
    values = json.loads(json.dumps(CONFIGS[name].to_json()))
    assert ModelConfig.from_json(values) == CONFIGS[name]


def test_config_with_unknown_field_raises_weights_error():
    with pytest.raises(WeightsError, match="colour"):
        ModelConfig.from_json({**TINY.to_json(), "colour": "blue"})


@pytest.mark.parametrize("field", ["name", "analysis_widths", "synthesis_blocks"])
def test_config_without_a_field_raises_weights_error(field):
    values = TINY.to_json()
    del values[field]
    with pytest.raises(WeightsError, match=field):
        ModelConfig.from_json(values)


def test_base_analysis_has_at_most_five_and_a_half_million_parameters():
    with torch.device("meta"):
        n_analysis = n_parameters(Analysis(CONFIGS["base"]))
    assert 1e6 < n_analysis <= 5.5e6


@pytest.mark.parametrize(("transform", "millions"), [(Analysis, 5), (Synthesis, 95)])
def test_hertz_has_the_documented_number_of_parameters(transform, millions):
    with torch.device("meta"):
        n_found = n_parameters(transform(CONFIGS["hertz"]))
    assert n_found == pytest.approx(millions * 1e6, rel=0.1)


# --- hop arithmetic -------------------------------------------------------------------------


@pytest.mark.parametrize("n_frames", [1, 2, 3, 11])
@torch.inference_mode()
def test_transforms_of_whole_hops_give_one_frame_per_hop(analysis, synthesis, config, n_frames):
    y = analysis(torch.randn(3, n_frames * config.hop_length))
    assert y.shape == (3, config.n_latent, n_frames)
    x_hat = synthesis(y)
    assert x_hat.shape == (3, n_frames * config.hop_length)
    assert y.dtype == x_hat.dtype == torch.float32
    assert y.isfinite().all()
    assert x_hat.isfinite().all()


@torch.inference_mode()
def test_transforms_of_a_batch_equal_those_of_its_rows(analysis, synthesis, config):
    x = torch.randn(3, 4 * config.hop_length)
    y = analysis(x)
    x_hat = synthesis(y)
    for row in range(3):
        assert torch.allclose(analysis(x[row : row + 1])[0], y[row], atol=1e-5)
        assert torch.allclose(synthesis(y[row : row + 1])[0], x_hat[row], atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, 1e4])
@torch.inference_mode()
def test_analysis_of_constant_input_is_finite(analysis, config, value):
    assert analysis(torch.full((1, 3 * config.hop_length), value)).isfinite().all()


@torch.inference_mode()
def test_analysis_does_not_hear_what_lies_far_under_a_tone(analysis, config):
    """Else the empty bands that a noise gate leaves are unlike any recording."""
    n = 6 * config.hop_length
    tone = 0.3 * torch.sin(torch.arange(n) * 2.0 * torch.pi * 8 / config.n_fft)[None]
    noise = torch.randn(1, n)
    empty = analysis(tone)

    def change(level_db: float) -> float:
        return (analysis(tone + 10.0 ** (level_db / 20.0) * noise) - empty).abs().max().item()

    assert change(-120.0) < 0.05 * change(-40.0)
    silence = torch.zeros(1, n)
    faint = analysis(silence + 1e-4 * noise) - analysis(silence)
    assert faint.abs().max() > change(-80.0)


@torch.inference_mode()
def test_synthesis_of_huge_latents_is_finite(synthesis, config):
    assert synthesis(1e6 * torch.randn(1, config.n_latent, 4)).isfinite().all()


@torch.inference_mode()
def test_synthesis_with_an_exploding_head_is_bounded(synthesis, config):
    synthesis.head.bias.fill_(500.0)
    x_hat = synthesis(torch.randn(1, config.n_latent, 4))
    assert x_hat.isfinite().all()
    assert x_hat.abs().max() < 2 * torch.e**MAX_LOG_MAGNITUDE


@pytest.mark.parametrize("stride", [2, 3])
def test_upsample_and_downsample_of_frames_are_local(stride):
    torch.manual_seed(3)
    down, up = Downsample(4, 6, stride), Upsample(6, 4, stride)
    x = torch.randn(1, 5 * stride, 4)
    other = x.clone()
    other[:, 2 * stride] += 1.0
    changed = (down(other) != down(x)).any(dim=-1)[0]
    assert changed.tolist() == [False, False, True, False, False]
    changed = (up(down(other)) != up(down(x))).any(dim=-1)[0]
    assert changed.tolist() == [2 * stride <= t < 3 * stride for t in range(5 * stride)]


def test_block_at_the_start_is_close_to_the_identity():
    torch.manual_seed(4)
    block = ConvNeXtBlock(8, 7, 3)
    x = torch.randn(2, 20, 8)
    assert block(x).shape == x.shape
    assert 0.0 < (block(x) - x).abs().max() < 0.3


# --- noise ----------------------------------------------------------------------------------


@torch.inference_mode()
def test_noise_of_a_fresh_network_is_faint_and_white(config):
    synthesis = Synthesis(config)
    nn.init.zeros_(synthesis.head.weight)
    nn.init.constant_(synthesis.head.bias, -100.0)
    x_hat = synthesis(torch.randn(1, config.n_latent, 40))
    assert 20.0 * math.log10(x_hat.square().mean().sqrt()) == pytest.approx(-69.5, abs=0.5)


@torch.inference_mode()
def test_noise_has_the_gain_that_its_head_gives_every_bin(config):
    synthesis = Synthesis(config)
    nn.init.zeros_(synthesis.head.weight)
    nn.init.constant_(synthesis.head.bias, -100.0)
    half = config.n_bins // 2
    synthesis.noise_head.bias[:half] = -20.0
    synthesis.noise_head.bias[half:] = -2.0
    x_hat = synthesis(torch.randn(1, config.n_latent, 40))
    power = torch.fft.rfft(x_hat)[0].abs().square()
    low, high = power[: len(power) // 2 - 200].sum(), power[len(power) // 2 :].sum()
    assert low < 1e-3 * high
    assert x_hat.square().mean().sqrt() == pytest.approx(math.exp(-2.0) / 2**0.5, rel=0.1)


@torch.inference_mode()
def test_synthesis_of_another_draw_differs_in_its_noise_only(synthesis, config):
    y = torch.randn(1, config.n_latent, 6)
    first = synthesis(y)
    both = synthesis(y, 2)
    assert torch.equal(both[:1], first)
    assert not torch.allclose(both[1:], first, atol=1e-3)
    nn.init.constant_(synthesis.noise_head.bias, -100.0)
    both = synthesis(y, 2)
    assert torch.allclose(both[1:], both[:1], atol=1e-6)


def test_noise_is_white_and_of_unit_variance():
    torch.manual_seed(9)
    # Whole numbers of steps, as a decoder gets them.
    y = 0.37 * torch.randint(-2, 3, (1, 32, 4_000)).float()
    drawn = white_noise(y, 128)[0].reshape(4_000, 128)
    assert abs(drawn.mean().item()) < 0.01
    assert drawn.var().item() == pytest.approx(1.0, abs=0.01)
    assert drawn.abs().max() <= 3.0**0.5
    within = torch.corrcoef(drawn.T) - torch.eye(128)
    # Of 8128 correlations of 4000 independent pairs the largest is about four over √4000.
    assert within.abs().max() < 6.0 / 4_000**0.5
    assert abs((drawn[1:] * drawn[:-1]).mean().item()) < 0.01


def test_noise_follows_from_the_frame_alone():
    torch.manual_seed(10)
    y = torch.randn(2, 32, 9)
    whole = white_noise(y, 50)
    assert torch.equal(white_noise(y[1:, :, 4:7], 50)[0], whole[1, 200:350])
    assert not torch.equal(whole[0], whole[1])


def test_noise_changes_wholly_with_the_least_change_of_one_value():
    torch.manual_seed(11)
    y = torch.randn(1, 32, 5)
    other = y.clone()
    other[0, 17, 2] = torch.nextafter(y[0, 17, 2], torch.tensor(torch.inf))
    before, after = (white_noise(values, 500).reshape(5, 500) for values in (y, other))
    assert (before != after).any(dim=1).tolist() == [False, False, True, False, False]
    assert abs((before[2] * after[2]).mean().item()) < 0.2


def test_noise_of_another_draw_is_another():
    torch.manual_seed(12)
    y = torch.randn(1, 32, 400)
    first, second = white_noise(y, 50), white_noise(y, 50, 1)
    assert abs((first * second).mean().item()) < 0.03
    assert second.var().item() == pytest.approx(1.0, abs=0.02)


def test_noise_of_zero_has_no_sign_and_values_have_places():
    assert torch.equal(white_noise(torch.zeros(1, 3, 1), 4), white_noise(-torch.zeros(1, 3, 1), 4))
    one, two = torch.tensor([[[1.0], [2.0]]]), torch.tensor([[[2.0], [1.0]]])
    assert not torch.equal(white_noise(one, 4), white_noise(two, 4))


def test_noise_of_a_known_latent_is_the_same_on_every_machine():
    drawn = white_noise(torch.tensor([[[0.5], [-1.25]]]), 4)
    # Worked out with Python's integers, which know no overflow.
    assert drawn[0].tolist() == pytest.approx(
        [-0.0952347, -1.6571885, -1.5476203, 0.1907428], abs=1e-6
    )


# --- receptive fields -----------------------------------------------------------------------


def test_analysis_input_beyond_its_context_changes_nothing(analysis, config):
    """Exact: the same operations at the same places, whatever stands far away."""
    context, hop = config.analysis_context_frames, config.hop_length
    centre, n_frames = context + 1, 2 * context + 3
    x = 0.1 * torch.randn(1, n_frames * hop)
    with torch.inference_mode():
        before = analysis(x)[0, :, centre]
        far = x.clone()
        far[:, : (centre - context) * hop] = torch.randn((centre - context) * hop)
        far[:, (centre + context + 1) * hop :] = torch.randn(hop)
        assert torch.equal(analysis(far)[0, :, centre], before)
        for frame in (centre - 1, centre, centre + 1):
            near = x.clone()
            near[:, frame * hop : (frame + 1) * hop] *= -3.0
            near[:, frame * hop] += 1.0
            assert not torch.allclose(analysis(near)[0, :, centre], before, atol=1e-4)


def test_synthesis_input_beyond_its_context_changes_nothing(synthesis, config):
    context, hop = config.synthesis_context_frames, config.hop_length
    centre, n_frames = context + 1, 2 * context + 3
    y = torch.randn(1, config.n_latent, n_frames)
    samples = slice(centre * hop, (centre + 1) * hop)
    with torch.inference_mode():
        before = synthesis(y)[0, samples]
        far = y.clone()
        far[:, :, : centre - context] = 5.0 * torch.randn(centre - context)
        far[:, :, centre + context + 1 :] = 5.0 * torch.randn(1)
        assert torch.equal(synthesis(far)[0, samples], before)
        for frame in (centre - 1, centre, centre + 1):
            near = y.clone()
            near[:, :, frame] += torch.randn(config.n_latent)
            assert not torch.allclose(synthesis(near)[0, samples], before, atol=1e-5)


def reach_frames(gradient: torch.Tensor, centre: int) -> tuple[int, int]:
    """How many frames left and right of `centre` have a gradient, from [frame] magnitudes."""
    touched = torch.nonzero(gradient).reshape(-1)
    return centre - int(touched[0]), int(touched[-1]) - centre


def test_analysis_reach_by_gradient_is_within_two_frames_of_its_context(analysis, config):
    context, hop = config.analysis_context_frames, config.hop_length
    centre = context + 3
    x = torch.randn(1, (2 * centre + 1) * hop, requires_grad=True)
    analysis(x)[0, :, centre].square().sum().backward()
    left, right = reach_frames(x.grad.reshape(-1, hop).abs().sum(dim=1), centre)
    assert context - 2 <= max(left, right) <= context


def test_synthesis_reach_by_gradient_is_within_two_frames_of_its_context(synthesis, config):
    context, hop = config.synthesis_context_frames, config.hop_length
    centre = context + 3
    y = torch.randn(1, config.n_latent, 2 * centre + 1, requires_grad=True)
    synthesis(y)[0, centre * hop : (centre + 1) * hop].square().sum().backward()
    left, right = reach_frames(y.grad[0].abs().sum(dim=0), centre)
    assert context - 2 <= max(left, right) <= context


# --- spectrum -------------------------------------------------------------------------------

SPECTRUM_SIZES = [(1_000, 250), (96, 32), (64, 16), (10, 3), (16, 8)]


@pytest.mark.parametrize(("n_fft", "hop"), SPECTRUM_SIZES)
@pytest.mark.parametrize("n_frames", [1, 2, 3, 8])
def test_spectrum_inverse_of_forward_is_the_identity(n_fft, hop, n_frames):
    torch.manual_seed(5)
    spectrum = Spectrum(n_fft, hop)
    x = torch.randn(2, n_frames * hop)
    bins = spectrum(x)
    assert bins.shape == (2, n_frames, n_fft // 2 + 1)
    assert torch.allclose(spectrum.inverse(bins), x, atol=1e-4)


def test_spectrum_frame_is_the_windowed_transform_around_its_hop():
    torch.manual_seed(6)
    spectrum = Spectrum(1_000, 250)
    x = torch.randn(1, 20 * 250)
    start = 7 * 250 - 375
    window = 0.5 - 0.5 * torch.cos(2 * torch.pi * torch.arange(1_000) / 1_000)
    expected = torch.fft.rfft(x[0, start : start + 1_000] * window)
    assert torch.allclose(spectrum(x)[0, 7], expected, atol=1e-3)


def test_spectrum_of_a_sine_peaks_at_its_bin():
    spectrum = Spectrum(1_000, 250)
    x = torch.sin(2 * torch.pi * 40 / 1_000 * torch.arange(5_000.0))[None]
    magnitude = spectrum(x)[0, 10].abs()
    assert int(magnitude.argmax()) == 40
    assert float(magnitude.max()) == pytest.approx(250.0, rel=1e-3)
