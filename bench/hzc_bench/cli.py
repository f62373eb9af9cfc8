"""`hzc-bench`: everything that is measured about hzc and its peers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from hzc_bench import (
    bars,
    corpus,
    hard_clips,
    metrics,
    packets,
    pipeline,
    prior_gain,
    published,
    rate,
    report,
    samples,
    sources,
    speed,
    stress,
    systems,
)  # fmt: skip
from hzc_bench.lyra import RATES_BPS, Lyra
from hzc_bench.metrics import Loaded
from hzc_bench.samples import Recording
from hzc_bench.store import Store
from hzc_bench.systems import Hzc, System

DEFAULT_CACHE = Path(".hzc-bench.sqlite")
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
FILE = click.Path(path_type=Path)
QUICK = ("pesq_wb", "stoi", "estoi", "logmel", "level_db")

folder_argument = click.argument("folder", metavar="DIR", type=FOLDER)
model_option = click.option(
    "--model", metavar="NAME", help="Or a .safetensors file; default: hzc's own."
)
efforts_option = click.option(
    "--effort", "efforts", metavar="NUMBERS", help="Also with searches, with commas: 1,2."
)
effort_option = click.option("--effort", type=int, metavar="N", help="Also with a search.")
whisper_option = click.option(
    "--whisper", metavar="DIR", type=FOLDER, help="Whisper for CTranslate2; needed for WER."
)
cache_option = click.option(
    "--cache", default=DEFAULT_CACHE, show_default=True, metavar="FILE", type=FILE,
    help="Figures known from earlier runs.",
)  # fmt: skip


class Group(click.Group):
    """Commands; what does not name one is `compare`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `compare` first where no command is."""
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["compare", *args]
        return super().parse_args(ctx, args)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure hzc and its peers. `hzc-bench DIR` is `hzc-bench compare DIR`."""


def chosen(text: str | None, known: Sequence[str], what: str) -> list[str]:
    """Return the names of a comma-separated list, or all."""
    names = text.split(",") if text else list(known)
    if unknown := set(names) - set(known):
        raise click.UsageError(
            f"no {what} called {', '.join(sorted(unknown))} (there are: {', '.join(known)})"
        )
    return names


def indexes(text: str | None) -> list[int]:
    """Return the numbers of a comma-separated list."""
    try:
        return [int(word) for word in text.split(",")] if text else []
    except ValueError as error:
        raise click.UsageError(f"--steps {text}: expected whole numbers with commas") from error


def required(names: Sequence[str]) -> Loaded:
    """Return metrics for a command that cannot do without one of them.

    Raises:
        click.ClickException: a package is missing; it says how to install it.
    """
    loaded = metrics.load(names, Store())
    if loaded.missing:
        raise click.ClickException("; ".join(loaded.missing.values()))
    return loaded


def recordings(folder: Path, n_least: int = 1) -> list[Recording]:
    """Return a folder's recordings.

    Raises:
        click.UsageError: there are too few.
    """
    found = samples.recordings(folder)
    if len(found) < n_least:
        raise click.UsageError(f"{len(found)} recordings in {folder}, expected {n_least} or more")
    return found


@main.command()
@click.argument("folder", metavar="DIR", type=FOLDER, required=False)
@click.option("--published", "published_folder", metavar="DIR", type=FOLDER,
              help="Decoded clips that others published, SET/SYSTEM-KBITS/CLIP.flac.")  # fmt: skip
@click.option("--codecs", metavar="NAMES", help="Comma-separated; default: all that are installed.")
@click.option("--metrics", "metric_names", metavar="NAMES", help="Comma-separated; default: all.")
@model_option
@click.option("--steps", metavar="NUMBERS", help="Also hzc at these step indexes, with commas.")
@efforts_option
@click.option("--lyra", "lyra_folder", metavar="DIR", type=FOLDER, help="Lyra v2's networks.")
@whisper_option
@click.option("--csv", "csv_path", metavar="FILE", type=FILE,
              help="Write one line for every recording and system.")  # fmt: skip
@click.option("--report", "report_path", metavar="FILE.md", type=FILE,
              help="Write a report; plots and CSV go to a folder named like it.")  # fmt: skip
@click.option("--html", "html_path", metavar="FILE", type=FILE,
              help="Write a page to listen and compare blindly, all sound inside.")  # fmt: skip
@click.option("--clips", default=6, show_default=True, metavar="N",
              help="Recordings on that page, evenly spaced over all.")  # fmt: skip
