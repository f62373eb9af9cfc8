"""The training configuration: one TOML file per stage, checked before any work starts."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from hzc.errors import TrainingError

T = TypeVar("T")


@dataclass(frozen=True)
class DataConfig:
    """Where the audio is, and how crops are drawn from it."""

    folders: tuple[str, ...]
    """Folders searched recursively for audio, relative to the working directory."""
    weights: dict[str, float] = field(default_factory=dict)
    """Glob on the file name to a factor on its share of the crops; default 1."""
    cache: str | None = None
    """Where the decoded samples are kept between runs (a .npy file), or None."""
    crop_s: float = 2.0
    batch_size: int = 16
    level_db: tuple[float, float] = (-34.0, -18.0)
    """Range of the RMS level of a crop, dB below full scale."""
    pause_probability: float = 0.1
    """Share of crops in which a stretch is faded to digital silence."""
    equalise_db: float = 3.0
    """Largest tilt of the spectrum, in dB at the ends of the band."""


@dataclass(frozen=True)
class OptimiserConfig:
    """Step sizes and schedule: warm-up, constant, then linear decay to zero."""

    name: str = "adamw"
    lr: float = 2e-3
    warmup_steps: int = 200
    decay_steps: int = 2_000
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.99)
    clip_norm: float = 5.0
    ema_decay: float = 0.999


@dataclass(frozen=True)
class RateConfig:
    """The rate term: KL to the learned prior, held at a target by a controller on its weight."""

    target_bits_per_frame: float = 113.0
    """KL to aim at; the file costs about a quarter bit per live dimension more."""
    lmbda: float = 2e-4
    """Weight of one bit per frame at the start."""
    lmbda_range: tuple[float, float] = (1e-4, 1e-1)
    gain: float = 0.02
    """Relative change of the weight per step and per relative error of the rate."""


@dataclass(frozen=True)
class DistortionConfig:
    """The distortion term: spectra at several resolutions."""

    windows: tuple[int, ...] = (128, 256, 512, 1024, 2048)
    scales_per_step: int = 5
    """How many of the windows are drawn for one step; fewer is faster."""
    mel_weight: float = 1.0
    stft_weight: float = 0.5
    energy_weight: float = 0.3
    """On the log-energy of whole frames: the L1 of logarithms alone settles at a median, some 3 dB
    too quiet where the spectrum's fine structure cannot be known."""


PRIOR_OPTIMISER = OptimiserConfig(
    name="muon", lr=1e-2, warmup_steps=50, decay_steps=2_000, weight_decay=0.3, clip_norm=20.0
)


@dataclass(frozen=True)
class PriorConfig:
    """The context prior: its network, and how it is fitted on symbols and made integer."""

    n_steps: int = 3_000
    batch_frames: int = 1_024
    optimiser: OptimiserConfig = field(default_factory=lambda: PRIOR_OPTIMISER)
    hidden: int = 192
    context_frames: int = 6
    n_groups: int = 8
    step_index_range: tuple[int, int] = (-16, 16)
    """Step indexes that the prior is made for."""
    default_share: float = 0.5
    """Share of frames fitted at `default_step_index`; the rest is spread over the range."""
    default_step_index: int = 0
    n_scales: int = 40
    max_residual: int = 63
    n_threads: int = 1


@dataclass(frozen=True)
class TrainConfig:
    """Everything one rate–distortion run depends on."""

    model: str
    n_steps: int
    data: DataConfig
    seed: int = 1
    device: str = "cpu"
    n_threads: int = 1
    bf16: bool = True
    compile: bool = False
    init_from: str | None = None
    """Checkpoint or safetensors whose weights start this run; None starts fresh."""
    checkpoint_every_s: float = 180.0
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    rate: RateConfig = field(default_factory=RateConfig)
    distortion: DistortionConfig = field(default_factory=DistortionConfig)
    prior: PriorConfig = field(default_factory=PriorConfig)


_SECTIONS = {
    "data": DataConfig,
    "optimiser": OptimiserConfig,
    "rate": RateConfig,
    "distortion": DistortionConfig,
    "prior": PriorConfig,
}


def _build(cls: type[T], values: dict[str, Any], where: str) -> T:
    if not isinstance(values, dict):
        raise TrainingError(f"{where} is not a section of settings")
    names = {f.name for f in fields(cls)}  # type: ignore[arg-type]
    if unknown := set(values) - names:
        raise TrainingError(
            f"unknown setting {sorted(unknown)} in {where}", hint=f"known: {sorted(names)}"
        )
    frozen = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    try:
        return cls(**frozen)
    except TypeError as error:
        raise TrainingError(f"incomplete section {where} ({error})") from error


def load_config(path: str | Path) -> TrainConfig:
    """Return the configuration in a TOML file.

    Raises:
        TrainingError: the file cannot be read, or names an unknown or incomplete setting.
    """
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise TrainingError(f"cannot read the configuration ({error})", path=path) from error
    for name, cls in _SECTIONS.items():
        if name in values:
            values[name] = _build(cls, values[name], f"[{name}]")
    return _build(TrainConfig, values, str(path))
