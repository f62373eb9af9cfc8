"""WebDataset tars: members `key.suffix` next to each other are one clip.

Source: webdataset, "The WebDataset Format": the key ends at the first dot of the file name.
"""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import IO, Any, BinaryIO

from hzc.corpus.clips import Clip, Failure, Fields, Item, as_json, key_of, new_name, unique
from hzc.errors import AudioReadError, HzcError, UnreadableError
from hzc.files import AUDIO_SUFFIXES, InputStream, open_input

PIPE = "pipe:"
"""Begins the name of a source that is the output of a shell command."""
MEMBER = re.compile(r"(?:\./)?(?P<key>(?:.*/)?[^/.]+)\.(?P<suffix>[^/]+)")
CODED = "hzc"
JSON = "json"


class _HeaderError(tarfile.ReadError):
    """There is no header where one is expected: what came before is whole."""


class _Header(tarfile.TarInfo):
    """A header that is damaged is an error: tarfile takes it for the end of the archive."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> _Header:
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.EmptyHeaderError as error:  # type: ignore[attr-defined]
            raise _HeaderError("its end mark is missing") from error
        except tarfile.HeaderError as error:
            raise _HeaderError("a header is damaged") from error


@dataclass(frozen=True)
class TarSlice:
    """A whole WebDataset tar, compressed or not: a path, or `pipe:` and a command."""

    name: str
    suffix: str | None = None
    """Suffix of the audio, without a dot; None for any that is known."""
    n_clips: None = None

    def clips(self) -> Iterator[Item]:
        """See `Slice`."""
        yield from unique(self._clips(), self.name)

    def schema(self) -> None:
        """See `Slice`."""

    def _clips(self) -> Iterator[Item]:
        with opened(self.name) as stream:
            key, members = None, dict[str, bytes]()
            try:
                for found_key, suffix, contents in read_members(stream):
                    if found_key != key or suffix in members:
                        if key is not None:
                            yield self._clip(key, members)
                        key, members = found_key, {}
                    members[suffix] = contents.read()
            except (tarfile.TarError, EOFError) as error:
                cut = AudioReadError(f"the archive is damaged or cut from here on ({error})")
                if key is not None and isinstance(error, _HeaderError):
                    yield self._clip(key, members)
                    key = None
                # In the middle of a member the clip is lost with it.
                yield Failure.of(key, self.name, cut)
                return
            if key is not None:
                yield self._clip(key, members)

    def _clip(self, key: str, members: dict[str, bytes]) -> Item:
        try:
            suffix = self._audio_suffix(members)
            return Clip(key, members.pop(suffix), fields_of(members))
        except HzcError as error:
            return Failure.of(key, self.name, error)

    def _audio_suffix(self, members: dict[str, bytes]) -> str:
        """Return which member is the audio.

        Raises:
            AudioReadError: none, or more than one.
        """
        if self.suffix is not None:
            found = [suffix for suffix in members if suffix == self.suffix]
        else:
            found = [s for s in members if f".{s.rpartition('.')[2].lower()}" in AUDIO_SUFFIXES]
        if len(found) != 1:
            raise AudioReadError(
                f"{len(found)} members of audio (found {' '.join(sorted(members))}, expected one)"
            )
        return found[0]


def fields_of(members: dict[str, bytes]) -> Fields:
    """Return the fields of a clip: those of its JSON, and the other members as text or base64.

    Raises:
        AudioReadError: the JSON is none, or not an object.
    """
    fields: Fields = {}
    for suffix, data in members.items():
        if suffix != JSON:
            try:
                fields[suffix] = data.decode("utf-8")
            except UnicodeDecodeError:
                fields[suffix] = as_json(data)
            continue
        try:
            given = json.loads(data)
        except ValueError:
            given = None
        if not isinstance(given, dict):
            raise AudioReadError("its .json is no JSON object")
        fields |= given
    return fields


def read_members(stream: Any) -> Iterator[tuple[str, str, IO[bytes]]]:
    """Yield key, suffix and contents of the members of a tar that comes as a stream.

    Contents are to be read before the next member.

    Raises:
        TarError: it is damaged or cut.
        EOFError: its compressed data are cut.
    """
    with tarfile.open(fileobj=stream, mode="r|*", tarinfo=_Header) as archive:
        for member in archive:
            archive.members = []  # type: ignore[attr-defined]  # all are kept otherwise
            match = MEMBER.fullmatch(member.name)
            if match is not None and not member.isdir():
                # A stream cannot follow links: as an empty file the clip fails and is listed.
                contents = archive.extractfile(member) if member.isreg() else None
                yield match["key"], match["suffix"], contents or BytesIO()


@contextmanager
def opened(name: str) -> Iterator[Any]:
    """Give the bytes of a file, or of what a command prints.

    Raises:
        UnreadableError: the operating system refused, or the command failed.
    """
    if not name.startswith(PIPE):
        with open_input(name) as stream:
            yield InputStream(stream, name)
        return
    command = name.removeprefix(PIPE)
    with subprocess.Popen(command, shell=True, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield process.stdout
        except BaseException:
            process.kill()
            raise
        while process.stdout.read(1 << 20):
            pass  # what follows the end of the archive
        if process.wait():
            raise UnreadableError(
                f"the command failed (exit status {process.returncode})", path=name
            )


class TarShard:
    """A WebDataset tar in the making."""

    def __init__(self, stream: BinaryIO, suffix: str) -> None:
        """Write to a stream; `suffix` is that of the clips' contents, without a dot."""
        self._archive = tarfile.TarFile(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT)
        self._suffix = suffix

    def write(self, clip: Clip, contents: bytes, own: Fields) -> None:
        """Add a clip, and its fields as JSON."""
        fields = {"id": clip.id, **own, **{new_name(k): v for k, v in clip.fields.items()}}
        text = json.dumps(fields, ensure_ascii=False, default=as_json)
        for suffix, data in ((self._suffix, contents), (JSON, text.encode())):
            member = tarfile.TarInfo(f"{key_of(clip.id)}.{suffix}")
            member.size = len(data)
            self._archive.addfile(member, BytesIO(data))
        self._archive.members.clear()  # type: ignore[attr-defined]

    def flush(self) -> None:
        """Do nothing: every clip is written at once."""

    def close(self) -> None:
        """Write the end mark."""
        self._archive.close()

    def discard(self) -> None:
        """Do nothing: there is no end mark before `close`."""
