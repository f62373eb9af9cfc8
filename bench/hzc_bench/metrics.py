"""The metrics: what each is called, which way is better, what it needs, how it is computed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Literal

from hzc.blocks import FloatArray
from hzc_bench import artefacts, models, spectra
from hzc_bench.models import Compare
from hzc_bench.store import Store, digest


@dataclass(frozen=True)
class Metric:
    """One figure about a decoded signal beside its original."""

    name: str
    """In commands and CSV files."""
    title: str
    """In tables."""
    better: Literal["higher", "lower", "zero"]
    load: Callable[[Store], Compare]
    """Raises ImportError where a package is missing."""
    packages: tuple[str, ...] = ()
    """Distributions that compute it; their versions belong to the figure."""
    digits: int = 2
    is_referenced: bool = True
    """False: the original is not looked at."""
    max_recordings: int | None = None
    """Where it takes long: only so many, evenly spaced over all."""
    version: int = 1
    """Raised when what is computed here changes."""

    @property
    def key(self) -> str:
        """Name and versions, for what is remembered between runs."""
        return " ".join([self.name, str(self.version), *map(package_version, self.packages)])

    def wants(self, n_recordings: int) -> set[int]:
        """Return the numbers of the recordings that it is computed on."""
        return set(evenly_spaced(n_recordings, self.max_recordings or n_recordings))

    def loss(self, value: float) -> float:
        """Return what is better when it is lower."""
        return {"higher": -value, "lower": value, "zero": abs(value)}[self.better]


def evenly_spaced(n: int, n_wanted: int) -> list[int]:
    """Return n_wanted of the numbers 0 … n - 1, or all, the first and the last among them.

    >>> evenly_spaced(9, 3)
    [0, 4, 8]
    """
    n_wanted = min(n, n_wanted)
    return [round(k * (n - 1) / max(1, n_wanted - 1)) for k in range(n_wanted)]


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
ASR = ("pocketsphinx", "jiwer")
METRICS = (
    Metric("pesq_wb", "PESQ-WB", "higher", lambda _: models.pesq("wb"), ("pesq",)),
    Metric("pesq_nb", "PESQ-NB", "higher", lambda _: models.pesq("nb"), ("pesq",)),
    Metric("stoi", "STOI", "higher", lambda _: models.stoi(False), ("pystoi",), 3),
    Metric("estoi", "ESTOI", "higher", lambda _: models.stoi(True), ("pystoi",), 3),
    Metric("logmel", "log-mel distance", "lower", lambda _: spectra.log_mel_distance, (), 3),
    Metric("level_db", "level, dB", "zero", lambda _: spectra.level_difference_db, (), 1),
    Metric("pause_db", "pauses, dB", "zero", lambda _: artefacts.pause_level_db, (), 1),
    Metric("pre_echo_db", "pre-echo, dB", "zero", lambda _: artefacts.pre_echo_db, (), 1),
    Metric("pumping_db", "pumping, dB", "lower", lambda _: artefacts.pumping_db, (), 2),
    Metric(
        "repetition", "repetition", "lower", lambda _: lambda _, y: artefacts.repetition(y), (), 3,
        is_referenced=False,
    ),
    Metric("f0_cents", "F0 error, cents", "lower", lambda _: models.f0_error_cents(), F0, 0),
    Metric("gpe", "gross pitch error", "lower", lambda _: models.gross_pitch_error(), F0, 3),
    Metric("voicing", "voicing error", "lower", lambda _: models.voicing_error(), F0, 3),
    Metric(
        "speaker", "speaker similarity", "higher", lambda _: models.speaker_similarity(),
        ("resemblyzer", "librosa", "webrtcvad-wheels"), 3,
    ),
    Metric(
        "distillmos", "DistillMOS", "higher", lambda _: models.distillmos(),
        ("distillmos", "xls-r-sqa"), is_referenced=False,
    ),
    Metric("visqol", "ViSQOL", "higher", lambda _: models.visqol(), ("visqol-python",)),
    Metric(
        "wer", "WER", "lower",
        lambda store: models.word_error_rate(store, package_version(ASR[0])), ASR, 3,
        max_recordings=16,
    ),
)  # fmt: skip
"""In the order of computing: what is slow comes last."""
BY_NAME = {metric.name: metric for metric in METRICS}

MISSING_HINT = {
    "distillmos": "pip install --no-deps distillmos xls-r-sqa",
    "resemblyzer": "pip install --no-deps resemblyzer",
}
"""Packages that ask for others which do not install beside CPU torch, and do without them."""


@dataclass(frozen=True)
class Loaded:
    """Metrics that can be computed here, and why the others cannot."""

    metrics: tuple[Metric, ...]
    missing: dict[str, str]
    """Metric name to a reason."""
    store: Store
    compare: dict[str, Compare]

    def figure(self, metric: Metric, reference: FloatArray, decoded: FloatArray) -> float:
        """Return a metric of one recording; NaN where it has none, such as F0 of silence."""

        def compute() -> float:
            try:
                return self.compare[metric.name](reference, decoded)
            except (ArithmeticError, RuntimeError, ValueError) as error:  # PESQ: no utterance
                print(f"{metric.name}: {error!r}", file=sys.stderr)
                return float("nan")

        key = f"{metric.key} {digest(reference)} {digest(decoded)}"
        return float(self.store.remembered(key, compute))


def load(names: Sequence[str], store: Store) -> Loaded:
    """Return the named metrics, in the order of METRICS, as far as their packages are here."""
    missing: dict[str, str] = {}
    compare: dict[str, Compare] = {}
    for metric in METRICS:
        if metric.name not in names:
            continue
        try:
            for package in metric.packages:
                package_version(package)
            compare[metric.name] = metric.load(store)
        except ImportError as error:
            hint = MISSING_HINT.get(error.name or "", "pip install './bench[all]'")
            missing[metric.name] = f"{error} ({hint})"
    found = tuple(metric for metric in METRICS if metric.name in compare)
    return Loaded(found, missing, store, compare)