@click.option("--data-name", metavar="TEXT", help="What the recordings are, for the report.")
@cache_option
def compare(
    folder: Path | None, published_folder: Path | None, codecs: str | None,
    metric_names: str | None, model: str | None, steps: str | None, efforts: str | None,
    lyra_folder: Path | None, whisper: Path | None, csv_path: Path | None,
    report_path: Path | None, html_path: Path | None, clips: int, data_name: str | None,
    cache: Path,
) -> None:  # fmt: skip
    r"""Measure hzc and its peers on every recording in DIR.

    \b
    hzc-bench DIR --report BENCHMARKS.md --html listen.html
    hzc-bench DIR --codecs hzc --metrics pesq_wb,stoi,estoi --csv figures.csv
    hzc-bench --published DIR

    Each recording is encoded to the bytes of a file and decoded from them, at 16 kHz. Peers and
    metrics that are not installed are left out and named.
    """
    if not folder and not published_folder:
        raise click.UsageError("neither DIR nor --published DIR")
    names = chosen(metric_names, list(metrics.BY_NAME), "metric")
    loaded = metrics.load(names, Store(cache), whisper)
    mine = curve(model, indexes(steps), indexes(efforts))
    compared, missing = installed(codecs, mine, lyra_folder)
    missing |= {metrics.BY_NAME[name].title: why for name, why in loaded.missing.items()}
    for title, reason in missing.items():
        print(f"left out: {title}: {reason}", file=sys.stderr)
    tables = published_tables(published_folder, mine, loaded) if published_folder else ""
    if not folder:
        click.echo(tables, nl=False)
        return
    originals = recordings(folder)
    listening = None
    if html_path:
        from hzc_bench.page import Page  # and with it matplotlib

        listening = Page(originals, clips)
    watch = listening.add if listening else pipeline.ignored
    rows = pipeline.run(compared, originals, loaded, watch)
    click.echo(report.plain_table(rows, compared, loaded.metrics))
    click.echo(report.gains_table(rows, compared, loaded.metrics), nl=False)
    if csv_path:
        pipeline.write_csv(csv_path, rows)
    if report_path:
        timed = [s for s in compared if s not in mine or s.step_index is None]
        about = report.About(
            data_name or folder.name, compared, loaded.judged, missing,
            speed.measured(timed, originals), tables, command(click.get_current_context().params),
        )  # fmt: skip
        report.write(report_path, rows, about)
    if listening and html_path:
        listening.write(html_path, rows, loaded.judged)


def curve(model: str | None, steps: Sequence[int], efforts: Sequence[int]) -> list[Hzc]:
    """Return hzc, at other step indexes, and the same again with searches."""
    return [Hzc.at(model, step, effort) for effort in (None, *efforts) for step in (None, *steps)]


def installed(
    codecs: str | None, mine: Sequence[Hzc], lyra_folder: Path | None
) -> tuple[list[System], dict[str, str]]:
    """Return the chosen systems that can run here, and why the others cannot."""
    known: list[System] = [*mine, systems.Pcm(), *systems.peers()]
    known += [Lyra.at(lyra_folder, bps) for bps in RATES_BPS] if lyra_folder else []
    names = chosen(codecs, [system.name for system in known], "codec")
    wanted = [system for system in known if system.name in names]
    missing = {s.title: f"{', '.join(s.tools)} not found" for s in wanted if s.tools}
    return [system for system in wanted if not system.tools], missing


def command(given: dict[str, Any]) -> str:
    """Return the command that wrote a report, its folders as placeholders."""
    folders = {"lyra_folder": "lyra", "whisper": "whisper", "published_folder": "published"}
    words = [
        f"--{given_as} {given_as.upper()}" for name, given_as in folders.items() if given[name]
    ]
    values = [f"--steps={given['steps']}"] if given["steps"] else []
    values += [f"--effort={given['efforts']}"] if given["efforts"] else []
    return " ".join(["hzc-bench DIR", *values, *words, f"--report {given['report_path'].name}"])


def published_tables(folder: Path, mine: Sequence[Hzc], loaded: Loaded) -> str:
    """Return a table for each set of published decodes, hzc coded on the same originals."""
    parts = []
    for name, originals, theirs in published.comparisons(folder):
        compared: list[System] = [*theirs, *mine]
        rows = pipeline.run(compared, originals, loaded)
        table = report.quality_table(rows, compared, loaded.judged)
        parts.append(f"{name}, {len(originals)} clips:\n\n{table}")
    return "\n".join(parts)


@main.command()
@folder_argument
@model_option
@click.option("--step-index", type=int, help="Default: the model's.")
@click.option("--kbps", type=float, help="Rate of each recording, instead of a step index.")
@click.option("--effort", type=int, help="Of the search; default: the encoder's.")
@click.option("--csv", "csv_path", type=FILE, metavar="FILE", help="Figures per recording.")
def measure(
    folder: Path, model: str | None, step_index: int | None, kbps: float | None,
    effort: int | None, csv_path: Path | None,
) -> None:  # fmt: skip
    """Print rate and quality of hzc on every recording in DIR, and their means.

    Rate is 8 × file bytes / seconds, header included; the mean is that of all bytes over all
    seconds, with 95 % intervals by bootstrap over recordings.
    """
    loaded, codec = required(QUICK), Hzc("hzc", "hzc", "hzc", model, step_index, effort, kbps)
    originals = recordings(folder)
    rows = pipeline.run([codec], originals, loaded)
    for row in rows:
        figures = "  ".join(f"{name} {value:.3f}" for name, value in row.figures.items())
        click.echo(f"{row.file:<28}  kbps {row.kbps:.3f}  {figures}")
    means = report.plain_table(rows, [codec], loaded.metrics)
    click.echo(f"{len(rows)} recordings, model {codec.codec.model.name}: {means}")
    if csv_path:
        pipeline.write_csv(csv_path, rows)


