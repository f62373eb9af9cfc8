"""`hzc cat`."""

from __future__ import annotations

import click

from hzc import bitrate, container, files
from hzc.cli.options import force_option, refuse_terminal, report_options
from hzc.cli.report import Report, shown
from hzc.errors import HzcError, OutputClashError
from hzc.files import STDIO


@click.command("cat")
@click.argument("inputs", nargs=-1, required=True, metavar="FILE...")
@click.option("-o", "--output", required=True, metavar="FILE", help="Target, or - for stdout.")
@force_option
@report_options
def command(inputs: tuple[str, ...], output: str, force: bool, quiet: bool, as_json: bool) -> None:
    """Join .hzc files without coding them again.

    \b
    Example:
      hzc cat monday.hzc tuesday.hzc -o both.hzc

    The files must have the same model, step, sample rate and channels. All but the last are padded
    to whole frames, so up to 1/8 s of silence stays between two recordings.
    """  # noqa: D301 - click looks for the backspace itself
    if as_json and output == STDIO:
        raise click.UsageError("--json and an output on stdout do not go together")
    if inputs.count(STDIO) > 1:
        raise click.UsageError("standard input can be read once only")
    refuse_terminal(output)
    report = Report(1, quiet=quiet, as_json=as_json)
    try:
        files.check_target(output, force=force)
        parts = []
        for path in inputs:
            if files.is_same(path, output):
                raise OutputClashError("input and output are the same file", path=path)
            try:
                parts.append(container.unpack(files.read_hzc(path)))
            except HzcError as error:
                error.path = error.path or path
                raise
        whole = container.joined(parts)
        data = whole.packed()
        files.write_bytes(output, data, force=force)
        rate = bitrate.measure(whole, len(data))
        report.done(f"{shown(output)}  {rate.line()}", {"path": output, **rate.values()})
    except HzcError as error:
        report.failed(error, output)
    click.get_current_context().exit(report.exit_code)
