"""Opus and Codec 2 frame by frame, some frames lost; by the libraries of their programs."""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hzc_bench import samples
from hzc_bench.samples import SAMPLE_RATE_HZ, FloatArray

Flags = npt.NDArray[np.bool_]
FADE_S = 1.0
"""Codec 2 conceals nothing itself: its last frame is repeated and fades to silence within this."""


@dataclass(frozen=True)
class Peer:
    """A codec of frames that a link may lose."""

    name: str
    frame_s: float
    coded: Callable[[FloatArray, Flags], tuple[FloatArray, int]]
    """Float32 [sample] at 16 kHz and which frames are lost, to what is heard and all bytes."""


def peers() -> list[Peer]:
    """Return what can run here.

    Raises:
        OSError: libopus or libcodec2 is not installed.
    """
    return [
        Peer("Codec 2 3200", 0.02, lambda x, lost: codec2(x, lost, 0)),
        Peer("Codec 2 1300", 0.04, lambda x, lost: codec2(x, lost, 4)),
        Peer("Opus 6 kbit/s", 0.02, lambda x, lost: opus(x, lost, 6000)),
    ]


def library(name: str) -> ctypes.CDLL:
    """Return a shared library.

    Raises:
        OSError: it is not installed.
    """
    path = ctypes.util.find_library(name)
    if path is None:
        raise OSError(f"lib{name} is not installed")
    return ctypes.CDLL(path)


def frames_of(x: FloatArray, n: int) -> list[npt.NDArray[np.int16]]:
    """Return a signal as frames of n samples, filled up with zeros."""
    pcm = samples.to_pcm(x)
    return list(np.pad(pcm, (0, -len(pcm) % n)).reshape(-1, n))


# --- Opus ------------------------------------------------------------------------------------

VOIP, SET_BITRATE, SET_SIGNAL, VOICE = 2048, 4002, 4024, 3001
OPUS_FRAME = SAMPLE_RATE_HZ // 50
MAX_OPUS_BYTES = 1276


def opus(x: FloatArray, lost: Flags, bitrate_bps: int) -> tuple[FloatArray, int]:
    """Return what Opus makes of a signal, its own concealment in lost frames; and its bytes."""
    lib, error = library("opus"), ctypes.c_int()
    lib.opus_encoder_create.restype = lib.opus_decoder_create.restype = ctypes.c_void_p
    encoder = ctypes.c_void_p(lib.opus_encoder_create(SAMPLE_RATE_HZ, 1, VOIP, error))
    decoder = ctypes.c_void_p(lib.opus_decoder_create(SAMPLE_RATE_HZ, 1, error))
    lib.opus_encoder_ctl(encoder, SET_BITRATE, ctypes.c_int(bitrate_bps))
    lib.opus_encoder_ctl(encoder, SET_SIGNAL, ctypes.c_int(VOICE))
    data, heard, n_bytes = ctypes.create_string_buffer(MAX_OPUS_BYTES), [], 0
    for frame, is_lost in zip(frames_of(x, OPUS_FRAME), lost, strict=False):
        out = np.zeros(OPUS_FRAME, np.int16)
        n = lib.opus_encode(encoder, _pointer(frame), OPUS_FRAME, data, MAX_OPUS_BYTES)
        n_bytes += n
        source, length = (None, 0) if is_lost else (data, n)
        if lib.opus_decode(decoder, source, length, _pointer(out), OPUS_FRAME, 0) != OPUS_FRAME:
            raise RuntimeError("Opus did not decode")
        heard.append(out)
    lib.opus_encoder_destroy(encoder)
    lib.opus_decoder_destroy(decoder)
    return samples.from_pcm(np.concatenate(heard).tobytes()), n_bytes


# --- Codec 2 ---------------------------------------------------------------------------------


def codec2(x: FloatArray, lost: Flags, mode: int) -> tuple[FloatArray, int]:
    """Return what Codec 2 makes of a signal, the last frame repeated in lost ones; its bytes."""
    lib, rate_hz = library("codec2"), 8000
    lib.codec2_create.restype = ctypes.c_void_p
    encoder = ctypes.c_void_p(lib.codec2_create(mode))
    decoder = ctypes.c_void_p(lib.codec2_create(mode))
    n = lib.codec2_samples_per_frame(encoder)
    size = (lib.codec2_bits_per_frame(encoder) + 7) // 8
    data, heard, n_bytes, n_lost = ctypes.create_string_buffer(size), [], 0, 0
    last = bytes(size)
    for frame, is_lost in zip(
        frames_of(samples.resampled(x, SAMPLE_RATE_HZ, rate_hz), n), lost, strict=False
    ):
        out = np.zeros(n, np.int16)
        lib.codec2_encode(encoder, data, _pointer(frame))
        n_bytes += size
        if not is_lost:
            last = data.raw
        n_lost = n_lost + 1 if is_lost else 0
        lib.codec2_decode(decoder, _pointer(out), last)
        heard.append(out * max(0.0, 1.0 - n_lost * n / rate_hz / FADE_S))
    lib.codec2_destroy(encoder)
    lib.codec2_destroy(decoder)
    decoded = samples.from_pcm(np.concatenate(heard).astype("<i2").tobytes())
    return samples.resampled(decoded, rate_hz, SAMPLE_RATE_HZ), n_bytes


def _pointer(array: npt.NDArray[np.int16]) -> ctypes.c_void_p:
    return array.ctypes.data_as(ctypes.c_void_p)
