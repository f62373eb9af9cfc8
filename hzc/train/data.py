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
from hzc.errors import HzcError, TrainingError, UnsupportedAudioError
from hzc.train.config import DataConfig
from hzc.train.files import replacing

FloatArray = npt.NDArray[np.float32]

CacheKey = dict[str, Any]
"""Arrays that tell what was decoded: names, sizes in bytes and times in ns, and to which rate."""

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


def load_corpus(config: DataConfig, sample_rate_hz: int) -> Corpus:
    """Return all audio under `config.folders`, mono at `sample_rate_hz`, from the cache if it fits.

    Raises:
        TrainingError: no audio was found, or a file of it could not be read.
    """
    paths = find_audio(config.folders)
    stamps = [(stat.st_size, stat.st_mtime_ns) for stat in map(Path.stat, paths)]
    key: CacheKey = {
        "names": np.array([str(path) for path in paths]),
        "stamps": np.array(stamps, dtype=np.int64),
        "rate": np.array(sample_rate_hz),
    }
    cache = Path(config.cache).with_suffix(".npy") if config.cache else None
    if cache and (kept := _from_cache(cache, key)):
        return kept
    bar = tqdm(paths, desc="read", unit="file", disable=None)
    pieces = [_read(path, sample_rate_hz) for path in bar]
    starts = np.cumsum([0, *(len(piece) for piece in pieces)], dtype=np.int64)
    corpus = Corpus(np.concatenate(pieces), starts, tuple(key["names"].tolist()))
    if cache:
        _to_cache(cache, key, corpus)
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
        # Early caches have no stamps: for them the names must do.
        if not all(np.array_equal(stored.get(name, value), value) for name, value in key.items()):
            return None
        return Corpus(np.load(path), stored["starts"], tuple(key["names"].tolist()))


def _to_cache(path: Path, key: CacheKey, corpus: Corpus) -> None:
    """Keep the corpus; the index goes first and comes last, so it never tells of other samples."""
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
    polarity and spectral tilt, and now and then a pause of digital silence.
    """

    def __init__(self, corpus: Corpus, config: DataConfig, sample_rate_hz: int, seed: int) -> None:
        """Weigh files by their length times the factor of the last matching glob."""
        self.corpus, self.config = corpus, config
        self.sample_rate_hz = sample_rate_hz
        self.crop_samples = round(config.crop_s * sample_rate_hz)
        self.rng = np.random.default_rng(seed)
        lengths = np.diff(corpus.starts).astype(np.float64)
        factors = [weight_of(name, config) for name in corpus.names]
        weights = np.where(lengths > self.crop_samples, lengths * factors, 0.0)
        if weights.sum() == 0:
            raise TrainingError(f"no file is longer than a crop of {config.crop_s} s")
        self.cumulative = np.cumsum(weights / weights.sum())

    def batch(self) -> FloatArray:
        """Return float32 [batch, sample]."""
        return np.stack([self._crop() for _ in range(self.config.batch_size)])

    def _crop(self) -> FloatArray:
        rng, n = self.rng, self.crop_samples
        file = min(int(np.searchsorted(self.cumulative, rng.random())), len(self.cumulative) - 1)
        start, end = self.corpus.starts[file : file + 2]
        offset = int(rng.integers(start, end - n))
        x = self.corpus.samples[offset : offset + n].astype(np.float32) / 32768.0
        if rng.random() < self.config.pause_probability:
            x *= pause_factor(n, self.sample_rate_hz, rng)
        x = self._tilt(x)
        level = 10.0 ** (rng.uniform(*self.config.level_db) / 20.0)
        gain = level / max(float(np.sqrt(np.mean(x * x))), 1e-4)
        peak = float(np.abs(x).max())
        gain = min(gain, 0.99 / max(peak, 1e-4))
        return (x * np.float32(gain if rng.random() < 0.5 else -gain)).astype(np.float32)

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
