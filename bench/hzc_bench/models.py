"""Metrics that other packages' models compute, each loaded when it is asked for.

Every function returns a comparison of two signals, float32 [sample] at 16 kHz, and raises
ImportError where its packages are missing. PESQ and ViSQOL align by themselves; the others take the
signals as they are.
"""

from __future__ import annotations

import contextlib
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt

from hzc_bench.samples import SAMPLE_RATE_HZ, FloatArray

Compare = Callable[[FloatArray, FloatArray], float]
FRAME_MS = 5.0
"""Of the F0 analysis."""


def pesq(mode: str) -> Compare:
    """Return PESQ, MOS-LQO; mode is "wb" (P.862.2) or "nb" (P.862.1)."""
    from pesq import pesq as score

    return lambda reference, decoded: float(score(SAMPLE_RATE_HZ, reference, decoded, mode))


def stoi(extended: bool) -> Compare:
    """Return STOI or ESTOI, about 0 … 1."""
    from pystoi import stoi as score

    return lambda reference, decoded: float(
        score(reference, decoded, SAMPLE_RATE_HZ, extended=extended)
    )


def visqol() -> Compare:
    """Return ViSQOL in speech mode with the polynomial mapping, MOS-LQO 1 … 5."""
    from visqol import VisqolApi

    api = VisqolApi()
    api.create(mode="speech", use_lattice_model=False)

    def score(reference: FloatArray, decoded: FloatArray) -> float:
        signals = (reference.astype(np.float64), decoded.astype(np.float64))
        return float(api.measure_from_arrays(*signals, SAMPLE_RATE_HZ).moslqo)

    return score


def distillmos() -> Compare:
    """Return DistillMOS of the decoded signal, 1 … 5; the reference is not looked at."""
    import torch

    with _placeholder("torchaudio"):  # which the package needs for reading files only
        from distillmos import ConvTransformerSQAModel
    with contextlib.redirect_stdout(sys.stderr):
        network = ConvTransformerSQAModel().eval()

    def score(reference: FloatArray, decoded: FloatArray) -> float:
        with torch.inference_mode():
            return float(network(torch.from_numpy(np.ascontiguousarray(decoded))[None]))

    return score


def speaker_similarity() -> Compare:
    """Return the cosine of two Resemblyzer voice embeddings, 0 … 1."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # its imports from scipy
        from resemblyzer import VoiceEncoder, preprocess_wav
    encoder = VoiceEncoder("cpu", verbose=False)

    def embedding(samples: FloatArray) -> FloatArray:
        voice: FloatArray = encoder.embed_utterance(preprocess_wav(samples, SAMPLE_RATE_HZ))
        return voice

    return lambda reference, decoded: float(embedding(reference) @ embedding(decoded))


@cache
def f0() -> Callable[[FloatArray], npt.NDArray[np.float64]]:
    """Return a function that tracks F0 every 5 ms, float64 [frame] in Hz, 0 where unvoiced.

    It remembers the two signals tracked last, which three metrics ask for in turn.
    """
    import pyworld

    @lru_cache(maxsize=2)
    def tracked(data: bytes) -> npt.NDArray[np.float64]:
        x = np.frombuffer(data, np.float32).astype(np.float64)
        coarse, times = pyworld.dio(x, SAMPLE_RATE_HZ, frame_period=FRAME_MS)
        fine: npt.NDArray[np.float64] = pyworld.stonemask(x, coarse, times, SAMPLE_RATE_HZ)
        return fine

    return lambda samples: tracked(samples.astype(np.float32).tobytes())


def f0_error_cents() -> Compare:
    """Return the mean absolute F0 difference, in cents, of frames that are voiced in both."""
    differences = _f0_differences_cents()

    def score(reference: FloatArray, decoded: FloatArray) -> float:
        cents = differences(reference, decoded)
        return float(cents.mean()) if cents.size else float("nan")

    return score


def gross_pitch_error() -> Compare:
    """Return the share, 0 … 1, of frames voiced in both whose F0 differs by over a fifth."""
    differences = _f0_differences_cents()
    limit = 1200.0 * np.log2(1.2)

    def score(reference: FloatArray, decoded: FloatArray) -> float:
        cents = differences(reference, decoded)
        return float((cents > limit).mean()) if cents.size else float("nan")

    return score


def _f0_differences_cents() -> Callable[[FloatArray, FloatArray], npt.NDArray[np.float64]]:
    track = f0()

    def differences(reference: FloatArray, decoded: FloatArray) -> npt.NDArray[np.float64]:
        x, y = track(reference), track(decoded)
        both = (x > 0) & (y > 0)
        cents: npt.NDArray[np.float64] = 1200.0 * np.abs(np.log2(y[both] / x[both]))
        return cents

    return differences


def voicing_error() -> Compare:
    """Return the share, 0 … 1, of frames that are voiced in one of the signals only."""
    track = f0()
    return lambda reference, decoded: float(np.mean((track(reference) > 0) != (track(decoded) > 0)))


@contextlib.contextmanager
def _placeholder(name: str) -> Iterator[None]:
    """Let `import NAME` inside succeed, with an empty module, whether it is installed or not."""
    kept = sys.modules.get(name)
    sys.modules[name] = types.ModuleType(name)
    try:
        yield
    finally:
        del sys.modules[name]
        if kept is not None:
            sys.modules[name] = kept
