"""One slice to one shard: the work of one worker."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Protocol

from hzc import files
from hzc.audio import writers
from hzc.coding import quantize
from hzc.corpus.batch import DECODED_AT_ONCE, ONE_BY_ONE, BatchDecoder, BatchEncoder, Coded, Decoded
from hzc.corpus.clips import OWN, Clip, Failure, Fields, Item, Slice
from hzc.corpus.shards import Folder, Report
from hzc.corpus.tables import ParquetShard
from hzc.corpus.tars import CODED, TarShard
from hzc.errors import HzcError, WorkerDiedError
from hzc.jobs import Models, Progress, ignore
from hzc.options import DecodeOptions, EncodeOptions


@dataclass(frozen=True)
class Made:
    """A clip that was encoded or decoded."""

    clip: Clip
    contents: bytes
    """Its file."""
    own: Fields
    """What hzc says about it: `seconds` at least."""


class Shard(Protocol):
    """A file of clips in the making."""

    def write(self, clip: Clip, contents: bytes, own: Fields) -> None:
        """Add a clip: its file, and hzc's own fields before those of the source."""

    def flush(self) -> None:
        """Write what was added."""

    def close(self) -> None:
        """Write the end."""

    def discard(self) -> None:
        """Give the file up."""


@dataclass(frozen=True, kw_only=True)
class ShardJob(ABC):
    """A slice to be made into a shard."""

    part: int
    slice: Slice
    folder: Folder
    deadly: frozenset[int] = frozenset()
    """Numbers of the items that a worker died of."""
    is_careful: bool = False
    """Do one clip after the other, and note which: a worker has died of this slice."""

    @property
    def source(self) -> str:
        """See `runner.Job`."""
        return self.slice.name

    def run(self, models: Models, progress: Progress = ignore) -> Report:
        """Make the shard.

        Raises:
            HzcError: there is none, and nothing under its name.
        """
        report = Report(self.part)
        with files.atomic_write(self.folder.shard(self.part), force=True) as path:
            with path.open("wb") as stream:
                self._fill(self.opened(models, stream), models, report)
            self.folder.save(report)
        with suppress(OSError):
            Path(self.folder.note(self.part)).unlink()
        return report

    def _fill(self, shard: Shard, models: Models, report: Report) -> None:
        try:
            for results in self.results(models, self._items(report)):
                for result in results:
                    _add(result, shard, report)
                shard.flush()
            shard.close()
        except BaseException:
            shard.discard()
            raise

    def failed(self, error: HzcError) -> Report:
        """See `runner.Job`."""
        return Report(self.part, error=error)

    def _items(self, report: Report) -> Iterator[Item]:
        for n, item in enumerate(self.slice.clips()):
            report.n_input += 1
            if isinstance(item, Clip) and n in self.deadly:
                error = WorkerDiedError("the worker process died of it")
                item = Failure.of(item.id, self.source, error)
            elif self.is_careful:
                Path(self.folder.note(self.part)).write_text(str(n))
            yield item

    @abstractmethod
    def opened(self, models: Models, stream: BinaryIO) -> Shard:
        """Return a shard that writes to a stream."""

    @abstractmethod
    def results(self, models: Models, items: Iterable[Item]) -> Iterator[Iterable[Made | Failure]]:
        """Yield what becomes of the items, some at a time, in order."""


def _add(result: Made | Failure, shard: Shard, report: Report) -> None:
    if isinstance(result, Failure):
        report.failed.append(result)
        return
    shard.write(result.clip, result.contents, result.own)
    report.n_output += 1
    report.seconds += result.own["seconds"]
    report.n_bytes += len(result.contents)
    report.n_warned += bool(result.own.get("warnings"))


@dataclass(frozen=True, kw_only=True)
class EncodeShard(ShardJob):
    """Clips of a source to a shard of .hzc files."""

    options: EncodeOptions
    with_symbols: bool = False
    with_latents: bool = False

    def opened(self, models: Models, stream: BinaryIO) -> Shard:
        """See `ShardJob`."""
        if self.folder.suffix == "tar":
            return TarShard(stream, CODED)
        n_latent = models.to_encode(self.options).model.config.n_latent
        return ParquetShard(
            stream, self.slice.schema(), n_latent,
            symbols=self.with_symbols, latents=self.with_latents,
        )  # fmt: skip

    def results(self, models: Models, items: Iterable[Item]) -> Iterator[Iterable[Made | Failure]]:
        """See `ShardJob`."""
        encoder = BatchEncoder(
            models.to_encode(self.options).encoder, self.options,
            ONE_BY_ONE if self.is_careful else None,
        )  # fmt: skip
        for coded in encoder.encode(items, self.source):
            yield (x if isinstance(x, Failure) else self._made(x, models) for x in coded)

    def _made(self, coded: Coded, models: Models) -> Made:
        y, model = coded.latents.y, models.to_encode(self.options).model
        own: Fields = {
            "seconds": round(coded.encoded.rate.duration_s, 6), "n_frames": y.shape[-1],
        }  # fmt: skip
        if coded.warnings:
            own["warnings"] = list(coded.warnings)
        if self.with_symbols:
            index = self.options.step_index
            step_index = model.default_step_index if index is None else index
            step = quantize.steps(model.base_step, step_index)
            own["symbols"] = quantize.to_symbols(y[0], step).T.astype("int16")
        if self.with_latents:
            own["latents"] = y[0].T.astype("float16")
        return Made(coded.clip, coded.encoded.data, own)


@dataclass(frozen=True, kw_only=True)
class DecodeShard(ShardJob):
    """A shard of .hzc files to a shard of audio."""

    options: DecodeOptions
    suffix: str
    """Of the audio, without a dot."""

    def opened(self, models: Models, stream: BinaryIO) -> Shard:
        """See `ShardJob`."""
        return TarShard(stream, self.suffix)

    def results(self, models: Models, items: Iterable[Item]) -> Iterator[Iterable[Made | Failure]]:
        """See `ShardJob`."""
        decoder = BatchDecoder(models, self.options)
        n_at_once = 1 if self.is_careful else DECODED_AT_ONCE
        for decoded in decoder.decode(items, self.source, n_at_once):
            yield (x if isinstance(x, Failure) else self._made(x) for x in decoded)

    def _made(self, decoded: Decoded) -> Made:
        audio = writers.encoded(decoded.samples, decoded.sample_rate_hz, self.suffix)
        seconds = decoded.samples.shape[1] / decoded.sample_rate_hz
        given = {k: v for k, v in decoded.clip.fields.items() if k not in OWN}
        clip = replace(decoded.clip, fields=given)
        return Made(clip, audio, {"seconds": round(seconds, 6)})
