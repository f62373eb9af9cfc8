"""The training configuration: one TOML file per stage, checked before any work starts."""

from __future__ import annotations

import tomllib
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from hzc.errors import TrainingError
from hzc.model.config import CONFIGS, ModelConfig

T = TypeVar("T")

STAGES = ("rate-distortion", "synthesis")


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
    """Share of crops, and of recordings that the prior is fitted on, in which a stretch is faded to
    digital silence."""
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

    def __post_init__(self) -> None:
        """Refuse an optimiser that is not known."""
        if self.name not in ("adamw", "muon"):
            raise TrainingError(f"unknown optimiser {self.name!r}", hint="known: adamw, muon")


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


ADVERSARY_OPTIMISER = OptimiserConfig(
    name="adamw", lr=5e-4, warmup_steps=50, decay_steps=1, betas=(0.8, 0.99), clip_norm=20.0
)


@dataclass(frozen=True)
class AdversaryConfig:
    """The synthesis stage's discriminators, and the weights of its losses."""

    windows: tuple[int, ...] = (256, 512, 1024)
    """Windows of the discriminators of complex spectra."""
    windows_per_step: int = 1
    """How many of them are drawn for one step; fewer is faster."""
    n_channels: int = 16
    periods: tuple[int, ...] = ()
    """Periods of the discriminators of samples, all of them in every step: for a GPU."""
    init_from: str | None = None
    """Checkpoint of another run of this stage whose discriminators this one starts with."""
    segment_s: float = 0.75
    """How much of every crop the discriminators see."""
    weight: float = 1.0
    feature_weight: float = 2.0
    distance_weight: float = 15.0
    repulsion: float = 0.0
    """Share of the spread that is taken off the distance: 0 trains on one draw of the noise, 1 on
    the energy score of two, see `SpectralDistance.with_spread`."""
    repulsion_hz: float = 0.0
    """Where the spread begins to count."""
    optimiser: OptimiserConfig = field(default_factory=lambda: ADVERSARY_OPTIMISER)


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
    """Everything one run depends on."""

    model: str
    n_steps: int
    data: DataConfig
    stage: str = "rate-distortion"
    seed: int = 1
    device: str = "cpu"
    n_threads: int = 1
    bf16: bool = True
    compile: bool = False
    init_from: str | None = None
    """Checkpoint or safetensors whose weights start this run; None starts fresh.

    The synthesis stage wants an exported model, and keeps all but its synthesis transform."""
    init_fresh: tuple[str, ...] = ()
    """Starts of the names of weights that start fresh even so: "synthesis.stem", "prior"."""
    checkpoint_every_s: float = 180.0
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    rate: RateConfig = field(default_factory=RateConfig)
    distortion: DistortionConfig = field(default_factory=DistortionConfig)
    prior: PriorConfig = field(default_factory=PriorConfig)
    adversary: AdversaryConfig = field(default_factory=AdversaryConfig)

    def __post_init__(self) -> None:
        """Refuse what is not known, groups that do not divide the latent, a stage out of turn."""
        if self.stage not in STAGES:
            raise TrainingError(f"unknown stage {self.stage!r}", hint=f"known: {', '.join(STAGES)}")
        if self.stage == "synthesis" and not (self.init_from or "").endswith(".safetensors"):
            raise TrainingError(
                f"the synthesis stage cannot start from {self.init_from or 'nothing'}",
                hint="init_from = the weights of an exported model (.safetensors)",
            )
        if self.model not in CONFIGS:
            raise TrainingError(f"unknown model {self.model!r}", hint=f"known: {sorted(CONFIGS)}")
        n_latent, n_groups = self.model_config.n_latent, self.prior.n_groups
        if n_groups < 1 or n_latent % n_groups:
            raise TrainingError(
                f"prior.n_groups is {n_groups} (expected a divisor of the latent's {n_latent} "
                "dimensions)"
            )
        self._check_crops()

    def _check_crops(self) -> None:
        """Refuse crops that are not whole frames, and windows longer than they are."""
        hop, rate_hz = self.model_config.hop_length, self.model_config.sample_rate_hz
        n_samples = round(self.data.crop_s * rate_hz)
        if n_samples % hop:
            raise TrainingError(
                f"data.crop_s is {self.data.crop_s} (expected a multiple of {hop / rate_hz})"
            )
        seen = min(n_samples, round(self.adversary.segment_s * rate_hz))
        for name, windows, limit in (
            ("distortion", self.distortion.windows, n_samples),
            ("adversary", self.adversary.windows, seen),
        ):
            if long := [size for size in windows if size > limit]:
                raise TrainingError(f"{name}.windows has {long}, but the audio is {limit} samples")
        if not self.distortion.windows:
            raise TrainingError("distortion.windows is empty")

    @property
    def model_config(self) -> ModelConfig:
        """Sizes of the transforms."""
        return CONFIGS[self.model]


