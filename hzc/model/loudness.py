"""Difference in loudness between two signals, as an ear would hear it: part of the distance.

Log-magnitudes weigh what is hardly heard like what is loud. Here powers of critical bands become
loudness first, below a threshold there is none, and small differences in it are masked.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

WINDOW = 512
HOP = 256
N_BANDS = 49
LOWEST_HZ = 60.0
SPEECH_HZ = (325.0, 3250.0)
"""Band whose level tells how loud a recording is played."""
LISTENING_DB = 73.0
"""Level of that band at the ear, dB SPL, summed over the bins of a frame."""
LOUDEST_THRESHOLD_DB = 70.0
MASKED_SHARE = 0.25
"""Differences up to this share of the softer of two loudnesses are not heard."""


def bark(hz: Tensor) -> Tensor:
    """Return critical-band rates. Source: Traunmüller 1990, equation 6."""
    return 26.81 * hz / (1960.0 + hz) - 0.53


class LoudnessDistance(nn.Module):
    """RMS over time of the audible difference in loudness.

    Source: ITU-T P.862 (PESQ), section 10.2: the symmetric disturbance, without time alignment,
    equalisation and asymmetry. Threshold in quiet: Terhardt 1979.
    """

    window: Tensor
    shares: Tensor
    threshold: Tensor
    exponent: Tensor
    is_speech: Tensor

    def __init__(self, sample_rate_hz: int) -> None:
        """Prepare window and bands."""
        super().__init__()
        bins_hz = torch.linspace(0.0, sample_rate_hz / 2, WINDOW // 2 + 1)
        half_hz = sample_rate_hz / WINDOW / 2
        low, high = bark((bins_hz - half_hz).clamp(min=0.0)), bark(bins_hz + half_hz)
        first, last = bark(torch.tensor([LOWEST_HZ, sample_rate_hz / 2])).tolist()
        edges = torch.linspace(first, last, N_BANDS + 1)
        overlap = torch.minimum(high[:, None], edges[1:]) - torch.maximum(low[:, None], edges[:-1])
        centre = (edges[1:] + edges[:-1]) / 2
        khz = 1.96 * (centre + 0.53) / (26.28 - centre)
        quiet_db = 3.64 * khz**-0.8 - 6.5 * torch.exp(-0.6 * (khz - 3.3) ** 2) + 1e-3 * khz**4
        buffers = {
            "window": torch.hann_window(WINDOW),
            "shares": overlap.clamp(min=0.0) / (high - low)[:, None],
            "threshold": 10.0 ** (quiet_db.clamp(max=LOUDEST_THRESHOLD_DB) / 10.0),
            # Zwicker's power law, steeper at low frequencies.
            "exponent": 0.23 * (6.0 / (centre + 2.0)).clamp(1.0, 2.0) ** 0.15,
            "is_speech": (bins_hz > SPEECH_HZ[0]) & (bins_hz < SPEECH_HZ[1]),
        }
        for name, value in buffers.items():
            self.register_buffer(name, value, persistent=False)

    def target(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loudness of recordings, float32 [batch, sample], and their gain to the ear."""
        power = self._power(x)
        speech = power[:, :, self.is_speech].sum(2).mean(1)
        gain = 10.0 ** (LISTENING_DB / 10.0) / (speech + 1e-9)
        return self._loudness(power, gain), gain

    def compare(self, target: tuple[Tensor, Tensor], x_hat: Tensor) -> Tensor:
        """Return the distance of a reconstruction like x from what `target` returned."""
        goal, gain = target
        found = self._loudness(self._power(x_hat), gain)
        masked = MASKED_SHARE * torch.minimum(goal, found)
        heard = ((found - goal).abs() - masked).clamp(min=0.0)
        return (heard.square().mean((1, 2)) + 1e-6).sqrt().mean()

    def _power(self, x: Tensor) -> Tensor:
        spectrum = torch.stft(x, WINDOW, HOP, window=self.window, return_complex=True)
        return (spectrum.real.square() + spectrum.imag.square()).transpose(1, 2)

    def _loudness(self, power: Tensor, gain: Tensor) -> Tensor:
        """Loudness per critical band, [batch, time, band]. Source: Zwicker, Fastl, equation 8.7."""
        heard = (power * gain[:, None, None]) @ self.shares / self.threshold
        scale = (self.threshold / 0.5) ** self.exponent
        return scale * ((0.5 + 0.5 * heard) ** self.exponent - 1.0)
