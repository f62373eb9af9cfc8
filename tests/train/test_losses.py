"""The terms of the loss: distances, bits, discriminators."""

from __future__ import annotations

import math

import pytest
import torch

from hzc.train import prior_tables
from hzc.train.adversary import (
    Adversary,
    adversarial_loss,
    discriminator_loss,
    feature_loss,
)
from hzc.train.config import AdversaryConfig, DistortionConfig
from hzc.train.losses import SpectralDistance
from hzc.train.prior_network import gaussian_kl_bits

RATE_HZ = 16_000
WINDOWS = [256, 512]


def distance(**changes) -> SpectralDistance:
    return SpectralDistance(DistortionConfig(windows=(256, 512), **changes), RATE_HZ)


def noise(seed: int = 0, n: int = 4_000) -> torch.Tensor:
    return 0.1 * torch.randn(2, n, generator=torch.Generator().manual_seed(seed))


def sine(frequency_hz: float, n: int = 16_000) -> torch.Tensor:
    return 0.3 * torch.sin(2 * torch.pi * frequency_hz * torch.arange(n) / RATE_HZ)[None]


# --- distances ------------------------------------------------------------------------------


def test_distance_is_zero_for_equal_signals_and_grows_with_the_difference():
    x = noise()
    found = [distance()(x, (x + a * noise(1),), WINDOWS)[0].item() for a in (0.0, 0.1, 1.0)]
    assert found[0] == 0.0
    assert 0.0 < found[1] < found[2]


def test_complex_term_hears_phase_below_its_limit_and_nothing_above():
    plain, with_phase = distance(), distance(complex_weight=1.0, complex_hz=2_000.0)

    def term(x: torch.Tensor, x_hat: torch.Tensor) -> float:
        found = (d(x, (x_hat,), WINDOWS)[0].item() for d in (with_phase, plain))
        return next(found) - next(found)

    assert term(sine(500), sine(500)) == pytest.approx(0.0, abs=0.01)
    assert plain(sine(500), (-sine(500),), WINDOWS)[0].item() == pytest.approx(0.0, abs=1e-6)
    assert term(sine(500), -sine(500)) > 1.0
    quiet = sine(500) + 0.01 * noise(2, 16_000)[:1]
    assert term(quiet + sine(6_000), quiet - sine(6_000)) < 0.1


def test_spread_is_half_the_distance_of_two_draws_from_a_frequency_on():
    x, one, two = (noise(seed) for seed in range(3))
    everywhere = distance(repulsion=1.0, repulsion_hz=0.0)
    to_x, spread = everywhere(x, (one, two), WINDOWS)
    parts = [everywhere(a, (b,), WINDOWS)[0].item() for a, b in ((x, one), (x, two), (one, two))]
    assert to_x.item() == pytest.approx((parts[0] + parts[1]) / 2, rel=1e-5)
    assert spread.item() == pytest.approx(parts[2] / 2, rel=1e-5)
    assert everywhere(x, (one, one), WINDOWS)[1].item() == 0.0
    assert everywhere(x, (one,), WINDOWS)[1].item() == 0.0

    high = distance(repulsion=1.0, repulsion_hz=4_000.0)
    base = 0.1 * noise(3, 16_000)[:1]
    of_low, of_high = (
        high(base, (base, base + sine(hz)), [512])[1].item() for hz in (1_000, 6_000)
    )
    assert of_low < 0.2 * of_high


def test_bits_are_the_kl_divergence_of_torch():
    y, mean, scale_index = 5.0 * torch.rand(3, 100).double()
    scale = prior_tables.SMALLEST_SCALE * 2.0 ** (scale_index / prior_tables.SCALES_PER_OCTAVE)
    wanted = torch.distributions.kl_divergence(
        torch.distributions.Normal(y, 12.0**-0.5), torch.distributions.Normal(mean, scale)
    )
    found = gaussian_kl_bits(y, mean, scale_index)
    assert found.tolist() == pytest.approx((wanted / math.log(2)).tolist())


# --- discriminators -------------------------------------------------------------------------


@pytest.fixture
def judges(adversary) -> Adversary:
    torch.manual_seed(0)
    return Adversary(AdversaryConfig(**adversary))


def test_adversary_looks_through_the_windows_asked_for_and_all_periods(judges):
    x = noise()
    assert [len(judges(x, windows)) for windows in ([], [128], [128, 256])] == [2, 3, 4]
    assert all(stack[-1].shape[:2] == (2, 1) for stack in judges(x, [256]))
    for one, two in zip(judges(x, [128, 256]), judges(-x, [128, 256]), strict=True):
        assert not torch.allclose(one[-1], two[-1], atol=1e-6)  # no judge of magnitudes alone


@pytest.mark.parametrize("amplitude", [0.0, 1.0])
def test_adversary_has_a_finite_gradient_everywhere(judges, amplitude):
    x = (amplitude * noise(n=4_802)).requires_grad_()
    adversarial_loss(judges(x, [128, 256])).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in judges.parameters())
    assert x.grad.isfinite().all()
    if amplitude:
        assert (x.grad[0, 200:-200] != 0).float().mean() > 0.99


def test_losses_of_the_adversary_are_hinge_verdict_and_relative_features():
    def verdicts(*values: float) -> list[list[torch.Tensor]]:
        return [[torch.full((1, 4), 2.0 * v), torch.full((1, 1), v)] for v in values]

    assert discriminator_loss(verdicts(1.0), verdicts(-1.0)).item() == 0.0
    assert discriminator_loss(verdicts(2.0, 0.5), verdicts(-3.0, 1.0)).item() == pytest.approx(1.25)
    assert adversarial_loss(verdicts(0.5, 1.5)).item() == pytest.approx(-1.0)
    assert feature_loss(verdicts(3.0), verdicts(3.0)).item() == 0.0
    for size in (3.0, 300.0):
        found = feature_loss(verdicts(size), verdicts(size / 2)).item()
        assert found == pytest.approx(0.5, rel=1e-3)
