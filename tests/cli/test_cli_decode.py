"""`hzc decode`: damaged files, output formats and sample rates."""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from harness import Cli, Wav

from hzc import container
from hzc.container import Chunk

READERS = (("decode", "-f"), ("bitrate",), ("info",), ("check",))


@pytest.mark.parametrize("command", READERS, ids=lambda c: c[0])
def test_reader_when_fed_something_else_then_exit_4(
    cli: Cli, wav: Wav, command: tuple[str, ...]
) -> None:
    (cli.folder / "text.hzc").write_text("hello")
    (cli.folder / "empty.hzc").write_bytes(b"")
    wav("sound.wav").rename(cli.folder / "sound.hzc")
    for name in ("text", "empty", "sound"):
        cli.refuse(4, f"{name}.hzc: not a .hzc file", *command, f"{name}.hzc")


@pytest.mark.parametrize("command", READERS, ids=lambda c: c[0])
def test_reader_when_the_file_is_cut_off_then_exit_4(
    cli: Cli, coded: bytes, command: tuple[str, ...]
) -> None:
    path = cli.folder / "cut.hzc"
    for length in (1, 3, 4, 10, 11, 13, 16, len(coded) // 2, len(coded) - 2, len(coded) - 1):
        path.write_bytes(coded[:length])
        cli.refuse(4, "cut.hzc: truncated", *command, "cut.hzc")


@pytest.mark.parametrize("command", READERS, ids=lambda c: c[0])
def test_reader_when_a_bit_is_wrong_or_a_byte_too_many_then_exit_4(
    cli: Cli, coded: bytes, command: tuple[str, ...]
) -> None:
    path = cli.folder / "wrong.hzc"
    path.write_bytes(coded + b"\0")
    cli.refuse(4, "there are bytes after the end", *command, "wrong.hzc")
    n_bits = 8 * len(coded)
    for bit in (*range(0, 150, 11), *range(150, n_bits, 701), n_bits - 1):
        path.write_bytes(
            (int.from_bytes(coded, "big") ^ 1 << n_bits - 1 - bit).to_bytes(len(coded), "big")
        )
        cli.refuse(4, "wrong.hzc: ", *command, "wrong.hzc")


def test_reader_when_the_version_is_newer_then_says_update(cli: Cli, coded: bytes) -> None:
    n_bytes = container.unpack(coded).header_bytes
    head = coded[:3] + b"\x20" + coded[4 : n_bytes - 2]
    head += crc_hqx(head, 0xFFFF).to_bytes(2, "big")
    (cli.folder / "new.hzc").write_bytes(head + coded[n_bytes:])
    for command in (*READERS, ("decode", "-f", "--salvage")):
        result = cli.refuse(4, "format version 2", *command, "new.hzc")
        assert "hint: update hzc" in result.stderr


def test_decode_when_the_checksums_hold_but_the_payload_is_none_then_exit_4(
    cli: Cli, coded: bytes
) -> None:
    header = container.unpack(coded).header
    header = replace(header, n_frames=8, n_samples=16_000)
    bad = container.pack(header, [Chunk(8, (b"\xff" * 60,))])
    (cli.folder / "bad.hzc").write_bytes(bad)
    (cli.folder / "heard.wav").write_bytes(b"old")
    says = "bad.hzc: payload is not a coded stream"
    cli.refuse(4, says, "decode", "bad.hzc", "-f", "heard.wav")
    cli.refuse(4, says, "decode", "bad.hzc", "-")
    cli.refuse(4, says, "bitrate", "--ladder", "bad.hzc")


FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "WAV": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "aiff": ("AIFF", "PCM_16"),
    "aif": ("AIFF", "PCM_16"),
    "caf": ("CAF", "PCM_16"),
    "au": ("AU", "PCM_16"),
    "w64": ("W64", "PCM_16"),
    "rf64": ("RF64", "PCM_16"),
}


