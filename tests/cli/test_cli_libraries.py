"""What libraries underneath do shows neither in what hzc prints nor in how it ends."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from harness import Cli, Start, Wav, finish


def test_encode_when_an_mp3_is_damaged_then_only_hzc_prints(
    wav: Wav, start: Start, tmp_path: Path
) -> None:
    path = wav("cut.mp3", seconds=3.0)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    stderr = finish(start("encode", "-q", path, "out.hzc"))
    assert stderr == ""
    assert (tmp_path / "out.hzc").exists()


@pytest.mark.parametrize("suffix", ["flac", "mp3"])
def test_encode_when_a_pipe_is_copied_to_disk_then_the_bytes_of_the_file(
    cli: Cli, wav: Wav, sound: Callable[..., np.ndarray], suffix: str
) -> None:
    samples = sound(14 * 16_000)
    samples[: 11 * 16_000] *= 0.01  # a gain for every chunk would show
    path = wav(f"talk.{suffix}", samples)
    by_name = cli("encode", "-q", path, "-").stdout
    assert cli("encode", "-q", "-", "-", stdin=path.read_bytes()).stdout == by_name


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_signal_when_a_module_is_being_imported_then_it_waits(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import os\nos.kill(os.getpid(), 15)\nprint('imported')")
    script = "from hzc import runner\nrunner.end_on_signals()\nimport slow, time\ntime.sleep(60)"
    done = subprocess.run(
        [sys.executable, "-uc", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (143, "imported\n")
