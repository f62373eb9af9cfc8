"""`hzc check`."""

from __future__ import annotations

from typing import Any

import click

from hzc import container, files
from hzc.cli.options import report_options
from hzc.cli.report import Report, say, say_json
from hzc.container import Container
from hzc.errors import DesyncError, FormatError, HzcError
from hzc.model import registry


@click.command("check")
@click.argument("inputs", nargs=-1, required=True, metavar="FILE...")
@report_options
def command(inputs: tuple[str, ...], quiet: bool, as_json: bool) -> None:
    """Verify .hzc files without decoding them.

    Every checksum, every length, and that the model is one that this hzc has. For a damaged file,
    the time that is lost is told; `hzc decode --salvage` brings back the rest.
    """
    report = Report(len(inputs), quiet=quiet, as_json=as_json)
    for path in inputs:
        try:
            values = _checked(files.read_bytes(path))
        except HzcError as error:
            report.failed(error, path)
            continue
        report.n_done += 1
        if as_json:
            say_json({"path": path, **values})
        elif not quiet:
            say(f"{path}  sound  {values['duration_s']:.2f} s  {values['n_chunks']} chunks")
    report.summary()
    click.get_current_context().exit(report.exit_code)


def _checked(data: bytes) -> dict[str, Any]:
    try:
        parsed = container.unpack(data)
    except FormatError as error:
        raise _with_losses(error, data) from error
    _check_model(parsed)
    return {"duration_s": parsed.header.duration_s, "n_chunks": len(parsed.chunks)}


def _with_losses(error: FormatError, data: bytes) -> FormatError:
    """Return the error with what can be salvaged added to it, if anything can."""
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
