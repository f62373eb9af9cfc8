"""Speed of every codec for the report; speed and memory of whole hzc processes.

The report counts processor time, not time on the wall: a benchmark often shares its machine, and
what it compares is how much work a codec is.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import soundfile

from hzc_bench import samples
from hzc_bench.samples import SAMPLE_RATE_HZ, FloatArray, Recording
from hzc_bench.systems import Codec, Command, Hzc, Pcm, System

LENGTH_S = 120.0
N_TIMES = 3
HZC = (sys.executable, "-m", "hzc")
Given = TypeVar("Given")


@dataclass(frozen=True)
class Speed:
    """Seconds of sound per second of processor time."""

    title: str
    encode: float
    decode: float


def as_commands(codec: Hzc) -> Command:
    """Return hzc as whole processes, like its peers."""
    model = ("--model", codec.model) if codec.model else ()
    effort = ("--effort", str(codec.effort)) if codec.effort else ()
    return Command(
        f"{codec.name}-process", f"{codec.title}, whole process", "hzc",
        (*HZC, "encode", "-q", *model, *effort, "IN", "OUT"),
        (*HZC, "decode", "-q", *model, "IN", "OUT"), ".hzc",
    )  # fmt: skip


def measured(systems: Sequence[System], originals: Sequence[Recording]) -> list[Speed]:
    """Return the speeds of all codecs on the recordings joined, at most two minutes."""
    x = joined(originals)[: round(LENGTH_S * SAMPLE_RATE_HZ)]
    duration_s = len(x) / SAMPLE_RATE_HZ
    speeds = []
    for codec in timed(systems):
        data = codec.encode(x)
        encode_s, decode_s = processor_s(codec.encode, x), processor_s(codec.decode, data)
        title = f"{codec.title}, in process" if isinstance(codec, Hzc) else codec.title
        speeds.append(Speed(title, duration_s / encode_s, duration_s / decode_s))
    return speeds


def joined(originals: Sequence[Recording]) -> FloatArray:
    """Return the recordings as one signal."""
    return np.concatenate([original.samples for original in originals])


def timed(systems: Sequence[System]) -> Iterator[Codec]:
    """Yield the codecs among them; hzc as whole processes too."""
    for codec in systems:
        if isinstance(codec, Hzc):
            yield as_commands(codec)
        if isinstance(codec, Codec) and not isinstance(codec, Pcm):
            yield codec


def processor_s(work: Callable[[Given], object], given: Given) -> float:
    """Return the processor seconds of a call, those of the processes it waits for included."""
    before = os.times()
    work(given)
    after = os.times()
    return max(sum(after[:4]) - sum(before[:4]), 0.01)


# --- whole processes -------------------------------------------------------------------------

SHORT_MINUTES = 0.1
MOST_SHORT_S = 0.45
"""Wall seconds that a clip of 6 s may take, start-up included."""
IMPORTS = "import numpy, soundfile, onnxruntime"
"""What a process of hzc loads at least."""
PEERS = {
    "encode": (0.30, ("opusenc", "--quiet", "--bitrate", "6", "IN", "OUT")),
    "decode": (0.80, ("opusdec", "--quiet", "IN", "OUT")),
}
"""Commands that hzc is timed against, and the share of their time that it may take."""
MOST_MIB = 300


PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
"""Runs a process and prints its peak memory. What starts it must be small: the peak of a process
counts what its parent held."""


def wall_s(*words: str) -> float:
    """Return the wall seconds of one process.

    Raises:
        CalledProcessError: it fails.
    """
    started = time.perf_counter()
    quiet = subprocess.DEVNULL
    subprocess.run(words, stdout=quiet, stderr=quiet, check=True)
    return time.perf_counter() - started


def peak_mib(*words: str) -> float:
    """Return the peak resident MiB of one process; raises as `wall_s`."""
    command = (sys.executable, "-c", PEAK, *words)
    found = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    return int(found) / 1024.0


def medians_s(*commands: Sequence[str]) -> list[float]:
    """Return the median wall seconds of processes, run in turn: each meets the same machine."""
    rounds = [[wall_s(*words) for words in commands] for _ in range(N_TIMES)]
    return [statistics.median(times) for times in zip(*rounds, strict=True)]


def write_repeated(x: FloatArray, minutes: float, path: Path) -> None:
    """Write samples, repeated to a length, as a WAV file."""
    pcm, left = samples.to_pcm(x), round(minutes * 60 * SAMPLE_RATE_HZ)
    with soundfile.SoundFile(path, "w", SAMPLE_RATE_HZ, 1, format="WAV") as file:
        while left > 0:
            file.write(pcm[:left])
            left -= len(pcm)


@dataclass(frozen=True)
class Paths:
    """Files of a run: a recording, coded, decoded."""

    wav: str
    coded: str
    back: str

    def hzc(self, command: str) -> tuple[str, ...]:
        """Return a command line that encodes or decodes."""
        ends = (self.wav, self.coded) if command == "encode" else (self.coded, self.back)
        return (*HZC, command, "-f", "-q", *ends)

    def peer(self, command: str) -> tuple[str, ...]:
        """Return the peer's command line."""
        opus = f"{self.coded}.opus"
        given = {"encode": (self.wav, opus), "decode": (opus, self.back)}[command]
        ends = dict(zip(("IN", "OUT"), given, strict=True))
        return tuple(ends.get(word, word) for word in PEERS[command][1])


