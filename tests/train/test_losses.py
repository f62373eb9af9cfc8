"""The terms of the loss: distances, bits, discriminators."""

from __future__ import annotations

import math

import pytest
import torch

from hzc.model.distance import SpectralDistance
from hzc.train import prior_tables
from hzc.train.adversary import (
    Adversary,
    adversarial_loss,
    discriminator_loss,
    feature_loss,
)
from hzc.train.config import AdversaryConfig, DistortionConfig
from hzc.train.prior_network import gaussian_kl_bits

RATE_HZ = 16_000
WINDOWS = [256, 512]


def distance(**changes) -> SpectralDistance:
    return SpectralDistance(DistortionConfig(windows=(256, 512), **changes), RATE_HZ)


def noise(seed: int = 0, n: int = 4_000) -> torch.Tensor:
    return 0.1 * torch.randn(2, n, generator=torch.Generator().manual_seed(seed))


# --- distances ------------------------------------------------------------------------------


def test_distance_is_zero_for_equal_signals_and_grows_with_the_difference():
    x = noise()
    found = [distance()(x, (x + a * noise(1),), WINDOWS)[0].item() for a in (0.0, 0.1, 1.0)]
    assert found[0] == 0.0
    assert 0.0 < found[1] < found[2]


def test_spread_is_half_the_distance_of_two_draws():
    x, one, two = (noise(seed) for seed in range(3))
    everywhere = distance(repulsion=1.0, repulsion_hz=0.0)
    to_x, spread = everywhere(x, (one, two), WINDOWS)
    parts = [everywhere(a, (b,), WINDOWS)[0].item() for a, b in ((x, one), (x, two), (one, two))]
    assert to_x.item() == pytest.approx((parts[0] + parts[1]) / 2, rel=1e-5)
    assert spread.item() == pytest.approx(parts[2] / 2, rel=1e-5)


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