@pytest.mark.parametrize("suffix", FORMATS)
def test_decode_when_the_target_has_a_suffix_then_the_file_has_that_format(
    cli: Cli, hzc: Path, suffix: str
) -> None:
    cli("decode", hzc, f"heard.{suffix}")
    info = soundfile.info(f"heard.{suffix}")
    assert (info.format, info.subtype) == FORMATS[suffix]
    assert (info.frames, info.samplerate, info.channels) == (40_000, 16_000, 1)
    if info.subtype == "PCM_16":
        plain = cli("decode", hzc, "-").stdout
        (cli.folder / "plain.wav").write_bytes(plain)
        expected, _ = soundfile.read("plain.wav", dtype="int16")
        found, _ = soundfile.read(f"heard.{suffix}", dtype="int16")
        # Formats differ in how they round.
        assert np.abs(found.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("name", ["heard.xyz", "heard.raw", "heard.hzc", "heard.m4a"])
def test_decode_when_the_suffix_is_unknown_then_exit_6(cli: Cli, hzc: Path, name: str) -> None:
    cli.refuse(6, "cannot write audio with the suffix", "decode", hzc, "-o", name)


@pytest.mark.parametrize("rate", [8_000, 11_025, 12_345, 44_100, 48_000, 192_000])
def test_decode_when_the_source_rate_is_asked_for_then_length_and_rate_are_the_originals(
    cli: Cli, wav: Wav, sound: Callable[..., np.ndarray], rate: int
) -> None:
    n_samples = rate // 2 + 17
    cli("encode", wav("a.wav", sound(n_samples, rate), rate))
    result = cli("decode", "a.hzc", "same.wav", "--sample-rate", "source")
    assert f"{rate} Hz" in result.stderr
    info = soundfile.info("same.wav")
    assert (info.frames, info.samplerate) == (n_samples, rate)
    cli("decode", "a.hzc", "usual.wav")
    info = soundfile.info("usual.wav")
    assert (info.frames, info.samplerate) == (-(-n_samples * 16_000 // rate), 16_000)
    cli("decode", "a.hzc", "other.wav", "--sample-rate", "22050")
    assert soundfile.info("other.wav").frames == -(-n_samples * 22_050 // rate)


@pytest.mark.parametrize("rate", ["999", "768001", "0", "-8000", "16000.0", "²²²²", "", "Source"])
def test_decode_when_the_rate_is_none_then_usage(cli: Cli, hzc: Path, rate: str) -> None:
    cli.misuse("is neither 'source' nor a rate", "decode", hzc, f"--sample-rate={rate}")


@pytest.mark.parametrize(
    "option", ["decode --start", "decode --duration", "cut --start", "cut --end"]
)
def test_part_when_its_time_is_none_then_usage(cli: Cli, hzc: Path, option: str) -> None:
    command, name = option.split()
    output = "part.wav" if command == "decode" else "part.hzc"
    for value in ("inf", "nan", "-inf", "-1", "1:30", ""):
        cli.misuse(f"'{name}'", command, hzc, output, f"{name}={value}")


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_decode_when_a_part_is_asked_for_then_it_starts_at_that_very_sample(
    cli: Cli, wav: Wav, rate: int
) -> None:
    cli("encode", wav("talk.wav", seconds=31.0))
    cli("decode", "talk.hzc", "whole.wav", "--sample-rate", rate)
    whole = soundfile.read("whole.wav", dtype="int16")[0].astype(int)
    n_samples = 4_000
    for start in (1, 10 * rate - 1, 10 * rate, 10 * rate + 1, 23 * rate + 4_567):
        span = ["--start", start / rate, "--duration", n_samples / rate]
        cli("decode", "talk.hzc", "part.wav", "-f", "--sample-rate", rate, *span)
        part = soundfile.read("part.wav", dtype="int16")[0]
        assert len(part) == n_samples
        early, exact, late = (
            np.abs(part - whole[start + shift : start + shift + n_samples]).max()
            for shift in (-1, 0, 1)
        )
        assert exact <= 3 < 50 < min(early, late)


def test_decode_when_samples_are_clipped_then_the_line_says_how_many(
    cli: Cli, hzc: Path, coded: bytes
) -> None:
    parsed = container.unpack(coded)
    # The decoder turns these up by 60 dB.
    quiet = [replace(chunk, gain_half_db=-120) for chunk in parsed.chunks]
    hzc.write_bytes(container.pack(parsed.header, quiet))
    result = cli("decode", hzc, "loud.wav")
    (line,) = cli("decode", "-f", "--json", hzc, "loud.wav").objects
    assert line["n_clipped"] > 1_000
    clipped = f"({line['n_clipped']} samples clipped)"
    assert result.stderr == f"loud.wav  2.50 s  16000 Hz  {clipped}\n"
    assert np.abs(soundfile.read("loud.wav")[0]).max() <= 1.0
