"""Audio in through PyAV (FFmpeg), for what libsndfile does not read; the extra `hzc[av]`."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from hzc.audio import ogg
from hzc.audio.pipes import Contents, Lost, Opened, missing, not_audio, opened, reason
from hzc.audio.scaling import to_float32
from hzc.blocks import Blocks, FloatArray, rechunked

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer

SURE_FORMATS = ("mov", "matroska", "flac", "wv", "tta")
"""Their durations are written down; FFmpeg guesses those of the others from the bitrate."""
SLACK_S = 0.1
"""Frames are up to this long, and durations are rounded to them."""


def is_installed() -> bool:
    """Whether PyAV is there; it is imported when it is first needed."""
    return find_spec("av") is not None


def open_any(file: Contents, lost: Lost) -> Opened:
    """Return the first audio stream of what FFmpeg reads, at its own rate and channels.

    Encoder delay and padding are cut off as FFmpeg does. Rate and channels are those of the first
    frame: headers of AAC may give half the rate.

    Raises:
        AudioReadError: FFmpeg does not read it, or it has no audio.
    """
    import av

    def start(stream: BinaryIO) -> InputContainer:
        try:
            # Playlists and the like may name other files and addresses: none is opened.
            return av.open(_Nameless(stream), "r", options={"protocol_whitelist": "none"})
        except (av.FFmpegError, OSError, ValueError) as error:
            raise not_audio(reason(error)) from error

    with opened(file) as stream, start(stream) as container:
        audio = _audio_stream(container)
        first = next(_frames(container, audio, []), None)
        if first is None:
            raise not_audio("no frame can be decoded")
        sample_rate_hz, n_channels = first.sample_rate, first.layout.nb_channels
        duration_s = _duration_s(container, audio)
        is_ogg = container.format.name == "ogg"

    def frames(faults: list[float]) -> Blocks:
        with opened(file) as stream, start(stream) as container:
            for frame in _frames(container, _audio_stream(container), faults):
                if (frame.sample_rate, frame.layout.nb_channels) != (sample_rate_hz, n_channels):
                    lost("its sample rate or number of channels changes (the rest is not read)")
                    return
                yield _samples(frame)

    def blocks() -> Blocks:
        n_read, faults = 0, list[float]()
        for block in rechunked(frames(faults), sample_rate_hz):
            n_read += block.shape[1]
            yield np.ascontiguousarray(block)
        read_s = n_read / sample_rate_hz
        if duration_s is not None and duration_s - read_s > SLACK_S:
            lost(missing(duration_s - read_s, read_s))
        elif faults:
            lost(f"the audio is damaged at {faults[0]:.2f} s (damaged packets: {len(faults)})")
        for fault in ogg.faults(file, reads_all=True) if is_ogg else ():
            lost(fault)

    return sample_rate_hz, n_channels, duration_s, blocks


class _Nameless:
    """A file whose name PyAV does not see: contents decide, not a suffix."""

    def __init__(self, stream: BinaryIO) -> None:
        self.read, self.seek, self.tell = stream.read, stream.seek, stream.tell


def _audio_stream(container: InputContainer) -> AudioStream:
    if container.streams.audio:
        return container.streams.audio[0]
    if container.streams.video:
        raise not_audio("only video or pictures")
    raise not_audio("there is no audio in it")


def _frames(
    container: InputContainer, audio: AudioStream, faults: list[float]
) -> Iterator[AudioFrame]:
    """Yield the frames that can be decoded; note the times in seconds of those that cannot."""
    import av

    packets = container.demux(audio)
    at_s = 0.0
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except (av.FFmpegError, OSError, ValueError):
            faults.append(at_s)
            return
        if packet.pts is not None and packet.time_base is not None:
            at_s = float(packet.pts * packet.time_base)
        try:
            yield from packet.decode()
        except (av.FFmpegError, OSError, ValueError):
            faults.append(at_s)


def _samples(frame: AudioFrame) -> FloatArray:
    """Return float32 [channel, sample]; packed formats have one row with the channels in turn."""
    array = to_float32(frame.to_ndarray())
    if frame.format.is_packed:
        return array.reshape(-1, frame.layout.nb_channels).T
    return array


def _duration_s(container: InputContainer, audio: AudioStream) -> float | None:
    """Return the duration that is written down for the audio, None where there is none."""
    if not container.format.name.startswith(SURE_FORMATS):
        return None
    if audio.duration is not None and audio.time_base is not None:
        return float(audio.duration * audio.time_base)
    if len(container.streams) == 1 and container.duration is not None:
        return container.duration / 1e6
    return None
