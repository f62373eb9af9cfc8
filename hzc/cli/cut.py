"""`hzc cut`."""

from __future__ import annotations

import click

from hzc import bitrate, container, files
from hzc.cli.options import Finite, force_option, output_option, refuse_terminal, report_options
from hzc.cli.plan import plan, split_names
from hzc.cli.report import Report, shown
from hzc.errors import HzcError
from hzc.files import STDIO


@click.command("cut")
@click.argument("names", nargs=-1, required=True, metavar="INPUT OUTPUT")
@output_option
@force_option
@click.option(
    "--start", type=Finite(min=0.0), default=0.0, metavar="SECONDS", help="Start of the part."
)
@click.option(
    "--end", type=Finite(min=0.0, min_open=True), metavar="SECONDS",
    help="End of the part.  [default: that of the file]",
)  # fmt: skip
@report_options
def command(
    names: tuple[str, ...], output: str | None, force: bool, start: float, end: float | None,
    quiet: bool, as_json: bool,
) -> None:  # fmt: skip
    """Cut a part out of a .hzc file without coding it again.

    \b
    Example:
      hzc cut talk.hzc part.hzc --start 60 --end 90

    Parts start and end at the borders of chunks, every 10 s: the start is moved back and the end
    forward. Prints the times of the part.
    """  # noqa: D301 - click looks for the backspace itself
    chosen = split_names(
        names, output, None, is_recursive=False, input_suffixes=(), target_suffixes=(".hzc",)
    )
    if len(chosen.inputs) != 1 or chosen.output is None:
        raise click.UsageError("name one input and one output")
    if end is not None and end <= start:
        raise click.UsageError("--end must lie after --start")
    if as_json and chosen.output == STDIO:
        raise click.UsageError("--json and an output on stdout do not go together")
    refuse_terminal(chosen.output)
    report = Report(1, quiet, as_json)
    ((source, target),) = plan(chosen, ".hzc", ()).pairs
    try:
        files.check_target(target, force=force)
        parsed = container.unpack(files.read_hzc(source))
        part, from_s, until_s = container.cut(parsed, start, end)
        data = part.packed()
        files.write_bytes(target, data, force=force)
        rate = bitrate.measure(part, len(data))
        values = {"source": source, "path": target, "start_s": from_s, "end_s": until_s}
        report.done(
            f"{shown(target)}  {from_s:.2f} s to {until_s:.2f} s  {rate.line()}",
            {**values, **rate.values()},
        )
    except HzcError as error:
        report.failed(error, source)
    click.get_current_context().exit(report.exit_code)
