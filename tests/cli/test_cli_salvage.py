"""`hzc decode --salvage`: what is left is heard, what is lost is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from harness import Cli, Long

from hzc import container

HINT = "hint: the file is damaged: copy it again, or decode what is left with --salvage"


@pytest.fixture
def whole(cli: Cli, long: Long) -> np.ndarray:
    """What is heard of the valid file."""
    (cli.folder / "whole.hzc").write_bytes(long.data)
    cli("decode", "-q", "whole.hzc")
    return soundfile.read("whole.wav", dtype="float32")[0]


def test_salvage_when_a_chunk_is_lost_then_silence_there_and_exit_8(
    cli: Cli, long: Long, whole: np.ndarray
) -> None:
    (cli.folder / "bad.hzc").write_bytes(long.without(2))
    result = cli("decode", "bad.hzc", code=4)
    assert HINT in result.stderr
    assert not Path("bad.wav").exists()
    result = cli("decode", "--salvage", "bad.hzc", code=8)
    assert result.stderr == (
        "hzc: bad.hzc: 10.00 of 45.50 s lost, 20.00–30.00 s\nbad.wav  45.50 s  16000 Hz\n"
    )
    found, rate = soundfile.read("bad.wav", dtype="float32")
    assert (len(found), rate) == (len(whole), 16_000)
    assert not found[20 * 16_000 : 30 * 16_000].any()
    reach = 18_000  # what the transform sees of the lost chunk, and the fade
    for kept in (slice(0, 20 * 16_000 - reach), slice(30 * 16_000 + reach, None)):
        assert np.abs(found[kept] - whole[kept]).max() < 1e-3


def test_salvage_when_the_end_of_a_stream_is_missing_then_what_there_is_and_exit_8(
    cli: Cli, sound: Callable[..., np.ndarray]
) -> None:
    raw = (sound(25 * 16_000) * 20_000).astype("<i2").tobytes()
    data = cli("encode", "-q", "--raw", "--sample-rate", "16000", "-", "-", stdin=raw).stdout
    (cli.folder / "cut.hzc").write_bytes(data[:-400])
    result = cli("decode", "--salvage", "-q", "cut.hzc", code=8)
    assert result.stderr == ("hzc: cut.hzc: the end is missing, and how long it was is not known\n")
    assert soundfile.info("cut.wav").frames == 320_000


def test_salvage_when_the_header_is_damaged_then_exit_4(cli: Cli, long: Long) -> None:
    (cli.folder / "bad.hzc").write_bytes(long.data[:8] + b"\7" + long.data[9:])
    cli.refuse(4, "header checksum does not match", "decode", "--salvage", "bad.hzc")


def test_salvage_when_nothing_is_damaged_then_the_usual_bytes_and_exit_0(
    cli: Cli, long: Long, whole: np.ndarray
) -> None:
    (cli.folder / "sound.hzc").write_bytes(long.data)
    result = cli("decode", "--salvage", "sound.hzc")
    assert result.stderr == "sound.wav  45.50 s  16000 Hz\n"
    assert Path("sound.wav").read_bytes() == Path("whole.wav").read_bytes()
    (cli.folder / "padded.hzc").write_bytes(long.data + bytes(4096))
    cli("decode", "--salvage", "padded.hzc")
    assert Path("padded.wav").read_bytes() == Path("whole.wav").read_bytes()


def test_salvage_when_nothing_is_left_then_exit_4_and_no_file(cli: Cli, long: Long) -> None:
    (cli.folder / "gone.hzc").write_bytes(long.without(0, 1, 2, 3, 4))
    (cli.folder / "head.hzc").write_bytes(long.head)
    (cli.folder / "text.hzc").write_text("hello")
    (cli.folder / "empty.hzc").write_bytes(b"")
    for name in ("gone", "head"):
        cli.refuse(4, "nothing can be salvaged", "decode", "--salvage", f"{name}.hzc")
    for name in ("text", "empty"):
        cli.refuse(4, f"{name}.hzc: not a .hzc file", "decode", "--salvage", f"{name}.hzc")
    cli.refuse(3, "none.hzc: cannot be read", "decode", "--salvage", "none.hzc")


def test_salvage_when_a_checksum_holds_by_chance_then_that_chunk_is_silent(
    cli: Cli, long: Long
) -> None:
    chunks = list(long.file.chunks)
    chunks[3] = replace(chunks[3], payloads=(b"\x5a" * 1_200,))
    (cli.folder / "odd.hzc").write_bytes(container.pack(long.file.header, chunks))
    result = cli("decode", "--salvage", "-q", "odd.hzc", code=8)
    assert result.stderr == "hzc: odd.hzc: 10.00 of 45.50 s lost, 30.00–40.00 s\n"
    for chunk in range(5):
        chunks[chunk] = replace(chunks[chunk], payloads=(b"\x5a" * 1_200,))
    (cli.folder / "odd.hzc").write_bytes(container.pack(long.file.header, chunks))
    cli.refuse(4, "nothing can be salvaged", "decode", "-f", "--salvage", "odd.hzc")


def test_salvage_when_json_then_the_error_and_the_file_in_one_object(cli: Cli, long: Long) -> None:
    (cli.folder / "bad.hzc").write_bytes(long.without(2))
    (line,) = cli("decode", "--salvage", "--json", "bad.hzc", code=8).objects
    assert (line["source"], line["path"], line["duration_s"]) == ("bad.hzc", "bad.wav", 45.5)
    assert (line["lost_s"], line["exit_code"]) == ([[20.0, 30.0]], 8)
    assert line["error"] == "10.00 of 45.50 s lost, 20.00–30.00 s"


def test_salvage_when_a_part_is_asked_for_then_that_part(cli: Cli, long: Long) -> None:
    (cli.folder / "bad.hzc").write_bytes(long.without(2))
    options = ["--start", "15", "--duration", "10"]
    cli("decode", "--salvage", "-q", "bad.hzc", "part.wav", *options, code=8)
    found, _ = soundfile.read("part.wav", dtype="float32")
    assert len(found) == 160_000
    assert found[:70_000].any()
    assert not found[80_000:].any()
    says = "nothing is left at 50 s"
    cli.refuse(3, says, "decode", "--salvage", "bad.hzc", "none.wav", "--start", "50")


def test_salvage_when_a_duration_is_asked_for_then_silence_has_no_other_limit(
    cli: Cli, long: Long
) -> None:
    header = replace(long.file.header, n_frames=8_000_000, n_samples=16 * 10**9)
    head = container.pack_header(header)
    chunk = container.pack_chunk(header, head, 0, long.file.chunks[0])
    (cli.folder / "bad.hzc").write_bytes(head + chunk)
    late = ["part.wav", "--start", "50000"]
    cli.refuse(3, "nothing is left at 50000 s", "decode", "--salvage", "bad.hzc", *late)
    cli("decode", "--salvage", "-q", "bad.hzc", *late, "--duration", "1", code=8)
    assert soundfile.info("part.wav").frames == 16_000
