"""The command line: parses, calls the codec, reports; no codec knowledge here."""

from __future__ import annotations

import importlib
import os
import sys
from io import TextIOWrapper
from typing import Any

import click

from hzc import __version__, files, runner
from hzc.cli.report import say, show_error, tell
from hzc.errors import HzcError

COMMANDS = (
    "encode", "decode", "bitrate", "info", "check", "cat", "cut", "play", "send", "receive",
    "corpus", "models", "train",
)  # fmt: skip
INTERRUPTED = 130


class LazyGroup(click.Group):
    """Imports a command's module when the command is used, so that --help is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of their use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, or None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"hzc.cli.{cmd_name}").command
        return command


def _print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from hzc.container import VERSION
        from hzc.model.registry import default_name

        say(f"hzc {__version__} (format {VERSION}, default model {default_name()})")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version,
    help="Print the versions of package, format and default model.",
)  # fmt: skip
@click.pass_context
def group(ctx: click.Context) -> None:
    """Speech codec: about 1 kbit/s of real file bytes.

    \b
    Examples:
      hzc encode talk.wav talk.hzc
      hzc decode talk.hzc talk.wav
      hzc bitrate *.hzc
      hzc encode -r recordings -d coded -j 4
      ffmpeg -i film.mkv -f wav - | hzc encode - - > film.hzc

    \b
    Exit codes: 0 all done, 1 some of several files failed, 2 usage, 3 input,
    4 invalid .hzc file, 5 model, 6 output, 7 training, 8 salvaged with losses,
    130 interrupted.
    """  # noqa: D301 - click looks for the backspace itself
    if os.environ.get("NO_COLOR"):
        ctx.color = False


def main(args: list[str] | None = None) -> None:
    """Run the command line and exit with its documented code."""
    runner.end_on_signals()
    runner.share_cores()
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code: Any = group.main(args, prog_name="hzc", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except SystemExit as end:
        if end.code == INTERRUPTED:
            tell("\nhzc: interrupted")  # the terminal's ^C ends no line
        raise
    except HzcError as error:
        show_error(error)
        code = error.exit_code
    except Exception as error:
        code = _unexpected(error)
    runner.ignore_signals()
    sys.exit(code if isinstance(code, int) else 0)


def _unexpected(error: Exception) -> int:
    """Print an unexpected error; return the exit code."""
    if isinstance(error, OSError) and error.filename is None:  # click printing help
        failure = files.stdout_failure(error)
        show_error(failure)
        return failure.exit_code
    if os.environ.get("HZC_DEBUG"):
        raise error
    tell(f"hzc: internal error: {type(error).__name__}: {error}")
    tell("hint: run again with HZC_DEBUG=1 and report what it prints")
    return 1
