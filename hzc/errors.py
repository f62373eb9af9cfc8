"""Every exception that hzc raises on purpose, and the exit code each one means.

HzcError                       1   base: a message, an optional path and a hint
├─ ArgumentError               2   a value given to a function is out of range
├─ InputError                  3   the file given to hzc
│  ├─ UnreadableError              missing, a folder, no permission
│  ├─ AudioReadError               libsndfile could not read it
│  ├─ UnsupportedAudioError        empty, too long, NaN or infinite, too many channels
│  ├─ OutOfRangeError              the file ends before the part asked for
│  ├─ RateError                    no encoding of it has the rate or the size asked for
│  ├─ IncompatibleError            files that cannot be joined without coding them again
│  └─ DuplicateError               two clips of a corpus have one id
├─ FormatError                 4   the bytes given to decode, bitrate or info
│  ├─ NotHzcError                  wrong magic
│  ├─ VersionError                 newer version, or a reserved bit is set
│  ├─ TruncatedError               fewer bytes than declared
│  ├─ LimitError                   declares more than the specification allows
│  └─ CorruptError                 checksum mismatch, trailing bytes, impossible field
├─ ModelError                  5   the model named by the user or by the file
│  ├─ UnknownModelError            id or name not in the registry
│  ├─ WeightsError                 weight file missing or not the registered one
│  ├─ LatentError                  the network produced NaN or infinity
│  └─ DesyncError                  checksums hold, but other tables made this file
├─ OutputError                 6   the file to be written
│  ├─ OutputExistsError            the target exists and --force was not given
│  ├─ OutputClashError             two inputs, or an input and its output, share a target
│  └─ OutputWriteError             the operating system refused
├─ TrainingError               7   a training configuration or run
├─ WorkerDiedError             1   a worker process ended in the middle of its job
└─ LossError                   8   salvaged: the output was made, but parts of it are lost
"""

from __future__ import annotations

from os import PathLike


class HzcError(Exception):
    """Base of all errors that hzc raises on purpose.

    Args:
        message: What is wrong, lower case, with found and expected values.
        path: File concerned, put in front of the message; None when unknown.
        hint: One sentence saying what to do, or None.
    """

    exit_code = 1

    def __init__(
        self, message: str, *, path: str | PathLike[str] | None = None, hint: str | None = None
    ) -> None:
        """Keep the parts apart so that a caller can add the path later."""
        super().__init__(message)
        self.message = message
        self.path = path
        self.hint = hint

    def __str__(self) -> str:
        """Return `path: message`, or the message alone."""
        return self.message if self.path is None else f"{self.path}: {self.message}"


class ArgumentError(HzcError, ValueError):
    """A value given to a function is out of range."""

    exit_code = 2


class InputError(HzcError):
    """The file given to hzc cannot be used."""

    exit_code = 3


class UnreadableError(InputError):
    """The operating system refused to read the file."""


class AudioReadError(InputError):
    """The audio library could not read the file."""


class UnsupportedAudioError(InputError):
    """The audio was read, but hzc cannot code it."""


class OutOfRangeError(InputError):
    """The file ends before the part asked for."""


class RateError(InputError):
    """No encoding of the recording has the rate or the size asked for."""


class IncompatibleError(InputError):
    """The files cannot be joined without coding them again."""


class DuplicateError(InputError):
    """Two clips of a corpus have one id."""


class FormatError(HzcError, ValueError):
    """The bytes are not a valid .hzc stream."""

    exit_code = 4


class NotHzcError(FormatError):
    """The magic number is missing."""


class VersionError(FormatError):
    """The file needs a newer hzc."""


class TruncatedError(FormatError):
    """The file ends before what it declares."""


class LimitError(FormatError):
    """The file declares more than the specification allows."""


class CorruptError(FormatError):
    """A checksum does not match, or a field is impossible."""


class ModelError(HzcError):
    """The model cannot be used."""

    exit_code = 5


class UnknownModelError(ModelError):
    """No model of this id or name is registered."""


class WeightsError(ModelError):
    """The weight file is missing or is not the registered one."""


class LatentError(ModelError):
    """The network produced a value that is not finite."""


class DesyncError(ModelError):
    """The file was made with other tables than the model has."""


class OutputError(HzcError):
    """The output cannot be written."""

    exit_code = 6


class OutputExistsError(OutputError):
    """The target exists already."""


class OutputClashError(OutputError):
    """Two inputs, or an input and its own output, share a target."""


class OutputWriteError(OutputError):
    """The operating system refused to write."""


class TrainingError(HzcError):
    """A training configuration or run cannot go on."""

    exit_code = 7


class WorkerDiedError(HzcError):
    """A worker process ended in the middle of its job."""


class LossError(HzcError):
    """A damaged file was decoded as far as it goes."""

    exit_code = 8
