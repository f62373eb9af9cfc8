"""Joins and cuts files at the borders of chunks; symbols stay as they are, only places change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hzc.container.chunks import Chunk, Container
from hzc.container.header import CHUNK_FRAMES, FRAME_RATE_HZ, Header
from hzc.errors import IncompatibleError, OutOfRangeError

LIKE_FIELDS = (
    "model_id", "fingerprint", "n_latent", "sample_rate_hz", "n_channels", "step_index",
    "step_offsets",
)  # fmt: skip
"""What files must have in common to be joined."""


def joined(files: Sequence[Container]) -> Container:
    """Return one file that holds the chunks of several, in order.

    Every file but the last ends at the end of its last frame: up to 1/8 s of the silence that its
    encoder filled the frame with stays in.

    Raises:
        IncompatibleError: two files differ in model, step, sample rate or channels.
    """
    first = files[0].header
    for index, file in enumerate(files[1:], 2):
        for name in LIKE_FIELDS:
            one, other = getattr(first, name), getattr(file.header, name)
            if one != other:
                raise IncompatibleError(
                    f"file {index} has {name.replace('_', ' ')} {other}, file 1 has {one}",
                    hint="decode both, join the audio, and encode it again",
                )
    chunks = [chunk for file in files for chunk in file.chunks]
    return _file_of(first, chunks, files[-1].header.trim)


def cut(file: Container, start_s: float, end_s: float | None) -> tuple[Container, float, float]:
    """Return the chunks that lie between two times, as a file; and its start and end in seconds.

    Args:
        file: What to cut.
        start_s: Moved back to the start of its chunk.
        end_s: Moved forward to the end of its chunk; None for the end of the file.

    Raises:
        OutOfRangeError: the file ends before `start_s`.
    """
    header = file.header
    kept: list[Chunk] = []
    at = first = 0
    for chunk in file.chunks:
        start, end = at / FRAME_RATE_HZ, (at + chunk.n_frames) / FRAME_RATE_HZ
        if end > start_s and (end_s is None or start < end_s):
            first = first if kept else at
            kept.append(chunk)
        at += chunk.n_frames
    if not kept or start_s >= header.duration_s:
        raise OutOfRangeError(f"nothing is left at {start_s:g} s")
    has_last = kept[-1] is file.chunks[-1]
    last = first + sum(chunk.n_frames for chunk in kept)
    until_s = header.duration_s if has_last else last / FRAME_RATE_HZ
    return _file_of(header, kept, header.trim if has_last else 0), first / FRAME_RATE_HZ, until_s


def _file_of(like: Header, chunks: Sequence[Chunk], trim: int) -> Container:
    """Return a file of the chunks; streamed where short chunks lie between others."""
    n_frames = sum(chunk.n_frames for chunk in chunks)
    # Where a frame is no whole number of samples, the last one may need one sample more.
    least = (n_frames - 1) * like.sample_rate_hz // FRAME_RATE_HZ + 1
    n_samples = max(least, n_frames * like.sample_rate_hz // FRAME_RATE_HZ - trim)
    header = replace(like, n_frames=n_frames, n_samples=n_samples)
    is_streamed = any(chunk.n_frames != CHUNK_FRAMES for chunk in chunks[:-1])
    return Container(header, tuple(chunks), is_streamed)
