"""Sound through pipes: as it comes, of any length, in little memory."""

from __future__ import annotations

import io
import os
import select
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile
from harness import RAW, Cli, Start, assert_one_clear_line

from hzc import container
from hzc.blocks import joined
from hzc.codec import Codec
from hzc.container import Reader

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX processes")

LIMIT_S = 120


def pcm(samples: np.ndarray) -> bytes:
    """Return samples [sample] or [sample, channel] as headerless 16-bit PCM."""
    return np.rint(samples * 20_000).astype("<i2").tobytes()


@pytest.fixture(scope="module")
def talk(sound: Callable[..., np.ndarray]) -> bytes:
    """25.3 s of 16-bit PCM at 16 kHz."""
    return pcm(sound(round(25.3 * 16_000)))


@pytest.fixture
def stream(cli: Cli, talk: bytes) -> bytes:
    """The same, encoded as it came."""
    return cli("encode", *RAW, "-q", "-", "-", stdin=talk).stdout


def heard(wav: bytes) -> np.ndarray:
    """Return the samples of a WAV, int16, whatever its header says of its length."""
    assert wav[:4] == b"RIFF"
    assert wav[36:40] == b"data"
    return np.frombuffer(wav[44:], "<i2")


@pytest.mark.parametrize("rate", ["16000", "source", "11025"])
def test_decode_when_a_stream_is_piped_then_the_samples_of_the_file(
    cli: Cli, stream: bytes, rate: str
) -> None:
    (cli.folder / "a.hzc").write_bytes(stream)
    cli("decode", "a.hzc", "--sample-rate", rate)
    expected, rate_hz = soundfile.read("a.wav", dtype="int16")
    result = cli("decode", "-", "-", "--sample-rate", rate, stdin=stream)
    found = heard(result.stdout)
    assert len(found) == len(expected)
    assert np.abs(found.astype(int) - expected).max() <= 3
    assert result.stderr == f"-  25.30 s  {rate_hz} Hz\n"
    assert struct.unpack("<I", result.stdout[40:44]) == (2**32 - 1,)


def test_decode_when_a_part_of_a_stream_is_asked_for_then_that_part(
    cli: Cli, stream: bytes
) -> None:
    whole = heard(cli("decode", "-", "-", stdin=stream).stdout)
    options = ["--start", "9.5", "--duration", "2.25"]
    found = heard(cli("decode", "-", "-", *options, stdin=stream).stdout)
    assert len(found) == 36_000
    assert np.abs(found.astype(int) - whole[152_000:188_000]).max() <= 3
    found = heard(cli("decode", "-", "-", "--start", "25", "--duration", "9", stdin=stream).stdout)
    assert len(found) == 4_800
    result = cli("decode", "-", "-o", "a.wav", "--start", "25.3", stdin=stream, code=3)
    assert_one_clear_line(result.stderr, "standard input: nothing is left at 25.3 s")
    assert not Path("a.wav").exists()


# ------------------------------------------------------------------ headerless


def test_raw_when_in_a_file_or_a_pipe_then_the_same_bytes(
    cli: Cli, talk: bytes, stream: bytes
) -> None:
    (cli.folder / "talk.raw").write_bytes(talk)
    cli("encode", *RAW, "talk.raw")
    assert Path("talk.hzc").read_bytes() == stream
    assert cli("encode", *RAW, "talk.raw", "-").stdout == stream


def test_raw_when_it_has_channels_then_they_are_mixed_or_kept(
    cli: Cli, sound: Callable[..., np.ndarray]
) -> None:
    pair = np.stack([sound(13 * 8_000, 8_000, seed) for seed in (1, 2)], axis=1)
    options = ["--raw", "--sample-rate", "8000", "--raw-channels", "2"]
    (cli.folder / "pair.raw").write_bytes(pcm(pair))
    result = cli("encode", *options, "pair.raw")
    assert "(2 channels mixed down to one)\n" in result.stderr
    assert container.unpack(Path("pair.hzc").read_bytes()).header.n_channels == 1
    kept = cli("encode", *options, "--channels", "keep", "-", "-", stdin=pcm(pair)).stdout
    assert container.unpack(kept).header.n_channels == 2
    assert len(heard(cli("decode", "-", "-", stdin=kept).stdout)) == 2 * 13 * 16_000


# ------------------------------------------------------------------ what goes wrong


def test_decode_when_a_stream_is_damaged_then_what_came_before_and_exit_4(
    cli: Cli, stream: bytes
) -> None:
    parsed = container.unpack(stream)
    last = len(stream) - len(parsed.chunks[2].payloads[0]) // 2
    bad = stream[:last] + bytes([stream[last] ^ 1]) + stream[last + 1 :]
    result = cli("decode", "-", "-", stdin=bad, code=4)
    assert_one_clear_line(result.stderr, "standard input: checksum of chunk 2 does not match")
    assert "--salvage" in result.stderr
    whole = heard(cli("decode", "-", "-", stdin=stream).stdout)
    found = heard(result.stdout)
    assert 9 * 16_000 < len(found) < 20 * 16_000
    assert np.array_equal(found, whole[: len(found)])
    cli.refuse(4, "checksum of chunk 2", "decode", "-", "-o", "a.wav", stdin=bad)


