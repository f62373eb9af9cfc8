"""The command line: parses, calls the codec, reports; no codec knowledge here."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
from io import TextIOWrapper
from types import FrameType
from typing import Any

import click

from hzc import __version__
from hzc.errors import HzcError

COMMANDS = ("encode", "decode", "bitrate", "info", "check", "cat", "cut", "models", "train")
INTERRUPTED = 130
ENDING_SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]
RETRY_S = 0.005


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

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an interruption is told by `main`, not by click, which fails untold."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise click.Abort from None


def _print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from hzc.cli.report import say
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
      ffmpeg -i film.mkv -f wav - | hzc encode - - > film.hzc

    \b
    Exit codes: 0 all done, 1 some of several files failed, 2 usage, 3 input,
    4 not a sound .hzc file, 5 model, 6 output, 7 training, 8 salvaged with losses,
    130 interrupted.
    """  # noqa: D301 - click looks for the backspace itself
    if os.environ.get("NO_COLOR"):
        ctx.color = False


def main(args: list[str] | None = None) -> None:
    """Run the command line and exit with its documented code."""
    for number in ENDING_SIGNALS:
        # What is ignored, as under nohup, stays ignored.
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _end)
    if isinstance(sys.stdout, TextIOWrapper):
        # File names that are not in the terminal's encoding are printed as the bytes they are.
        sys.stdout.reconfigure(errors="surrogateescape")
    try:
        code: Any = group.main(args, prog_name="hzc", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        from hzc.cli.report import tell

        tell("\nhzc: interrupted")  # the terminal's ^C ends no line
        code = INTERRUPTED
    except HzcError as error:
        from hzc.cli.report import show_error

        show_error(error)
        code = error.exit_code
    except Exception as error:
        if os.environ.get("HZC_DEBUG"):
            raise
        from hzc.cli.report import tell

        tell(f"hzc: internal error: {type(error).__name__}: {error}")
        tell("hint: run again with HZC_DEBUG=1 and report what it prints")
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


def _end(signum: int, frame: FrameType | None) -> None:
    """Leave through the usual clean-up, so that no temporary file stays behind."""
    entropy = sys.modules.get("hzc.coding.entropy")
    if entropy is not None and entropy.is_coding():
        # Raising inside constriction would end in a panic: come back in a moment.
        threading.Timer(RETRY_S, os.kill, (os.getpid(), signum)).start()
    elif signum == signal.SIGINT:
        raise KeyboardInterrupt
    else:
        sys.exit(128 + signum)
