"""`hzc-bench`: measure hzc and its peers on a folder of recordings."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from hzc_bench import metrics, peers, report, run, speed
from hzc_bench.metrics import Loaded
from hzc_bench.peers import Codec
from hzc_bench.store import Store

DEFAULT_CACHE = Path(".hzc-bench.sqlite")
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
FILE = click.Path(path_type=Path)


def chosen(text: str | None, known: list[str], what: str) -> list[str]:
    """Return the names of a comma-separated list, or all."""
    names = text.split(",") if text else known
    if unknown := set(names) - set(known):
        raise click.UsageError(
            f"no {what} called {', '.join(sorted(unknown))} (there are: {', '.join(known)})"
        )
    return names


def installed(codecs: list[Codec]) -> tuple[list[Codec], dict[str, str]]:
    """Return the codecs whose programs are here, and why the others are not."""
    missing = {codec.title: peers.missing_tools(codec) for codec in codecs}
    reasons = {title: f"{', '.join(tools)} not found" for title, tools in missing.items() if tools}
    return [codec for codec in codecs if codec.title not in reasons], reasons


def required(names: Sequence[str]) -> Loaded:
    """Return metrics for a script that cannot do without one of them.

    Raises:
        click.ClickException: a package is missing; it says how to install it.
    """
    loaded = metrics.load(names, Store())
    if loaded.missing:
        raise click.ClickException("; ".join(loaded.missing.values()))
    return loaded


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("--codecs", metavar="NAMES", help="Comma-separated; default: all that are installed.")
@click.option("--metrics", "metric_names", metavar="NAMES", help="Comma-separated; default: all.")
@click.option("--model", help="Name or .safetensors file; default: hzc's default model.")
@click.option("--lyra", "lyra_folder", metavar="DIR", type=FOLDER,
              help="Lyra v2's programs and model_coeffs.")  # fmt: skip
@click.option("--csv", "csv_path", metavar="FILE", type=FILE,
              help="Write one line for every recording and codec.")  # fmt: skip
@click.option("--report", "report_path", metavar="FILE.md", type=FILE,
              help="Write a report; plots and CSV go to a folder named like it.")  # fmt: skip
@click.option("--html", "html_path", metavar="FILE", type=FILE,
              help="Write a page to listen and compare blindly, all sound inside.")  # fmt: skip
@click.option("--clips", default=6, show_default=True, metavar="N",
              help="Recordings on that page, evenly spaced over all.")  # fmt: skip
@click.option("--data-name", metavar="TEXT", help="What the recordings are, for the report.")
@click.option("--cache", default=DEFAULT_CACHE, show_default=True, metavar="FILE", type=FILE,
              help="Figures known from earlier runs.")  # fmt: skip
def main(
    folder: Path, codecs: str | None, metric_names: str | None, model: str | None,
    lyra_folder: Path | None, csv_path: Path | None, report_path: Path | None,
    html_path: Path | None, clips: int, data_name: str | None, cache: Path,
) -> None:  # fmt: skip
    r"""Measure hzc and its peers on every recording in DIR.

    \b
    hzc-bench DIR --report BENCHMARKS.md --html listen.html
    hzc-bench DIR --codecs hzc --metrics pesq_wb,stoi,estoi --csv figures.csv

    Each recording is encoded to the bytes of a file and decoded from them, at 16 kHz. Peers and
    metrics that are not installed are left out and named.
    """
    everything = [peers.Hzc(model), *peers.peers(lyra_folder)]
    names = chosen(codecs, [codec.name for codec in everything], "codec")
    compared, missing_codecs = installed([c for c in everything if c.name in names])
    loaded = metrics.load(chosen(metric_names, list(metrics.BY_NAME), "metric"), Store(cache))
    missing = missing_codecs | {metrics.BY_NAME[n].title: why for n, why in loaded.missing.items()}
    for title, reason in missing.items():
        print(f"left out: {title}: {reason}", file=sys.stderr)
    originals = run.recordings(folder)
    if not originals or not compared:
        raise click.UsageError(f"no recordings in {folder}, or no codec")
    listening = None
    if html_path:
        from hzc_bench.page import Page  # and with it matplotlib

        listening = Page(originals, clips)
    rows = run.run(compared, originals, loaded, listening.add if listening else run.ignored)
    click.echo(report.plain_table(rows, compared, loaded.metrics))
    if csv_path:
        run.write_csv(csv_path, rows)
    if report_path:
        speeds = speed.measured(compared, originals)
        about = report.About(data_name or folder.name, compared, loaded.metrics, missing, speeds)
        report.write(report_path, rows, about)
    if listening and html_path:
        listening.write(html_path, rows, loaded.metrics)


if __name__ == "__main__":
    main()