# ------------------------------------------------------------------ real pipes


def write_all(process: subprocess.Popen[bytes], pieces: Iterator[bytes]) -> None:
    """Write to a process until it has had enough, and close its input."""
    with suppress(BrokenPipeError):
        for piece in pieces:
            process.stdin.write(piece)
    with suppress(BrokenPipeError):
        process.stdin.close()
    process.stdin = None


def peak_kb(process: subprocess.Popen[bytes]) -> int:
    """Wait for a process to end well, and return its peak memory."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, process.stderr.read()
    return usage.ru_maxrss


def there_and_back(start: Start, second: bytes, n_s: int) -> tuple[int, int, int]:
    """Return the bytes that come out of `encode - - | decode - -`, and the peaks of both."""
    pipe = subprocess.PIPE
    encoder = start("encode", *RAW, "-q", "-", "-", stdin=pipe, stdout=pipe)
    decoder = start("decode", "-q", "-", "-", stdin=encoder.stdout, stdout=pipe)
    encoder.stdout.close()
    feeder = threading.Thread(target=write_all, args=(encoder, iter([second] * n_s)))
    feeder.start()
    n_bytes = 0
    while piece := decoder.stdout.read(1 << 16):
        n_bytes += len(piece)
    feeder.join(LIMIT_S)
    return n_bytes, peak_kb(encoder), peak_kb(decoder)


@posix
def test_pipes_when_minutes_go_through_both_then_every_sample_comes_out(
    start: Start, talk: bytes
) -> None:
    n_bytes, _, _ = there_and_back(start, talk[:32_000], 150)
    assert n_bytes == 44 + 150 * 32_000


@posix
@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not hasattr(os, "wait4"), reason="reads the memory of children")
def test_pipes_when_an_hour_goes_through_both_then_memory_as_for_minutes(
    start: Start, talk: bytes
) -> None:
    # An hour is 115 MB of samples; what a process needs varies by a few MB from run to run.
    short, long = (there_and_back(start, talk[:32_000], 60 * minutes) for minutes in (4, 64))
    assert long[0] == 44 + 64 * 60 * 32_000
    for minutes, hour in zip(short[1:], long[1:], strict=True):
        assert hour < minutes + 16 * 1024


def read_within_limit(process: subprocess.Popen[bytes], n_bytes: int) -> bytes:
    """Return so many bytes of a process's output, which must come while it runs."""
    found = b""
    while len(found) < n_bytes:
        ready, _, _ = select.select([process.stdout], [], [], LIMIT_S)
        assert ready, "nothing comes"
        piece = os.read(process.stdout.fileno(), n_bytes - len(found))
        assert piece, process.stderr.read()
        found += piece
    return found


@posix
def test_encode_when_the_sound_goes_on_then_its_first_bytes_are_there_already(
    start: Start, talk: bytes
) -> None:
    pipe = subprocess.PIPE
    process = start("encode", *RAW, "-q", "-", "-", stdin=pipe, stdout=pipe, bufsize=0)
    process.stdin.write(talk[: 24 * 32_000])
    first = read_within_limit(process, 2_000)
    assert process.poll() is None
    process.stdin.write(talk[24 * 32_000 :])
    rest, stderr = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, stderr) == (0, b"")
    assert container.unpack(first + rest).header.n_samples == len(talk) // 2


@posix
def test_decode_when_the_stream_goes_on_then_its_first_samples_are_there_already(
    start: Start, stream: bytes, tiny_codec: Codec
) -> None:
    reader = Reader(io.BytesIO(stream))
    head = reader.n_bytes
    chunks = reader.chunks()
    two = [next(chunks), next(chunks)]
    assert [chunk.n_frames for chunk in two] == [80, 80]
    n_first = reader.n_bytes
    assert head < n_first < len(stream)
    pipe = subprocess.PIPE
    process = start("decode", "-q", "-", "-", stdin=pipe, stdout=pipe, bufsize=0)
    process.stdin.write(stream[:n_first])
    n_early = 44 + 9 * 32_000
    first = read_within_limit(process, n_early)
    assert process.poll() is None
    process.stdin.write(stream[n_first:])
    rest, stderr = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, stderr) == (0, b"")
    reader = Reader(io.BytesIO(stream))
    blocks = tiny_codec.decoder.stream(reader, 16_000)
    expected = joined(blocks)[0] * 32_768
    assert np.abs(heard(first + rest) - expected).max() <= 2


@posix
def test_encode_when_the_reader_goes_then_exit_6_and_one_line(start: Start, talk: bytes) -> None:
    pipe = subprocess.PIPE
    process = start("encode", *RAW, "-", "-", stdin=pipe, stdout=pipe, bufsize=0)
    process.stdin.write(talk[: 14 * 32_000])
    read_within_limit(process, 12)
    process.stdout.close()
    write_all(process, iter([talk[: 14 * 32_000]] * 3))
    stderr = process.stderr.read().decode()
    assert process.wait(LIMIT_S) == 6
    assert_one_clear_line(stderr, "standard output: cannot be written (the reader closed the pipe)")
