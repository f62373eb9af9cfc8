"""Valid files: what the encoder makes of ordinary audio, and what is odd but legal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile

from hzc import container
from hzc.audio import sources
from hzc.codec import Codec
from hzc.coding import quantize
from hzc.coding.entropy import MAX_VALUE, MIN_VALUE, IntArray
from hzc.container import Chunk, Container, Header

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "demo" / "samples"
CLIP = "2033-164914-0003.flac"
RATE_HZ = 16_000
HOP = 2_000


@dataclass(frozen=True)
class Good:
    """One file."""

    name: str
    folder: str
    """valid or unusual."""
    purpose: str
    data: bytes
    has_reference: bool = False
    """Whether its sound is kept as well."""


def speech(name: str = CLIP) -> np.ndarray:
    """Return a sample recording."""
    return soundfile.read(SAMPLES / name, dtype="float32")[0]


def all_speech() -> np.ndarray:
    """Return all sample recordings, one after the other."""
    return np.concatenate([speech(path.name) for path in sorted(SAMPLES.iterdir())])


def good_files(codec: Codec) -> list[Good]:
    """Return all of them."""
    return [*_valid(codec), *_unusual(codec)]


def _valid(codec: Codec) -> list[Good]:
    clip, long = speech(), all_speech()
    word = clip[20_000:]

    def of(
        name: str, purpose: str, samples: np.ndarray, rate_hz: int = RATE_HZ, **options: object
    ) -> Good:
        data = codec.encode(samples, rate_hz, **options)
        return Good(name, "valid", purpose, data, has_reference=name == "speech")

    purpose = "one chunk of speech at the default step index"
    two = np.stack([clip[:32_000], clip[32_000:64_000]])
    stream = Good("stream", "valid", "length not known when it was begun", streamed(codec, long))
    return [
        of("speech", purpose, clip),
        of("ten-seconds", "speech of exactly one full chunk", long[: 80 * HOP]),
        of("ten-seconds-plus-1", "a full chunk and one of one frame", long[: 80 * HOP + 1]),
        of("chunks", "several chunks; context and coder restart at each", long),
        stream,
        of("silence", "digital silence", np.zeros(3 * RATE_HZ, np.float32)),
        of("hop", "exactly one frame", word[:HOP]),
        of("hop-plus-1", "one sample more than a frame", word[: HOP + 1]),
        of("hop-minus-1", "one sample less than a frame", word[: HOP - 1]),
        of("stereo", "two channels", two, channels="keep"),
        of("rate-44100", "sample rate by code", clip[:44_100], 44_100),
        of("rate-11025", "a frame of 1378.125 samples; 11 frames", clip[:15_159], 11_025),
    ]


def _unusual(codec: Codec) -> list[Good]:
    clip, prior = speech(), codec.model.prior
    word = clip[20_000:]
    cases: dict[str, tuple[str, Callable[[], bytes]]] = {
        "sample": ("a single sample", lambda: codec.encode(word[:1], RATE_HZ)),
        "finest": (
            "finest steps: large symbols, and escapes among them",
            lambda: codec.encode(word[:8_000], RATE_HZ, step_index=-64),
        ),
        "coarsest": (
            "coarsest steps: all zeros", lambda: codec.encode(clip[:32_000], RATE_HZ, step_index=64)
        ),
        "rate-37800": ("sample rate in full", lambda: codec.encode(clip[:37_800], 37_800)),
        "rate-1000": ("the lowest sample rate", lambda: codec.encode(clip[:500], 1_000)),
        "rate-768000": (
            "the highest sample rate; a trim of three bytes",
            lambda: codec.encode(all_speech()[:96_001], 768_000),
        ),
        "sixteen-channels": (
            "as many channels as there can be",
            lambda: codec.encode(word[:16_000].reshape(16, 1_000), RATE_HZ, channels="keep"),
        ),
        "joined": ("recordings joined: short chunks, and a gain each", lambda: joined(codec, clip)),
        "short-chunks": (
            "streamed in chunks of one frame",
            lambda: stream_of(codec, [small(prior.n_latent, 1, seed) for seed in range(5)]),
        ),
        "gain-limits": (
            "gains of −60 dB and 60 dB",
            lambda: stream_of(
                codec, [small(prior.n_latent, 2, seed) for seed in range(2)], gains=(-120, 120)
            ),
        ),
        "explicit-steps": (
            "offsets from −12 to 12: without them it sounds wrong",
            lambda: explicit_steps(codec, clip[:24_000]),
        ),
        "zero-offsets": (
            "explicit steps that change nothing",
            lambda: plain(codec, small(prior.n_latent, 2), step_offsets=(0,) * prior.n_latent),
        ),
        "offset-limits": (
            "offsets of 0 and −128 at step index 64",
            lambda: plain(
                codec, small(prior.n_latent, 2), step_index=64,
                step_offsets=tuple(-128 * (d % 2) for d in range(prior.n_latent)),
            ),
        ),
        "extreme-symbols": (
            "symbols −32768 and 32767, all of them escaped",
            lambda: plain(codec, extremes(prior.n_latent)),
        ),
        "escape-borders": (
            "the largest symbols without an escape, and the smallest with one, on both sides",
            lambda: plain(codec, escape_borders(codec)),
        ),
        "empty-payload": (
            "a payload of no bytes: entry 0 throughout",
            lambda: container.pack(_header(codec, 1), [Chunk(1, (b"",))]),
        ),
    }  # fmt: skip
    return [
        Good(name, "unusual", purpose, make(), has_reference=name in ("joined", "explicit-steps"))
        for name, (purpose, make) in cases.items()
    ]


def streamed(codec: Codec, samples: np.ndarray) -> bytes:
    """Return what comes out where the length of the audio is not known."""
    out = bytearray()
    codec.encoder.encode_stream(sources.array_source(samples, RATE_HZ), out.extend)
    return bytes(out)


def joined(codec: Codec, clip: np.ndarray) -> bytes:
    """Return three recordings of different level, the middle one of four frames, in one file."""
    parts = [clip[:16_000], 0.1 * clip[16_000:24_000], 0.5 * clip[24_000:40_500]]
    files = [container.unpack(codec.encode(part, RATE_HZ)) for part in parts]
    return container.joined(files).packed()


def _header(codec: Codec, n_frames: int) -> Header:
    prior = codec.model.prior
    return Header(
        codec.model.model_id, prior.fingerprint, prior.n_latent, n_frames, n_frames * HOP
    )  # fmt: skip


def plain(codec: Codec, symbols: IntArray, gain_half_db: int = 0, **changes: object) -> bytes:
    """Return a file of one chunk: symbols int32 [D, F], and other fields of its header."""
    n_frames = symbols.shape[1]
    header = replace(_header(codec, n_frames), **changes)
    payload = codec.model.prior.encode(symbols, header.step_index)
    return container.pack(header, [Chunk(n_frames, (payload,), gain_half_db)])


def stream_of(codec: Codec, parts: list[IntArray], gains: tuple[int, ...] = ()) -> bytes:
    """Return a streamed file of chunks whose symbols are given, each with its gain."""
    chunks = [
        Chunk(symbols.shape[1], (codec.model.prior.encode(symbols, 0),), gain)
        for symbols, gain in zip(parts, gains or [0] * len(parts), strict=True)
    ]
    header = _header(codec, sum(chunk.n_frames for chunk in chunks))
    return Container(header, tuple(chunks), is_streamed=True).packed()


def small(n_latent: int, n_frames: int, seed: int = 0) -> IntArray:
    """Return small symbols, int32 [D, F]."""
    return np.random.default_rng(seed).integers(-2, 3, (n_latent, n_frames)).astype(np.int32)


def extremes(n_latent: int) -> IntArray:
    """Return symbols at the ends of their range, zeros, and both."""
    symbols = np.zeros((n_latent, 4), np.int32)
    symbols[:, 0] = MIN_VALUE
    symbols[:, 1] = MAX_VALUE
    symbols[::3, 3] = MIN_VALUE
    symbols[1::3, 3] = MAX_VALUE
    return symbols


def escape_borders(codec: Codec) -> IntArray:
    """Return symbols that differ from the prior's mean by R or R + 1, int32 [D, 4]."""
    prior, n_frames = codec.model.prior, 4
    residuals = [prior.max_residual, prior.max_residual + 1]
    residuals += [-residual for residual in residuals]
    symbols = np.zeros((prior.n_latent, n_frames), np.int32)
    for t in range(n_frames):
        for group in range(prior.n_groups):
            mean, _ = prior.gaussians(symbols[:, : t + 1], 0)
            for d in range(group * prior.group_size, (group + 1) * prior.group_size):
                symbols[d, t] = np.floor(mean[d, t] + 0.5) + residuals[(d + t + group) % 4]
    return symbols


def explicit_steps(codec: Codec, samples: np.ndarray) -> bytes:
    """Return speech that was quantised with a step of its own in every dimension."""
    usual = container.unpack(codec.encode(samples, RATE_HZ))
    offsets = tuple(7 * d % 25 - 12 for d in range(usual.header.n_latent))
    (latent,) = codec.latents(samples, RATE_HZ)
    step = quantize.steps(codec.model.base_step, usual.header.step_index, offsets)
    symbols = quantize.to_symbols(latent, step)
    header = replace(usual.header, step_offsets=offsets)
    payload = codec.model.prior.encode(symbols, header.step_index)
    return container.pack(header, [replace(usual.chunks[0], payloads=(payload,))])
