"""Hard cases out of clean recordings: what hzc does with sound that it is not made for.

The seed is fixed: noise at several levels, two speakers at once, overload, a raised voice, pauses;
and a made-up piece of music. The raised voice is the recording played 1.25 times as fast: it stands
for a child, whose formants and pitch it roughly has, but it is not a child's speech.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import soxr
import torch

from hzc_bench import pipeline, report, summary
from hzc_bench.metrics import BY_NAME, Loaded
from hzc_bench.samples import SAMPLE_RATE_HZ, FloatArray, Recording
from hzc_bench.systems import Hzc

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
    t = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    for start in range(0, n, SAMPLE_RATE_HZ // 2):
        for semitones in rng.choice([0, 2, 4, 5, 7, 9, 11, 12, 14, 16], 3, replace=False):
            f0_hz = 130.8 * 2 ** (semitones / 12)
            note = sum(np.sin(2 * np.pi * f0_hz * k * t) / k for k in range(1, 11))
            end = min(n, start + SAMPLE_RATE_HZ)
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


def made(case: Case, originals: Sequence[Recording]) -> Iterator[Recording]:
    """Yield the recordings of a case."""
    rng = np.random.default_rng(1)
    others = [*originals[7:], *originals[:7]]
    for original, other in zip(originals, others, strict=True):
        x = case(original.samples, other.samples, rng)
        yield Recording(original.name, x * np.float32(min(1.0, 0.99 / max(np.abs(x).max(), 1e-9))))


def line(codec: Hzc, loaded: Loaded, title: str, originals: Sequence[Recording]) -> list[str]:
    """Return rate, NAMES next to the very input, and STOI of the speech before and after."""
    case, is_speech_kept = CASES[title]
    given = list(made(case, originals))
    coded = pipeline.through(codec, given, delay_ms=0)
    rows = list(pipeline.measured(coded, given, loaded))
    means = [summary.figure(rows, codec.name, name).mean for name in NAMES]
    if is_speech_kept:
        for heard in ([x.samples for x in given], [x.samples for x in coded]):
            pairs = zip(originals, heard, strict=True)
            stoi = [loaded.figure(BY_NAME["stoi"], x.samples, y) for x, y in pairs]
            means.append(float(np.mean(stoi)))
    digits = [BY_NAME[name].digits for name in (*NAMES, "stoi", "stoi")]
    cells = [f"{mean:.{n}f}" for mean, n in zip(means, digits, strict=False)]
    rate = f"{summary.rate(rows, codec.name).mean:.3f}"
    return [title, rate, *cells, *["–"] * (len(digits) - len(cells))]


def table(codec: Hzc, originals: Sequence[Recording], loaded: Loaded) -> str:
    """Return a Markdown table, one line per case."""
    head = ["input", "kbit/s", *(BY_NAME[name].title for name in NAMES)]
    body = [line(codec, loaded, title, originals) for title in CASES]
    return report.table([*head, "STOI of the speech: input", "decoded"], body)
