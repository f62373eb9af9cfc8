"""Building blocks shared by the analysis and the synthesis transform; no codec knowledge.

All tensors between layers are float32 [batch, time, channel].
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hzc.model.dsp import GOLDEN


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution in time, then a pointwise two-layer network, as a residual.

    Source: Liu et al. 2022, "A ConvNet for the 2020s", section 2.6, in one dimension.
    """

    def __init__(self, width: int, kernel_frames: int, expansion: int) -> None:
        """Start close to the identity: the residual branch is scaled by 0.1."""
        super().__init__()
        self.depthwise = nn.Conv1d(
            width, width, kernel_frames, padding=kernel_frames // 2, groups=width
        )
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, expansion * width)
        self.project = nn.Linear(expansion * width, width)
        self.scale = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        """Return float [batch, time, width] for the same shape."""
        h = self.depthwise(x.transpose(1, 2)).transpose(1, 2)
        h = self.project(F.gelu(self.expand(self.norm(h))))
        out: Tensor = x + self.scale * h
        return out


class Downsample(nn.Module):
    """Joins `stride` neighbouring frames into one; needs no padding, so it adds no edge effect."""

    def __init__(self, width_in: int, width_out: int, stride: int) -> None:
        """Map `stride` frames of `width_in` to one of `width_out`."""
        super().__init__()
        self.stride = stride
        self.norm = nn.LayerNorm(width_in)
        self.project = nn.Linear(stride * width_in, width_out)

    def forward(self, x: Tensor) -> Tensor:
        """Return float [batch, time / stride, width_out]; time must be a multiple of stride."""
        batch, time, width = x.shape
        h = self.norm(x).reshape(batch, time // self.stride, self.stride * width)
        out: Tensor = self.project(h)
        return out


class Upsample(nn.Module):
    """Splits every frame into `stride`: a transposed convolution without overlap."""

    def __init__(self, width_in: int, width_out: int, stride: int) -> None:
        """Map one frame of `width_in` to `stride` of `width_out`."""
        super().__init__()
        self.stride = stride
        self.norm = nn.LayerNorm(width_in)
        self.project = nn.Linear(width_in, stride * width_out)

    def forward(self, x: Tensor) -> Tensor:
        """Return float [batch, time * stride, width_out]."""
        batch, time, _ = x.shape
        out: Tensor = self.project(self.norm(x))
        return out.reshape(batch, time * self.stride, -1)


def white_noise(y: Tensor, n_samples: int, draw: int = 0) -> Tensor:
    """Return what `hzc.model.dsp.white_noise` returns, and other draws of it for training.

    Args:
        y: Latent, float32 [batch, D, F].
        n_samples: How many for every frame.
        draw: Another number gives other noise.

    Returns:
        float32 [batch, F * n_samples] of mean 0 and variance 1, evenly spread.
    """
    bits = (y.detach().float() + 0.0).view(torch.int32).long()  # + 0.0 makes −0 and 0 one number
    dimension = torch.arange(1, y.shape[1] + 1, device=y.device)
    place = torch.arange(draw * n_samples, (draw + 1) * n_samples, device=y.device)
    seed = hashed(hashed(bits + GOLDEN * dimension[:, None]).sum(1))  # [batch, F]
    unsigned = hashed(seed[..., None] + GOLDEN * place).reshape(len(y), -1)
    return (unsigned.float() / 2.0**32 - 0.5) * math.sqrt(12.0)


def hashed(h: Tensor) -> Tensor:
    """Return the low 32 bits of int64 numbers, hashed: int64 0 … 2^32 − 1.

    Source: Wellons 2018, "Prospecting for hash functions", lowbias32.
    """
    h = h & 0xFFFFFFFF
    h = ((h ^ (h >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
    h = ((h ^ (h >> 15)) * 0x846CA68B) & 0xFFFFFFFF
    return h ^ (h >> 16)


class Spectrum(nn.Module):
    """Short-time Fourier transform whose frame t is centred on hop t, and its inverse.

    A signal of n hops has exactly n frames, so windows of whole hops line up with the grid of the
    whole signal.
    """

    window: Tensor

    def __init__(self, n_fft: int, hop: int) -> None:
        """Use a periodic Hann window of `n_fft` samples."""
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        self.margin = (n_fft - hop) // 2
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return complex [batch, time, bin] for float32 [batch, sample]; samples = time * hop."""
        padded = F.pad(x.float(), (self.margin, self.n_fft - self.hop - self.margin))
        frames = padded.unfold(-1, self.n_fft, self.hop)
        spectrum: Tensor = torch.fft.rfft(frames * self.window)
        return spectrum

    def inverse(self, spectrum: Tensor) -> Tensor:
        """Return float32 [batch, time * hop] for complex [batch, time, bin]; overlap-add."""
        frames = torch.fft.irfft(spectrum, n=self.n_fft) * self.window
        envelope = self.window.square().expand(1, frames.shape[1], -1)
        return self._overlap_add(frames) / self._overlap_add(envelope)

    def _overlap_add(self, frames: Tensor) -> Tensor:
        """Return [batch, time * hop] from [batch, time, n_fft], the margins cut off."""
        batch, time, _ = frames.shape
        total = time * self.hop + self.n_fft - self.hop
        folded = F.fold(
            frames.transpose(1, 2), (1, total), kernel_size=(1, self.n_fft), stride=(1, self.hop)
        )
        return folded.reshape(batch, total)[:, self.margin : self.margin + time * self.hop]