@main.command("bars")
@folder_argument
@model_option
@effort_option
@whisper_option
@cache_option
def bars_command(
    folder: Path, model: str | None, effort: int | None, whisper: Path | None, cache: Path
) -> None:
    """Judge a model: print every bar that it has to clear on the recordings in DIR."""
    names = [*bars.NAMES, "wer"] if whisper else bars.NAMES
    loaded = metrics.load(names, Store(cache), whisper)
    if loaded.missing:
        raise click.ClickException("; ".join(loaded.missing.values()))
    trial = bars.Trial(model, recordings(folder), loaded, effort)
    click.echo(bars.table(list(bars.bars(trial))), nl=False)


@main.command("sources")
@folder_argument
@model_option
@click.option("--segments", "n_segments", type=click.IntRange(2), default=12, show_default=True)
def sources_command(folder: Path, model: str | None, n_segments: int) -> None:
    """Print a table of hzc on each source of a corpus with a manifest.tsv.

    Of every source, some segments of 10 s are taken, evenly spaced over its sound. Figures on
    recordings that the model was trained on are better than on others: they compare sources.
    """
    click.echo(sources.table(folder, Hzc.at(model), n_segments, required(QUICK[:4])), nl=False)


@main.command("stress")
@folder_argument
@model_option
def stress_command(folder: Path, model: str | None) -> None:
    """Print a table of hzc on hard cases made out of clean recordings.

    PESQ-WB, STOI and log-mel distance compare with the very input. "STOI of the speech" compares
    with the clean recording, before the codec and after it: how much of the words is left.
    """
    loaded, codec = required(stress.NAMES), Hzc.at(model)
    originals = recordings(folder, 2)
    click.echo(f"{len(originals)} recordings, model {codec.codec.model.name}\n")
    click.echo(stress.table(codec, originals, loaded), nl=False)


@main.command("prior-gain")
@folder_argument
@model_option
@click.option("--fit-on", type=FOLDER, metavar="OTHER", help="Recordings for fixed static tables.")
def prior_gain_command(folder: Path, model: str | None, fit_on: Path | None) -> None:
    """Print what the context prior saves against static tables."""
    others = recordings(fit_on) if fit_on else []
    for line in prior_gain.lines(Hzc.at(model), recordings(folder), others):
        click.echo(line)


@main.command("rate")
@folder_argument
@model_option
@click.option(
    "--kbps", default="0.5,0.75,1,1.5,2,3", show_default=True, metavar="RATES",
    help="To ask for, with commas.",
)  # fmt: skip
def rate_command(folder: Path, model: str | None, kbps: str) -> None:
    """Print what rates come of --kbps: of files of 10 s and more, and of pipes of 3 minutes."""
    try:
        rates = [float(word) for word in kbps.split(",")]
    except ValueError as error:
        raise click.UsageError(f"--kbps {kbps}: expected numbers with commas") from error
    for line in rate.lines(Hzc.at(model).codec, recordings(folder), rates):
        click.echo(line)


@main.command("speed")
@folder_argument
@click.option("--minutes", default=10.0, show_default=True)
@click.option("--long-minutes", default=120.0, show_default=True)
@click.option("--jobs", type=click.IntRange(2), metavar="N",
              help="Instead: a folder of clips with -j 1 and -j N, in turn.")  # fmt: skip
@click.option("--clips", default=400, show_default=True, help="In that folder.")
def speed_command(
    folder: Path, minutes: float, long_minutes: float, jobs: int | None, clips: int
) -> None:
    """Time whole hzc processes on the recordings in DIR, repeated, and measure their memory."""
    originals = recordings(folder)
    lines = speed.processes(speed.joined(originals), minutes, long_minutes)
    for line in speed.batches(originals, clips, jobs) if jobs else lines:
        click.echo(line)


@main.command("corpus")
@folder_argument
@click.option("--hours", default=1.0, show_default=True, help="Length that DIR is repeated to.")
@click.option("--times", default=3, show_default=True, help="Runs of each, in turn.")
@click.option("--shard-clips", default=128, show_default=True)
def corpus_command(folder: Path, hours: float, times: int, shard_clips: int) -> None:
    """Time hzc corpus encode next to hzc encode -j on the recordings in DIR."""
    for line in corpus.measured(folder, hours, times, shard_clips):
        click.echo(line)


main.add_command(hard_clips.main, "hard-clips")
main.add_command(packets.main, "packets")

if __name__ == "__main__":
    main()
