"""Discriminators: they judge recordings and reconstructions, and so teach the synthesis transform.

One looks at complex spectra of one window length, one at samples a period apart. A CPU can afford
one of the first kind per step; a GPU takes all of both.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from hzc.train.config import AdversaryConfig
from hzc.train.optimiser import Optimiser
from hzc.train.processes import average_gradients

LEAK = 0.1
COMPRESSION = 0.35
"""Spectra are divided by |X|^(2 · 0.35), so that weak partials are seen next to strong ones."""
IMAGE_SCALE = 10.0
"""Compressed spectra of speech have an RMS of about a tenth; the layers like inputs of one."""
POWER_FLOOR = 1e-6
"""Bins under −60 dB of full scale are not compressed any further."""


class Discriminator(nn.Module):
    """A stack of convolutions; all layers are compared, the last one is the score."""

    def __init__(self, layers: Iterable[nn.Module]) -> None:
        """Take the layers over; the last one must give one channel."""
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def image(self, x: Tensor) -> Tensor:
        """Return what the layers look at, float32 [batch, channel, height, width]."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the output of every layer for float32 [batch, sample], the score last."""
        h, features = self.image(x), []
        for layer in self.layers[:-1]:
            h = F.leaky_relu(layer(h), LEAK)
            features.append(h)
        return [*features, self.layers[-1](h)]