_MANY = 2**31
_RANGES: dict[str, tuple[float, float]] = {
    "DataConfig.crop_s": (0.125, 600.0),
    "DataConfig.batch_size": (1, 65_536),
    "DataConfig.level_db": (-100.0, 0.0),
    "DataConfig.pause_probability": (0.0, 1.0),
    "DataConfig.equalise_db": (0.0, 40.0),
    "DataConfig.weights": (0.0, 1e9),
    "OptimiserConfig.lr": (0.0, 10.0),
    "OptimiserConfig.warmup_steps": (0, _MANY),
    "OptimiserConfig.decay_steps": (0, _MANY),
    "OptimiserConfig.weight_decay": (0.0, 10.0),
    "OptimiserConfig.betas": (0.0, 0.999999),
    "OptimiserConfig.clip_norm": (1e-9, 1e9),
    "OptimiserConfig.ema_decay": (0.0, 1.0),
    "RateConfig.target_bits_per_frame": (1e-3, 1e6),
    "RateConfig.lmbda": (1e-9, 1e9),
    "RateConfig.lmbda_range": (1e-9, 1e9),
    "RateConfig.gain": (0.0, 1.0),
    "DistortionConfig.windows": (16, 65_536),
    "DistortionConfig.scales_per_step": (1, 1_000),
    "DistortionConfig.mel_weight": (0.0, 1e9),
    "DistortionConfig.stft_weight": (0.0, 1e9),
    "DistortionConfig.energy_weight": (0.0, 1e9),
    "AdversaryConfig.windows": (16, 65_536),
    "AdversaryConfig.windows_per_step": (1, 1_000),
    "AdversaryConfig.n_channels": (1, 4_096),
    "AdversaryConfig.periods": (1, 1_000),
    "AdversaryConfig.segment_s": (0.1, 600.0),
    "AdversaryConfig.weight": (0.0, 1e9),
    "AdversaryConfig.feature_weight": (0.0, 1e9),
    "AdversaryConfig.distance_weight": (0.0, 1e9),
    "AdversaryConfig.repulsion": (0.0, 1.0),
    "AdversaryConfig.repulsion_hz": (0.0, 1e6),
    "PriorConfig.n_steps": (1, _MANY),
    "PriorConfig.batch_frames": (1, _MANY),
    "PriorConfig.hidden": (1, 2**20),
    "PriorConfig.context_frames": (0, 1_000),
    "PriorConfig.n_groups": (1, 255),
    "PriorConfig.step_index_range": (-64, 64),
    "PriorConfig.default_share": (0.0, 1.0),
    "PriorConfig.default_step_index": (-64, 64),
    "PriorConfig.n_scales": (1, 255),
    "PriorConfig.max_residual": (0, 2_047),
    "PriorConfig.n_threads": (1, 1_024),
    "TrainConfig.n_steps": (1, _MANY),
    "TrainConfig.seed": (0, _MANY),
    "TrainConfig.n_threads": (1, 1_024),
    "TrainConfig.checkpoint_every_s": (0.0, 1e9),
}
"""The least and the greatest value of every setting that is a number, or holds numbers."""
_PAIRS = ("DataConfig.level_db", "RateConfig.lmbda_range", "PriorConfig.step_index_range")
"""Settings that go from a lower to a higher number."""

