"""What passes through a corpus: clips, and what is known about those that failed."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Protocol

from hzc.errors import DuplicateError, HzcError

Fields = dict[str, Any]
"""What a source says about a clip, next to its audio."""
OWN = ("id", "seconds", "n_frames", "warnings", "hzc", "symbols", "latents", "json")
"""Fields that hzc writes; one of the source with such a name becomes `source_<name>`."""


@dataclass(frozen=True)
class Clip:
    """A recording, or a .hzc file, of a corpus."""

    id: str
    audio: bytes | str
    """The contents of a file, or its path."""
    fields: Fields = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """A clip that is not in the output, and why; without id what is wrong with a whole source."""

    id: str | None
    source: str
    error: str
    """Name of the error's class."""
    message: str

    @classmethod
    def of(cls, clip_id: str | None, source: str, error: Exception) -> Failure:
        """Return the failure that an error stands for."""
        message = error.message if isinstance(error, HzcError) else str(error)
        return cls(clip_id, source, type(error).__name__, " ".join(message.split()))


Item = Clip | Failure


class Slice(Protocol):
    """The part of the sources that becomes one shard; picklable, read in one worker."""

    @property
    def name(self) -> str:
        """What it is a slice of, for people."""

    @property
    def n_clips(self) -> int | None:
        """How many items it has, None where only reading it says so."""

    def clips(self) -> Iterator[Item]:
        """Yield its clips, and a failure for each that cannot be read.

        Raises:
            UnreadableError: the operating system refused, or a command failed: another time it may
                work.
        """

    def schema(self) -> Any:
        """Return the pyarrow schema of the clips' fields; None where each clip has its own."""


def unique(items: Iterator[Item], source: str) -> Iterator[Item]:
    """Yield the items; a clip with the id of one before becomes a failure."""
    seen: set[str] = set()
    for item in items:
        if isinstance(item, Clip):
            if (key := key_of(item.id)) in seen:
                item = Failure.of(item.id, source, DuplicateError("its id was there before"))
            seen.add(key)
        yield item


def new_name(name: str) -> str:
    """Return the name that a field of the source has in the output."""
    return f"source_{name}" if name in OWN else name


def as_json(value: object) -> object:
    """Return what stands for a value that JSON does not have: base64 for bytes, else its text."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(bytes(value)).decode("ascii")
    return str(value)


def key_of(clip_id: str) -> str:
    """Return the key of a clip: its file name must have no dot, and no path may lead out.

    >>> key_of("speaker/talk.v2"), key_of("/data/a"), key_of("../a")
    ('speaker/talk%2Ev2', 'data/a', '%2E%2E/a')
    """
    safe = [part.replace("%", "%25").replace(".", "%2E") for part in PurePath(clip_id).parts]
    return "/".join(part for part in safe if part not in ("/", "\\"))
