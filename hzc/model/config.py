"""The sizes of the networks, in one place, and the arithmetic that follows from them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from math import ceil, prod

from hzc.container import FRAME_RATE_HZ
from hzc.errors import WeightsError

KIND = "convnext-istft"
MAX_SIZE = 65_536
"""No size of a model is greater."""
MAX_PARAMETERS = 2**29
"""Bound on `ModelConfig.n_parameters_at_most`: two gigabytes."""


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
    kind: str = KIND
    """Architecture; the only one there is."""
    sees_step_index: bool = False
    """Whether the synthesis network sees how coarse the steps are."""

    def __post_init__(self) -> None:
        """Refuse sizes that no network can have.

        Raises:
            WeightsError: a size is of the wrong type or impossible.
        """
        for field in fields(self):
            value, default = getattr(self, field.name), field.default
            is_list = field.name.endswith(("_widths", "_blocks")) or field.name == "strides"
            if isinstance(default, bool | str) or field.name == "name":
                is_right = type(value) is (bool if isinstance(default, bool) else str)
            else:
                numbers = value if isinstance(value, tuple) else (value,)
                is_right = is_list == isinstance(value, tuple) and all(
                    type(n) is int and 1 <= n <= MAX_SIZE for n in numbers
                )
            if not is_right:
                raise WeightsError(f"the model's {field.name} is {value!r}")
        widths_and_blocks = (
            self.analysis_widths, self.analysis_blocks,
            self.synthesis_widths, self.synthesis_blocks,
        )  # fmt: skip
        if {len(ladder) for ladder in widths_and_blocks} != {len(self.strides) + 1}:
            raise WeightsError("the model's widths and blocks are not one more than its strides")
        if self.kind != KIND:
            raise WeightsError(f"the model's kind is {self.kind!r}", hint="update hzc")
        if self.n_parameters_at_most > MAX_PARAMETERS:
            raise WeightsError(f"the model has more than {MAX_PARAMETERS} parameters")
        if self.kernel_frames % 2 == 0 or self.n_fft % self.stft_hop:
            raise WeightsError("the model's kernel is even, or its hop does not divide its window")
        if self.hop_length * FRAME_RATE_HZ != self.sample_rate_hz:
            raise WeightsError(
                f"a frame of the model has {self.hop_length} samples "
                f"(expected {FRAME_RATE_HZ} frames a second)"
            )

    @property
    def hop_length(self) -> int:
        """Samples per latent frame (2000 for all shipped models, i.e. 8 frames a second)."""
        return self.stft_hop * prod(self.strides)

    @property
    def n_bins(self) -> int:
        """Bins of one spectrum."""
        return self.n_fft // 2 + 1

    @property
    def n_parameters_at_most(self) -> int:
        """Weights that both networks would have with every layer as wide as the widest."""
        width = max(self.analysis_widths + self.synthesis_widths)
        n_blocks = sum(self.analysis_blocks + self.synthesis_blocks)
        square = 2 * self.expansion * n_blocks + 2 * sum(self.strides)
        return width * (
            width * square + self.kernel_frames * n_blocks + 4 * self.n_bins + 2 * self.n_latent
        )

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
        if not isinstance(values, dict):
            raise WeightsError(f"model config is {values!r}")
        known = {f.name for f in fields(cls)}
        if unknown := set(values) - known:
            raise WeightsError(f"model config has unknown fields {sorted(unknown)}")
        try:
            return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})  # type: ignore[arg-type]
        except TypeError as error:
            raise WeightsError(f"model config is incomplete ({error})") from error
