"""Measure what hzc does with sound that it is not made for.

usage: hzc-stress [--model NAME] DIR

Makes hard cases out of the clean recordings in DIR, with a fixed seed: noise at several levels, two
speakers at once, overload, a raised voice, pauses; and a made-up piece of music. Each is encoded
and decoded. PESQ-WB, STOI and log-mel distance compare with the very input. "STOI of the speech"
compares with the clean recording, before the codec and after it: how much of the words is left.

The raised voice is the recording played 1.25 times as fast: a stand-in for a child, whose formants
and pitch it roughly has, not a child's speech.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import soxr
import torch

from hzc.blocks import FloatArray
from hzc_bench import peers, report, run
from hzc_bench.align import RATE_HZ
from hzc_bench.cli import FOLDER, required
from hzc_bench.metrics import BY_NAME, Loaded

NAMES = ("pesq_wb", "stoi", "logmel")
Case = Callable[[FloatArray, FloatArray, np.random.Generator], FloatArray]


def rms(x: npt.NDArray[np.floating]) -> float:
    """Root mean square, never 0."""
    return float(np.sqrt(np.mean(np.square(x)))) + 1e-9


def pink(n: int, rng: np.random.Generator) -> FloatArray:
    """Noise whose power falls by 3 dB an octave, RMS 1."""
    spectrum = np.fft.rfft(rng.normal(size=n))
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
    noise = np.fft.irfft(spectrum, n).astype(np.float32)
    return noise / rms(noise)


def with_noise(snr_db: float) -> Case:
    """Pink noise at a signal-to-noise ratio."""
    return lambda x, _, rng: x + pink(len(x), rng) * np.float32(rms(x) * 10 ** (-snr_db / 20))


def with_second_speaker(x: FloatArray, other: FloatArray, _: np.random.Generator) -> FloatArray:
    """Another recording, equally loud."""
    other = np.resize(other, len(x))
    return x + other * np.float32(rms(x) / rms(other))


def overloaded(x: FloatArray, _: FloatArray, __: np.random.Generator) -> FloatArray:
    """Clipped at twice the RMS."""
    limit = np.float32(2.0 * rms(x))
    return np.clip(x, -limit, limit)


def gated(x: FloatArray, _: FloatArray, __: np.random.Generator) -> FloatArray:
    """What a denoiser leaves: bins 40 dB under the strongest of their frame are empty."""
    window = torch.hann_window(512)
    spectrum = torch.stft(torch.from_numpy(x), 512, 128, window=window, return_complex=True)
    magnitude = spectrum.abs()
    kept = spectrum * (magnitude > 0.01 * magnitude.amax(0, keepdim=True))
    return torch.istft(kept, 512, 128, window=window, length=len(x)).numpy()


def raised(x: FloatArray, _: FloatArray, __: np.random.Generator) -> FloatArray:
    """Played 1.25 times as fast."""
    faster: FloatArray = soxr.resample(x, 5, 4).astype(np.float32)
    return faster


def with_pauses(x: FloatArray, _: FloatArray, __: np.random.Generator) -> FloatArray:
    """Half of the sound is digital silence."""
    return np.concatenate([x, np.zeros_like(x)])


def music(x: FloatArray, _: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Plucked three-note chords, two a second, ten partials each."""
    n = len(x)
    piece = np.zeros(n)
    t = np.arange(RATE_HZ) / RATE_HZ
    for start in range(0, n, RATE_HZ // 2):
        for semitones in rng.choice([0, 2, 4, 5, 7, 9, 11, 12, 14, 16], 3, replace=False):
            f0_hz = 130.8 * 2 ** (semitones / 12)
            note = sum(np.sin(2 * np.pi * f0_hz * k * t) / k for k in range(1, 11))
            end = min(n, start + RATE_HZ)
            piece[start:end] += (note * np.exp(-4.0 * t))[: end - start]
    made: FloatArray = (piece / rms(piece) * 0.08).astype(np.float32)
    return made


CASES: dict[str, tuple[Case, bool]] = {
    "clean": (lambda x, _, __: x, True),
    "pink noise, SNR 20 dB": (with_noise(20.0), True),
    "pink noise, SNR 10 dB": (with_noise(10.0), True),
    "pink noise, SNR 0 dB": (with_noise(0.0), True),
    "two speakers, equally loud": (with_second_speaker, True),
    "overload: clipped at twice the RMS": (overloaded, True),
    "noise gate: bins 40 dB under the peak emptied": (gated, True),
    "raised voice: 1.25 × as fast": (raised, False),
    "as long a pause of silence after it": (with_pauses, False),
    "music: chords, no speech": (music, False),
}
"""Title to what makes the case, and whether the clean recording can be compared with it."""


def figures(
    codec: peers.Hzc,
    loaded: Loaded,
    case: Case,
    is_speech_kept: bool,
    recordings: list[FloatArray],
) -> Iterator[list[float]]:
    """Yield bits, seconds, the figures of NAMES, STOI of the speech before and after."""
    rng = np.random.default_rng(1)
    for x, other in zip(recordings, recordings[7:] + recordings[:7], strict=True):
        given = case(x, other, rng)
        given = given * np.float32(min(1.0, 0.99 / max(np.abs(given).max(), 1e-9)))
        data = codec.encode(given)
        decoded = codec.decode(data)
        pairs = [(BY_NAME[name], given, decoded) for name in NAMES]
        if is_speech_kept:
            pairs += [(BY_NAME["stoi"], x, heard) for heard in (given, decoded)]
        yield [8.0 * len(data), len(given) / RATE_HZ, *(loaded.figure(*pair) for pair in pairs)]


@click.command(context_settings={"help_option_names": ["-h", "--help"]}, help=__doc__)
@click.argument("folder", type=FOLDER)
@click.option("--model", help="Default: the default model.")
def main(folder: Path, model: str | None) -> None:
    """Print a table, one line per case."""
    codec, loaded = peers.Hzc(model), required(NAMES)
    recordings = [recording.samples for recording in run.recordings(folder)]
    if len(recordings) < 2:
        raise click.UsageError(f"fewer than two recordings in {folder}")
    digits = [BY_NAME[name].digits for name in (*NAMES, "stoi", "stoi")]
    body = []
    for title, (case, is_speech_kept) in CASES.items():
        table = np.array(list(figures(codec, loaded, case, is_speech_kept, recordings)))
        bits, seconds = table[:, :2].sum(axis=0)
        means = table[:, 2:].mean(axis=0)
        cells = [f"{m:.{d}f}" for m, d in zip(means, digits, strict=False)]
        cells += ["–"] * (len(digits) - len(cells))
        body.append([title, f"{bits / seconds / 1e3:.3f}", *cells])
    click.echo(f"{len(recordings)} recordings, model {codec.codec.model.name}\n")
    head = ["input", "kbit/s", *(BY_NAME[name].title for name in NAMES)]
    click.echo(report.table([*head, "STOI of the speech: input", "decoded"], body), nl=False)


if __name__ == "__main__":
    main()
