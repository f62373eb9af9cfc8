"""Random crops of speech from folders of audio, held in memory as 16-bit samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from hzc.audio import sources
from hzc.blocks import FloatArray
from hzc.errors import HzcError, TrainingError, UnsupportedAudioError
from hzc.train.augment import SPEEDS, at_speed, augmented
from hzc.train.config import DataConfig, TrainConfig
from hzc.train.files import replacing

CacheKey = dict[str, Any]
"""Arrays that say what was decoded: names, sizes in bytes and times in ns, and to which rate."""

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif"})


@dataclass(frozen=True)
class Corpus:
    """All training audio: int16 samples end to end, and where each file starts."""

    samples: npt.NDArray[np.int16]
    starts: npt.NDArray[np.int64]
    """[n_files + 1] sample offsets."""
    names: tuple[str, ...]

    def files(self) -> Iterator[tuple[str, npt.NDArray[np.int16]]]:
        """Yield name and int16 [sample] of every file."""
        for name, start, end in zip(self.names, self.starts[:-1], self.starts[1:], strict=True):
            yield name, self.samples[start:end]


def find_audio(folders: Sequence[str]) -> list[Path]:
    """Return every audio file under the folders, sorted.

    Raises:
        TrainingError: there is none.
    """
    found = sorted(
        path
        for folder in folders
        for path in Path(folder).rglob("*")
        if path.suffix.lower() in AUDIO_SUFFIXES
    )
    if not found:
        raise TrainingError(
            f"no audio under {list(folders)}", hint=f"known: {' '.join(sorted(AUDIO_SUFFIXES))}"
        )
    return found


def load_corpus(folders: Sequence[str], sample_rate_hz: int, cache: str | None = None) -> Corpus:
    """Return all audio under the folders, mono at `sample_rate_hz`, from the cache if it fits.

    Args:
        folders: Searched recursively.
        sample_rate_hz: Rate of the samples in memory.
        cache: Where the decoded samples are kept between runs (a .npy file), or None.

    Raises:
        TrainingError: no audio was found, or a file of it could not be read.
    """
    paths = find_audio(folders)
    stamps = [(stat.st_size, stat.st_mtime_ns) for stat in map(Path.stat, paths)]
    key: CacheKey = {
        "names": np.array([str(path) for path in paths]),
        "stamps": np.array(stamps, dtype=np.int64),
        "rate": np.array(sample_rate_hz),
    }
    kept_at = Path(cache).with_suffix(".npy") if cache else None
    if kept_at and (kept := _from_cache(kept_at, key)):
        return kept
    bar = tqdm(paths, desc="read", unit="file", disable=None)
    pieces = [_read(path, sample_rate_hz) for path in bar]
    starts = np.cumsum([0, *(len(piece) for piece in pieces)], dtype=np.int64)
    corpus = Corpus(np.concatenate(pieces), starts, tuple(key["names"].tolist()))
    if kept_at:
        _to_cache(kept_at, key, corpus)
    return corpus


def _read(path: Path, sample_rate_hz: int) -> npt.NDArray[np.int16]:
    """Return the samples of a file, int16 [sample]."""
    try:
        source = sources.mixed(sources.open_source(path))
        blocks = sources.resampled(source.blocks(), 1, source.sample_rate_hz, sample_rate_hz)
        if not (heard := [block for block in blocks if block.size]):
            raise UnsupportedAudioError("the recording has no samples", path=path)
    except HzcError as error:
        raise TrainingError(str(error), hint="remove the file from the data folder") from error
    whole = np.rint(np.concatenate(heard, axis=1)[0] * 32768.0)
    samples: npt.NDArray[np.int16] = np.clip(whole, -32768, 32767).astype(np.int16)
    return samples


def _from_cache(path: Path, key: CacheKey) -> Corpus | None:
    """Return the corpus that was kept under this key, None where there is none."""
    index = path.with_suffix(".npz")
    if not (path.exists() and index.exists()):
        return None
    with np.load(index) as stored:
        if not all(np.array_equal(stored.get(name), value) for name, value in key.items()):
            return None
        return Corpus(np.load(path), stored["starts"], tuple(key["names"].tolist()))


def _to_cache(path: Path, key: CacheKey, corpus: Corpus) -> None:
    """Keep the corpus; the index goes first and comes last, so it always fits the samples."""
    index = path.with_suffix(".npz")
    path.parent.mkdir(parents=True, exist_ok=True)
    index.unlink(missing_ok=True)
    np.save(path, corpus.samples)
    with replacing(index) as partial:
        np.savez(partial, starts=corpus.starts, **key)


def weight_of(name: str, config: DataConfig) -> float:
    """Return how much more often than others a file is drawn from: the last glob that fits."""
    found = [w for pattern, w in config.weights.items() if fnmatch(Path(name).name, pattern)]
    return found[-1] if found else 1.0


class Crops:
    """Endless random batches from a corpus; the generator's state is the only state.

    Crops start at any sample, so that the frame grid is not memorised, with a random level,
    polarity and spectral tilt, now and then a pause of digital silence, and the changes that
    `hzc.train.augment` makes. Recordings shorter than a crop have digital silence around them.
    """

    def __init__(self, corpus: Corpus, config: TrainConfig, sample_rate_hz: int) -> None:
        """Weigh files by their length times the factor of the last matching glob."""
        self.corpus, self.config, self.augment = corpus, config.data, config.augment
        self.sample_rate_hz = sample_rate_hz
        self.crop_samples = round(self.config.crop_s * sample_rate_hz)
        self.rng = np.random.default_rng(config.seed)
        factors = [weight_of(name, self.config) for name in corpus.names]
        weights = np.diff(corpus.starts) * np.array(factors)
        if weights.sum() == 0:
            raise TrainingError("data.weights leaves no file")
        self.cumulative = np.cumsum(weights / weights.sum())

    def batch(self) -> tuple[FloatArray, FloatArray]:
        """Return what is heard and what is to be given back, float32 [batch, sample] each."""
        heard, target = zip(*(self._crop() for _ in range(self.config.batch_size)), strict=True)
        return np.stack(heard), np.stack(target)

    def _crop(self) -> tuple[FloatArray, FloatArray]:
        rng, n = self.rng, self.crop_samples
        speed = rng.uniform(*SPEEDS) if rng.random() < self.augment.speed else 1.0
        n_wanted = int(np.ceil(n * speed))
        file = min(int(np.searchsorted(self.cumulative, rng.random())), len(self.cumulative) - 1)
        start, end = self.corpus.starts[file : file + 2]
        n_taken = min(n_wanted, end - start)
        offset = int(rng.integers(start, end - n_taken + 1))
        x = self.corpus.samples[offset : offset + n_taken].astype(np.float32) / 32768.0
        before = int(rng.integers(0, n_wanted - n_taken + 1))
        x = at_speed(np.pad(x, (before, n_wanted - n_taken - before)), n)
        if rng.random() < self.config.pause_probability:
            x *= pause_factor(n, self.sample_rate_hz, rng)
        heard, target = augmented(self._tilt(x), self.augment, self.sample_rate_hz, rng)
        level = 10.0 ** (rng.uniform(*self.config.level_db) / 20.0)
        gain = level / max(float(np.sqrt(np.mean(target * target))), 1e-4)
        peak = max(float(np.abs(heard).max()), float(np.abs(target).max()), 1e-4)
        gain = min(gain, 0.99 / peak)
        signed = np.float32(gain if rng.random() < 0.5 else -gain)
        return heard * signed, target * signed

    def _tilt(self, x: FloatArray) -> FloatArray:
        """First-order shelf: adds or removes a little of the signal's slope."""
        limit = 10.0 ** (self.config.equalise_db / 20.0)
        a = self.rng.uniform(1.0 - limit, limit - 1.0) / (limit + 1.0)
        return np.concatenate([x[:1], x[1:] + np.float32(a) * x[:-1]])


def pause_factor(n_samples: int, sample_rate_hz: int, rng: np.random.Generator) -> FloatArray:
    """Return factors [sample]: one, but for a stretch of zeros with ramps of 20 ms.

    The stretch takes an eighth to a half of the samples and may begin before them or end after.
    """
    ramp = sample_rate_hz // 50
    length = int(rng.integers(n_samples // 8, n_samples // 2))
    start = int(rng.integers(-length // 2, n_samples - length // 2))
    distance = np.maximum(start - np.arange(n_samples), np.arange(n_samples) - (start + length))
    factor: FloatArray = np.clip(distance / ramp, 0.0, 1.0).astype(np.float32)
    return factor
