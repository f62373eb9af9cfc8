"""`hzc bitrate` and `hzc info`: figures from the bytes of files."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from harness import Cli, Wav, snapshot

from hzc import container


def test_bitrate_when_given_a_file_then_8_bits_a_byte_by_seconds(
    cli: Cli, hzc: Path, coded: bytes
) -> None:
    (line,) = cli("bitrate", "--json", hzc).objects
    assert line["schema"] == 1
    assert line["path"] == str(hzc)
    assert line["n_bytes"] == len(coded)
    assert line["duration_s"] == 2.5
    assert line["bitrate_kbps"] == pytest.approx(8 * len(coded) / 2.5 / 1000, abs=1e-6)
    assert line["bytes_per_s"] == pytest.approx(len(coded) / 2.5, abs=1e-4)
    parsed = container.unpack(coded)
    assert line["header_bytes"] == len(coded) - parsed.payload_bytes
    assert line["header_share"] == pytest.approx(line["header_bytes"] / len(coded), abs=1e-6)
    assert "ladder_bits_per_s" not in line


def test_bitrate_when_there_are_several_files_then_a_total_of_bytes_and_seconds(
    cli: Cli, wav: Wav, hzc: Path
) -> None:
    cli("encode", wav("a.wav", rate=8_000, seconds=7.25))
    lines = cli("bitrate", "talk.hzc", "a.hzc").text.splitlines()
    n_bytes = hzc.stat().st_size + Path("a.hzc").stat().st_size
    assert len(lines) == 3
    assert lines[2].startswith(f"total (2 files)  {8 * n_bytes / 9750:.3f} kbps  ")
    assert f"  {n_bytes:,} B  9.75 s  " in lines[2]
    assert (
        cli("bitrate", "-", stdin=hzc.read_bytes()).text == lines[0].replace("talk.hzc", "-") + "\n"
    )


def ladder_of(cli: Cli, *arguments: object, **kwargs: object) -> dict[str, float]:
    (line,) = cli("bitrate", "--ladder", "--json", *arguments, **kwargs).objects
    return line["ladder_bits_per_s"]


def test_ladder_when_given_sound_then_a_kl_rung_and_the_rungs_of_its_file(
    cli: Cli, wav: Wav
) -> None:
    wav("a.wav", rate=44_100, seconds=3, n_channels=2)
    before = snapshot(cli.folder)
    ladder = ladder_of(cli, "a.wav")
    assert snapshot(cli.folder) == before
    kl = ladder.pop("kl")
    assert 0 < kl < math.inf
    cli("encode", "a.wav")
    assert ladder_of(cli, "a.hzc") == ladder
    data = Path("a.hzc").read_bytes()
    assert list(ladder) == ["nominal", "ideal", "payload", "file"]
    assert ladder["nominal"] == pytest.approx(24 * 32 * 32 / 3)
    assert ladder["payload"] == pytest.approx(8 * container.unpack(data).payload_bytes / 3)
    assert ladder["file"] == pytest.approx(8 * len(data) / 3)
    assert ladder["ideal"] == pytest.approx(ladder["payload"], rel=0.02)
    assert ladder_of(cli, "-", stdin=Path("a.wav").read_bytes()) == {**ladder, "kl": kl}


def test_info_when_given_a_file_then_its_header_and_rate(
    cli: Cli, wav: Wav, sound: Callable[..., np.ndarray]
) -> None:
    path = wav("a.wav", rate=11_025, seconds=12, n_channels=2)
    cli("encode", path, "--channels", "keep", "--step-index", "-3")
    (line,) = cli("info", "--json", "a.hzc").objects
    data = Path("a.hzc").read_bytes()
    parsed = container.unpack(data)
    header, chunks = parsed.header, parsed.chunks
    assert line["fingerprint"] == f"{header.fingerprint:04x}"
    expected = {
        "schema": 1, "path": "a.hzc", "format_version": 1, "model_id": 240, "model": None,
        "n_channels": 2, "sample_rate_hz": 11_025, "n_samples": 132_300, "n_latent": 32,
        "n_frames": 96, "n_chunks": 2, "step_index": -3, "step_offsets": None,
        "gains_db": [chunks[0].gain_half_db / 2], "is_streamed": False,
        "n_bytes": len(data), "duration_s": 12.0,
    }  # fmt: skip
    assert {key: line[key] for key in expected} == expected
    shown = cli("info", "a.hzc").text.splitlines()
    assert shown[0] == "a.hzc"
    assert [row.split()[0] for row in shown[1:]] == list(line)[2:]
    assert "  n_samples        132300" in shown
    assert "  model            -" in shown
    cli.refuse(3, "standard input: the file is empty", "bitrate", "-")
    assert cli("info", "-", stdin=data).text.splitlines() == ["-", *shown[1:]]
