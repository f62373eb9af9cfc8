"""`hzc send` and `hzc receive`: files and pipes of packets, datagrams, loss, signals."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
import soundfile
from harness import LIMIT_S, Cli, Start, Wav, finish, wait_for

N_SAMPLES = 3 * 16_000


@pytest.fixture
def packets(cli: Cli, wav: Wav) -> bytes:
    """Three seconds of sound as a stream of packets."""
    wav("talk.wav", seconds=3.0)
    return cli("send", "talk.wav", "-").stdout


def n_samples_of(name: str) -> int:
    return soundfile.info(name).frames


def test_packets_through_a_file_a_pipe_and_raw_samples_are_the_same(
    cli: Cli, packets: bytes
) -> None:
    result = cli("send", "talk.wav", "talk.packets")
    assert Path("talk.packets").read_bytes() == packets
    assert result.stderr.startswith("talk.packets  ")
    pcm = Path("talk.wav").read_bytes()
    assert cli("send", "-", "-", stdin=pcm).stdout == packets
    raw = ["--raw", "--sample-rate", "16000"]
    assert cli("send", *raw, "-", "-", stdin=pcm[44:]).stdout == packets
    cli("receive", "talk.packets", "back.wav")
    assert n_samples_of("back.wav") == N_SAMPLES
    piped = cli("receive", "-", "-", stdin=packets).stdout
    assert piped[44:] == Path("back.wav").read_bytes()[44:]
    cli("receive", "talk.packets", "back.flac", "--sample-rate", "44100")
    assert n_samples_of("back.flac") == N_SAMPLES * 441 // 160


def test_loss_leaves_out_packets_as_the_seed_says_and_receive_counts_them(
    cli: Cli, packets: bytes
) -> None:
    options = ["--loss", "0.5", "--max-frames", "2", "--json"]
    for name in ("a", "b"):
        (sent,) = cli("send", "talk.wav", name, *options, "--seed", "4").objects
    assert Path("a").read_bytes() == Path("b").read_bytes()
    assert 0 < sent["n_dropped"] < sent["n_packets"]
    (received,) = cli("receive", "a", "a.wav", "--json").objects
    assert received["n_played"] == sent["n_packets"] - sent["n_dropped"]
    assert received["lost_s"] > 0.0


def test_what_is_no_stream_of_packets_is_refused_and_nothing_is_written(
    cli: Cli, packets: bytes
) -> None:
    cases = {
        "no stream of packets": b"\xff\xff" + packets,
        "no packet could be played (1 refused)": b"\0\x07garb",
        "no packet could be played (0 refused)": b"",
    }
    for says, data in cases.items():
        cli.refuse(4, says, "receive", "-", "out.wav", stdin=data)
    cli.refuse(6, "exists already", "receive", "-", "talk.wav", stdin=packets)
    cli.misuse("--udp", "send", "talk.wav")
    cli.misuse("is not HOST:PORT", "send", "talk.wav", "--udp", "localhost")
    cli.misuse("--sample-rate go together", "send", "talk.wav", "x", "--raw")


# ------------------------------------------------------------------ datagrams


@pytest.fixture
def port() -> int:
    """A UDP port that nobody uses."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def is_listening(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        try:
            other.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def test_datagrams_among_garbage_are_played_to_the_end_of_the_stream(
    cli: Cli, wav: Wav, start: Start, port: int
) -> None:
    wav("talk.wav", seconds=1.5)
    receiver = start("receive", "--udp", f":{port}", "out.wav")
    wait_for(lambda: is_listening(port), receiver)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for n_bytes in (0, 1, 40, 1401, 9000):
            stranger.sendto(os.urandom(n_bytes), ("127.0.0.1", port))
    cli("send", "talk.wav", "--udp", f"localhost:{port}")
    assert "packets refused: 5 (" in finish(receiver)
    assert receiver.returncode == 0
    assert n_samples_of("out.wav") == 24_000


def test_stream_that_stops_ends_after_the_timeout(
    cli: Cli, packets: bytes, start: Start, port: int
) -> None:
    receiver = start("receive", "--udp", f"127.0.0.1:{port}", "out.wav", "--timeout", "0.5")
    wait_for(lambda: is_listening(port), receiver)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.sendto(first_of(packets), ("127.0.0.1", port))
    finish(receiver)
    assert receiver.returncode == 0
    assert n_samples_of("out.wav") > 2_000


def first_of(packets: bytes) -> bytes:
    return packets[2 : 2 + int.from_bytes(packets[:2], "big")]


# ------------------------------------------------------------------ signals

linux = pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="looks at open files")


def has_written(process: subprocess.Popen[bytes]) -> bool:
    """Whether the output, which has no name yet, has more than a header in it."""
    for link in Path(f"/proc/{process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            if "deleted" in os.readlink(link) and link.stat().st_size > 100:
                return True
    return False


@linux
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_receiver_that_is_ended_writes_what_has_come(
    cli: Cli, packets: bytes, start: Start, number: int
) -> None:
    receiver = start("receive", "-", "out.wav", stdin=subprocess.PIPE)
    receiver.stdin.write(packets[: len(packets) // 2])
    receiver.stdin.flush()
    wait_for(lambda: has_written(receiver), receiver)
    receiver.send_signal(number)
    assert receiver.wait(LIMIT_S) == 128 + number
    assert 8_000 < n_samples_of("out.wav") < N_SAMPLES


@linux
def test_sender_that_is_ended_still_says_where_the_stream_ends(
    cli: Cli, packets: bytes, start: Start
) -> None:
    sender = start("send", "-", "out.packets", "--max-frames", "2", stdin=subprocess.PIPE)
    sender.stdin.write(Path("talk.wav").read_bytes()[: 44 + 5 * 16_000])
    sender.stdin.flush()
    wait_for(lambda: has_written(sender), sender)
    sender.send_signal(signal.SIGINT)
    assert sender.wait(LIMIT_S) == 130
    cli("receive", "out.packets", "out.wav")
    assert n_samples_of("out.wav") in (16_000, 32_000)
