"""Speed of every codec for the report; speed and memory of whole hzc processes.

The report counts processor time, not time on the wall: a benchmark often shares its machine, and
what it compares is how much work a codec is.
"""

from __future__ import annotations

import os
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


def process(*args: str) -> tuple[float, float]:
    """Return wall seconds and peak resident MiB of one hzc process.

    Raises:
        RuntimeError: it fails.
    """
    started = time.perf_counter()
    quiet = subprocess.DEVNULL
    with subprocess.Popen([*HZC, *args], stdout=quiet, stderr=quiet) as running:
        _, status, usage = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
    if running.returncode:
        raise RuntimeError(f"hzc {' '.join(args)} failed")
    return time.perf_counter() - started, usage.ru_maxrss / 1024.0


def median_s(*args: str) -> float:
    """Return the median wall seconds of a few processes."""
    return statistics.median(process(*args)[0] for _ in range(N_TIMES))


def write_repeated(x: FloatArray, minutes: float, path: Path) -> None:
    """Write samples, repeated to a length, as a WAV file."""
    pcm, left = samples.to_pcm(x), round(minutes * 60 * SAMPLE_RATE_HZ)
    with soundfile.SoundFile(path, "w", SAMPLE_RATE_HZ, 1, format="WAV") as file:
        while left > 0:
            file.write(pcm[:left])
            left -= len(pcm)


def processes(x: FloatArray, minutes: float, long_minutes: float) -> Iterator[str]:
    """Yield lines about speed, start-up, memory, and the cost of seeking."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wav, coded, back = (str(folder / f"a.{s}") for s in ("wav", "hzc", "out.wav"))
        encode, decode = ("encode", "-f", "-q", wav, coded), ("decode", "-f", "-q", coded, back)
        write_repeated(x, minutes, Path(wav))
        for words in (encode, decode):
            seconds = median_s(*words)
            factor = 60.0 * minutes / seconds
            yield f"{words[0]} {minutes:g} min: {seconds:.1f} s, {factor:.0f} × real time"
        yield f"hzc --help: {median_s('--help'):.3f} s"
        yield f"hzc bitrate: {median_s('bitrate', coded):.3f} s"
        for length in (1.0, long_minutes):
            write_repeated(x, length, Path(wav))
            mib = [f"{words[0]} {process(*words)[1]:.0f} MiB" for words in (encode, decode)]
            yield f"peak memory, {length:g} min: {', '.join(mib)}"
        for start_s in ("0", str(60.0 * long_minutes - 12.0)):
            seconds = median_s(*decode, "--start", start_s, "--duration", "10")
            yield f"decode 10 s at {start_s} s: {seconds:.2f} s"
