"""Where output goes: a target is written wholly or not at all, and never lost."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
from harness import HZC, Cli, Wav, assert_one_clear_line, snapshot

from hzc import container

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX files")


def is_hzc(path: str | Path) -> bool:
    return bool(container.unpack(Path(path).read_bytes()).chunks)


# ------------------------------------------------------------------ existing targets


def test_target_when_it_exists_then_refused_and_kept(cli: Cli, wav: Wav, hzc: Path) -> None:
    wav("a.wav")
    (cli.folder / "a.hzc").write_bytes(b"old")
    for arguments in (
        ["a.wav"],
        ["a.wav", "a.hzc"],
        ["a.wav", "-o", "a.hzc"],
        ["a.wav", "-d", "."],
    ):
        result = cli.refuse(6, "a.hzc: exists already", "encode", *arguments)
        assert "hint: overwrite it with --force" in result.stderr
    cli.refuse(6, "a.wav: exists already", "decode", hzc, "a.wav")


def test_target_when_it_exists_and_force_then_replaced(cli: Cli, wav: Wav, hzc: Path) -> None:
    wav("a.wav")
    (cli.folder / "a.hzc").write_bytes(b"old" * 10_000)
    cli("encode", "-f", "a.wav")
    assert is_hzc("a.hzc")
    cli("decode", "--force", hzc, "a.wav")
    assert soundfile.info("a.wav").frames == 40_000


def test_target_when_it_exists_and_skip_existing_then_kept_and_exit_0(
    cli: Cli, wav: Wav, hzc: Path
) -> None:
    wav("a.wav")
    (cli.folder / "a.hzc").write_bytes(b"old")
    before = snapshot(cli.folder)
    result = cli("encode", "--skip-existing", "a.wav")
    assert result.stderr == "a.hzc: skipped, exists already\n"
    assert cli("decode", "--skip-existing", "-q", hzc, "a.wav").stderr == ""
    assert snapshot(cli.folder) == before


def test_target_when_skip_existing_and_it_is_absent_then_made(cli: Cli, wav: Wav) -> None:
    cli("encode", "--skip-existing", wav("a.wav"))
    assert is_hzc("a.hzc")


def test_target_when_force_and_skip_existing_then_usage(cli: Cli, wav: Wav) -> None:
    cli.misuse("contradict each other", "encode", "-f", "--skip-existing", wav("a.wav"))


@pytest.mark.parametrize("command", ["encode", "decode"])
def test_target_when_it_appears_during_the_work_then_the_newcomer_is_kept(
    cli: Cli, wav: Wav, hzc: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hzc.decoder import Decoder
    from hzc.encoder import Encoder

    worker, name = (Encoder, "encode") if command == "encode" else (Decoder, "samples")
    usual = getattr(worker, name)

    def slow(*args: object, **kwargs: object) -> object:
        Path("target.au").write_bytes(b"newcomer")
        return usual(*args, **kwargs)

    monkeypatch.setattr(worker, name, slow)
    source = wav("a.wav") if command == "encode" else hzc
    data = source.read_bytes()
    for given, stdin in ((source, b""), ("-", data)):
        result = cli(command, given, "-o", "target.au", code=6, stdin=stdin)
        assert_one_clear_line(result.stderr, "target.au: exists already")
        assert Path("target.au").read_bytes() == b"newcomer"
        assert cli(command, source, "-o", "target.au", "--skip-existing").code == 0
        Path("target.au").unlink()
        cli(command, given, "-o", "target.au", "--skip-existing", stdin=stdin)
        assert Path("target.au").read_bytes() == b"newcomer"
        Path("target.au").unlink()


def test_target_when_the_file_system_has_no_hard_links_then_still_made_and_never_replaced(
    cli: Cli, wav: Wav, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    wav("a.wav")
    cli("encode", "a.wav")
    assert is_hzc("a.hzc")
    cli.refuse(6, "exists already", "encode", "a.wav")


# ------------------------------------------------------------------ sources as targets


@pytest.mark.parametrize(
    "spelling", ["a.wav", "./a.wav", "sub/../a.wav", "link.wav", "linked/a.wav"]
)
def test_target_when_it_is_the_source_then_refused_even_with_force(
    cli: Cli, wav: Wav, spelling: str
) -> None:
    wav("a.wav")
    (cli.folder / "sub").mkdir()
    (cli.folder / "link.wav").symlink_to("a.wav")
    (cli.folder / "linked").symlink_to(cli.folder)
    says = "a.wav: input and output are the same file"
    cli.refuse(6, says, "encode", "-f", "a.wav", "-o", spelling)
    cli.refuse(6, "input and output are the same file", "encode", "-f", spelling, "-o", "a.wav")


def test_target_when_it_is_a_hard_link_of_the_source_then_the_source_survives(
    cli: Cli, wav: Wav
) -> None:
    data = wav("a.wav").read_bytes()
    os.link("a.wav", "out.hzc")
    cli("encode", "-f", "a.wav", "out.hzc")
    assert Path("a.wav").read_bytes() == data
    assert is_hzc("out.hzc")


def test_targets_when_two_inputs_share_one_then_refused_before_any_work(cli: Cli, wav: Wav) -> None:
    for name in ("x/a.wav", "y/a.wav", "b.wav", "b.flac"):
        wav(name)
    (cli.folder / "out").mkdir()
    for arguments in (
        ["x/a.wav", "y/a.wav", "-d", "out"],
        ["b.wav", "b.flac"],
        ["b.wav", "./b.wav"],
        ["-f", "x/a.wav", "b.wav", "b.flac"],
    ):
        result = cli.refuse(6, "would both be written to it", "encode", *arguments)
        assert "hint: name outputs one by one with -o" in result.stderr


@posix
def test_targets_when_two_share_one_through_a_link_then_refused(cli: Cli, wav: Wav) -> None:
    wav("a.wav")
    wav("b.wav")
    (cli.folder / "b.hzc").symlink_to("a.hzc")
    cli.refuse(6, "would both be written to it", "encode", "-f", "a.wav", "b.wav")


# ------------------------------------------------------------------ links


@posix
def test_target_when_it_is_a_link_then_the_file_behind_it_is_replaced(cli: Cli, wav: Wav) -> None:
    wav("a.wav")
    (cli.folder / "far").mkdir()
    (cli.folder / "far/real.hzc").write_bytes(b"old")
    (cli.folder / "a.hzc").symlink_to("far/real.hzc")
    cli.refuse(6, "a.hzc: exists already", "encode", "a.wav")
    cli("encode", "-f", "a.wav")
    assert os.readlink("a.hzc") == "far/real.hzc"
    assert is_hzc("far/real.hzc")


@posix
def test_target_when_it_is_a_dangling_link_then_made_with_force_only(cli: Cli, wav: Wav) -> None:
    wav("a.wav")
    (cli.folder / "a.hzc").symlink_to("real.hzc")
    cli.refuse(6, "a.hzc: exists already", "encode", "a.wav")
    cli("encode", "-f", "a.wav")
    assert os.readlink("a.hzc") == "real.hzc"
    assert is_hzc("real.hzc")


# ------------------------------------------------------------------ folders and odd places


def forbid_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the test fail where anything is coded or decoded."""
    from hzc.decoder import Decoder
    from hzc.encoder import Encoder

    def too_late(*args: object, **kwargs: object) -> None:
        pytest.fail("the work was done in vain")

    for worker, name in ((Encoder, "encode"), (Encoder, "encode_stream"), (Decoder, "samples")):
        monkeypatch.setattr(worker, name, too_late)


