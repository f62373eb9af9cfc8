"""Speed: one long recording through every codec, start-up included.

Processor time is counted, not time on the wall: a benchmark often shares its machine, and what it
compares is how much work a codec is.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from hzc_bench import peers
from hzc_bench.align import RATE_HZ
from hzc_bench.peers import Codec, Command, Hzc
from hzc_bench.run import Recording

LENGTH_S = 120.0
Given = TypeVar("Given")


@dataclass(frozen=True)
class Speed:
    """Seconds of sound per second of processor time."""

    title: str
    encode: float
    decode: float


def as_commands(codec: Hzc) -> Command:
    """Return hzc as whole processes, like its peers."""
    hzc = (sys.executable, "-m", "hzc")
    model = ("--model", codec.model) if codec.model else ()
    step = ("--step-index", str(codec.step_index)) if codec.step_index is not None else ()
    return Command(
        "hzc-process", "hzc, whole process",
        (*hzc, "encode", "-q", *model, *step, "IN", "OUT"),
        (*hzc, "decode", "-q", *model, "IN", "OUT"), ".hzc",
    )  # fmt: skip


def measured(codecs: Sequence[Codec], originals: Sequence[Recording]) -> list[Speed]:
    """Return the speeds of all codecs on the recordings joined, at most two minutes."""
    x = np.concatenate([original.samples for original in originals])[: round(LENGTH_S * RATE_HZ)]
    duration_s = len(x) / RATE_HZ
    timed: list[Codec] = []
    for codec in codecs:
        if isinstance(codec, Hzc):
            timed.append(as_commands(codec))
        if not isinstance(codec, peers.Pcm):
            timed.append(codec)
    speeds = []
    for codec in timed:
        data = codec.encode(x)
        encode_s, decode_s = processor_s(codec.encode, x), processor_s(codec.decode, data)
        title = f"{codec.title}, in process" if isinstance(codec, Hzc) else codec.title
        speeds.append(Speed(title, duration_s / encode_s, duration_s / decode_s))
    return speeds


def processor_s(work: Callable[[Given], object], given: Given) -> float:
    """Return the processor seconds of a call, those of the processes it waits for included."""
    before = os.times()
    work(given)
    after = os.times()
    return max(sum(after[:4]) - sum(before[:4]), 0.01)
