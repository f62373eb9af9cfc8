"""Whole files encoded and decoded: what the command line, a pool of workers and Python programs do.

    encode_file:  source ── read ── Encoder ── write atomically ── target      -> Outcome
    decode_file:  source ── read once, check ── Decoder ── write ── target     -> Outcome

Whatever can be checked is checked before torch is imported. Nothing is printed here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import TYPE_CHECKING

from hzc import container, files
from hzc.bitrate import Rate
from hzc.container import AnyHeader, Container, Reader, Salvaged
from hzc.errors import HzcError, LossError, OutputExistsError
from hzc.files import InputStream
from hzc.options import DecodeOptions, EncodeOptions, Options

if TYPE_CHECKING:
    from hzc.audio.sources import Source
    from hzc.audio.writers import WavStream, Writer
    from hzc.codec import Codec

Progress = Callable[[float, float | None], None]
"""Takes seconds of audio done since its last call, and the seconds in all (None if unknown)."""


def ignore(done_s: float, total_s: float | None) -> None:
    """Ignore progress."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Result of encoding or decoding one file."""

    source: str
    target: str
    duration_s: float | None = None
    """Seconds of audio that were coded, or written."""
    sample_rate_hz: int | None = None
    """Of the recording that was encoded, or of the audio that was written."""
    n_channels: int | None = None
    """As `sample_rate_hz`."""
    n_mixed: int = 1
    """Channels that were mixed down to one."""
    rate: Rate | None = None
    """Of the .hzc file that was written."""
    n_clipped: int = 0
    """Samples beyond full scale in decoded audio."""
    lost_s: tuple[tuple[float, float], ...] = ()
    """Start and end of every lost stretch of a salvaged file, in seconds."""
    warnings: tuple[str, ...] = ()
    """What is incomplete or odd about the source, one sentence each."""
    error: HzcError | None = None
    """Why there is no target; a LossError where there is one with parts lost."""
    is_skipped: bool = False
    """The target exists and was left alone."""


@dataclass
class Models:
    """Loads each model once, when it is first needed."""

    given: Codec | None = None
    """The codec to use for everything."""
    _loaded: dict[tuple[object, ...], Codec] = field(default_factory=dict)

    def to_encode(self, options: Options) -> Codec:
        """Return the codec that `options` name."""
        from hzc.codec import Codec

        key = (options.model, options.device, options.backend)
        return self._once(key, lambda: Codec.load(*key))

    def to_decode(self, header: AnyHeader, options: Options) -> Codec:
        """Return the codec that a file needs.

        Raises:
            ModelError: it is not here, or `options` name another one.
        """
        from hzc.codec import Codec

        key = (header.model_id, options.model, options.device, options.backend)
        codec = self._once(key, lambda: Codec.for_model_id(*key))
        codec.check(header)
        return codec

    def _once(self, key: tuple[object, ...], load: Callable[[], Codec]) -> Codec:
        if self.given is not None:
            return self.given
        if key not in self._loaded:
            self._loaded[key] = load()
        return self._loaded[key]


def encode_file(
    source: str | PathLike[str],
    target: str | PathLike[str],
    options: EncodeOptions | None = None,
    *,
    codec: Codec | None = None,
    progress: Progress = ignore,
) -> Outcome:
    """Encode an audio file to a .hzc file, which is written atomically.

    Args:
        source: Any format that hzc reads; "-" for standard input.
        target: A path; "-" for standard output.
        options: How; None for the defaults.
        codec: An open codec, to load the model once for many files; None to load `options.model`.
        progress: Called with the seconds of audio done.

    Raises:
        InputError: the source cannot be read or coded.
        ModelError: the model cannot be used.
        OutputError: the target exists, or cannot be written.
    """
    return _done(
        EncodeJob(os.fspath(source), os.fspath(target), options or EncodeOptions()),
        Models(codec), progress,
    )  # fmt: skip


def decode_file(
    source: str | PathLike[str],
    target: str | PathLike[str],
    options: DecodeOptions | None = None,
    *,
    codec: Codec | None = None,
    progress: Progress = ignore,
) -> Outcome:
    """Decode a .hzc file to audio, which is written atomically.

    Args:
        source: A .hzc file; "-" for standard input, which is streamed.
        target: A path whose suffix names the format; "-" for WAV to standard output.
        options: How; None for the defaults.
        codec: An open codec, to load the model once for many files; None to load what is needed.
        progress: Called with the seconds of audio done.

    Returns:
        The outcome; `error` is a LossError where parts of a salvaged file are lost.

    Raises:
        InputError: the source cannot be read, or ends before `start_s`.
        FormatError: it is not a valid .hzc file.
        ModelError: the model that it needs cannot be used.
        OutputError: the target exists, or cannot be written.
    """
    return _done(
        DecodeJob(os.fspath(source), os.fspath(target), options or DecodeOptions()),
        Models(codec), progress,
    )  # fmt: skip


def _done(job: EncodeJob | DecodeJob, models: Models, progress: Progress) -> Outcome:
    try:
        return job.run(models, progress)
    except OutputExistsError as error:
        if job.options.skip_existing:
            return job.failed(error)
        raise