@pytest.mark.parametrize("command", ["encode", "decode"])
def test_target_when_it_cannot_be_a_file_then_exit_6_before_the_work(
    cli: Cli, wav: Wav, hzc: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_work(monkeypatch)
    source = wav("a.wav") if command == "encode" else hzc
    data = source.read_bytes()
    (cli.folder / "folder").mkdir()
    for options in ([], ["-f"]):
        cli.refuse(6, "folder: is a folder", command, source, "-o", "folder", *options)
        cli.refuse(6, "folder: is a folder", command, "-", "-o", "folder", *options, stdin=data)
        says = "none/a.au: cannot be written (no such folder)"
        cli.refuse(6, says, command, source, "-o", "none/a.au", *options)
        says = "a.au: cannot be written (no such folder)"
        cli.refuse(6, says, command, source, "-o", f"{source}/a.au", *options)
    cli.refuse(6, "cannot be written (no such folder)", command, source, "-d", "none")
    cli.refuse(6, "is a folder", command, source, "-o", "")


@posix
def test_target_when_the_name_is_too_long_then_exit_6(cli: Cli, wav: Wav) -> None:
    wav("a.wav")
    cli.refuse(6, "cannot be written (file name too long)", "encode", "a.wav", "-o", "x" * 256)


@posix
@pytest.mark.parametrize("letter", ["x", "ü", "語", "🎤"])
def test_target_when_the_name_is_as_long_as_allowed_then_written(
    cli: Cli, wav: Wav, letter: str
) -> None:
    name = letter * (251 // len(letter.encode())) + ".hzc"
    cli("encode", wav("a.wav"), name)
    assert is_hzc(name)
    cli("decode", name)
    assert soundfile.info(name[:-3] + "wav").frames == 16_000


@posix
def test_file_when_it_may_not_be_touched_then_exit_3_or_6(cli: Cli, wav: Wav, hzc: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may do everything")
    wav("a.wav")
    closed = cli.folder / "closed"
    closed.mkdir(mode=0o555)
    for command, source in (("encode", "a.wav"), ("decode", hzc)):
        cli.refuse(6, "cannot be written (permission denied)", command, source, "-d", "closed")
    closed.chmod(0o755)
    Path("a.wav").chmod(0)
    for command in ("encode", "bitrate"):
        result = cli(command, "a.wav", code=3)
        assert_one_clear_line(result.stderr, "a.wav: cannot be read (permission denied)")
    assert sorted(os.listdir()) == ["a.wav", "closed", "talk.hzc"]


@posix
@pytest.mark.parametrize("command", ["encode", "decode"])
def test_target_when_the_operating_system_refuses_then_exit_6_before_the_work(
    cli: Cli, wav: Wav, hzc: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_work(monkeypatch)
    usual = os.open

    def refuse(path: str | Path, *args: int, **kwargs: int) -> int:
        if str(path).endswith(".partial"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return usual(path, *args, **kwargs)

    source = wav("a.wav") if command == "encode" else hzc
    (cli.folder / "old.au").write_bytes(b"old")
    monkeypatch.setattr(os, "open", refuse)
    says = "old.au: cannot be written (permission denied)"
    cli.refuse(6, says, command, source, "-f", "-o", "old.au")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_target_when_it_is_a_device_then_written_or_refused_as_the_device_wants(
    cli: Cli, wav: Wav, hzc: Path
) -> None:
    wav("a.wav")
    for command, source in (("encode", "a.wav"), ("decode", hzc)):
        cli(command, source, "-o", "/dev/null")
        cli.refuse(6, "/dev/full: cannot ", command, source, "-o", "/dev/full")
        assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@posix
def test_target_when_made_then_it_has_the_permissions_of_any_new_file(
    cli: Cli, wav: Wav, hzc: Path
) -> None:
    usual = os.umask(0o027)
    try:
        cli("encode", wav("a.wav"))
        cli("decode", hzc)
    finally:
        os.umask(usual)
    for name in ("a.hzc", "talk.wav"):
        assert stat.S_IMODE(os.stat(name).st_mode) == 0o640


# ------------------------------------------------------------------ failures half-way


@pytest.mark.parametrize("name", ["heard.wav", "heard.flac", "heard.mp3"])
def test_target_when_the_work_fails_half_way_then_kept(
    cli: Cli, hzc: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hzc.decoder import Decoder
    from hzc.errors import LatentError

    def half(self: Decoder, *args: object) -> Iterator[np.ndarray]:
        yield np.zeros((1, 20_000), dtype=np.float32)
        raise failure

    monkeypatch.setattr(Decoder, "samples", half)
    (cli.folder / name).write_bytes(b"old")
    before = snapshot(cli.folder)
    failure: BaseException = LatentError("the network gave a value that is not finite")
    cli.refuse(5, "talk.hzc: the network gave", "decode", "-f", hzc, name)
    failure = KeyboardInterrupt()
    assert cli("decode", "-f", hzc, name, code=130).stderr.split() == ["hzc:", "interrupted"]
    assert snapshot(cli.folder) == before


@contextmanager
def files_no_larger_than(n_bytes: int) -> Iterator[None]:
    """Let this process write no file beyond n_bytes: what a full disk does, byte by byte."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))  # Python ignores SIGXFSZ
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@posix
@pytest.mark.parametrize(
    "suffix", ["wav", "flac", "ogg", "opus", "mp3", "aiff", "caf", "au", "w64"]
)
def test_decode_when_the_disk_is_full_at_any_byte_then_exit_6(
    cli: Cli, hzc: Path, suffix: str
) -> None:
    name = f"heard.{suffix}"
    cli("decode", hzc, name)
    size = Path(name).stat().st_size
    for n_bytes in (0, 30, size // 2, size - 1000, size - 1):
        with files_no_larger_than(n_bytes):
            cli.refuse(6, f"{name}: cannot write the audio (", "decode", "-f", hzc, name)
    with files_no_larger_than(size):
        cli("decode", "-f", hzc, name)


@posix
def test_encode_when_the_disk_is_full_at_any_byte_then_exit_6(cli: Cli, wav: Wav) -> None:
    wav("a.wav")
    cli("encode", "a.wav")
    size = Path("a.hzc").stat().st_size
    for n_bytes in (0, 1, size - 1):
        with files_no_larger_than(n_bytes):
            cli.refuse(6, "a.hzc: cannot be written (file too large)", "encode", "-f", "a.wav")
    with files_no_larger_than(size):
        cli("encode", "-f", "a.wav")


# ------------------------------------------------------------------ pipes with names


@pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="no /dev/fd")
def test_process_when_input_and_output_are_named_pipes_then_the_same_bytes(
    cli: Cli, wav: Wav, environment: dict[str, str]
) -> None:
    wav("a.wav")
    cli("encode", "a.wav")
    cli("decode", "a.hzc", "b.wav")
    script = """
        "$@" encode <(cat a.wav) -o >(cat > piped.hzc) && wait $!
        "$@" bitrate <(cat a.wav)
        "$@" decode <(cat a.hzc) -o >(cat > piped.wav) && wait $!
    """
    done = subprocess.run(
        ["bash", "-ec", script, "bash", *HZC],
        cwd=cli.folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert Path("piped.hzc").read_bytes() == Path("a.hzc").read_bytes()
    assert Path("piped.wav").read_bytes() == Path("b.wav").read_bytes()
    assert "kbps" in done.stdout
    assert "Traceback" not in done.stderr
