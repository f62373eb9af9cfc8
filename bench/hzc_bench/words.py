"""Words that get lost, as Whisper hears them: its transcripts of both sides are compared.

The recogniser is a folder with a Whisper model for CTranslate2, through faster-whisper.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from importlib import metadata
from pathlib import Path

from hzc_bench.models import Compare
from hzc_bench.samples import FloatArray
from hzc_bench.store import Store, digest

WEIGHTS = "model.bin"
LANGUAGE = "en"


@cache
def transcriber(store: Store, whisper: Path | None) -> Callable[[FloatArray], str]:
    """Return a function from samples to words in lower case without punctuation.

    Raises:
        ImportError: no folder, or faster-whisper is missing.
    """
    if whisper is None:
        raise ImportError("no recogniser", name="whisper")
    from faster_whisper import WhisperModel

    recogniser = WhisperModel(str(whisper), device="cpu", compute_type="float32", cpu_threads=1)
    weights = sha256((whisper / WEIGHTS).read_bytes()).hexdigest()[:12]
    version = f"{metadata.version('faster-whisper')} {weights}"

    def recognised(samples: FloatArray) -> str:
        # One temperature: what is retried at a higher one is drawn at random.
        segments, _ = recogniser.transcribe(
            samples, language=LANGUAGE, temperature=0.0, condition_on_previous_text=False
        )
        text = " ".join(segment.text for segment in segments).lower()
        return " ".join(re.findall(r"[\w']+", text))

    def transcript(samples: FloatArray) -> str:
        key = f"transcript {version} {digest(samples)}"
        return str(store.remembered(key, lambda: recognised(samples)))

    return transcript


def error_rate(store: Store, whisper: Path | None) -> Compare:
    """Return the word error rate against the transcript of the reference; NaN without words."""
    import jiwer

    transcript = transcriber(store, whisper)

    def score(reference: FloatArray, decoded: FloatArray) -> float:
        expected = transcript(reference)
        return float(jiwer.wer(expected, transcript(decoded))) if expected else float("nan")

    return score


def n_words(store: Store, whisper: Path | None) -> Compare:
    """Return the number of words in the transcript of the reference."""
    transcript = transcriber(store, whisper)
    return lambda reference, _: float(len(transcript(reference).split()))
