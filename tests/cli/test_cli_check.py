"""`hzc check`: sound or not, and what is lost; quickly."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from harness import Cli, Wav

from hzc import container
from hzc.codec import Codec


@pytest.fixture(scope="module")
def long(tiny_codec: Codec, sound: Callable[..., object]) -> bytes:
    """Five chunks, 45.5 s."""
    return tiny_codec.encode(sound(round(45.5 * 16_000)), 16_000)


def damaged(data: bytes, *indexes: int) -> bytes:
    """Return a file of known length with a byte of each of these chunks changed."""
    file = container.unpack(data)
    at = file.header_bytes
    out = bytearray(data)
    for index, chunk in enumerate(file.chunks):
        if index in indexes:
            out[at + 40] ^= 0x10
        at += len(container.pack_chunk(file.header, data[: file.header_bytes], index, chunk))
    return bytes(out)


# ------------------------------------------------------------------ sound files


def test_check_when_sound_then_one_line_and_exit_0(cli: Cli, hzc: Path, long: bytes) -> None:
    (cli.folder / "long.hzc").write_bytes(long)
    result = cli("check", "talk.hzc", "long.hzc")
    assert result.text == "talk.hzc  sound  2.50 s  1 chunks\nlong.hzc  sound  45.50 s  5 chunks\n"
    assert result.stderr == ""
    assert cli("check", "-q", "talk.hzc").stdout == b""
    assert cli("check", "-", stdin=long).text == "-  sound  45.50 s  5 chunks\n"


def test_check_when_json_then_one_object_for_every_file(cli: Cli, hzc: Path, long: bytes) -> None:
    (cli.folder / "bad.hzc").write_bytes(damaged(long, 2))
    good, bad = cli("check", "--json", "talk.hzc", "bad.hzc", code=1).objects
    assert good == {"schema": 1, "path": "talk.hzc", "duration_s": 2.5, "n_chunks": 1}
    assert (bad["path"], bad["exit_code"]) == ("bad.hzc", 4)
    assert "10.00 of 45.50 s lost, 20.00–30.00 s" in bad["error"]


def test_check_when_streamed_then_as_any_other(cli: Cli, hzc: Path) -> None:
    cli("cat", "talk.hzc", "talk.hzc", "-o", "both.hzc")
    assert cli("check", "both.hzc").text == "both.hzc  sound  5.00 s  2 chunks\n"


# ------------------------------------------------------------------ damaged files


@pytest.mark.parametrize(
    ("indexes", "says"),
    [
        ((0,), "10.00 of 45.50 s lost, 0.00–10.00 s"),
        ((2,), "10.00 of 45.50 s lost, 20.00–30.00 s"),
        ((4,), "5.50 of 45.50 s lost, 40.00–45.50 s"),
        ((1, 2), "20.00 of 45.50 s lost, 10.00–30.00 s"),
        ((0, 3), "20.00 of 45.50 s lost, 0.00–10.00 s, 30.00–40.00 s"),
    ],
)
def test_check_when_chunks_are_damaged_then_tells_the_time_that_is_lost(
    cli: Cli, long: bytes, indexes: tuple[int, ...], says: str
) -> None:
    (cli.folder / "bad.hzc").write_bytes(damaged(long, *indexes))
    result = cli.refuse(4, f"checksum of chunk {indexes[0]} does not match", "check", "bad.hzc")
    assert f"; {says}\n" in result.stderr
    assert "hint: hzc decode --salvage brings back the rest" in result.stderr
    assert result.stdout == b""


def test_check_when_all_is_damaged_then_no_salvage_is_promised(cli: Cli, long: bytes) -> None:
    (cli.folder / "bad.hzc").write_bytes(damaged(long, 0, 1, 2, 3, 4))
    result = cli.refuse(4, "checksum of chunk 0 does not match", "check", "bad.hzc")
    assert "brings back the rest" not in result.stderr


def test_check_when_cut_off_then_tells_what_is_missing(cli: Cli, long: bytes) -> None:
    (cli.folder / "cut.hzc").write_bytes(long[:-9])
    result = cli.refuse(4, "cut.hzc: truncated", "check", "cut.hzc")
    assert "5.50 of 45.50 s lost, 40.00–45.50 s" in result.stderr
    (cli.folder / "half.hzc").write_bytes(long)
    cli("cat", "half.hzc", "half.hzc", "-o", "stream.hzc")
    whole = (cli.folder / "stream.hzc").read_bytes()
    (cli.folder / "stream.hzc").write_bytes(whole[:-3])
    result = cli.refuse(4, "stream.hzc: truncated", "check", "stream.hzc")
    assert "the end is missing, and how long it was is not known" in result.stderr


def test_check_when_bytes_follow_the_end_then_nothing_is_lost(cli: Cli, long: bytes) -> None:
    (cli.folder / "long.hzc").write_bytes(long + bytes(512))
    result = cli.refuse(4, "there are bytes after the end", "check", "long.hzc")
    assert "lost" not in result.stderr


def test_check_when_no_hzc_file_then_exit_4(cli: Cli, wav: Wav) -> None:
    wav("a.wav")
    (cli.folder / "empty.hzc").write_bytes(b"")
    cli.refuse(4, "a.wav: not a .hzc file (wrong magic number)", "check", "a.wav")
    cli.refuse(4, "empty.hzc: not a .hzc file (it is empty)", "check", "empty.hzc")
    cli.refuse(3, "none.hzc: cannot be read", "check", "none.hzc")
    cli.refuse(3, "cannot be read", "check", ".")
    cli.refuse(4, "standard input: not a .hzc file", "check", "-", stdin=b"RIFF")


def test_check_when_one_of_several_is_bad_then_the_others_are_checked_and_exit_1(
    cli: Cli, hzc: Path, long: bytes
) -> None:
    (cli.folder / "bad.hzc").write_bytes(damaged(long, 0))
    (cli.folder / "long.hzc").write_bytes(long)
    result = cli("check", "bad.hzc", "none.hzc", "talk.hzc", "long.hzc", code=1)
    assert [line.split()[0] for line in result.text.splitlines()] == ["talk.hzc", "long.hzc"]
    assert result.stderr.endswith("hzc: 2 of 4 files done, 2 failed\n")


# ------------------------------------------------------------------ models


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model_id": 239}, "239"),
        ({"model_id": 1, "fingerprint": 0xBEEF}, "other tables than model base has"),
        ({"model_id": 1, "n_latent": 33}, "other tables than model base has"),
    ],
)
def test_check_when_the_model_is_not_this_hzc_s_then_exit_5(
    cli: Cli, coded: bytes, changes: dict[str, int], says: str
) -> None:
    file = container.unpack(coded)
    data = container.pack(replace(file.header, **changes), file.chunks)
    (cli.folder / "odd.hzc").write_bytes(data)
    cli.refuse(5, says, "check", "odd.hzc")


def test_check_when_the_model_is_private_then_its_tables_are_not_looked_for(
    cli: Cli, coded: bytes
) -> None:
    file = container.unpack(coded)
    for model_id in (240, 255):
        header = replace(file.header, model_id=model_id, fingerprint=1)
        (cli.folder / "own.hzc").write_bytes(container.pack(header, file.chunks))
        cli("check", "own.hzc")


# ------------------------------------------------------------------ speed

WITHOUT_TORCH = """
import resource, sys
from hzc.cli import main
try:
    main(sys.argv[1:])
finally:
    loaded = {name.partition(".")[0] for name in sys.modules}
    print("loaded:", *sorted(loaded & {"torch", "numpy", "soundfile", "soxr"}), file=sys.stderr)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(used.ru_utime + used.ru_stime, file=sys.stderr)
"""


@pytest.mark.skipif(os.name == "nt", reason="reads the processor's time")
@pytest.mark.parametrize(("name", "code"), [("long.hzc", 0), ("bad.hzc", 4)])
def test_check_when_run_then_no_torch_and_half_a_second(
    tmp_path: Path, long: bytes, environment: dict[str, str], name: str, code: int
) -> None:
    (tmp_path / "long.hzc").write_bytes(long)
    (tmp_path / "bad.hzc").write_bytes(damaged(long, 1, 2))
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, "check", name],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    *_, loaded, seconds = done.stderr.splitlines()
    assert loaded == "loaded:"
    assert float(seconds) < 0.5
