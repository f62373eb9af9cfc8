"""Inputs that are read once, and targets that are written wholly or not at all."""

from __future__ import annotations

import errno
import io
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hzc import files
from hzc.container import MAGIC
from hzc.errors import CorruptError, OutputExistsError, OutputWriteError
from hzc.files import STDIO

pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


class Stream(io.BytesIO):
    """Stands for standard input or output."""

    @property
    def buffer(self) -> Stream:
        return self


def test_read_hzc_reads_all_of_a_hzc_file_and_little_of_others(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(files, "LOOK_BYTES", 10)
    path = tmp_path / "a"
    for data, expected in ((MAGIC + bytes(99), 102), (b"RIFF" + bytes(99), 13), (b"", 0)):
        path.write_bytes(data)
        assert files.read_hzc(str(path)) == data[:expected]
        monkeypatch.setattr(sys, "stdin", Stream(data))
        assert files.read_hzc(STDIO) == data[:expected]


# ------------------------------------------------------------------ writing


@pytest.fixture(params=["nameless", "named", "no hard links"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The ways in which systems write a file that appears whole."""
    if request.param != "nameless":
        monkeypatch.setattr(files, "_nameless", lambda folder: None)
    elif sys.platform != "linux":
        pytest.skip("files without a name are Linux's")
    if request.param == "no hard links":

        def refuse(*args: object, **kwargs: object) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
    files._sweep.cache_clear()
    return str(request.param)


@pytest.mark.parametrize("name", ["a.hzc", "x" * 250, "ж" * 120, "-o", "a b\n"])
def test_target_appears_at_the_end_and_is_replaced_with_force_only(
    tmp_path: Path, system: str, name: str
) -> None:
    path = tmp_path / name
    with files.atomic_write(str(path), force=False) as partial:
        partial.write_bytes(b"abc")
        assert not path.exists()
    with pytest.raises(OutputExistsError):
        files.write_bytes(str(path), b"new", force=False)
    assert path.read_bytes() == b"abc"
    files.write_bytes(str(path), b"new", force=True)
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, CorruptError])
def test_target_after_an_exception_is_as_it_was(tmp_path: Path, system: str, error: type) -> None:
    (tmp_path / "old").write_bytes(b"old")
    for name in ("old", "new"):
        raised = pytest.raises(error)
        with raised, files.open_output(str(tmp_path / name), force=True) as write:
            write(b"half")
            raise error("stop")
    assert os.listdir(tmp_path) == ["old"]
    assert (tmp_path / "old").read_bytes() == b"old"


def test_target_that_came_meanwhile_is_kept_unless_forced(tmp_path: Path, system: str) -> None:
    path = tmp_path / "a"
    with pytest.raises(OutputExistsError), files.atomic_write(str(path), force=False):
        path.write_bytes(b"theirs")
    assert path.read_bytes() == b"theirs"
    with files.atomic_write(str(path), force=True) as partial:
        partial.write_bytes(b"mine")
        path.write_bytes(b"theirs")
    assert path.read_bytes() == b"mine"
    assert os.listdir(tmp_path) == ["a"]


def test_two_writers_do_not_disturb_each_other(tmp_path: Path, system: str) -> None:
    path = str(tmp_path / "a")
    with files.atomic_write(path, force=True) as one:
        files._sweep.cache_clear()
        with files.atomic_write(path, force=True) as two:
            one.write_bytes(b"one")
            two.write_bytes(b"two")
    assert Path(path).read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["a"]


KILLED = """
import os, signal, sys
from hzc import files
if sys.argv[2] == "named":
    files._nameless = lambda folder: None
with files.atomic_write(sys.argv[1], force=True) as partial:
    partial.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals and locks")
def test_killed_writer_leaves_nothing_after_the_next_run(tmp_path: Path, system: str) -> None:
    (tmp_path / "a").write_bytes(b"old")
    subprocess.run([sys.executable, "-c", KILLED, tmp_path / "a", system], check=False)
    assert len(os.listdir(tmp_path)) == (2 if system == "named" else 1)
    assert (tmp_path / "a").read_bytes() == b"old"
    files.write_bytes(str(tmp_path / "b"), b"", force=False)
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_target_has_the_umask_s_mode_or_the_replaced_one_and_the_source_s_time(
    tmp_path: Path, system: str
) -> None:
    source, new, old = (tmp_path / name for name in ("source", "new", "old"))
    source.touch()
    os.utime(source, ns=(10**18, 10**18 + 1))
    old.touch()
    old.chmod(0o604)
    before = os.umask(0o027)
    try:
        files.write_bytes(str(new), b"x", force=False, like=str(source))
        files.write_bytes(str(old), b"x", force=True, like=str(source))
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (new, old)] == [0o640, 0o604]
    assert {path.stat().st_mtime_ns for path in (new, old)} == {10**18 + 1}
    files.write_bytes(str(old), b"x", force=True)
    assert stat.S_IMODE(old.stat().st_mode) == 0o640 | 0o004 & ~before
    assert old.stat().st_mtime_ns != 10**18 + 1


def test_target_behind_a_link_is_written_there(tmp_path: Path, system: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("folder/real")
    files.write_bytes(str(tmp_path / "link"), b"new", force=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "folder/real").read_bytes() == b"new"
    assert os.listdir(tmp_path / "folder") == ["real"]


def test_system_s_refusal_is_an_output_error(tmp_path: Path, system: str) -> None:
    raised = pytest.raises(OutputWriteError, match="no space left")
    with raised as caught, files.atomic_write(str(tmp_path / "a"), force=False):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert isinstance(caught.value.__cause__, OSError)
    assert os.listdir(tmp_path) == []
    for name in ("missing/a", ""):
        with pytest.raises(OutputWriteError):
            files.write_bytes(str(tmp_path / name), b"", force=True)
