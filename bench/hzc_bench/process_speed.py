"""Time whole hzc processes and measure their peak memory.

usage: hzc-speed [--minutes 10] [--long-minutes 120] RECORDING...

A signal of the wanted length is made by repeating the recordings. Each figure is the median of
three whole processes (start-up and model loading included): encode and decode of the short signal,
as multiples of real time; then the peak resident memory of encoding and decoding one minute and the
long signal. Also the start-up time of `hzc --help` and `hzc bitrate`, and how long it takes to
decode ten seconds at the start and at the end of the long signal; the last ones take turns.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
import soundfile

RATE_HZ = 16_000


def run(*args: str) -> tuple[float, float]:
    """Return wall seconds and peak resident MiB of one hzc process."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "hzc", *args], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise click.ClickException(f"hzc {' '.join(args)} failed")
    return time.perf_counter() - started, usage.ru_maxrss / 1024.0


def median(*args: str) -> float:
    """Return the median wall seconds of three processes."""
    return statistics.median(run(*args)[0] for _ in range(3))


def make_signal(recordings: tuple[str, ...], minutes: float, path: Path) -> None:
    """Write the recordings, repeated to a length."""
    samples = np.concatenate([soundfile.read(name, dtype="int16")[0] for name in recordings])
    left = round(minutes * 60 * RATE_HZ)
    with soundfile.SoundFile(path, "w", RATE_HZ, 1, format="WAV") as file:
        while left > 0:
            file.write(samples[:left])
            left -= len(samples)


@click.command(context_settings={"help_option_names": ["-h", "--help"]}, help=__doc__)
@click.argument("recordings", nargs=-1, required=True)
@click.option("--minutes", default=10.0, show_default=True)
@click.option("--long-minutes", default=120.0, show_default=True)
def main(recordings: tuple[str, ...], minutes: float, long_minutes: float) -> None:
    """Print speed, memory and the cost of seeking."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wav, coded, back = (str(folder / f"a.{s}") for s in ("wav", "hzc", "out.wav"))
        make_signal(recordings, minutes, Path(wav))
        encode_s = median("encode", "-f", "-q", wav, coded)
        decode_s = median("decode", "-f", "-q", coded, back)
        for label, seconds in (("encode", encode_s), ("decode", decode_s)):
            factor = 60.0 * minutes / seconds
            click.echo(f"{label} {minutes:g} min: {seconds:.1f} s, {factor:.0f} × real time")
        click.echo(f"hzc --help: {median('--help'):.3f} s")
        click.echo(f"hzc bitrate: {median('bitrate', coded):.3f} s")
        for length in (1.0, long_minutes):
            make_signal(recordings, length, Path(wav))
            _, encode_mib = run("encode", "-f", "-q", wav, coded)
            _, decode_mib = run("decode", "-f", "-q", coded, back)
            click.echo(
                f"peak memory, {length:g} min: encode {encode_mib:.0f} MiB, "
                f"decode {decode_mib:.0f} MiB"
            )
        at_end = str(60.0 * long_minutes - 12.0)
        seek: dict[str, list[float]] = {"0": [], at_end: []}
        for _ in range(5):
            for start, taken in seek.items():
                part = ("--start", start, "--duration", "10")
                taken.append(run("decode", "-f", "-q", coded, back, *part)[0])
        for start, taken in seek.items():
            click.echo(f"decode 10 s at {start} s: {statistics.median(taken):.2f} s")


if __name__ == "__main__":
    main()
