"""`--effort`: the search in real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from harness import RAW, Cli, Start, Wav, assert_one_clear_line, finish, snapshot

from hzc import container

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")
WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
from hzc.cli import main
main(sys.argv[1:])
"""


@needs_torch
def test_effort_when_asked_for_then_the_file_is_no_larger_and_decodes(cli: Cli, wav: Wav) -> None:
    wav("a.wav", seconds=3.0, n_channels=2)
    for n in (0, 1, 2):
        cli("encode", "a.wav", f"{n}.hzc", "--effort", n, "--channels", "keep", "--verify")
        cli("decode", f"{n}.hzc", f"{n}.wav")
    data = [Path(f"{n}.hzc").read_bytes() for n in (0, 1, 2)]
    assert len(set(data)) == 3
    assert max(map(len, data)) == len(data[0])
    (line,) = cli("bitrate", "--ladder", "--json", "--effort", 2, "a.wav").objects
    (plain,) = cli("bitrate", "--ladder", "--json", "a.wav").objects
    assert line["ladder_bits_per_s"]["file"] <= plain["ladder_bits_per_s"]["file"]
    assert line["ladder_bits_per_s"]["kl"] != plain["ladder_bits_per_s"]["kl"]
    cli.misuse("--effort", "encode", "a.wav", "--effort", 3)


@needs_torch
def test_effort_when_input_is_piped_then_chunks_follow_each_other(cli: Cli, wav: Wav) -> None:
    data = wav("a.wav", seconds=23.0).read_bytes()
    stdin = {"stdin": data, "code": 0}
    plain = cli("encode", "-", "-", **stdin).stdout
    searched = cli("encode", "-", "-", "--effort", 1, **stdin).stdout
    parsed, expected = container.unpack(searched), container.unpack(plain)
    assert parsed.header == expected.header
    assert [chunk.n_frames for chunk in parsed.chunks] == [80, 80, 24]
    assert parsed.chunks != expected.chunks
    for found, before in zip(parsed.chunks, expected.chunks, strict=True):
        assert found.gain_half_db == before.gain_half_db
        assert len(found.payloads[0]) <= len(before.payloads[0]) + 1  # bytes are whole


@needs_torch
@pytest.mark.skipif(os.name == "nt", reason="POSIX processes")
def test_signal_when_searching_then_the_process_ends_by_it(tmp_path: Path, start: Start) -> None:
    before = snapshot(tmp_path)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = start("encode", *RAW, "--effort", "1", "-", "-", **pipes)
    noise = np.random.default_rng(0).integers(-999, 999, 60 * 16_000)
    process.stdin.write(noise.astype("<i2").tobytes())
    process.stdin.flush()
    assert len(process.stdout.read(100)) == 100  # the first chunk; the next one is on its way
    process.send_signal(signal.SIGINT)
    assert "hzc: interrupted" in finish(process)
    assert process.returncode == 130
    assert snapshot(tmp_path) == before


def test_effort_when_torch_is_missing_then_one_line_says_what_to_install(
    tmp_path: Path, wav: Wav, environment: dict[str, str]
) -> None:
    wav("a.wav")
    before = snapshot(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, "encode", "a.wav", "--effort", "1"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 5
    assert_one_clear_line(done.stderr, "a search needs torch, which is not installed")
    assert "hint: pip install torch" in done.stderr
    assert snapshot(tmp_path) == before