class SpectrumDiscriminator(Discriminator):
    """Looks at the real and imaginary parts of a spectrum, [batch, 2, time, bin].

    Source: Défossez et al. 2022 (EnCodec), section 3.4, with smaller kernels and strides from the
    first layer on.
    """

    window: Tensor

    def __init__(self, size: int, width: int) -> None:
        """Look at windows of `size` samples through `width` channels, then twice as many."""
        super().__init__([
            _conv2d(2, width, (3, 9), stride=(1, 2)),
            _conv2d(width, width, (3, 9), stride=(1, 2)),
            _conv2d(width, 2 * width, (3, 9), stride=(1, 2), dilation=(2, 1)),
            _conv2d(2 * width, 2 * width, (3, 9), stride=(1, 2), dilation=(4, 1)),
            _conv2d(2 * width, 2 * width, (3, 3)),
            _conv2d(2 * width, 1, (3, 3)),
        ])  # fmt: skip
        self.register_buffer("window", torch.hann_window(size), persistent=False)

    def image(self, x: Tensor) -> Tensor:
        """Return the compressed spectrum."""
        size = len(self.window)
        spectrum = torch.stft(x, size, size // 4, window=self.window, return_complex=True)
        spectrum = spectrum * (2.0 / self.window.sum())
        power = spectrum.real.square() + spectrum.imag.square()
        factor = IMAGE_SCALE * (power + POWER_FLOOR).pow(-COMPRESSION)
        return (torch.view_as_real(spectrum) * factor[..., None]).permute(0, 3, 2, 1)


class PeriodDiscriminator(Discriminator):
    """Looks at samples a period apart, [batch, 1, sample / period, period].

    Source: Kong et al. 2020 (HiFi-GAN), section 2.3, with a quarter of its channels.
    """

    def __init__(self, period: int) -> None:
        """Look at samples that are `period` apart."""
        widths = (1, 8, 32, 128, 256)
        layers = [_conv2d(a, b, (5, 1), stride=(3, 1)) for a, b in pairwise(widths)]
        super().__init__([*layers, _conv2d(256, 256, (5, 1)), _conv2d(256, 1, (3, 1))])
        self.period = period

    def image(self, x: Tensor) -> Tensor:
        """Return the samples folded, the last incomplete period left out."""
        n_whole = x.shape[1] // self.period
        return IMAGE_SCALE * x[:, : n_whole * self.period].reshape(len(x), 1, -1, self.period)


def _conv2d(
    n_in: int,
    n_out: int,
    kernel: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
) -> nn.Module:
    padding = (kernel[0] // 2 * dilation[0], kernel[1] // 2 * dilation[1])
    layer = nn.Conv2d(n_in, n_out, kernel, stride, padding, dilation)
    # The default start halves the signal in every layer: the score stayed near zero.
    nn.init.kaiming_normal_(layer.weight, LEAK)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    weight_norm(layer)
    return layer


class Adversary(nn.Module):
    """All discriminators of a run."""

    def __init__(self, config: AdversaryConfig) -> None:
        """Build what the configuration lists; an empty list means no adversary."""
        super().__init__()
        self.spectra = nn.ModuleDict(
            {str(size): SpectrumDiscriminator(size, config.n_channels) for size in config.windows}
        )
        self.periods = nn.ModuleList(PeriodDiscriminator(period) for period in config.periods)

    def forward(self, x: Tensor, windows: list[int]) -> list[list[Tensor]]:
        """Return the features of the discriminators of some windows and of all periods, float32."""
        chosen = [self.spectra[str(size)] for size in windows]
        stacks = [discriminator(x) for discriminator in [*chosen, *self.periods]]
        return [[feature.float() for feature in stack] for stack in stacks]


class Opponent:
    """The discriminators with their optimiser."""

    def __init__(self, config: AdversaryConfig, device: str) -> None:
        """Build fresh discriminators."""
        self.config = config
        self.networks = Adversary(config).to(device)
        self.optimiser = Optimiser(self.networks, config.optimiser)

    def learn(self, real: Tensor, fake: Tensor, windows: list[int], factor: float) -> float:
        """Take one step at the learning rate times `factor`; return the loss before it.

        Args:
            real: Recordings, float32 [batch, sample].
            fake: Reconstructions, detached, like `real`.
            windows: Which discriminators of spectra.
            factor: Of the schedule.
        """
        self.networks.requires_grad_(True)
        loss = discriminator_loss(self.networks(real, windows), self.networks(fake, windows))
        loss.backward()  # type: ignore[no-untyped-call]
        average_gradients(self.networks.parameters())
        nn.utils.clip_grad_norm_(self.networks.parameters(), self.config.optimiser.clip_norm)
        self.optimiser.step(factor)
        return float(loss.item())

    def judge(self, real: Tensor, fake: Tensor, windows: list[int]) -> tuple[Tensor, Tensor]:
        """Return the adversarial and the feature loss of reconstructions."""
        self.networks.requires_grad_(False)
        with torch.no_grad():
            of_real = self.networks(real, windows)
        of_fake = self.networks(fake, windows)
        return adversarial_loss(of_fake), feature_loss(of_real, of_fake)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"networks": self.networks.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take a state over."""
        self.networks.load_state_dict(state["networks"])
        self.optimiser.load_state_dict(state["optimiser"])


def discriminator_loss(real: list[list[Tensor]], fake: list[list[Tensor]]) -> Tensor:
    """Return the hinge loss of the scores, mean over the discriminators."""
    losses = [
        F.relu(1.0 - r[-1]).mean() + F.relu(1.0 + f[-1]).mean()
        for r, f in zip(real, fake, strict=True)
    ]
    return torch.stack(losses).mean()


def adversarial_loss(fake: list[list[Tensor]]) -> Tensor:
    """Return the loss of the synthesis transform: minus the score of its output."""
    return torch.stack([-f[-1].mean() for f in fake]).mean()


def feature_loss(real: list[list[Tensor]], fake: list[list[Tensor]]) -> Tensor:
    """Return the mean distance of the inner layers, relative to their size.

    Source: Défossez et al. 2022 (EnCodec), equation 2.
    """
    losses = [
        F.l1_loss(b, a) / (a.abs().mean() + 1e-3)
        for r, f in zip(real, fake, strict=True)
        for a, b in zip(r[:-1], f[:-1], strict=True)
    ]
    return torch.stack(losses).mean()
