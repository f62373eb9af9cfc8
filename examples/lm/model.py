"""A small language model of speech: hzc's frames in, the symbols of the next frame out.

A causal transformer runs over frames, 8 a second. Within a frame the 32 dimensions follow each
other: each sees what the transformer says and the symbols before it. There is no vocabulary: a
frame enters as 32 numbers, and a symbol leaves as a probability of every integer, from a mixture of
logistic distributions cut at halves.

Sources: Vaswani et al. 2017, "Attention Is All You Need"; Su et al. 2021, "RoFormer" (rotary
positions); Germain et al. 2015, "MADE" (masked dimensions); Salimans et al. 2017, "PixelCNN++"
(discretised logistic mixtures).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Config:
    """Sizes of the model."""

    n_latent: int = 32
    width: int = 192
    n_layers: int = 4
    n_heads: int = 4
    n_features: int = 48
    """For every dimension of a frame."""
    n_mixtures: int = 3
    scale: float = 4.0
    """Symbols are divided by this: their usual size."""


class Block(nn.Module):
    """Attention to earlier frames, then a network for each frame."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.n_heads, width = config.n_heads, config.width
        self.norm1, self.norm2 = nn.RMSNorm(width), nn.RMSNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, frame, width) of the same."""
        b, t, w = x.shape
        qkv = self.qkv(self.norm1(x)).view(b, t, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = qkv  # (batch, head, frame, width / head)
        y = F.scaled_dot_product_attention(rotated(q), rotated(k), v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(b, t, w))
        return x + self.mlp(self.norm2(x))


def rotated(x: Tensor) -> Tensor:
    """Turn pairs of values by angles that grow with the frame: products then see distances."""
    half = x.shape[-1] // 2
    speeds = 1000.0 ** (-torch.arange(half, device=x.device) / half)
    angle = torch.arange(x.shape[-2], device=x.device)[:, None] * speeds
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], -1)


class SpeechModel(nn.Module):
    """Probabilities of the symbols of every frame, given those before."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        d, k, m = config.n_latent, config.n_features, config.n_mixtures
        self.start = nn.Parameter(torch.zeros(1, 1, d))
        self.embed = nn.Linear(d, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.norm = nn.RMSNorm(config.width)
        self.said = nn.Linear(config.width, d * k)
        self.earlier = nn.Parameter(torch.randn(d, d, k) / math.sqrt(d))
        self.register_buffer("mask", torch.ones(d, d, 1).triu(1), persistent=False)
        self.head = nn.Parameter(torch.randn(d, k, 3 * m) * 0.02)
        spread = torch.linspace(-1.0, 1.0, m).repeat(d, 1)
        bias = torch.cat([torch.zeros(d, m), spread, torch.full((d, m), -1.0)], -1)
        self.bias = nn.Parameter(bias)  # weights, means and log-widths

    def hidden(self, x: Tensor) -> Tensor:
        """Return what is known before each frame, and before the one after the last."""
        x = torch.cat([self.start.expand(len(x), -1, -1), x], dim=1)
        h = self.embed(x)
        for block in self.blocks:
            h = block(h)
        return self.said(self.norm(h)).unflatten(-1, (self.config.n_latent, -1))

    def mixture(self, said: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return log-weights, means and log-widths; dimension d sees those of x before d."""
        earlier = torch.einsum("...e,edk->...dk", x, self.earlier * self.mask)
        out = torch.einsum("...dk,dkp->...dp", F.gelu(said + earlier), self.head) + self.bias
        weights, means, widths = out.chunk(3, dim=-1)
        return weights.log_softmax(-1), means, widths.clamp(-7.0, 3.0)

    def bits(self, symbols: Tensor) -> Tensor:
        """Return the cost of every frame, (batch, frame), for integers (batch, frame, d)."""
        scale = self.config.scale
        x = symbols / scale
        weights, means, widths = self.mixture(self.hidden(x)[:, :-1], x)
        centred, inverse = x[..., None] - means, torch.exp(-widths)
        high, low = (inverse * (centred + side / scale) for side in (0.5, -0.5))
        # The difference of two sigmoids, without loss where both are near 1.
        mass = torch.sigmoid(high) - torch.sigmoid(low)
        tail = -widths - math.log(scale) + F.logsigmoid(high) + F.logsigmoid(-low)
        log_mass = torch.where(mass > 1e-5, mass.clamp_min(1e-9).log(), tail)
        return -torch.logsumexp(weights + log_mass, -1).sum(-1) / math.log(2.0)

    @torch.inference_mode()
    def continued(self, symbols: Tensor, n_frames: int, temperature: float) -> Tensor:
        """Return integers (frame, d) with n_frames more."""
        for _ in range(n_frames):
            said = self.hidden(symbols[None] / self.config.scale)[0, -1]
            frame = torch.zeros(self.config.n_latent)
            for d in range(self.config.n_latent):
                weights, means, widths = (
                    p[d] for p in self.mixture(said, frame / self.config.scale)
                )
                chosen = torch.distributions.Categorical(logits=weights / temperature).sample()
                u = torch.rand(()).clamp(1e-5, 1.0 - 1e-5)
                drawn = means[chosen] + temperature * widths[chosen].exp() * torch.logit(u)
                frame[d] = (drawn * self.config.scale).round()
            symbols = torch.cat([symbols, frame[None]])
        return symbols