def processes(x: FloatArray, minutes: float, long_minutes: float) -> Iterator[str]:
    """Yield lines about start-up, speed next to Opus, memory, and the cost of seeking."""
    with tempfile.TemporaryDirectory() as name:
        paths = Paths(*(str(Path(name) / f"a.{s}") for s in ("wav", "hzc", "out.wav")))
        yield from _short(x, paths)
        yield from _next_to_peers(x, minutes, paths)
        yield from _long(x, long_minutes, paths)


def _short(x: FloatArray, paths: Paths) -> Iterator[str]:
    write_repeated(x, SHORT_MINUTES, Path(paths.wav))
    wall_s(*paths.hzc("encode"))
    commands = {
        f"encode {60 * SHORT_MINUTES:g} s": paths.hzc("encode"),
        f"decode {60 * SHORT_MINUTES:g} s": paths.hzc("decode"),
        f'python -c "{IMPORTS}"': (sys.executable, "-c", IMPORTS),
        "hzc --help": (*HZC, "--help"),
        "hzc bitrate": (*HZC, "bitrate", paths.coded),
    }
    for title, seconds in zip(commands, medians_s(*commands.values()), strict=True):
        bar = f" (at most {MOST_SHORT_S:g})" if title.endswith(" s") else ""
        yield f"{title}: {seconds:.3f} s{bar}"


def _next_to_peers(x: FloatArray, minutes: float, paths: Paths) -> Iterator[str]:
    write_repeated(x, minutes, Path(paths.wav))
    for command, (most, (peer, *_)) in PEERS.items():
        has_peer = shutil.which(peer) is not None
        commands = [paths.hzc(command), *([paths.peer(command)] if has_peer else [])]
        seconds, *theirs = medians_s(*commands)
        factor = 60.0 * minutes / seconds
        yield f"{command} {minutes:g} min: {seconds:.2f} s, {factor:.0f} × real time"
        for peer_s in theirs:
            share = seconds / peer_s
            yield f"{peer} {minutes:g} min: {peer_s:.2f} s; hzc {share:.2f} × (at most {most:g})"
        if not theirs:
            yield f"left out: {peer} not found"


def _long(x: FloatArray, long_minutes: float, paths: Paths) -> Iterator[str]:
    for minutes in (1.0, long_minutes):
        write_repeated(x, minutes, Path(paths.wav))
        mib = [f"{word} {peak_mib(*paths.hzc(word)):.0f} MiB" for word in PEERS]
        yield f"peak memory, {minutes:g} min: {', '.join(mib)} (at most {MOST_MIB})"
    for start_s in ("0", str(60.0 * long_minutes - 12.0)):
        span = ("--start", start_s, "--duration", "10")
        (seconds,) = medians_s((*paths.hzc("decode"), *span))
        yield f"decode 10 s at {start_s} s: {seconds:.2f} s"


def batches(originals: Sequence[Recording], n_clips: int, n_jobs: int) -> Iterator[str]:
    """Yield lines about folders of short clips: one at a time, and several at a time.

    Args:
        originals: The clips, taken in turn.
        n_clips: How many files the folder has.
        n_jobs: How many are done at a time.
    """
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name, part) for part in ("recordings", "coded", "decoded")]
        folders[0].mkdir()
        for i in range(n_clips):
            clip = originals[i % len(originals)]
            (folders[0] / f"{i}.wav").write_bytes(samples.to_wav(clip.samples))
        for verb, source, target in zip(("encode", "decode"), folders, folders[1:], strict=False):
            words = (verb, "-r", "-f", "-q", str(source), "-d", str(target), "-j")
            # In turn, so that what else the machine does hits both alike.
            pairs = [[wall_s(*HZC, *words, str(n)) for n in (1, n_jobs)] for _ in range(N_TIMES)]
            one, several = (statistics.median(seconds) for seconds in zip(*pairs, strict=True))
            yield (
                f"{verb} {n_clips} clips: -j 1 {one:.1f} s, -j {n_jobs} {several:.1f} s, "
                f"{one / several:.2f} × the throughput"
            )
