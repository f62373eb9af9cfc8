"""The controller that holds the rate at its target by moving the weight of the rate term."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hzc.train.config import RateConfig


@dataclass
class RateController:
    """Integral control of λ in `loss = D + λ R`, in the logarithm of λ."""

    config: RateConfig
    log_lmbda: float
    smoothed_bits: float | None = None

    @classmethod
    def start(cls, config: RateConfig) -> RateController:
        """Return a controller at the configured first weight."""
        return cls(config, math.log(config.lmbda))

    @property
    def lmbda(self) -> float:
        """Distortion worth spending on one bit per frame."""
        return math.exp(self.log_lmbda)

    def update(self, bits_per_frame: float) -> None:
        """Raise λ when the rate is above its target, lower it when below."""
        previous = self.smoothed_bits
        self.smoothed_bits = (
            bits_per_frame if previous is None else 0.95 * previous + 0.05 * bits_per_frame
        )
        target = self.config.target_bits_per_frame
        error = max(-1.0, min(1.0, (self.smoothed_bits - target) / target))
        low, high = map(math.log, self.config.lmbda_range)
        self.log_lmbda = min(high, max(low, self.log_lmbda + self.config.gain * error))

    def state_dict(self) -> tuple[float, float | None]:
        """Return what moves."""
        return self.log_lmbda, self.smoothed_bits

    def load_state_dict(self, state: tuple[float, float | None]) -> None:
        """Take over what moves; the settings stay those of the configuration."""
        self.log_lmbda, self.smoothed_bits = state
