"""What each effort does; the only home of the search's settings."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from numbers import Integral

from hzc.errors import ArgumentError, ModelError

MAX_EFFORT = 2


@dataclass(frozen=True)
class Terms:
    """What the distance between a recording and what a decoder makes of it weighs."""

    windows: tuple[int, ...] = (128, 256, 512, 1024, 2048)
    mel_weight: float = 1.0
    stft_weight: float = 0.5
    energy_weight: float = 0.3
    loudness_weight: float = 0.2
    complex_weight: float = 0.0
    complex_hz: float = 2_000.0
    repulsion_hz: float = 4_000.0


TERMS = Terms()
"""As training weighs them, but for the phase of low partials: searched for, it made speech less
natural (DistillMOS) and no more like the recording at equal bits."""


@dataclass(frozen=True)
class Effort:
    """How long and how far a search goes."""

    n_steps: int
    lr: float
    """Of Adam, in steps of the quantiser; it falls to zero."""
    prox: float
    """Distortion worth spending to leave a symbol, per square of its distance in steps: far away,
    what the distance likes is not what listeners like."""


EFFORTS = {
    1: Effort(n_steps=12, lr=0.25, prox=0.1),
    2: Effort(n_steps=36, lr=0.2, prox=0.1),
}
SOFT_SHARE = 0.6
"""Share of the steps in which latents are rounded softly."""
SOFTEST, HARDEST = 1.0, 8.0
"""Slopes of soft rounding: the first is nearly none, the last nearly full."""
BETAS = (0.9, 0.99)
LMBDA = 4e-4
"""Distortion worth spending for one bit per frame at step index 0, before it is adapted."""
RATE_GAIN = 10.0
"""How fast λ follows the bits: its logarithm moves by this times their relative excess."""
MAX_EXCESS = 0.05
"""More of an excess moves λ no further."""
RATE_TARGET = 0.998
"""Share of the bits of the unsearched latent that λ aims at."""
CONTEXT_FRAMES = 8
"""Frames on either side of a chunk that are searched with it, and thrown away."""
MAX_WORKERS = 8
"""Chunks searched at once: each needs some 200 MB."""


def checked_effort(effort: int) -> int:
    """Return an effort that can be made here.

    Raises:
        ArgumentError: it is out of range.
        ModelError: torch is not installed.
    """
    if not (isinstance(effort, Integral) and 0 <= effort <= MAX_EFFORT):
        raise ArgumentError(f"effort {effort!r} (0 to {MAX_EFFORT} expected)")
    if effort and find_spec("torch") is None:
        raise ModelError(
            "a search needs torch, which is not installed", hint="pip install torch, or --effort 0"
        )
    return int(effort)
