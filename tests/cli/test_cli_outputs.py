"""Where output goes: a target is written wholly or not at all, and never lost."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from harness import HZC, Cli, Wav, assert_one_clear_line, snapshot

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX files")


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


def test_target_when_force_and_skip_existing_then_usage(cli: Cli, wav: Wav) -> None:
    cli.misuse("contradict each other", "encode", "-f", "--skip-existing", wav("a.wav"))


@pytest.mark.parametrize("command", ["encode", "decode"])
def test_target_when_it_appears_during_the_work_then_the_newcomer_is_kept(
    cli: Cli, wav: Wav, hzc: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hzc.decoder import Decoder
    from hzc.encoder import Encoder

    def late(usual: Callable[..., object]) -> Callable[..., object]:
        def work(*args: object, **kwargs: object) -> object:
            Path("target.au").write_bytes(b"newcomer")
            return usual(*args, **kwargs)

        return work

    for worker, name in ((Encoder, "encode"), (Decoder, "samples"), (Decoder, "stream")):
        monkeypatch.setattr(worker, name, late(getattr(worker, name)))
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
    cli.refuse(6, "is a folder", command, source, "-o", "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_target_when_it_is_a_device_then_written_or_refused_as_the_device_wants(
    cli: Cli, wav: Wav, hzc: Path
) -> None:
    wav("a.wav")
    for command, source in (("encode", "a.wav"), ("decode", hzc)):
        cli(command, source, "-o", "/dev/null")
        cli.refuse(6, "/dev/full: cannot ", command, source, "-o", "/dev/full")
        assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


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
    failure = SystemExit(130)
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
