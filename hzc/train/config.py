"""The training configuration: one TOML file per stage, checked before any work starts."""

from __future__ import annotations

import reprlib
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    Strict,
    ValidationError,
    model_validator,
)

from hzc.errors import HzcError, TrainingError
from hzc.model.config import ModelConfig

Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, le=1e9)]
Weight = Annotated[float, Field(ge=0, le=1e9)]
Count = Annotated[int, Field(ge=1, le=2**31)]
Decay = Annotated[float, Field(ge=0, lt=1)]
Window = Annotated[int, Field(ge=16, le=65_536)]
StepIndex = Annotated[int, Field(ge=-64, le=64)]
Windows = Annotated[tuple[Window, ...], Strict(False)]


Level = Annotated[float, Field(ge=-100, le=0)]


def _ascending(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError(f"expected the lower number first, found {list(pair)}")
    return pair


IndexRange = Annotated[tuple[StepIndex, StepIndex], Strict(False), AfterValidator(_ascending)]
LevelRange = Annotated[tuple[Level, Level], Strict(False), AfterValidator(_ascending)]


Sizes = Annotated[
    ModelConfig,
    BeforeValidator(lambda v: ModelConfig.from_json(v) if isinstance(v, dict) else v),
    PlainSerializer(asdict),
]


class Section(BaseModel):
    """A table of settings: unknown names and wrong types are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())


class DataConfig(Section):
    """How crops are drawn from the recordings."""

    weights: dict[str, Weight] = {}
    """Glob on the file name to a factor on its share of the crops; default 1."""
    crop_s: Annotated[float, Field(ge=0.125, le=600)] = 4.0
    batch_size: Count = 16
    level_db: LevelRange = (-34.0, -18.0)
    """Range of the RMS level of a crop, dB below full scale."""
    pause_probability: Probability = 0.1
    """Share of crops, and of recordings that the prior is fitted on, in which a stretch is faded to
    digital silence."""
    equalise_db: Annotated[float, Field(ge=0, le=40)] = 3.0
    """Largest tilt of the spectrum, in dB at the ends of the band."""


class AugmentConfig(Section):
    """Share of crops that are changed in each way, see `hzc.train.augment`."""

    tone: Probability = 0.0
    gate: Probability = 0.0
    speed: Probability = 0.0
    rumble: Probability = 0.0
    telephone: Probability = 0.0
    clip: Probability = 0.0


class OptimiserConfig(Section):
    """Step sizes and schedule: warm-up, constant, then linear decay to zero."""

    name: Literal["adamw", "muon"] = "muon"
    lr: Annotated[float, Field(ge=0, le=10)] = 2e-3
    warmup_steps: Annotated[int, Field(ge=0)] = 200
    decay_steps: Annotated[int, Field(ge=0)] = 2_000
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.01
    betas: Annotated[tuple[Decay, Decay], Strict(False)] = (0.9, 0.99)
    clip_norm: Positive = 5.0
    ema_decay: Probability = 0.999


class RateConfig(Section):
    """The rate term: bits under the prior, at step indexes drawn for every crop."""

    lmbda: Positive = 1.5e-4
    """Weight of one bit per frame at step index 0; it follows the step."""
    step_index_range: IndexRange = (-20, 14)
    """Step indexes are drawn evenly from this range."""


class DistortionConfig(Section):
    """The distortion term: spectra at several resolutions."""

    windows: Annotated[Windows, Field(min_length=1)] = (128, 256, 512, 1024, 2048)
    windows_per_step: Count = 2
    """How many of the windows are drawn for one step; fewer is faster."""
    mel_weight: Weight = 1.0
    stft_weight: Weight = 0.5
    energy_weight: Weight = 0.3
    """On the log-energy of whole frames: the L1 of logarithms alone settles at a median, some 3 dB
    too quiet where the spectrum's fine structure cannot be known."""
    loudness_weight: Weight = 0.0
    """On the difference in loudness, see `hzc.model.loudness`."""
    complex_weight: Weight = 0.0
    """On compressed complex spectra below `complex_hz`: pitch and voicing."""
    complex_hz: Positive = 2_000.0
    repulsion: Probability = 0.0
    """Share of the spread that is taken off the distance: 0 trains on one draw of the noise, 1 on
    the energy score of two, see `SpectralDistance`."""
    repulsion_hz: Weight = 4_000.0
    """Where the spread begins to count."""

    @property
    def n_draws(self) -> int:
        """Reconstructions per crop."""
        return 2 if self.repulsion else 1


class AdversaryConfig(Section):
    """Discriminators, and the weights of the losses of a stage that has them."""

    windows: Windows = (256, 512, 1024)
    """Windows of the discriminators of complex spectra."""
    windows_per_step: Count = 1
    """How many of them are drawn for one step; fewer is faster."""
    n_channels: Annotated[int, Field(ge=1, le=4096)] = 16
    periods: Annotated[tuple[Count, ...], Strict(False)] = ()
    """Periods of the discriminators of samples, all of them in every step: for a GPU."""
    segment_s: Annotated[float, Field(ge=0.1, le=600)] = 0.75
    """How much of every crop the discriminators see."""
    weight: Weight = 1.0
    feature_weight: Weight = 2.0
    distance_weight: Weight = 20.0
    optimiser: OptimiserConfig = OptimiserConfig(
        name="adamw", lr=5e-4, warmup_steps=50, decay_steps=1, betas=(0.8, 0.99), clip_norm=20.0
    )


class PriorConfig(Section):
    """The context prior: its network in the loss, and how the integer one is fitted."""

    hidden: Annotated[int, Field(ge=1, le=2**20)] = 192
    context_frames: Annotated[int, Field(ge=0, le=1_000)] = 2
    n_groups: Annotated[int, Field(ge=1, le=255)] = 8


class PriorFitConfig(PriorConfig):
    """The integer prior, fitted on the symbols of a finished run."""

    n_steps: Count = 3_000
    batch_frames: Count = 1_024
    optimiser: OptimiserConfig = OptimiserConfig(
        lr=1e-2, warmup_steps=50, decay_steps=2_000, weight_decay=0.3, clip_norm=20.0
    )
    n_groups: Annotated[int, Field(ge=1, le=255)] = 16
    step_index_range: IndexRange = (-24, 16)
    """Step indexes that the prior is made for."""
    default_share: Probability = 0.5
    """Share of frames fitted at `default_step_index`; the rest is spread over the range."""
    default_step_index: StepIndex = 0
    n_scales: Annotated[int, Field(ge=1, le=255)] = 40
    max_residual: Annotated[int, Field(ge=0, le=2_047)] = 63


class TrainConfig(Section):
    """Everything one run depends on but the recordings."""

    model: Sizes
    n_steps: Count
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    device: str = "cpu"
    n_threads: Annotated[int, Field(ge=1, le=1_024)] = 1
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """What the networks compute in; "auto" measures which is faster."""
    compile: bool = False
    checkpoint_every_s: Weight = 180.0
    start_from: str | None = None
    """Run folder or weight file whose averages this run starts with; None starts fresh."""
    frozen: Annotated[tuple[Literal["analysis", "synthesis", "prior", "log_sigma"], ...],
                      Strict(False)] = ()  # fmt: skip
    """Parts that this stage leaves as they are."""
    rounding: Literal["noise", "hard"] = "noise"
    """How the latent is quantised: uniform noise, or rounding with a straight-through gradient."""
    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    rate: RateConfig = RateConfig()
    distortion: DistortionConfig = DistortionConfig()
    adversary: AdversaryConfig | None = None
    """None trains without discriminators."""
    prior: PriorConfig = PriorConfig()
    prior_fit: PriorFitConfig = PriorFitConfig()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        """Refuse settings that are possible one by one, but not together."""
        sizes = self.model
        for name, groups in (("prior", self.prior), ("prior_fit", self.prior_fit)):
            if sizes.n_latent % groups.n_groups:
                raise ValueError(
                    f"{name}.n_groups is {groups.n_groups} (expected a divisor of the latent's "
                    f"{sizes.n_latent} dimensions)"
                )
        n_samples = round(self.data.crop_s * sizes.sample_rate_hz)
        if n_samples % sizes.hop_length:
            whole_s = sizes.hop_length / sizes.sample_rate_hz
            raise ValueError(
                f"data.crop_s is {self.data.crop_s} (expected a multiple of {whole_s})"
            )
        seen = {"distortion.windows": (self.distortion.windows, n_samples)}
        if adversary := self.adversary:
            n_segment = min(n_samples, round(adversary.segment_s * sizes.sample_rate_hz))
            seen["adversary.windows"] = (adversary.windows, n_segment)
            seen["adversary.periods"] = (adversary.periods, n_segment)
            if not adversary.windows + adversary.periods:
                raise ValueError("adversary has neither windows nor periods")
        for name, (lengths, limit) in seen.items():
            if too_long := [length for length in lengths if length > limit]:
                raise ValueError(f"{name} has {too_long}, but the audio is {limit} samples")
        if len(set(self.frozen)) == 4:
            raise ValueError("frozen leaves nothing to train")
        return self


def load_config(path: str | Path) -> TrainConfig:
    """Return the configuration in a TOML file, and in those that it extends.

    Raises:
        TrainingError: a file cannot be read, lacks a setting, or has one that is unknown, of the
            wrong type or impossible.
    """
    try:
        return TrainConfig.model_validate(_table(Path(path)))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] not in ("missing", "value_error"):
            message += f" (found {reprlib.repr(first['input'])})"
        where = f"{name}: " if name else ""
        raise TrainingError(f"{where}{message[0].lower()}{message[1:]}", path=path) from error
    except HzcError as error:
        raise TrainingError(error.message, path=error.path or path, hint=error.hint) from error


def _table(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Return the settings of a file on top of those of the file named by `extends`."""
    if path.resolve() in seen:
        raise TrainingError("the configuration extends itself", path=path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise TrainingError(f"cannot read the configuration ({error})", path=path) from error
    base = table.pop("extends", None)
    if base is None:
        return table
    return merged(_table(path.parent / str(base), (*seen, path.resolve())), table)


def merged(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `top` in place of its own, table by table."""
    both = {
        key: merged(base[key], value)
        for key, value in top.items()
        if isinstance(value, dict) and isinstance(base.get(key), dict)
    }
    return base | top | both
