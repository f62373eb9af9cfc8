"""`--kbps` and `--max-bytes`: what is asked for and what comes of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import Cli, Wav

LONG_PIPE_S = 61


def test_encode_when_bytes_are_limited_then_each_file_of_a_folder_has_no_more(
    cli: Cli, wav: Wav
) -> None:
    for name, seconds in (("in/a.wav", 1), ("in/b.wav", 3)):
        wav(name, seconds=seconds)
    cli("encode", "-r", "in", "-d", "plain")
    small, large = (len(Path("plain", name).read_bytes()) for name in ("a.hzc", "b.hzc"))
    limit = large - 20
    report = cli("encode", "-r", "in", "-d", "out", "-j", 2, "--max-bytes", limit, "--json")
    found = {Path(line["path"]).name: line for line in report.objects}
    assert found["a.hzc"]["n_bytes"] == small <= limit
    assert found["b.hzc"]["n_bytes"] == len(Path("out/b.hzc").read_bytes()) <= limit
    assert {line["asked_max_bytes"] for line in report.objects} == {limit}
    piped = cli("encode", "-", "-", "--max-bytes", limit, stdin=Path("in/b.wav").read_bytes())
    assert piped.stdout == Path("out/b.hzc").read_bytes()


def test_encode_when_a_rate_is_asked_for_then_it_is_reported_as_bitrate_does(
    cli: Cli, wav: Wav
) -> None:
    wav("a.wav", seconds=10)
    (found,) = cli("encode", "a.wav", "--kbps", "3.5", "--json").objects
    assert found["asked_kbps"] == 3.5
    assert 0 < found["bitrate_kbps"] <= 3.5
    assert "(asked: 3.5 kbps, -" in cli("bitrate", "--kbps", "3.5", "a.hzc").text
    both = [
        cli("bitrate", "--ladder", "--json", "--kbps", "3.5", name) for name in ("a.wav", "a.hzc")
    ]
    (of_wav,), (of_hzc,) = (each.objects for each in both)
    del of_wav["ladder_bits_per_s"]["kl"]
    assert {**of_wav, "path": ""} == {**of_hzc, "path": ""}


@pytest.mark.parametrize(
    "words",
    [("--kbps", word) for word in ("0", "-1", "0.39", "4.1", "nan", "inf", "fast", "")]
    + [("--max-bytes", word) for word in ("0", "-5", "1.5", "nan", "few")]
    + [("--kbps", "1", "--step-index", "2")],
)
def test_encode_when_it_is_no_rate_and_no_size_then_exit_2(
    cli: Cli, wav: Wav, words: tuple[str, ...]
) -> None:
    wav("a.wav", seconds=0.1)
    cli.misuse(words[0], "encode", "a.wav", *words)


def test_encode_when_it_is_out_of_reach_then_exit_3_and_one_line(cli: Cli, wav: Wav) -> None:
    wav("a.wav")
    least = "is the least"
    cli.refuse(3, least, "encode", "a.wav", "--max-bytes", 9)
    cli.refuse(3, least, "encode", "a.wav", "--max-bytes", 9, "--kbps", 1)
    wav("short.wav", seconds=0.05)
    cli.refuse(3, "can be reached", "encode", "short.wav", "--kbps", 0.4)
    pcm = bytes(2 * 8_000 * LONG_PIPE_S)
    raw = ("--raw", "--sample-rate", 8_000, "--max-bytes", 10**6)
    cli.refuse(3, "more than 60 s", "encode", *raw, "-", "a.hzc", stdin=pcm)