@dataclass(frozen=True)
class _FileJob:
    """One file to be made from another; either may be "-"."""

    source: str
    target: str
    options: Options

    def failed(self, error: HzcError) -> Outcome:
        """Return the outcome of a job that raised an error."""
        if isinstance(error, OutputExistsError) and self.options.skip_existing:
            return Outcome(source=self.source, target=self.target, is_skipped=True)
        return Outcome(source=self.source, target=self.target, error=error)

    @property
    def like(self) -> str | None:
        """The file whose time the target gets."""
        return self.source if self.options.preserve else None


@dataclass(frozen=True)
class EncodeJob(_FileJob):
    """An audio file to be encoded."""

    options: EncodeOptions

    def run(self, models: Models, progress: Progress = ignore) -> Outcome:
        """Encode the source.

        Raises:
            HzcError: the target could not be made, and is as it was before.
        """
        options, target = self.options, self.target
        files.check_target(target, force=options.force)
        with self._source() as source:
            encoder = models.to_encode(options).encoder

            def report(done_s: float) -> None:
                progress(done_s, source.duration_s)

            with files.open_output(target, force=options.force, like=self.like) as write:
                if source.is_repeatable:
                    encoded = encoder.encode(
                        source, step_index=options.step_index, target=options.target,
                        effort=options.effort, channels=options.channels, verify=options.verify,
                        progress=report,
                    )  # fmt: skip
                    write(encoded.data)
                    rate = encoded.rate
                else:
                    rate = encoder.encode_stream(
                        source, write, step_index=options.step_index, target=options.target,
                        effort=options.effort, channels=options.channels, verify=options.verify,
                        progress=report,
                    )  # fmt: skip
            warnings = tuple(source.warnings)
        return Outcome(
            source=self.source, target=target, duration_s=rate.duration_s, rate=rate,
            sample_rate_hz=source.sample_rate_hz, n_channels=source.n_channels, warnings=warnings,
            n_mixed=source.n_channels if options.channels == "mix" else 1,
        )  # fmt: skip

    @contextmanager
    def _source(self) -> Iterator[Source]:
        from hzc.audio import sources

        raw, strict = self.options.raw, self.options.strict
        if raw is None and files.is_regular(self.source):
            yield sources.open_source(self.source, strict=strict)
            return
        with files.open_input(self.source) as stream:
            yield sources.open_source(stream, raw=raw, strict=strict)


@dataclass(frozen=True)
class DecodeJob(_FileJob):
    """A .hzc file to be decoded."""

    options: DecodeOptions

    def run(self, models: Models, progress: Progress = ignore) -> Outcome:
        """Decode the source.

        Raises:
            HzcError: the target could not be made, and is as it was before.
        """
        options = self.options
        files.check_target(self.target, force=options.force)
        with self._file() as file:
            decoder = models.to_decode(file.header, options).decoder
            from hzc.decoder import Span, n_samples_in

            if isinstance(file, Salvaged):
                file = decoder.vetted(file)
            header, span = file.header, Span(options.start_s, options.duration_s)
            rate_hz = options.sample_rate_hz
            if rate_hz is None:
                rate_hz = header.sample_rate_hz
            n_samples = n_samples_in(header, rate_hz, span)
            total_s = None if n_samples is None else n_samples / rate_hz
            if isinstance(file, Reader):
                blocks = decoder.stream(file, rate_hz, span)
            else:
                blocks = decoder.samples(file, rate_hz, span)
            with open_audio(
                self.target, rate_hz, header.n_channels, n_samples,
                force=options.force, like=self.like,
            ) as writer:  # fmt: skip
                for block in blocks:
                    writer.write(block)
                    progress(block.shape[1] / rate_hz, total_s)
        outcome = Outcome(
            source=self.source, target=self.target, duration_s=writer.n_samples / rate_hz,
            sample_rate_hz=rate_hz, n_channels=header.n_channels, n_clipped=writer.n_clipped,
        )  # fmt: skip
        if isinstance(file, Salvaged) and not file.is_whole:
            return replace(outcome, lost_s=file.lost_s, error=LossError(file.summary()))
        return outcome

    @contextmanager
    def _file(self) -> Iterator[Container | Salvaged | Reader]:
        """Give the source: read once and verified, or live if it is a pipe."""
        if self.options.salvage:
            # Silence longer than the bytes can hold is written only if somebody asks for so much.
            is_limited = self.options.duration_s is None
            yield container.salvage(files.read_hzc(self.source), is_limited=is_limited)
        elif files.is_regular(self.source):
            yield container.unpack(files.read_hzc(self.source))
        else:
            with files.open_input(self.source) as stream:
                yield Reader(InputStream(stream, self.source))


@contextmanager
def open_audio(
    target: str,
    sample_rate_hz: int,
    n_channels: int,
    n_samples: int | None,
    *,
    force: bool,
    like: str | None = None,
) -> Iterator[Writer | WavStream]:
    """Give a writer of a target whose suffix names the format; "-" and devices get WAV in order.

    Raises:
        OutputError: the target exists, or cannot be written.
    """
    from hzc.audio import writers

    if writers.output_format(target) == "WAV" and files.is_special(target):
        # What cannot be gone back in gets a header that need not be completed.
        with files.open_output(target, force=force) as send:
            yield writers.WavStream(send, sample_rate_hz, n_channels, n_samples)
    else:
        size = writers.Size(n_channels, n_samples)
        with (
            files.atomic_write(target, force=force, like=like) as path,
            writers.open_writer(path, target, sample_rate_hz, size) as writer,
        ):
            yield writer
