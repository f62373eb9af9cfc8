"""Audio in, block by block: files, pipes, bytes and arrays; choosing, mixing and resampling.

    WAV                      riff      by name and through a pipe
    FLAC, Ogg, MP3, AIFF …   sndfile   pipes are copied to a temporary file
    m4a, WebM, video …       av        the same, if PyAV is installed

Everything is float32 [channel, sample] with full scale ±1; blocks keep memory constant however long
the recording is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import soxr

from hzc.audio import av, riff, sndfile
from hzc.audio.pipes import Contents, Lost, Opened, Reader, Spool, opened
from hzc.audio.scaling import as_array, to_float32, whole_rate_hz
from hzc.blocks import Blocks, FloatArray, empty
from hzc.container import MAGIC, MAX_CHANNELS
from hzc.errors import AudioReadError, InputError, UnsupportedAudioError
from hzc.options import RawLayout

BLOCK_SAMPLES = 1 << 17
CANCELLED_DB = 10.0
"""A mix this far below the mean power of its channels is worth a warning."""
SILENT_SHARE = 1e-6
"""Of the loudest channel's power: a channel below this is silent."""


@dataclass(frozen=True)
class Source:
    """Audio that can be read more than once, or once where it comes through a pipe."""

    sample_rate_hz: int
    n_channels: int
    duration_s: float | None
    """As announced, None where it is not known; `blocks` may give more or less."""
    blocks: Callable[[], Blocks]
    """float32 [channel, sample], from the start at every call if `is_repeatable`."""
    is_repeatable: bool = True
    """False for a live pipe: call `blocks` once."""
    warnings: list[str] = field(default_factory=list)
    """What is missing or damaged; complete when all blocks have been read."""


def open_source(
    file: Contents | BinaryIO, *, raw: RawLayout | None = None, strict: bool = False
) -> Source:
    """Return the audio in a file, in the bytes of one, or from a pipe: the same for all three.

    A plain WAV (PCM, float, A-law, mu-law) and raw audio are streamed from a pipe, about a second
    at a time. Everything else is copied to a temporary file, removed together with the source.

    Args:
        file: Path, contents, or a binary stream whose `read` may return less than asked for. A
            path that is no regular file, such as a named pipe, is read as a stream.
        raw: Layout of headerless audio.
        strict: Refuse audio that is cut or damaged, instead of a warning.

    Raises:
        AudioReadError: empty, damaged header, or a format that is not read. Also while blocks are
            read: the audio is cut or damaged, and `strict` is given.
        UnreadableError: the operating system refused.
    """
    path = file if isinstance(file, (str, PathLike)) else None
    warnings: list[str] = []

    def lost(message: str) -> None:
        if strict:
            raise AudioReadError(message, hint="without --strict it is coded as far as it goes")
        if message not in warnings:
            warnings.append(message)

    with _named(path):
        if raw is not None:
            riff.check_geometry(raw.n_channels, raw.sample_rate_hz)
        if path is not None and not os.path.isfile(path):
            source = _open_named_pipe(path, raw, lost)
        elif isinstance(file, (str, PathLike, bytes)):
            source = _open_file(file, raw, lost)
        else:
            source = _open_pipe(file, raw, lost)

    def blocks() -> Blocks:
        return _with_name(source.blocks(), path)

    return replace(source, blocks=blocks, warnings=warnings)


def _open_file(file: Contents, raw: RawLayout | None, lost: Lost) -> Source:
    with opened(file) as stream:
        reader = Reader(stream, is_pipe=False)
        start = reader.peek(len(MAGIC))
        audio = _find_audio(reader, raw)
        n_bytes_left = reader.n_bytes_left()
    if audio is None:
        if not start:
            raise AudioReadError("the file is empty")
        if start == MAGIC:
            raise AudioReadError(
                "this is a .hzc file, not audio", hint="hzc decode turns it into audio"
            )
        return Source(*_open_coded(file, lost))
    coding = audio.coding
    n_bytes = audio.n_bytes if audio.is_known else n_bytes_left

    def blocks() -> Blocks:
        with opened(file) as stream:
            reader = Reader(stream, is_pipe=False)
            if (found := _find_audio(reader, raw)) is not None:
                yield from riff.blocks(reader, found, BLOCK_SAMPLES, lost)

    duration_s = n_bytes // coding.align / coding.sample_rate_hz
    return Source(coding.sample_rate_hz, coding.n_channels, duration_s, blocks)


