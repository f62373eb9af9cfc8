"""The metrics: what each is called, which way is better, what it needs, how it is computed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from hzc_bench import artefacts, models, spectra, words
from hzc_bench.models import Compare
from hzc_bench.samples import FloatArray
from hzc_bench.store import Store, digest


@dataclass(frozen=True)
class Metric:
    """One figure about a decoded signal next to its original."""

    name: str
    """In commands and CSV files."""
    title: str
    """In tables."""
    better: Literal["higher", "lower", "zero", ""]
    """Empty: no figure of quality."""
    load: Callable[[Store, Path | None], Compare]
    """Raises ImportError where a package is missing."""
    packages: tuple[str, ...] = ()
    """Distributions that compute it; their versions belong to the figure."""
    digits: int = 2
    is_referenced: bool = True
    """False: the original is not looked at."""
    weight: str = ""
    """The metric that weighs it in means."""
    is_remembered: bool = True
    """False: it is made of what is remembered itself."""
    version: int = 1
    """Raised when what is computed here changes."""

    @property
    def key(self) -> str:
        """Name and versions, for what is remembered between runs."""
        return " ".join([self.name, str(self.version), *map(package_version, self.packages)])

    def loss(self, value: float) -> float:
        """Return what is better when it is lower."""
        return -value if self.better == "higher" else abs(value)


def package_version(name: str) -> str:
    """Return an installed distribution's name and version.

    Raises:
        ImportError: it is not installed.
    """
    try:
        return f"{name} {metadata.version(name)}"
    except metadata.PackageNotFoundError as error:
        raise ImportError(f"{name} is not installed", name=name) from error


F0 = ("pyworld-prebuilt",)
ASR = ("faster-whisper", "jiwer")
METRICS = (
    Metric("pesq_wb", "PESQ-WB", "higher", lambda *_: models.pesq("wb"), ("pesq",)),
    Metric("pesq_nb", "PESQ-NB", "higher", lambda *_: models.pesq("nb"), ("pesq",)),
    Metric("stoi", "STOI", "higher", lambda *_: models.stoi(False), ("pystoi",), 3),
    Metric("estoi", "ESTOI", "higher", lambda *_: models.stoi(True), ("pystoi",), 3),
    Metric("logmel", "log-mel distance", "lower", lambda *_: spectra.log_mel_distance, (), 3),
    Metric("level_db", "level, dB", "zero", lambda *_: spectra.level_difference_db, (), 1),
    Metric("pause_db", "pauses, dB", "zero", lambda *_: artefacts.pause_level_db, (), 1),
    Metric("pre_echo_db", "pre-echo, dB", "zero", lambda *_: artefacts.pre_echo_db, (), 1),
    Metric("pumping_db", "pumping, dB", "lower", lambda *_: artefacts.pumping_db, (), 2),
    Metric(
        "repetition", "repetition", "lower", lambda *_: lambda _, y: artefacts.repetition(y), (), 3,
        is_referenced=False,
    ),
    Metric("f0_cents", "F0 error, cents", "lower", lambda *_: models.f0_error_cents(), F0, 0),
    Metric("gpe", "gross pitch error", "lower", lambda *_: models.gross_pitch_error(), F0, 3),
    Metric("voicing", "voicing error", "lower", lambda *_: models.voicing_error(), F0, 3),
    Metric(
        "speaker", "speaker similarity", "higher", lambda *_: models.speaker_similarity(),
        ("resemblyzer", "librosa", "webrtcvad-wheels"), 3,
    ),
    Metric(
        "distillmos", "DistillMOS", "higher", lambda *_: models.distillmos(),
        ("distillmos", "xls-r-sqa"), is_referenced=False,
    ),
    Metric("visqol", "ViSQOL", "higher", lambda *_: models.visqol(), ("visqol-python",)),
    Metric("n_words", "words", "", words.n_words, ASR, 0, is_remembered=False),
    Metric(
        "wer", "WER", "lower", words.error_rate, ASR, 3, weight="n_words", is_remembered=False
    ),
)  # fmt: skip
"""In the order of computing: what is slow comes last."""
BY_NAME = {metric.name: metric for metric in METRICS}

MISSING_HINT = {
    "distillmos": "pip install --no-deps distillmos xls-r-sqa",
    "resemblyzer": "pip install --no-deps resemblyzer",
    "whisper": "--whisper DIR",
}
"""What to do about what a metric lacks, where `bench[all]` does not bring it."""


@dataclass(frozen=True)
class Loaded:
    """Metrics that can be computed here, and why the others cannot."""

    metrics: tuple[Metric, ...]
    missing: dict[str, str]
    """Metric name to a reason."""
    store: Store
    compare: dict[str, Compare]

    @property
    def judged(self) -> tuple[Metric, ...]:
        """Those that say which system is better."""
        return tuple(metric for metric in self.metrics if metric.better)

    def figure(self, metric: Metric, reference: FloatArray, decoded: FloatArray) -> float:
        """Return a metric of one recording; NaN where it has none, such as F0 of silence."""

        def compute() -> float:
            try:
                return self.compare[metric.name](reference, decoded)
            except (ArithmeticError, RuntimeError, ValueError) as error:  # PESQ: no utterance
                print(f"{metric.name}: {error!r}", file=sys.stderr)
                return float("nan")

        if not metric.is_remembered:
            return compute()
        key = f"{metric.key} {digest(reference)} {digest(decoded)}"
        return float(self.store.remembered(key, compute))


def load(names: Sequence[str], store: Store, whisper: Path | None = None) -> Loaded:
    """Return the named metrics, in the order of METRICS, as far as their packages are here.

    Args:
        names: Of `METRICS`; what weighs one of them comes along.
        store: Figures known from earlier.
        whisper: Folder of the recogniser, a Whisper model for CTranslate2.
    """
    names = [*names, *(BY_NAME[name].weight for name in names)]
    missing: dict[str, str] = {}
    compare: dict[str, Compare] = {}
    for metric in METRICS:
        if metric.name not in names:
            continue
        try:
            for package in metric.packages:
                package_version(package)
            compare[metric.name] = metric.load(store, whisper)
        except ImportError as error:
            hint = MISSING_HINT.get(error.name or "", "pip install './bench[all]'")
            missing[metric.name] = f"{error} ({hint})"
    found = tuple(metric for metric in METRICS if metric.name in compare)
    return Loaded(found, missing, store, compare)
