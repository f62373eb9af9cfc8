"""`hzc play`."""

from __future__ import annotations

import webbrowser
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import click

from hzc.cli.batch import Manner, prepare_targets, run_jobs, show_outcome
from hzc.cli.decode import describe
from hzc.cli.options import force_option, model_options
from hzc.cli.plan import Names, plan
from hzc.cli.report import Report, say, tell
from hzc.errors import ArgumentError, HzcError
from hzc.files import STDIO
from hzc.jobs import DecodeJob
from hzc.options import DecodeOptions

if TYPE_CHECKING:
    from hzc.play import PageServer


@click.command("play")
@click.argument("names", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, metavar="N",
    help="Port on 127.0.0.1.  [default: any that is free]",
)  # fmt: skip
@click.option(
    "--open/--no-open", "opens", default=True, show_default=True,
    help="Open the browser; otherwise print the address only.",
)  # fmt: skip
@force_option
@model_options
def command(
    names: tuple[str, ...], port: int, opens: bool, force: bool, model: str | None, device: str,
    backend: str | None, n_threads: int | None,
) -> None:  # fmt: skip
    """Play .hzc files in the browser: waveform, spectrogram, rate.

    \b
    Examples:
      hzc play talk.hzc
      hzc play *.hzc --no-open --port 8000

    A server on this machine gives the page and the files to the browser, until Ctrl-C ends it.
    Nothing is sent anywhere. Where there is no browser, or this installation has no page, the
    files are decoded to WAV, as by `hzc decode`; --force, --device, --backend and --threads are for
    that.
    """  # noqa: D301 - click looks for the backspace itself
    from hzc import play

    if STDIO in names:
        raise click.UsageError("play takes files by name")
    why_not = ""
    if not play.has_page():
        why_not = "this installation has no page (`make web` builds it)"
    elif opens and not play.has_browser():
        why_not = "there is no browser here (--no-open only serves)"
    if not why_not:
        server = _server(names, model, port)
        say(f"{server.url}  (Ctrl-C ends)")
        if not opens or webbrowser.open(server.url):
            with server, suppress(SystemExit):  # Ctrl-C is how it ends
                server.serve_forever()
            return
        why_not = "the browser did not start"
    tell(f"hzc: warning: {why_not}; decoding to WAV")
    options = DecodeOptions(
        model=model, device=device, backend=backend, force=force, sample_rate_hz=None
    )
    made = plan(Names(names, None, None), ".wav", (".hzc",))
    prepare_targets(made, options, as_json=False, dry_run=False)
    report = run_jobs(
        [DecodeJob(source, target, options) for source, target in made.pairs], made.unreadable,
        partial(show_outcome, describe=describe), Manner(quiet=False, as_json=False),
    )  # fmt: skip
    click.get_current_context().exit(report.exit_code)


def _server(names: tuple[str, ...], model_name: str | None, port: int) -> PageServer:
    """Return a server of the files, all of them valid and of one model."""
    from hzc import container, files
    from hzc.model.file import open_for_id
    from hzc.play import PageServer as Server

    report = Report(len(names))
    named, headers = [], []
    for name in names:
        try:
            data = files.read_hzc(name)
            headers.append(container.unpack(data).header)
            named.append((name, data))
        except HzcError as error:
            report.failed(error, name)
    if report.failures:
        click.get_current_context().exit(report.exit_code)
    model = open_for_id(headers[0].model_id, model_name)
    for name, header in zip(names, headers, strict=True):
        if header.model_id != model.model_id:
            raise ArgumentError("needs another model than the first file", path=name)
        try:
            model.check(header)
        except HzcError as error:
            error.path = name
            raise
    return Server(model, named, port)
