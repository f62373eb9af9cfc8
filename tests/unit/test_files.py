"""Plans of what becomes what, and targets that are written wholly or not at all."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hzc import files
from hzc.errors import (
    CorruptError,
    OutputClashError,
    OutputExistsError,
    OutputWriteError,
    UnreadableError,
)
from hzc.files import STDIO, Job

as_user = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not stop root"
)


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if "partial" in path.name)


# --- the plan -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "folder", "target"),
    [
        ("talk.wav", None, "talk.hzc"),
        ("a/talk.wav", None, "a/talk.hzc"),
        ("a/talk.wav", "out", "out/talk.hzc"),
        ("talk", None, "talk.hzc"),
        ("a.b/talk.one.flac", None, "a.b/talk.one.hzc"),
        (".hidden", "out", "out/.hidden.hzc"),
        (STDIO, None, STDIO),
        (STDIO, "out", STDIO),
    ],
)
def test_plan_without_an_output_names_a_sibling(source, folder, target):
    expected = target if target == STDIO else str(Path(target))
    assert files.plan([source], None, folder, ".hzc") == [Job(source, expected)]


@pytest.mark.parametrize("source", ["talk.wav", STDIO])
@pytest.mark.parametrize("output", ["else/where.xyz", STDIO])
def test_plan_with_an_output_takes_it_as_it_is(source, output):
    assert files.plan([source], output, None, ".hzc") == [Job(source, output)]


def test_plan_of_several_keeps_their_order():
    jobs = files.plan(["b.wav", "a.wav", "c/a.wav"], None, None, ".hzc")
    assert [job.source for job in jobs] == ["b.wav", "a.wav", "c/a.wav"]
    assert [job.target for job in jobs] == ["b.hzc", "a.hzc", str(Path("c/a.hzc"))]


@pytest.mark.parametrize(
    ("inputs", "folder"),
    [
        (["a/x.wav", "b/x.wav"], "out"),
        (["x.wav", "x.flac"], None),
        (["x.wav", "x.wav"], None),
        (["x.wav", "./x.wav"], None),
    ],
)
def test_plan_of_two_inputs_with_one_target_raises(inputs, folder):
    with pytest.raises(OutputClashError, match="would both be written") as caught:
        files.plan(inputs, None, folder, ".hzc")
    assert inputs[0] in str(caught.value)
    assert caught.value.hint


def test_plan_of_two_targets_that_a_link_makes_one_raises(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real", target_is_directory=True)
    inputs = [str(tmp_path / "real" / "x.wav"), str(tmp_path / "link" / "x.wav")]
    with pytest.raises(OutputClashError):
        files.plan(inputs, None, None, ".hzc")


@pytest.mark.parametrize("output", [None, "a.hzc", "./a.hzc", "b/../a.hzc"])
def test_plan_of_a_target_that_is_its_source_raises(output):
    with pytest.raises(OutputClashError, match="same file") as caught:
        files.plan(["a.hzc"], output, None, ".hzc")
    assert ".hzc" in caught.value.hint


def test_plan_of_a_target_that_links_to_its_source_raises(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"")
    (tmp_path / "b.hzc").symlink_to("a.wav")
    with pytest.raises(OutputClashError):
        files.plan([str(tmp_path / "a.wav")], str(tmp_path / "b.hzc"), None, ".hzc")


def test_plan_of_nothing_is_empty():
    assert files.plan([], None, None, ".hzc") == []


# --- reading --------------------------------------------------------------------------------


def test_read_bytes_of_a_file_returns_them(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"\0\r\n\xff")
    assert files.read_bytes(str(path)) == b"\0\r\n\xff"
    files.check_readable(str(path))


def open_and_close(source: str) -> None:
    with files.open_input(source):
        pass


readers = pytest.mark.parametrize("read", [files.read_bytes, files.check_readable, open_and_close])


@readers
def test_reading_a_missing_file_raises(tmp_path, read):
    with pytest.raises(UnreadableError, match="no such file") as caught:
        read(str(tmp_path / "a"))
    assert str(caught.value).startswith(str(tmp_path / "a"))
    assert isinstance(caught.value.__cause__, OSError)


@readers
def test_reading_a_folder_raises_and_names_the_script_for_folders(tmp_path, read):
    with pytest.raises(UnreadableError, match="cannot be read") as caught:
        read(str(tmp_path))
    if os.name != "nt":
        scripts = [word for word in caught.value.hint.split() if word.startswith("bin/")]
        assert scripts
        assert all((Path(__file__).parents[2] / script).is_file() for script in scripts)


@as_user
@readers
def test_reading_without_permission_raises(tmp_path, read):
    path = tmp_path / "a"
    path.write_bytes(b"x")
    path.chmod(0)
    with pytest.raises(UnreadableError, match="permission denied"):
        read(str(path))


class Stream(io.BytesIO):
    """Stands for standard input or output."""

    @property
    def buffer(self) -> Stream:
        return self


def test_read_bytes_of_standard_input_returns_all_of_it(monkeypatch):
    monkeypatch.setattr(sys, "stdin", Stream(b"\0abc"))
    assert files.read_bytes(STDIO) == b"\0abc"


def test_read_bytes_of_closed_standard_input_raises(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UnreadableError, match="closed") as caught:
        files.read_bytes(STDIO)
    assert caught.value.path == "standard input"


def test_read_bytes_of_failing_standard_input_raises(monkeypatch):
    class Failing(Stream):
        def read(self, *_: object) -> bytes:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(sys, "stdin", Failing())
    with pytest.raises(UnreadableError, match="input/output error") as caught:
        files.read_bytes(STDIO)
    assert caught.value.path == "standard input"


def test_read_start_of_a_file_returns_its_first_bytes(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abcdef")
    for n_bytes in (0, 3, 6, 99):
        assert files.read_start(str(path), n_bytes) == b"abcdef"[:n_bytes]


def test_open_input_of_a_file_gives_its_bytes_in_order_and_closes_it(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abcdef")
    with files.open_input(str(path)) as stream:
        named = files.InputStream(stream, str(path))
        assert [named.read(n) for n in (1, 2, 9, 9)] == [b"a", b"bc", b"def", b""]
    assert stream.closed


def test_open_input_of_standard_input_gives_it_and_leaves_it_open(monkeypatch):
    monkeypatch.setattr(sys, "stdin", Stream(b"\0abc"))
    with files.open_input(STDIO) as stream:
        assert stream.read(2) == b"\0a"
    assert sys.stdin.read() == b"bc"


def test_open_input_of_closed_standard_input_raises(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UnreadableError, match="closed") as caught, files.open_input(STDIO):
        pytest.fail("there is nothing to read")
    assert caught.value.path == "standard input"


def test_open_input_lets_errors_of_its_reader_through(tmp_path):
    path = tmp_path / "a"
    path.touch()
    with pytest.raises(FileNotFoundError), files.open_input(str(path)):
        raise FileNotFoundError("not about the input")


def test_input_stream_that_the_system_refuses_raises_and_names_it():
    class Failing(io.BytesIO):
        def read(self, *_: object) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(UnreadableError, match="input/output error") as caught:
        files.InputStream(Failing(), "the radio").read(1)
    assert caught.value.path == "the radio"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_is_regular_and_is_special_tell_files_from_pipes_and_devices(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "to-pipe").symlink_to("pipe")
    kinds = {
        name: (files.is_regular(str(tmp_path / name)), files.is_special(str(tmp_path / name)))
        for name in ("file", "link", "pipe", "to-pipe", "missing")
    }
    assert kinds == {
        "file": (True, False), "link": (True, False), "pipe": (False, True),
        "to-pipe": (False, True), "missing": (False, False),
    }  # fmt: skip
    assert (files.is_regular(STDIO), files.is_special(STDIO)) == (False, True)


def test_is_same_sees_through_links_and_spellings_but_not_into_standard_streams(tmp_path):
    (tmp_path / "a").touch()
    (tmp_path / "b").symlink_to("a")
    assert files.is_same(str(tmp_path / "a"), str(tmp_path / "b"))
    assert files.is_same(str(tmp_path / "." / "a"), f"{tmp_path}/x/../a")
    assert not files.is_same(str(tmp_path / "a"), str(tmp_path / "c"))
    assert not files.is_same(STDIO, STDIO)


# --- targets before the work ----------------------------------------------------------------


def test_check_target_of_a_free_name_returns(tmp_path):
    for force in (False, True):
        files.check_target(str(tmp_path / "new"), force=force)
        files.check_target(STDIO, force=force)


def test_check_target_of_an_existing_file_wants_force(tmp_path):
    path = tmp_path / "a"
    path.touch()
    with pytest.raises(OutputExistsError, match="exists already") as caught:
        files.check_target(str(path), force=False)
    assert "--force" in caught.value.hint
    files.check_target(str(path), force=True)


def test_check_target_of_a_dangling_link_wants_force(tmp_path):
    path = tmp_path / "a"
    path.symlink_to("nowhere")
    with pytest.raises(OutputExistsError):
        files.check_target(str(path), force=False)
    files.check_target(str(path), force=True)


@pytest.mark.parametrize("force", [False, True])
def test_check_target_of_a_folder_or_in_none_raises(tmp_path, force):
    with pytest.raises(OutputWriteError, match="is a folder"):
        files.check_target(str(tmp_path), force=force)
    with pytest.raises(OutputWriteError, match="no such folder"):
        files.check_target(str(tmp_path / "missing" / "a"), force=force)


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="needs /dev/null")
def test_check_target_of_a_device_returns():
    files.check_target("/dev/null", force=False)


def test_check_target_of_closed_standard_output_raises(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(OutputWriteError, match="closed"):
        files.check_target(STDIO, force=False)


# --- writing --------------------------------------------------------------------------------


@pytest.mark.parametrize("force", [False, True])
def test_write_bytes_to_a_free_name_makes_the_file(tmp_path, force):
    path = tmp_path / "a.hzc"
    files.write_bytes(str(path), b"abc", force=force)
    assert path.read_bytes() == b"abc"
    assert os.listdir(tmp_path) == ["a.hzc"]


def test_write_bytes_over_a_file_wants_force(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with pytest.raises(OutputExistsError):
        files.write_bytes(str(path), b"new", force=False)
    assert path.read_bytes() == b"old"
    files.write_bytes(str(path), b"new", force=True)
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_write_bytes_gives_the_permissions_that_the_umask_leaves(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        files.write_bytes(str(tmp_path / "a"), b"", force=False)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode


def test_write_bytes_through_a_link_writes_what_it_points_to(tmp_path):
    (tmp_path / "folder").mkdir()
    real, link = tmp_path / "folder" / "real", tmp_path / "link"
    real.write_bytes(b"old")
    link.symlink_to(real)
    files.write_bytes(str(link), b"new", force=True)
    assert link.is_symlink()
    assert real.read_bytes() == b"new"
    assert os.listdir(tmp_path / "folder") == ["real"]


@pytest.mark.parametrize("name", ["x" * 250, "ж" * 120, "-o", "a b\n"])
def test_write_bytes_to_an_awkward_name_makes_it(tmp_path, name):
    files.write_bytes(str(tmp_path / name), b"abc", force=False)
    assert (tmp_path / name).read_bytes() == b"abc"
    assert os.listdir(tmp_path) == [name]


def test_write_bytes_in_a_missing_folder_raises(tmp_path):
    with pytest.raises(OutputWriteError, match="no such file") as caught:
        files.write_bytes(str(tmp_path / "missing" / "a"), b"", force=False)
    assert caught.value.hint


def test_write_bytes_to_a_folder_raises(tmp_path):
    for force in (False, True):
        with pytest.raises(OutputWriteError, match="is a folder"):
            files.write_bytes(str(tmp_path), b"", force=force)


@as_user
def test_write_bytes_where_writing_is_forbidden_raises(tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    with pytest.raises(OutputWriteError, match="permission denied"):
        files.write_bytes(str(folder / "a"), b"", force=False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_write_bytes_to_a_full_device_raises():
    with pytest.raises(OutputWriteError, match="no space"):
        files.write_bytes("/dev/full", b"x" * 100_000, force=False)
    assert Path("/dev/full").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_write_bytes_to_a_pipe_goes_through_it(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(path.read_bytes()), daemon=True)
    reader.start()
    files.write_bytes(str(path), b"abc", force=False)
    reader.join(20)
    assert received == [b"abc"]
    assert path.is_fifo()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, CorruptError])
@pytest.mark.parametrize("is_there", [False, True])
def test_atomic_write_after_an_exception_leaves_the_target_as_it_was(tmp_path, error, is_there):
    path = tmp_path / "a"
    if is_there:
        path.write_bytes(b"old")

    def write_half() -> None:
        with files.atomic_write(str(path), force=True) as partial:
            partial.write_bytes(b"half of the new")
            assert partial.parent == tmp_path
            raise error("stop")

    with pytest.raises(error):
        write_half()
    assert os.listdir(tmp_path) == (["a"] if is_there else [])
    if is_there:
        assert path.read_bytes() == b"old"


def test_atomic_write_that_the_system_refuses_raises_and_cleans_up(tmp_path):
    path = tmp_path / "a"
    raised = pytest.raises(OutputWriteError, match="no space left")
    with raised as caught, files.atomic_write(str(path), force=False):
        raise OSError(28, "No space left on device")
    assert isinstance(caught.value.__cause__, OSError)
    assert os.listdir(tmp_path) == []


def test_atomic_write_does_not_show_the_target_before_the_end(tmp_path):
    path = tmp_path / "a"
    with files.atomic_write(str(path), force=False) as partial:
        partial.write_bytes(b"abc")
        assert not path.exists()
    assert path.read_bytes() == b"abc"


def test_atomic_write_never_replaces_a_file_that_came_meanwhile(tmp_path):
    path = tmp_path / "a"
    with pytest.raises(OutputExistsError), files.atomic_write(str(path), force=False):
        path.write_bytes(b"theirs")
    assert path.read_bytes() == b"theirs"
    assert leftovers(tmp_path) == []


def test_atomic_write_replaces_a_file_that_came_meanwhile_when_forced(tmp_path):
    path = tmp_path / "a"
    with files.atomic_write(str(path), force=True) as partial:
        partial.write_bytes(b"mine")
        path.write_bytes(b"theirs")
    assert path.read_bytes() == b"mine"


def refuse_links(*_: object) -> None:
    raise OSError(95, "Operation not supported")


def test_atomic_write_without_hard_links_still_makes_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", refuse_links)
    files.write_bytes(str(tmp_path / "a"), b"abc", force=False)
    assert (tmp_path / "a").read_bytes() == b"abc"
    assert leftovers(tmp_path) == []


def test_atomic_write_without_hard_links_still_spares_other_files(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", refuse_links)
    path = tmp_path / "a"
    with pytest.raises(OutputExistsError), files.atomic_write(str(path), force=False):
        path.write_bytes(b"theirs")
    assert path.read_bytes() == b"theirs"


def test_two_writers_at_once_do_not_disturb_each_other(tmp_path):
    path = str(tmp_path / "a")
    with files.atomic_write(path, force=True) as one, files.atomic_write(path, force=True) as two:
        assert one != two
        one.write_bytes(b"one")
        two.write_bytes(b"two")
    assert Path(path).read_bytes() == b"one"
    assert leftovers(tmp_path) == []


# --- writing in order -----------------------------------------------------------------------


def test_open_output_makes_the_target_when_the_block_ends_well(tmp_path):
    path = tmp_path / "a"
    with files.open_output(str(path), force=False) as write:
        write(b"ab")
        write(b"c")
        assert not path.exists()
    assert path.read_bytes() == b"abc"
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("error", [CorruptError, KeyboardInterrupt])
def test_open_output_after_an_exception_leaves_the_target_as_it_was(tmp_path, error):
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def write_half() -> None:
        with files.open_output(str(path), force=True) as write:
            write(b"half of the new")
            raise error("stop")

    with pytest.raises(error):
        write_half()
    assert path.read_bytes() == b"old"
    assert leftovers(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_open_output_to_a_pipe_keeps_nothing_back(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with files.open_output(str(path), force=False) as write:
        for piece in (b"a", b"bc"):
            write(piece)
            assert os.read(reader, 100) == piece
    os.close(reader)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_open_output_to_a_full_device_raises_at_the_first_write():
    n_written = 0
    raised = pytest.raises(OutputWriteError, match="no space")
    with raised, files.open_output("/dev/full", force=False) as write:
        write(b"a")
        n_written += 1
    assert n_written == 0


def test_open_output_of_standard_output_writes_through(monkeypatch):
    stream = Stream()
    monkeypatch.setattr(sys, "stdout", stream)
    with files.open_output(STDIO, force=False) as write:
        write(b"a")
        assert stream.getvalue() == b"a"
    assert not stream.closed


# --- standard output ------------------------------------------------------------------------


def test_write_bytes_to_standard_output_flushes_them(monkeypatch):
    stream = Stream()
    monkeypatch.setattr(sys, "stdout", stream)
    files.write_bytes(STDIO, b"\0\xff\n", force=False)
    assert stream.getvalue() == b"\0\xff\n"


WRITE_MUCH = """
from hzc import files
from hzc.errors import OutputWriteError
import sys
try:
    files.write_stdout(bytes(10_000_000))
except OutputWriteError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX pipes")
def test_write_stdout_whose_reader_leaves_raises_and_ends_quietly():
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE_MUCH], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    message = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(60) == 6
    assert message == "standard output: cannot be written (the reader closed the pipe)\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_write_stdout_to_a_full_device_raises_and_ends_quietly():
    with open("/dev/full", "wb") as full:
        result = subprocess.run(
            [sys.executable, "-c", WRITE_MUCH], check=False, stdout=full, stderr=subprocess.PIPE
        )
    assert result.returncode == 6
    assert result.stderr == b"standard output: cannot be written (no space left on device)\n"
