"""What the user names, to slices: found before any work, in an order that is always the same."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hzc import files
from hzc.corpus import manifests, tables
from hzc.corpus.clips import Clip, Item, Slice, key_of
from hzc.corpus.manifests import FileSlice
from hzc.corpus.tars import PIPE, TarSlice
from hzc.errors import DuplicateError, InputError, UnreadableError

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


@dataclass
class Sources:
    """Slices in the making."""

    n_clips: int
    """Of a shard, where the source does not decide."""
    audio: str | None = None
    """Column, or suffix of the members, of the audio; None to find it."""
    slices: list[Slice] = field(default_factory=list)
    _files: list[Item] = field(default_factory=list)

    def add(self, name: str) -> None:
        """Take a source.

        Raises:
            InputError: it is none, or cannot be read.
        """
        if name.startswith(PIPE):
            self.slices += [TarSlice(one, self.audio) for one in expanded(name)]
            return
        found = [name]
        if not os.path.exists(name):
            found = sorted(f for one in expanded(name) for f in glob.glob(one, recursive=True))
            if not found:
                raise UnreadableError("cannot be read (no such file or directory)", path=name)
        for path in found:
            if os.path.isdir(path):
                for file in walked(path):
                    self._add_file(file, os.path.relpath(file, path))
            else:
                self._add_file(path, os.path.basename(path))

    def _add_file(self, path: str, short: str) -> None:
        lower = path.lower()
        if lower.endswith(TAR_SUFFIXES):
            self.slices.append(TarSlice(path, self.audio))
        elif lower.endswith(tables.SUFFIXES):
            self.slices += tables.table_slices(path, self.audio, self.n_clips)
        elif lower.endswith(manifests.SUFFIXES):
            listed = manifests.read_manifest(path, self.audio)
            self.slices += self._cut(path, listed.items, listed.columns)
        elif lower.endswith(files.AUDIO_SUFFIXES):
            self._files.append(Clip(os.path.splitext(short)[0], path, {"path": short}))
        else:
            raise InputError(
                "is no source of clips", path=path,
                hint="expected: folders, audio files, .tar, .parquet, .arrow, .tsv, .csv, .jsonl",
            )  # fmt: skip

    def finish(self) -> list[Slice]:
        """Return all slices.

        Raises:
            InputError: there is none.
            DuplicateError: two files have one id.
        """
        self.slices += self._cut("files", self._files, ("path",))
        if not self.slices:
            raise InputError("there is no audio in the sources")
        _check_ids(self.slices)
        return self.slices

    def _cut(
        self, name: str, items: Sequence[Item], columns: tuple[str, ...] | None
    ) -> Iterator[Slice]:
        for start in range(0, len(items), self.n_clips):
            part = tuple(items[start : start + self.n_clips])
            yield FileSlice(f"{name}:{start}", part, columns)


def walked(folder: str) -> Iterator[str]:
    """Yield the files of a folder that are sources, sorted.

    Raises:
        UnreadableError: a folder in it cannot be read.
    """

    def refuse(error: OSError) -> None:
        why = files.reason(error)
        raise UnreadableError(f"cannot be read ({why})", path=error.filename) from error

    wanted = (*files.AUDIO_SUFFIXES, *TAR_SUFFIXES, *tables.SUFFIXES)
    for top, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (os.path.join(top, n) for n in sorted(names) if n.lower().endswith(wanted))


def expanded(name: str) -> Iterator[str]:
    """Yield the names that a pattern with ranges stands for.

    >>> list(expanded("pipe:cat {08..10}.tar"))
    ['pipe:cat 08.tar', 'pipe:cat 09.tar', 'pipe:cat 10.tar']
    """
    if (match := RANGE.search(name)) is None:
        yield name
        return
    first, last = match.groups()
    for number in range(int(first), int(last) + 1):
        yield from expanded(f"{name[: match.start()]}{number:0{len(first)}d}{name[match.end() :]}")


def _check_ids(slices: Sequence[Slice]) -> None:
    """Raise where two files, which are known before any work, have one id."""
    seen: dict[str, str] = {}
    for part in slices:
        for item in part.items if isinstance(part, FileSlice) else ():
            if isinstance(item, Clip) and isinstance(item.audio, str):
                if (other := seen.get(key := key_of(item.id))) is not None:
                    raise DuplicateError(
                        f"has the id {item.id!r}, like {other}", path=item.audio,
                        hint="name their common folder as the source, or remove one",
                    )  # fmt: skip
                seen[key] = item.audio


def digest(slices: Sequence[Slice]) -> str:
    """Return a checksum of what the slices are made of: names and ids, not contents."""
    sha = hashlib.sha256()
    for part in slices:
        sha.update(f"{part.name}\0{part.n_clips}\n".encode("utf-8", "surrogateescape"))
        for item in part.items if isinstance(part, FileSlice) else ():
            sha.update(f"{item.id}\n".encode("utf-8", "surrogateescape"))
    return sha.hexdigest()[:16]


def coded_shards(names: Sequence[str]) -> list[Slice]:
    """Return the shards of .hzc files that are named: files, globs, or the folders that hold them.

    Raises:
        InputError: there is none.
    """
    found: list[Slice] = []
    for name in names:
        paths = [name] if os.path.exists(name) else sorted(glob.glob(name, recursive=True))
        if os.path.isdir(name):
            paths = sorted(str(p) for p in Path(name).iterdir() if p.suffix in (".tar", ".parquet"))
        if not paths:
            raise UnreadableError("cannot be read (no such shards)", path=name)
        for path in paths:
            if path.endswith(".parquet"):
                (whole,) = tables.table_slices(path, tables.CODED, 1 << 62)
                found.append(whole)
            else:
                found.append(TarSlice(path, "hzc"))
    return found
