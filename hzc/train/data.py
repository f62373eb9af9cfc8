"""Random crops of speech from folders of audio, held in memory as 16-bit samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from hzc import audio
from hzc.errors import HzcError, TrainingError
from hzc.train.config import DataConfig

FloatArray = npt.NDArray[np.float32]

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif"})


@dataclass(frozen=True)
class Corpus:
    """All training audio: int16 samples end to end, and where each file starts."""

    samples: npt.NDArray[np.int16]
    starts: npt.NDArray[np.int64]
    """[n_files + 1] sample offsets."""
    names: tuple[str, ...]

    @property
    def n_samples(self) -> int:
        """Samples in the corpus."""
        return int(self.starts[-1])

    def files(self) -> Iterator[tuple[str, npt.NDArray[np.int16]]]:
        """Yield name and int16 [sample] of every file."""
        for name, start, end in zip(self.names, self.starts[:-1], self.starts[1:], strict=True):
            yield name, self.samples[start:end]


def find_audio(folders: tuple[str, ...]) -> list[Path]:
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
        raise TrainingError(f"no audio under {list(folders)}", hint="check data.folders")
    return found


def load_corpus(config: DataConfig, sample_rate_hz: int) -> Corpus:
    """Return all audio under `config.folders`, mono at `sample_rate_hz`, from the cache if it fits.

    Raises:
        TrainingError: no audio was found, or none of it could be read.
    """
    paths = find_audio(config.folders)
    names = tuple(str(path) for path in paths)
    cache = Path(config.cache) if config.cache else None
    index = cache.with_suffix(".npz") if cache else None
    if cache and index and cache.exists() and index.exists():
        stored = np.load(index)
        if tuple(stored["names"]) == names and int(stored["rate"]) == sample_rate_hz:
            return Corpus(np.load(cache), stored["starts"], names)
    pieces = []
    for path in tqdm(paths, desc="read", unit="file", disable=None):
        try:
            source = audio.mixed(audio.open_source(path))
            blocks = audio.resampled(source.blocks(), 1, source.sample_rate_hz, sample_rate_hz)
            mono = audio.joined(blocks)[0]
        except HzcError as error:
            raise TrainingError(str(error), hint="remove the file from the data folder") from error
        pieces.append(np.clip(np.rint(mono * 32768.0), -32768, 32767).astype(np.int16))
    starts = np.cumsum([0, *(len(piece) for piece in pieces)], dtype=np.int64)
    corpus = Corpus(np.concatenate(pieces), starts, names)
    if cache and index:
        cache.parent.mkdir(parents=True, exist_ok=True)
        np.save(cache, corpus.samples)
        np.savez(index, names=np.array(names), starts=starts, rate=sample_rate_hz)
    return corpus


class Crops:
    """Endless random batches from a corpus; the generator's state is the only state.

    Crops start at any sample, so that the frame grid is not memorised, with a random level,
    polarity and spectral tilt, and now and then a pause of digital silence.
    """

    def __init__(self, corpus: Corpus, config: DataConfig, sample_rate_hz: int, seed: int) -> None:
        """Weigh files by their length times the factor of the last matching glob."""
        self.corpus, self.config = corpus, config
        self.crop_samples = round(config.crop_s * sample_rate_hz)
        self.rng = np.random.default_rng(seed)
        lengths = np.diff(corpus.starts).astype(np.float64)
        factors = np.ones(len(lengths))
        for i, name in enumerate(corpus.names):
            for pattern, factor in config.weights.items():
                if fnmatch(Path(name).name, pattern):
                    factors[i] = factor
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
            x *= self._pause()
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

    def _pause(self) -> FloatArray:
        """Factor [sample]: one, but for a stretch of zeros with 10 ms ramps."""
        n, ramp = self.crop_samples, self.crop_samples // 100
        length = int(self.rng.integers(n // 8, n // 2))
        start = int(self.rng.integers(-length // 2, n - length // 2))
        distance = np.maximum(start - np.arange(n), np.arange(n) - (start + length))
        factor: FloatArray = np.clip(distance / ramp, 0.0, 1.0).astype(np.float32)
        return factor