def _open_pipe(stream: BinaryIO, raw: RawLayout | None, lost: Lost) -> Source:
    reader = Reader(stream, is_pipe=True)
    audio = _find_audio(reader, raw)
    if audio is None:
        spool = Spool(reader.rest())
        copy = _open_file(spool.path, None, lost)
        return replace(copy, blocks=lambda: _while_kept(spool, copy.blocks()))
    reader.forget()
    once = [riff.blocks(reader, audio, BLOCK_SAMPLES, lost)]

    def blocks() -> Blocks:
        if not once:
            raise RuntimeError("audio from a pipe can be read only once")
        return once.pop()

    coding = audio.coding
    return Source(
        coding.sample_rate_hz, coding.n_channels, audio.duration_s, blocks, is_repeatable=False
    )


def _open_named_pipe(path: str | PathLike[str], raw: RawLayout | None, lost: Lost) -> Source:
    with ExitStack() as stack:
        source = _open_pipe(stack.enter_context(opened(path)), raw, lost)
        if source.is_repeatable:
            return source
        keep_open = stack.pop_all()

    def once() -> Blocks:
        with keep_open:
            yield from source.blocks()

    return replace(source, blocks=once)


def _find_audio(reader: Reader, raw: RawLayout | None) -> riff.Audio | None:
    if raw is None:
        return riff.find_audio(reader)
    coding = riff.Coding(riff.PCM, 16, raw.n_channels, raw.sample_rate_hz)
    return riff.Audio(coding, 0, is_known=False)


def _open_coded(file: Contents, lost: Lost) -> Opened:
    """Open what is no plain WAV."""
    try:
        return sndfile.open_coded(file, lost)
    except AudioReadError as error:
        error.hint = "hzc reads WAV, FLAC, Ogg, Opus, MP3, AIFF and more"
        if not av.is_installed():
            error.hint += "; m4a, AAC, AMR, WMA, WebM and video need pip install 'hzc[av]'"
            raise
        try:
            found = av.open_any(file, lost)
        except AudioReadError as second:
            if "only video" in second.message:
                raise
            raise error from second
        if "malformed" in error.message:
            lost("the file is malformed or cut")
        return found


def _while_kept(spool: Spool, blocks: Blocks) -> Blocks:
    """Yield the blocks, and hold the copy on disk that they come from."""
    yield from blocks


def _with_name(blocks: Blocks, path: str | PathLike[str] | None) -> Blocks:
    with _named(path):
        yield from blocks


@contextmanager
def _named(path: str | PathLike[str] | None) -> Iterator[None]:
    """Put the name of the input into errors: not that of the copy of a pipe."""
    try:
        yield
    except InputError as error:
        error.path = path
        raise


def array_source(samples: npt.ArrayLike, sample_rate_hz: float) -> Source:
    """Return samples in memory as a source.

    Args:
        samples: [sample] or [channel, sample]. Floats have full scale ±1; integers are scaled by
            the range of their type. Lists, numpy arrays and torch tensors.
        sample_rate_hz: A whole number, 1 or more.

    Raises:
        UnsupportedAudioError: no real numbers, another number of axes, no samples, swapped axes,
            or a sample rate that is no whole number.
    """
    sample_rate_hz = whole_rate_hz(sample_rate_hz)
    array = np.atleast_2d(to_float32(as_array(samples)))
    if array.ndim != 2:
        raise UnsupportedAudioError(f"samples have {array.ndim} axes (1 or 2 expected)")
    n_channels, n_samples = array.shape
    if n_channels > max(n_samples, MAX_CHANNELS):
        raise UnsupportedAudioError(
            f"{n_channels} channels of {n_samples} samples",
            hint="the axes are [channel, sample]; pass samples.T",
        )
    if array.size == 0:
        raise UnsupportedAudioError("the recording has no samples")
    return Source(sample_rate_hz, n_channels, n_samples / sample_rate_hz, lambda: iter((array,)))


