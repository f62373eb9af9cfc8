"""Whole .hzc files verified and measured: the work of `hzc check` and `hzc bitrate`."""

from __future__ import annotations

from dataclasses import dataclass

from hzc import bitrate, container, files
from hzc.bitrate import Rate
from hzc.container import MAGIC, Container
from hzc.errors import DesyncError, FormatError, HzcError
from hzc.files import InputStream
from hzc.jobs import Models, Progress, ignore
from hzc.model import registry
from hzc.options import EncodeOptions


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What was found in one file."""

    source: str
    duration_s: float | None = None
    n_chunks: int | None = None
    error: HzcError | None = None


@dataclass(frozen=True)
class CheckJob:
    """A file to be verified: every checksum, every length, and that its model is known."""

    source: str

    def run(self, models: Models, progress: Progress = ignore) -> Checked:
        """Verify the file; no network is loaded.

        Raises:
            FormatError: it is damaged; the message says which seconds are lost.
            ModelError: this hzc does not have its model.
        """
        data = files.read_hzc(self.source)
        try:
            parsed = container.unpack(data)
        except FormatError as error:
            raise _with_losses(error, data) from error
        _check_model(parsed)
        header = parsed.header
        return Checked(
            source=self.source, duration_s=header.duration_s, n_chunks=len(parsed.chunks)
        )

    def failed(self, error: HzcError) -> Checked:
        """Return the result of a job that raised an error."""
        return Checked(source=self.source, error=error)


def _with_losses(error: FormatError, data: bytes) -> FormatError:
    """Return the error with what is lost added to it, if anything can be salvaged."""
    try:
        left = container.salvage(data)
    except FormatError:
        return error
    message = "; ".join(part for part in (error.message, left.summary()) if part)
    return type(error)(message, hint="hzc decode --salvage brings back the rest")


def _check_model(parsed: Container) -> None:
    """Raise unless the file's model is registered, with the tables that the file was made with."""
    header = parsed.header
    if header.model_id in registry.PRIVATE_IDS:
        return
    spec = registry.find_id(header.model_id)
    if (spec.fingerprint, spec.n_latent) != (header.fingerprint, header.n_latent):
        raise DesyncError(f"the file was made with other tables than model {spec.name} has")


@dataclass(frozen=True, kw_only=True)
class Rated:
    """Bitrate of one file."""

    source: str
    rate: Rate | None = None
    ladder: dict[str, float] | None = None
    """Bits per second by stage, see `hzc.bitrate.ladder`."""
    error: HzcError | None = None


@dataclass(frozen=True)
class RateJob:
    """A .hzc file to be measured, or audio, which is encoded in memory."""

    source: str
    options: EncodeOptions
    with_ladder: bool = False

    def run(self, models: Models, progress: Progress = ignore) -> Rated:
        """Measure the file; networks are loaded for audio only.

        Raises:
            HzcError: it can be neither read nor encoded.
        """
        data, kl_bits = self._file_or_encoded(models)
        parsed = container.unpack(data)
        rungs = None
        if self.with_ladder:
            bits = _ideal_bits(parsed, self.options.model)
            rungs = bitrate.ladder(parsed, len(data), bits, kl_bits)
        return Rated(source=self.source, rate=bitrate.measure(parsed, len(data)), ladder=rungs)

    def failed(self, error: HzcError) -> Rated:
        """Return the result of a job that raised an error."""
        return Rated(source=self.source, error=error)

    def _file_or_encoded(self, models: Models) -> tuple[bytes, float | None]:
        """Return the bytes of a .hzc file, or of encoded audio with its KL divergence in bits."""
        with files.open_input(self.source) as stream:
            named = InputStream(stream, self.source)
            data = named.read(len(MAGIC))
            if data == MAGIC or self.source.lower().endswith(".hzc"):
                return data + named.read(-1 if data == MAGIC else files.LOOK_BYTES), None
            if not files.is_regular(self.source):
                data += named.read()
        from hzc.audio import sources

        source = sources.open_source(self.source if files.is_regular(self.source) else data)
        encoder = models.to_encode(self.options).encoder
        encoded = encoder.encode(
            source, target=self.options.target, effort=self.options.effort,
            with_kl=self.with_ladder,
        )  # fmt: skip
        return encoded.data, encoded.kl_bits


def _ideal_bits(parsed: Container, model: str | None) -> float:
    """Return the code length of a file's symbols under its model's tables; no torch needed."""
    from hzc.coding.chunks import decoded
    from hzc.model.file import open_for_id

    header = parsed.header
    opened = open_for_id(header.model_id, model)
    opened.check(header)
    return sum(
        opened.prior.ideal_bits(symbols, header.step_index)
        for channels in decoded(opened.prior, header, parsed.chunks)
        for symbols in channels
    )
