"""`hzc corpus`: many clips to shards, back to audio, and measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from hzc import runner
from hzc.cli.options import RateType, model_options, report_options
from hzc.cli.progress import clips_bar
from hzc.cli.report import say, say_json, show_error, shown, tell
from hzc.container import MAX_STEP_INDEX
from hzc.options import DECODED_RATE_HZ, DecodeOptions, EncodeOptions

if TYPE_CHECKING:
    from hzc.corpus.engine import Totals
    from hzc.corpus.jobs import ShardJob
    from hzc.corpus.shards import Folder


SHOWN = 10
"""Failures that are printed; the list has all of them."""


@click.group("corpus")
def command() -> None:
    """Encode, decode and measure corpora of many clips.

    \b
    Examples:
      hzc corpus encode speech/ -o coded                  folders of audio to WebDataset shards
      hzc corpus encode 'shards/{000..199}.tar' -o coded --workers 16
      hzc corpus encode train.parquet -o coded --to parquet --symbols
      hzc corpus stats coded
      hzc corpus decode coded -o audio
    """  # noqa: D301 - click looks for the backspace itself


_output = click.option(
    "-o", "--output", required=True, metavar="DIR", help="Folder of the shards; made if missing."
)
_workers = click.option(
    "--workers", "n_workers", type=click.IntRange(1, 9999), metavar="N",
    help="Slices done at the same time.  [default: one for each core]",
)  # fmt: skip
_ray = click.option(
    "--ray",
    is_flag=False,
    flag_value="auto",
    metavar="[ADDRESS]",
    help="Work on a Ray cluster: its address, 'local' for one of this machine.  [default: auto]",
)


@command.command("encode")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@_output
@click.option(
    "--to", "kind", type=click.Choice(["webdataset", "parquet"]), default="webdataset",
    show_default=True, help="Kind of shards.",
)  # fmt: skip
@click.option("--symbols", is_flag=True, help="Parquet: add the symbols, int16 [frame][dimension].")
@click.option("--latents", is_flag=True, help="Parquet: add the latents, float16.")
@click.option(
    "--audio", metavar="NAME", help="Column, or suffix of tar members, that has the audio."
)
@click.option(
    "--shard-clips", type=click.IntRange(1), default=1000, show_default=True, metavar="N",
    help="Clips of a shard; a tar makes one shard, and row groups are not cut.",
)  # fmt: skip
@click.option(
    "--step-index", type=click.IntRange(-MAX_STEP_INDEX, MAX_STEP_INDEX), metavar="N",
    help="Coarseness, as in hzc encode.",
)  # fmt: skip
@click.option("--strict", is_flag=True, help="Refuse clips that are cut off or damaged.")
@_workers
@_ray
@model_options
@report_options
def encode(
    sources: tuple[str, ...], output: str, kind: str, symbols: bool, latents: bool,
    audio: str | None, shard_clips: int, step_index: int | None, strict: bool,
    n_workers: int | None, ray: str | None, model: str | None, device: str, backend: str | None,
    n_threads: int | None, quiet: bool, as_json: bool,
) -> None:  # fmt: skip
    """Encode SOURCEs to shards of .hzc files with all their fields.

    SOURCE is a folder, an audio file, a WebDataset tar, 'pipe:COMMAND' that prints one, a Parquet
    or Arrow table with a column of audio, a TSV, CSV or JSONL list of files, or a glob of these.
    Channels are mixed down to one. Run the same command again to go on after an interruption:
    finished shards are not touched. Clips that fail are in DIR/failed.jsonl.
    """
    from hzc.corpus.jobs import EncodeShard
    from hzc.corpus.plan import Sources, digest
    from hzc.corpus.shards import SUFFIXES, Folder
    from hzc.corpus.tables import check_pyarrow

    if (symbols or latents) and kind != "parquet":
        raise click.UsageError("--symbols and --latents need --to parquet")
    if kind == "parquet":
        check_pyarrow()
    options = EncodeOptions(
        model=model, device=device, backend=backend, step_index=step_index, strict=strict
    )
    found = Sources(shard_clips, audio)
    for source in sources:
        found.add(source)
    slices, folder = found.finish(), Folder(output, SUFFIXES[kind])
    folder.begin({
        "slices": f"{len(slices)}:{digest(slices)}", "to": kind, "symbols": symbols,
        "latents": latents, "step_index": step_index, "strict": strict, **_model(model),
    })  # fmt: skip
    jobs = [
        EncodeShard(part=n, slice=one, folder=folder, options=options, with_symbols=symbols,
                    with_latents=latents)
        for n, one in enumerate(slices)
    ]  # fmt: skip
    _run(jobs, folder, _Manner(n_workers, ray, device, n_threads, quiet, as_json))


@command.command("decode")
@click.argument("sources", nargs=-1, required=True, metavar="SHARDS...")
@_output
@click.option(
    "--format", "suffix", type=click.Choice(["flac", "wav", "ogg", "opus", "mp3"]), default="flac",
    show_default=True, help="Of the audio.",
)  # fmt: skip
@click.option(
    "--sample-rate", type=RateType(), default=DECODED_RATE_HZ, show_default=True, metavar="HZ",
    help="Sample rate of the audio, or the word source for the original's.",
)  # fmt: skip
@_workers
@_ray
@model_options
@report_options
def decode(
    sources: tuple[str, ...], output: str, suffix: str, sample_rate: int, n_workers: int | None,
    ray: str | None, model: str | None, device: str, backend: str | None, n_threads: int | None,
    quiet: bool, as_json: bool,
) -> None:  # fmt: skip
    """Decode SHARDS, or folders of them, to WebDataset shards of audio with all their fields."""
    from hzc.corpus.jobs import DecodeShard
    from hzc.corpus.plan import digest
    from hzc.corpus.reading import shards
    from hzc.corpus.shards import Folder

    options = DecodeOptions(
        model=model, device=device, backend=backend, sample_rate_hz=sample_rate or None
    )
    slices, folder = shards(sources), Folder(output, "tar")
    folder.begin({
        "slices": f"{len(slices)}:{digest(slices)}", "format": suffix, "sample_rate": sample_rate
    })  # fmt: skip
    jobs = [
        DecodeShard(part=n, slice=one, folder=folder, options=options, suffix=suffix)
        for n, one in enumerate(slices)
    ]
    _run(jobs, folder, _Manner(n_workers, ray, device, n_threads, quiet, as_json))


@command.command("stats")
@click.argument("sources", nargs=-1, required=True, metavar="SHARDS...")
@click.option("--plot", metavar="FILE", help="Draw histograms; wants matplotlib.")
@click.option("--json", "as_json", is_flag=True, help="One JSON line on stdout.")
def stats(sources: tuple[str, ...], plot: str | None, as_json: bool) -> None:
    """Measure SHARDS, or folders of them: hours, bytes, kbit/s, lengths, failures by kind."""
    from hzc.corpus.stats import draw, measure

    found = measure(sources)
    if plot is not None:
        draw(found, plot)
    if as_json:
        say_json(found.values())
    else:
        for line in found.lines():
            say(line)
    click.get_current_context().exit(1 if found.n_invalid else 0)


# ------------------------------------------------------------------ runs


@dataclass(frozen=True)
class _Manner:
    """How to go through the slices."""

    n_workers: int | None
    ray: str | None
    device: str
    n_threads: int | None
    quiet: bool
    as_json: bool

    def pool(self, n_workers: int) -> runner.Pool[Any]:
        """Return where the workers come from."""
        if self.ray is None:
            return runner.Processes(n_workers, self.n_threads)
        from hzc.corpus.ray_pool import RayPool

        return RayPool(self.ray, n_workers, self.device, self.n_threads)


def _model(name: str | None) -> dict[str, Any]:
    """Return what a plan keeps of the model."""
    from hzc.model.file import open_model

    model = open_model(name)
    return {"model": model.name, "fingerprint": f"{model.prior.fingerprint:04x}"}


def _run(jobs: Sequence[ShardJob], folder: Folder, manner: _Manner) -> None:
    """Make the shards, print what failed and the sums, and exit."""
    from hzc.corpus import engine

    n_workers = min(manner.n_workers or runner.n_cores(), len(jobs))
    n_clips = [job.slice.n_clips for job in jobs]
    known = None if None in n_clips else sum(n for n in n_clips if n is not None)
    with clips_bar(known, quiet=manner.quiet or manner.as_json) as show:
        totals = engine.run(jobs, folder, manner.pool(n_workers), n_workers, show)
    for source, error in totals.unfinished:
        error.path = error.path or source
        show_error(error)
    for _, failure in totals.failures[:SHOWN]:
        what = f"{failure.id}: " if failure.id else ""
        tell(f"hzc: {shown(failure.source)}: {what}{failure.message}")
    if manner.as_json:
        say_json({"path": folder.path, **totals.values()})
    elif not manner.quiet:
        tell(_line(totals, folder))
    if n_failed := len(totals.failures):
        tell(f"hzc: {n_failed} of {totals.n_input} clips failed, listed in {folder.failed}")
    if totals.unfinished:
        tell(f"hzc: {len(totals.unfinished)} of {len(jobs)} shards are missing")
        tell("hint: the same command tries them again")
    click.get_current_context().exit(1 if totals.failures or totals.unfinished else 0)


def _line(totals: Totals, folder: Folder) -> str:
    values = totals.values()
    rate = f"{values['bitrate_kbps']:.3f} kbps  " if values["bitrate_kbps"] else ""
    before = f"  ({totals.n_shards_before} shards were there)" if totals.n_shards_before else ""
    return (
        f"{shown(folder.path)}  {totals.n_output:,} clips  {values['hours']:.3f} h  {rate}"
        f"{totals.n_bytes:,} B  {values['x_real_time'] or 0:,.0f} × real time{before}"
    )
