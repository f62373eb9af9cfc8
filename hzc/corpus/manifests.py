"""Lists of files: folders, and manifests in TSV, CSV or JSON lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hzc.corpus.clips import Clip, Failure, Fields, Item
from hzc.errors import AudioReadError, InputError, UnreadableError
from hzc.files import reason

SUFFIXES = (".tsv", ".csv", ".jsonl")
PATH_COLUMNS = ("audio", "path", "file", "audio_filepath", "audio_path", "wav", "filename")
"""What the column of paths is called, the first that is there."""


@dataclass(frozen=True)
class FileSlice:
    """Clips that are files of their own."""

    name: str
    items: tuple[Item, ...]
    columns: tuple[str, ...] | None = None
    """Names of text columns that every item has; None where each has fields of its own."""

    @property
    def n_clips(self) -> int:
        """See `Slice`."""
        return len(self.items)

    def clips(self) -> Iterator[Item]:
        """See `Slice`."""
        return iter(self.items)

    def schema(self) -> Any:
        """See `Slice`."""
        if self.columns is None:
            return None
        import pyarrow as pa

        return pa.schema([(column, pa.string()) for column in self.columns])


@dataclass(frozen=True)
class Manifest:
    """The clips that a manifest lists."""

    items: list[Item]
    columns: tuple[str, ...] | None


def read_manifest(path: str, column: str | None) -> Manifest:
    """Return what a manifest lists: TSV and CSV with a line of names, or JSON lines.

    Args:
        path: The file. Paths in it are relative to its folder.
        column: Which column has the paths; None for the first of PATH_COLUMNS.

    Raises:
        UnreadableError: the operating system refused.
        InputError: there is no such column, or the text is not UTF-8.
    """
    try:
        text = Path(path).read_text("utf-8-sig")
    except OSError as error:
        raise UnreadableError(f"cannot be read ({reason(error)})", path=path) from error
    except UnicodeDecodeError as error:
        raise InputError("is not UTF-8 text", path=path) from error
    if path.endswith(".jsonl"):
        objects = [(_object(line), n) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
        names: tuple[str, ...] = tuple({key: 0 for row, _ in objects if row for key in row})
        rows = objects
    else:
        is_tsv = path.endswith(".tsv")
        quoting: Any = csv.QUOTE_NONE if is_tsv else csv.QUOTE_MINIMAL
        table = csv.DictReader(
            io.StringIO(text, newline=""), delimiter="\t" if is_tsv else ",", quoting=quoting
        )
        names = tuple(table.fieldnames or ())
        rows = [(None if None in row or None in row.values() else row, table.line_num)
                for row in table]  # fmt: skip
    chosen = _chosen(path, names, column)
    items = [_item(path, chosen, row, n) for row, n in rows]
    is_table = not path.endswith(".jsonl")
    return Manifest(items, tuple(n for n in names if n != "id") if is_table else None)


def _chosen(path: str, names: tuple[str, ...], column: str | None) -> str:
    wanted = PATH_COLUMNS if column is None else (column,)
    found = [name for name in wanted if name in names]
    if not found:
        raise InputError(
            f"no column of paths (found {' '.join(names) or 'none'}, expected {' '.join(wanted)})",
            path=path,
            hint="name it with --audio",
        )
    return found[0]


def _object(line: str) -> Fields | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _item(manifest: str, column: str, row: Fields | None, line: int) -> Item:
    """Return the clip of a row; its fields are all the others, its path included."""
    where = f"{manifest}:{line}"
    if row is None:
        return Failure.of(None, where, AudioReadError("the line does not fit the manifest"))
    rest = dict(row)
    path, clip_id = row.get(column), rest.pop("id", None)
    if not (isinstance(path, str) and path):
        return Failure.of(clip_id, where, AudioReadError("the line has no path"))
    if clip_id in (None, ""):
        clip_id = str(Path(path).with_suffix(""))
    return Clip(str(clip_id), str(Path(manifest).parent / path), rest)
