"""The output folder of a corpus, and the reports of its shards.

    OUT/part-000000.tar       a shard; under its final name only when it is whole
    OUT/failed.jsonl          every clip that is not in a shard, and why
    OUT/summary.json          the sums
    OUT/.hzc/plan.json        what the shards are made from, and how
    OUT/.hzc/part-000000.json the report of a shard, written just before the shard gets its name

The name of a shard is the number of its slice in the plan: what is there need not be made again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hzc import files
from hzc.corpus.clips import Failure
from hzc.errors import HzcError, OutputExistsError, OutputWriteError

SUFFIXES = {"webdataset": "tar", "parquet": "parquet"}
"""Suffix of the shards of every format."""


@dataclass
class Report:
    """What became of the clips of one slice."""

    part: int
    n_input: int = 0
    n_output: int = 0
    n_warned: int = 0
    """Clips that are incomplete or odd; their fields say how."""
    seconds: float = 0.0
    n_bytes: int = 0
    """Of the clips' files, without those of the shard."""
    failed: list[Failure] = field(default_factory=list)
    error: HzcError | None = None
    """Why there is no shard."""

    def check(self) -> None:
        """Raise where a clip is neither in the output nor among the failures.

        Raises:
            HzcError: so it is.
        """
        if self.n_input != self.n_output + len(self.failed):
            raise HzcError(
                f"part {self.part}: {self.n_input} clips went in, {self.n_output} came out and "
                f"{len(self.failed)} failed: some are missing"
            )


@dataclass(frozen=True)
class Folder:
    """An output folder."""

    path: str
    suffix: str
    """Of the shards."""

    def shard(self, part: int) -> str:
        """Return the path of a shard."""
        return os.path.join(self.path, f"part-{part:06d}.{self.suffix}")

    @property
    def failed(self) -> str:
        """Path of the list of failures."""
        return os.path.join(self.path, "failed.jsonl")

    def has(self, part: int) -> bool:
        """Whether a shard is finished."""
        return os.path.exists(self.shard(part))

    def hidden(self, name: str) -> str:
        """Return the path of what is not for readers of the shards."""
        return os.path.join(self.path, ".hzc", name)

    def begin(self, plan: Mapping[str, Any]) -> None:
        """Make the folder, or make sure that it holds what the plan makes.

        Raises:
            OutputExistsError: it holds something else.
            OutputWriteError: the operating system refused.
        """
        path = self.hidden("plan.json")
        try:
            os.makedirs(self.path, exist_ok=True)
            is_new = not os.path.exists(path)
            others = [name for name in os.listdir(self.path) if name != ".hzc"] if is_new else []
            if not others:
                os.makedirs(self.hidden(""), exist_ok=True)
        except OSError as error:
            raise OutputWriteError(
                f"cannot be written ({files.reason(error)})", path=self.path
            ) from error
        if others:
            raise OutputExistsError(
                f"the folder has other contents ({sorted(others)[0]})", path=self.path,
                hint="name a folder that is new or empty",
            )  # fmt: skip
        if is_new:
            self._write(path, json.dumps(plan, indent=1))
            return
        try:
            found = json.loads(Path(path).read_text("utf-8"))
        except (OSError, ValueError):
            found = {"plan": "damaged"}
        if differences := sorted(k for k in {*found, *plan} if found.get(k) != plan.get(k)):
            shown = ", ".join(f"{k} {found.get(k)}, expected {plan.get(k)}" for k in differences)
            raise OutputExistsError(
                f"the folder holds another corpus (found {shown})", path=self.path,
                hint="name another folder, or the same sources and options to go on",
            )  # fmt: skip

    def save(self, report: Report) -> None:
        """Keep the report of a shard that is about to get its name."""
        report.check()
        values = {k: v for k, v in asdict(report).items() if k != "error"}
        self._write(self.hidden(f"part-{report.part:06d}.json"), json.dumps(values))

    def report(self, part: int) -> Report:
        """Return the report of a finished shard.

        Raises:
            HzcError: it is missing or damaged.
        """
        path = self.hidden(f"part-{part:06d}.json")
        try:
            values = json.loads(Path(path).read_text("utf-8"))
            failed = [Failure(**failure) for failure in values.pop("failed")]
            return Report(**values, failed=failed)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise HzcError(
                f"the report of a shard is missing or damaged ({error})", path=path,
                hint=f"remove {self.shard(part)} to have it made again",
            ) from error  # fmt: skip

    def finish(self, failures: Sequence[tuple[int, Failure]], summary: Mapping[str, Any]) -> None:
        """Write the list of failures and the sums."""
        lines = [json.dumps({"part": part, **asdict(failure)}) for part, failure in failures]
        self._write(self.failed, "".join(f"{x}\n" for x in lines))
        self._write(os.path.join(self.path, "summary.json"), json.dumps(summary, indent=1) + "\n")

    def note(self, part: int) -> str:
        """Return the path of the note in which a careful job says which clip it is at."""
        return self.hidden(f"part-{part:06d}.at")

    def _write(self, path: str, text: str) -> None:
        files.write_bytes(path, text.encode("utf-8", "surrogateescape"), force=True)