def mixed(source: Source) -> Source:
    """Return the mean of all channels as a source of one channel.

    Where the channels cancel each other, `source.warnings` says so once all blocks have been read.
    """
    if source.n_channels == 1:
        return source

    def blocks() -> Blocks:
        powers, mix_power = np.zeros(source.n_channels), 0.0
        for block in source.blocks():
            with np.errstate(invalid="ignore", over="ignore"):  # `checked` finds infinities
                mix = block.mean(axis=0, keepdims=True)
                powers += np.einsum("cs,cs->c", block, block, dtype=np.float64)
                mix_power += float(np.einsum("cs,cs->", mix, mix, dtype=np.float64))
            yield mix
        for message in _mix_warnings(powers, mix_power):
            if message not in source.warnings:
                source.warnings.append(message)

    return replace(source, n_channels=1, blocks=blocks)


def _mix_warnings(powers: npt.NDArray[np.float64], mix_power: float) -> Iterator[str]:
    """Yield what to say about a mix; `powers` are the sums of squares of each channel."""
    mean_power = float(powers.mean())
    if not 0.0 < mean_power < np.inf:
        return
    loss_db = 10.0 * np.log10(mean_power / max(mix_power, 1e-12 * mean_power))
    if loss_db >= CANCELLED_DB:
        yield (
            f"the mix of {len(powers)} channels is {loss_db:.0f} dB below them: "
            "they cancel each other (--channel 1 takes the first alone)"
        )
    elif (powers < SILENT_SHARE * powers.max()).any():
        loudest = int(np.argmax(powers)) + 1
        yield f"the mix has silent channels (--channel {loudest} takes the loudest alone)"


def one_channel(source: Source, index: int) -> Source:
    """Return one channel of a source; the first is 1.

    Raises:
        UnsupportedAudioError: there is no such channel.
    """
    if not 1 <= index <= source.n_channels:
        raise UnsupportedAudioError(f"there is no channel {index} (found {source.n_channels})")

    def blocks() -> Blocks:
        for block in source.blocks():
            yield np.ascontiguousarray(block[index - 1 : index])

    return replace(source, n_channels=1, blocks=blocks)


def checked(blocks: Blocks, sample_rate_hz: int) -> Blocks:
    """Yield the blocks.

    Raises:
        UnsupportedAudioError: a sample is NaN or infinite.
    """
    n_samples = 0
    for block in blocks:
        finite = np.isfinite(block).all(axis=0)
        if not finite.all():
            at_s = (n_samples + int(np.argmin(finite))) / sample_rate_hz
            raise UnsupportedAudioError(
                f"sample at {at_s:.3f} s is NaN or infinite", hint="repair the recording first"
            )
        n_samples += block.shape[1]
        yield block


class Resampler:
    """Takes blocks at one sample rate and returns blocks at another; no delay in all."""

    def __init__(self, n_channels: int, from_hz: int, to_hz: int) -> None:
        """Start a signal."""
        self._n_channels, self._is_identity = n_channels, from_hz == to_hz
        self._stream = soxr.ResampleStream(
            from_hz, to_hz, n_channels, dtype="float32", quality="HQ"
        )

    def push(self, block: FloatArray) -> FloatArray:
        """Take a block, float32 [channel, sample]; return the samples that are done."""
        return block if self._is_identity else self._resampled(block, last=False)

    def finish(self) -> FloatArray:
        """Return the rest; the total length is right to within a sample or two."""
        rest = empty(self._n_channels)
        return rest if self._is_identity else self._resampled(rest, last=True)

    def _resampled(self, block: FloatArray, *, last: bool) -> FloatArray:
        samples = self._stream.resample_chunk(np.ascontiguousarray(block.T), last=last)
        return np.ascontiguousarray(samples.reshape(-1, self._n_channels).T)


def resampled(blocks: Blocks, n_channels: int, from_hz: int, to_hz: int) -> Blocks:
    """Yield blocks at another rate; the total length is right to within a sample or two."""
    resampler = Resampler(n_channels, from_hz, to_hz)
    for block in blocks:
        yield resampler.push(block)
    yield resampler.finish()