_EXPECTED: dict[object, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    str | None: "text",
    dict[str, float]: "a table of numbers",
    tuple[str, ...]: "a list of texts",
    tuple[int, ...]: "a list of whole numbers",
    tuple[int, int]: "a list of two whole numbers",
    tuple[float, float]: "a list of two numbers",
}
"""What the settings of each type are in TOML."""


def load_config(path: str | Path) -> TrainConfig:
    """Return the configuration in a TOML file.

    Raises:
        TrainingError: the file cannot be read, lacks a setting, or has one that is unknown, of the
            wrong type or impossible.
    """
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise TrainingError(f"cannot read the configuration ({error})", path=path) from error
    try:
        return _section(TrainConfig, table, "")
    except TrainingError as error:
        error.path = path
        raise


def _section(cls: type[T], table: object, name: str, default: T | None = None) -> T:
    """Return the section called `name`; what it leaves out is as in `default`."""
    where = f"[{name}]" if name else "the configuration"
    if not isinstance(table, dict):
        raise TrainingError(f"{where} is not a section of settings")
    kinds = get_type_hints(cls)
    if unknown := sorted(set(table) - set(kinds)):
        raise TrainingError(f"unknown setting {unknown} in {where}", hint=f"known: {sorted(kinds)}")
    values = dict(vars(default)) if default else _defaults(cls)
    for key, value in table.items():
        full = f"{name}.{key}" if name else key
        values[key] = _setting(kinds[key], value, full, values.get(key))
        _check_range(f"{cls.__name__}.{key}", values[key], full)
    if missing := sorted(set(kinds) - set(values)):
        raise TrainingError(f"{where} lacks {missing}")
    return cls(**values)


def _defaults(cls: type[Any]) -> dict[str, Any]:
    """Return the settings that a section may leave out."""
    plain = {f.name: f.default for f in fields(cls) if f.default is not MISSING}
    made = {f.name: f.default_factory() for f in fields(cls) if f.default_factory is not MISSING}
    return plain | made


def _setting(kind: Any, value: Any, name: str, default: Any) -> Any:
    """Return the setting called `name`, a section or a single value."""
    if isinstance(kind, type) and is_dataclass(kind):
        return _section(kind, value, name, default)
    try:
        return _converted(kind, value)
    except (TypeError, ValueError):
        raise TrainingError(f"{name} is {value!r} (expected {_EXPECTED[kind]})") from None


def _check_range(setting: str, value: Any, name: str) -> None:
    """Raise where a number of a setting is outside its range, or a pair of them falls."""
    if setting not in _RANGES:
        return
    low, high = _RANGES[setting]
    numbers = value.values() if isinstance(value, dict) else value
    numbers = tuple(numbers) if isinstance(value, dict | tuple) else (value,)
    if not all(low <= number <= high for number in numbers):
        raise TrainingError(f"{name} is {value!r} (expected {low:g} … {high:g})")
    if setting in _PAIRS and numbers[0] > numbers[1]:
        raise TrainingError(f"{name} is {value!r} (expected the lower number first)")


def _converted(kind: Any, value: Any) -> Any:
    """Return a TOML value as the given type; raise TypeError or ValueError where it is none."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is UnionType:
        return _converted(parts[0], value)
    if origin is dict and isinstance(value, dict):
        return {key: _converted(parts[1], item) for key, item in value.items()}
    if origin is tuple and isinstance(value, list):
        kinds = parts[:1] * len(value) if parts[-1] is Ellipsis else parts
        return tuple(_converted(*pair) for pair in zip(kinds, value, strict=True))
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:  # `bool` is an `int` to isinstance
        raise TypeError
    return value
