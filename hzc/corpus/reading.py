"""Shards of .hzc files read back, without torch: clips, their symbols and latents, tables."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hzc import container
from hzc.codec import Codec
from hzc.coding import quantize
from hzc.corpus.clips import OWN, Clip, Failure, Fields, Item, Slice
from hzc.corpus.plan import coded_shards
from hzc.corpus.tables import TableSlice, check_pyarrow
from hzc.errors import ArgumentError, HzcError, InputError

KINDS = ("symbols", "latents", "hzc")
DECODED_AT_ONCE = 64


class Sample(NamedTuple):
    """A clip as a program wants it."""

    id: str
    values: Any
    """int16 [F, D] symbols, float32 [F, D] latents, or the bytes of the .hzc file."""
    fields: Fields
    """Those of the source, and hzc's `seconds`, `n_frames`, `warnings`."""


@dataclass(frozen=True)
class CodedSlice:
    """A shard of .hzc files: the clips have their own ids and fields again."""

    inner: Slice

    @property
    def name(self) -> str:
        """See `Slice`."""
        return self.inner.name

    @property
    def path(self) -> str:
        """Of the shard."""
        return self.inner.path if isinstance(self.inner, TableSlice) else self.inner.name

    @property
    def n_clips(self) -> int | None:
        """See `Slice`."""
        return self.inner.n_clips

    def clips(self) -> Iterator[Item]:
        """See `Slice`; hzc's own fields are among the others."""
        for item in self.inner.clips():
            if isinstance(item, Clip):
                fields = {k: v for k, v in item.fields.items() if k not in ("symbols", "latents")}
                if isinstance(text := fields.pop("json", None), str):
                    fields |= {k: v for k, v in json.loads(text).items() if k not in OWN}
                item = Clip(str(fields.pop("id", item.id)), item.audio, fields)
            yield item

    def schema(self) -> None:
        """See `Slice`."""


def shards(names: str | Sequence[str]) -> list[CodedSlice]:
    """Return the shards in folders, or of names and globs.

    Raises:
        InputError: there is none.
    """
    listed = [names] if isinstance(names, (str, os.PathLike)) else list(names)
    return [CodedSlice(one) for one in coded_shards([os.fspath(name) for name in listed])]


def read(
    names: str | Sequence[str], what: str = "symbols", model: str | None = None
) -> Iterator[Sample]:
    """Yield the clips of shards, in order.

    Args:
        names: Folders that hold shards, shards, or globs of them.
        what: "symbols", the integers; "latents", symbols times the steps, which is what the decoder
            sees; "hzc", the files.
        model: Name or weight file of a model that is not registered.

    Raises:
        InputError: a shard or a clip in it cannot be read.
        FormatError: a clip is no valid .hzc file.
        ModelError: its model is not here.
    """
    for shard in shards(names):
        clips = iter(shard.clips())
        while some := list(islice(clips, DECODED_AT_ONCE)):
            yield from samples(some, what, model)


def samples(items: Sequence[Item], what: str, model: str | None = None) -> list[Sample]:
    """Return clips that were read as programs want them; as `read`.

    Raises:
        InputError: as `read`.
        FormatError: as `read`.
        ModelError: as `read`.
    """
    if what not in KINDS:
        raise ArgumentError(f"{what!r} ({', '.join(KINDS)} expected)")
    clips = [_checked(item) for item in items]
    if what == "hzc" or not clips:
        return [Sample(clip.id, clip.audio, clip.fields) for clip in clips]
    files = [container.unpack(clip.audio) for clip in clips if isinstance(clip.audio, bytes)]
    codec = _codec(files[0].header.model_id, model)
    for file in files:
        codec.check(file.header)
    found = []
    for clip, file, symbols in zip(clips, files, codec.decoder.symbols_of(files), strict=True):
        if file.header.n_channels != 1:
            raise InputError(f"clip {clip.id}: {file.header.n_channels} channels (1 expected)")
        values: npt.NDArray[Any] = symbols[0].T.astype(np.int16)
        if what == "latents":
            header, base_step = file.header, codec.model.base_step
            step = quantize.steps(base_step, header.step_index, header.step_offsets)
            values = quantize.to_latent(symbols[0], step).T
        found.append(Sample(clip.id, np.ascontiguousarray(values), clip.fields))
    return found


def _checked(item: Item) -> Clip:
    if isinstance(item, Failure):
        raise InputError(f"{item.id or 'a clip'}: {item.message}", path=item.source)
    return item


@cache
def _codec(model_id: int, model: str | None) -> Codec:
    return Codec.for_model_id(model_id, model)


def table(names: str | Sequence[str]) -> Any:
    """Return Parquet shards as one pyarrow Table, memory-mapped.

    Raises:
        ArgumentError: pyarrow is missing, or a shard is not Parquet.
        HzcError: it cannot be read.
    """
    check_pyarrow()
    import pyarrow as pa
    import pyarrow.parquet as pq

    paths = [shard.path for shard in shards(names)]
    if others := [path for path in paths if not path.endswith(".parquet")]:
        raise ArgumentError("is not Parquet", path=others[0], hint="use hzc.data.read")
    try:
        return pa.concat_tables([pq.read_table(path, memory_map=True) for path in paths])
    except (OSError, pa.ArrowException) as error:
        raise HzcError(f"cannot be read as tables ({str(error).splitlines()[0]})") from error
