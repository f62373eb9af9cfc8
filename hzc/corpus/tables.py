"""Parquet and Arrow tables, as Hugging Face `datasets` writes them; wants pyarrow (`hzc[data]`)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from hzc.corpus.clips import Clip, Failure, Fields, Item, as_json, new_name, unique
from hzc.corpus.manifests import PATH_COLUMNS
from hzc.errors import ArgumentError, AudioReadError, InputError, UnreadableError
from hzc.files import reason

SUFFIXES = (".parquet", ".arrow")
ROWS_AT_ONCE = 64
CODED = "hzc"
"""Column of .hzc files."""
FRAMES = ("symbols", "latents")
"""Columns of one row of D numbers for every frame."""


def check_pyarrow() -> None:
    """Raise where pyarrow is missing.

    Raises:
        ArgumentError: it is.
    """
    if find_spec("pyarrow") is None:
        raise ArgumentError("tables need pyarrow", hint="pip install 'hzc[data]'")


@dataclass(frozen=True)
class TableSlice:
    """Row groups of a Parquet file, or a whole Arrow file."""

    path: str
    column: str
    """Of audio: a struct of bytes and path, bytes, or paths."""
    row_groups: tuple[int, ...] | None
    """None for all."""
    first_row: int
    n_clips: int | None

    @property
    def name(self) -> str:
        """See `Slice`."""
        return f"{self.path}:{self.first_row}"

    def clips(self) -> Iterator[Item]:
        """See `Slice`."""
        yield from unique(self._clips(), self.name)

    def schema(self) -> Any:
        """See `Slice`: all columns but that of the audio."""
        import pyarrow as pa

        with _opened(self.path) as table:
            rest = [field for field in table.schema if field.name not in (self.column, "id")]
            if pa.types.is_struct(table.schema.field(self.column).type):
                rest += [pa.field("path", pa.string())] * ("path" not in table.schema.names)
            return pa.schema(rest)

    def _clips(self) -> Iterator[Item]:
        n = self.first_row
        with _opened(self.path) as table:
            for batch in table.batches(self.row_groups):
                for row in batch.to_pylist():
                    yield self._clip(row, n)
                    n += 1

    def _clip(self, row: Fields, n: int) -> Item:
        given, clip_id = row.pop(self.column), row.pop("id", None)
        if clip_id is None:
            clip_id = f"{Path(self.path).stem}-{n:08d}"
        if isinstance(given, Mapping):
            row.setdefault("path", given.get("path"))
            given = given.get("bytes") or given.get("path")
        if isinstance(given, str) and given:
            given = str(Path(self.path).parent / given)
        if not given:
            error = AudioReadError(f"row {n} has no audio")
            return Failure.of(str(clip_id), self.path, error)
        return Clip(str(clip_id), given, row)


def table_slices(path: str, column: str | None, n_rows: int) -> Iterator[TableSlice]:
    """Yield slices of a table; those of a Parquet file have at least n_rows, if there are so many.

    Args:
        path: A .parquet or .arrow file.
        column: Which column has the audio; None to find it.
        n_rows: Rows of a slice; row groups are not cut.

    Raises:
        UnreadableError: the operating system refused.
        InputError: it is no such table, or has no column of audio.
    """
    with _opened(path) as table:
        chosen = _chosen(path, table.schema, column)
        sizes = table.row_group_sizes()
    if sizes is None:
        yield TableSlice(path, chosen, None, 0, None)
        return
    first_row, groups, n = 0, list[int](), 0
    for group, size in enumerate(sizes):
        groups.append(group)
        n += size
        if n >= n_rows or group == len(sizes) - 1:
            yield TableSlice(path, chosen, tuple(groups), first_row, n)
            first_row, groups, n = first_row + n, [], 0
    if not sizes:
        yield TableSlice(path, chosen, (), 0, 0)


def _chosen(path: str, schema: Any, column: str | None) -> str:
    """Return the column of the audio."""
    fits = {field.name: _is_audio(field.type) for field in schema}
    if column is not None:
        if column not in fits:
            raise InputError(f"no column {column!r} (found {' '.join(fits)})", path=path)
        if not fits[column]:
            raise InputError(
                f"column {column!r} has the wrong type (found {schema.field(column).type}, "
                "expected bytes, text or struct<bytes, path>)", path=path,
            )  # fmt: skip
        return column
    import pyarrow as pa

    strings = [name for name in PATH_COLUMNS if fits.get(name)]
    rich = [f.name for f in schema if fits[f.name] and not _is_text(pa, f.type)]
    if len(rich) == 1 or (not rich and strings):
        return (rich or strings)[0]
    found = ", ".join(f"{field.name} {field.type}" for field in schema)
    raise InputError(
        f"no column is sure to be the audio (found {found})", path=path, hint="name it with --audio"
    )


def _is_audio(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return {"bytes", "path"} <= {kind.field(i).name for i in range(kind.num_fields)}
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or _is_text(pa, kind)


def _is_text(pa: Any, kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


class _Parquet:
    def __init__(self, stream: BinaryIO) -> None:
        import pyarrow.parquet as pq

        self._file = pq.ParquetFile(stream)
        self.schema = self._file.schema_arrow

    def row_group_sizes(self) -> list[int] | None:
        metadata = self._file.metadata
        return [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]

    def batches(self, row_groups: tuple[int, ...] | None) -> Iterator[Any]:
        yield from self._file.iter_batches(ROWS_AT_ONCE, row_groups)


class _Arrow:
    """What `datasets` keeps on disk: a stream, or the file format."""

    def __init__(self, stream: BinaryIO) -> None:
        import pyarrow as pa

        try:
            file = pa.ipc.open_file(stream)
            self._batches = (file.get_batch(i) for i in range(file.num_record_batches))
        except pa.ArrowInvalid:
            stream.seek(0)
            file = self._batches = pa.ipc.open_stream(stream)
        self.schema = file.schema

    def row_group_sizes(self) -> list[int] | None:
        return None

    def batches(self, row_groups: tuple[int, ...] | None) -> Iterator[Any]:
        for batch in self._batches:
            for start in range(0, batch.num_rows, ROWS_AT_ONCE):
                yield batch.slice(start, ROWS_AT_ONCE)


@contextmanager
def _opened(path: str) -> Iterator[_Parquet | _Arrow]:
    """Give a table.

    Raises:
        UnreadableError: the operating system refused.
        InputError: it is no table, or damaged.
    """
    check_pyarrow()
    import pyarrow as pa

    try:
        with open(path, "rb") as stream:
            yield _Parquet(stream) if path.endswith(".parquet") else _Arrow(stream)
    except pa.ArrowInvalid as error:
        why = str(error).splitlines()[0]
        raise InputError(f"cannot be read as a table ({why})", path=path) from error
    except OSError as error:
        raise UnreadableError(f"cannot be read ({reason(error)})", path=path) from error


class ParquetShard:
    """A Parquet file in the making: one row for a clip."""

    def __init__(
        self, stream: BinaryIO, given: Any, n_latent: int, *, symbols: bool, latents: bool
    ) -> None:
        """Write to a stream.

        Args:
            stream: Where the bytes go.
            given: Schema of the source's columns; None for one column `json` with all its fields.
            n_latent: Dimensions of a frame.
            symbols: Add the symbols, int16 [frame][D].
            latents: Add the latent before quantisation, float16 [frame][D].
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        own = [
            ("id", pa.string()), ("seconds", pa.float64()), ("n_frames", pa.int32()),
            (CODED, pa.binary()), ("warnings", pa.list_(pa.string())),
        ]  # fmt: skip
        own += [("symbols", pa.list_(pa.list_(pa.int16(), n_latent)))] if symbols else []
        own += [("latents", pa.list_(pa.list_(pa.float16(), n_latent)))] if latents else []
        self._has_json = given is None
        given = pa.schema([("json", pa.string())]) if given is None else given
        rest = [field.with_name(new_name(field.name)) for field in given if not self._has_json]
        self._schema = pa.schema([*own, *(given if self._has_json else rest)])
        self._rows: list[Fields] = []
        self._writer = pq.ParquetWriter(stream, self._schema, compression="zstd")

    def write(self, clip: Clip, contents: bytes, own: Fields) -> None:
        """Add a clip; `own` has the columns of frames as arrays [F, D]."""
        if self._has_json:
            rest = {"json": json.dumps(clip.fields, ensure_ascii=False, default=as_json)}
        else:
            rest = {new_name(name): value for name, value in clip.fields.items()}
        self._rows.append({**rest, "id": clip.id, CODED: contents, **own})

    def flush(self) -> None:
        """Write what was added, as a row group."""
        import pyarrow as pa

        if self._rows:
            columns = [self._column(field) for field in self._schema]
            self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))
            self._rows.clear()

    def _column(self, field: Any) -> Any:
        import pyarrow as pa

        values: list[Any] = [row.get(field.name) for row in self._rows]
        if field.name not in FRAMES:
            return pa.array(values, field.type)
        flat = pa.array(np.concatenate(values).reshape(-1), field.type.value_type.value_type)
        offsets = np.cumsum([0, *map(len, values)], dtype=np.int32)
        frames = pa.FixedSizeListArray.from_arrays(flat, type=field.type.value_type)
        return pa.ListArray.from_arrays(offsets, frames, type=field.type)

    def close(self) -> None:
        """Write the end."""
        self.flush()
        self._writer.close()

    def discard(self) -> None:
        """Write no end: it would come when the writer is forgotten, and the stream is closed."""
        self._writer.is_open = False
