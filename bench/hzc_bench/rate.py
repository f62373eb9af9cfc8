"""Rate control: what was asked for and what came of it, of files and of pipes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from time import process_time

import numpy as np

from hzc import container
from hzc.audio.sources import array_source
from hzc.blocks import rechunked
from hzc.codec import Codec
from hzc.container import FRAME_RATE_HZ
from hzc.encoder import Latents
from hzc.errors import RateError
from hzc.options import Target
from hzc.steering import HELD_S, RECORD_BYTES
from hzc_bench.samples import SAMPLE_RATE_HZ, FloatArray, Recording
from hzc_bench.stress import music, pink, rms, with_noise

LONG_S = 10.0
PIPE_MIN = 3


def lines(
    codec: Codec, originals: Sequence[Recording], rates_kbps: Sequence[float]
) -> Iterator[str]:
    """Yield a table for files and one for pipes of three minutes."""
    joined = np.concatenate([original.samples for original in originals])
    long = [original.samples for original in originals if original.duration_s >= LONG_S]
    yield from _file_lines(codec, [joined, *long], rates_kbps)
    yield from _pipe_lines(codec, joined, rates_kbps)


def _file_lines(
    codec: Codec, sounds: Sequence[FloatArray], rates_kbps: Sequence[float]
) -> Iterator[str]:
    encoder = codec.encoder
    start_s = process_time()
    made = [encoder.latents(array_source(sound, SAMPLE_RATE_HZ)) for sound in sounds]
    networks_s = process_time() - start_s
    total_s = sum(latents.duration_s for latents in made)
    yield f"{len(made)} files of {LONG_S:g} s and more, all recordings joined among them"
    yield "| asked, kbps | got least | got most | × the time of the networks |"
    yield "|---|---|---|---|"
    for kbps in rates_kbps:
        start_s = process_time()
        shares = [_share(codec, latents, kbps) for latents in made]
        times = (process_time() - start_s) / networks_s
        yield f"| {kbps:g} | {min(shares):+.2f} % | {max(shares):+.2f} % | {times:.1f} |"
    yield f"networks: {total_s / networks_s:.0f} × real time on one core"


def _share(codec: Codec, latents: Latents, kbps: float) -> float:
    """Return by how many per cent a file's rate is off."""
    try:
        rate = codec.encoder.code(latents, target=Target(kbps)).rate
    except RateError:
        return float("nan")
    return 100.0 * (rate.bitrate_kbps / kbps - 1.0)


def _pipe_lines(codec: Codec, speech: FloatArray, rates_kbps: Sequence[float]) -> Iterator[str]:
    yield f"pipes of {PIPE_MIN} min: running mean from {HELD_S:g} s on, and at the end"
    yield "| sound | asked, kbps | step index | least | most | end |"
    yield "|---|---|---|---|---|---|"
    for name, sound in _mixes(speech).items():
        for kbps in rates_kbps:
            step_index, means = _running_means(codec, sound, kbps)
            least, most, end = (
                f"{100.0 * (mean / kbps - 1.0):+.1f} %"
                for mean in (min(means), max(means), means[-1])
            )
            yield f"| {name} | {kbps:g} | {step_index} | {least} | {most} | {end} |"


def _mixes(speech: FloatArray) -> dict[str, FloatArray]:
    """Return made-up broadcasts: what begins, and what follows, in minutes."""
    rng, minute = np.random.default_rng(1), 60 * SAMPLE_RATE_HZ
    first = np.resize(speech, minute)
    rest = np.resize(speech[minute:], (PIPE_MIN - 1) * minute)
    third = minute // 3
    hiss = pink(minute, rng) * np.float32(0.1 * rms(speech))
    return {
        "speech": np.concatenate([first, rest]),
        "other speakers first": np.concatenate([rest, first]),
        "a minute in noise, SNR 10 dB": np.concatenate([with_noise(10.0)(first, first, rng), rest]),
        "a minute of music": np.concatenate([music(first, first, rng), rest]),
        "speech, then a minute of music": np.concatenate([rest, music(first, first, rng)]),
        "20 s of silence in a minute": np.concatenate(
            [first[:third], np.zeros(third, np.float32), first[third : 2 * third], rest]
        ),
        "a minute of noise": np.concatenate([hiss, rest]),
        "a minute of silence": np.concatenate([np.zeros_like(first), rest]),
    }


def _running_means(codec: Codec, sound: FloatArray, kbps: float) -> tuple[int, list[float]]:
    """Return the step index of a pipe, and its mean rates after every chunk from a minute on."""
    written: list[bytes] = []
    source = array_source(sound, SAMPLE_RATE_HZ)
    blocks = partial(rechunked, iter([sound[None]]), SAMPLE_RATE_HZ)
    codec.encoder.encode_stream(replace(source, blocks=blocks), written.append, target=Target(kbps))
    parsed = container.unpack(b"".join(written))
    n_bytes = n_frames = 0
    means = []
    for chunk in parsed.chunks:
        n_bytes += sum(len(payload) + RECORD_BYTES for payload in chunk.payloads)
        n_frames += chunk.n_frames
        if n_frames >= HELD_S * FRAME_RATE_HZ:
            means.append(8e-3 * n_bytes * FRAME_RATE_HZ / n_frames)
    return parsed.header.step_index, means
