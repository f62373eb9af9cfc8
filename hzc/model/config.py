"""The sizes of the networks, in one place, and the arithmetic that follows from them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from math import ceil, prod

from hzc.errors import WeightsError


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of one model.

    The analysis transform works on a spectrogram of `stft_hop` and divides its frame rate by each
    of `strides`; the synthesis transform runs the same ladder upwards. Widths and block counts are
    listed from the spectrogram's rate down to the latent's rate, for both transforms.
    """

    name: str
    analysis_widths: tuple[int, ...]
    analysis_blocks: tuple[int, ...]
    synthesis_widths: tuple[int, ...]
    synthesis_blocks: tuple[int, ...]
    strides: tuple[int, ...] = (2, 2, 2)
    n_latent: int = 32
    sample_rate_hz: int = 16_000
    n_fft: int = 1_000
    stft_hop: int = 250
    kernel_frames: int = 7
    expansion: int = 3

    @property
    def hop_length(self) -> int:
        """Samples per latent frame (2000 for all shipped models, i.e. 8 frames a second)."""
        return self.stft_hop * prod(self.strides)

    @property
    def n_bins(self) -> int:
        """Bins of one spectrum."""
        return self.n_fft // 2 + 1

    def _reach_frames(self, blocks: tuple[int, ...]) -> float:
        """Reach, in latent frames, of `blocks` depthwise convolutions at each rate."""
        reach, rate = 0.0, prod(self.strides)
        for n_blocks, stride in zip(blocks, (*self.strides, 1), strict=True):
            reach += n_blocks * (self.kernel_frames // 2) / rate
            rate //= stride
        return reach

    @property
    def analysis_context_frames(self) -> int:
        """Latent frames on either side that one latent frame can depend on, rounded up.

        The half window of the spectrogram and the strided convolutions' own width add at most one
        frame each.
        """
        return ceil(self._reach_frames(self.analysis_blocks)) + 2

    @property
    def synthesis_context_frames(self) -> int:
        """Latent frames on either side that one frame of samples can depend on, rounded up."""
        return ceil(self._reach_frames(self.synthesis_blocks)) + 2

    def to_json(self) -> dict[str, object]:
        """Return the fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, object]) -> ModelConfig:
        """Return the config that `to_json` described.

        Raises:
            WeightsError: a field is missing or unknown.
        """
        known = {f.name for f in fields(cls)}
        if unknown := set(values) - known:
            raise WeightsError(f"model config has unknown fields {sorted(unknown)}")
        try:
            return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})  # type: ignore[arg-type]
        except TypeError as error:
            raise WeightsError(f"model config is incomplete ({error})") from error


CONFIGS: dict[str, ModelConfig] = {
    config.name: config
    for config in (
        ModelConfig(
            name="tiny",
            analysis_widths=(16, 16, 24, 24),
            analysis_blocks=(1, 1, 1, 1),
            synthesis_widths=(24, 24, 24, 24),
            synthesis_blocks=(1, 1, 1, 1),
        ),
        ModelConfig(
            name="base",
            analysis_widths=(192, 256, 256, 320),
            analysis_blocks=(2, 2, 2, 3),
            synthesis_widths=(256, 256, 256, 320),
            synthesis_blocks=(6, 2, 2, 3),
        ),
        ModelConfig(
            name="hertz",
            analysis_widths=(192, 256, 288, 352),
            analysis_blocks=(2, 2, 2, 3),
            synthesis_widths=(768, 832, 960, 1024),
            synthesis_blocks=(8, 4, 4, 4),
        ),
    )
}
"""`tiny` for tests, `base` trained on a CPU, `hertz` with 5 M + 95 M parameters."""
