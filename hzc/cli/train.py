"""`hzc train`: the transforms, the prior, the export."""

from __future__ import annotations

from pathlib import Path

import click

from hzc.errors import TrainingError


class StageGroup(click.Group):
    """Takes `hzc train CONFIG` for `hzc train run CONFIG`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Put `run` in front of anything that is no stage."""
        if args and args[0] not in self.commands:
            args = ["run", *args]
        return super().resolve_command(ctx, args)


@click.group("train", cls=StageGroup)
def command() -> None:
    """Train a model on folders of speech.

    \b
    Examples:
      hzc train training/base.toml --data speech/             stops and resumes at any time
      hzc train training/base-adversary.toml --data speech/   starts from runs/base
      hzc train prior training/base-adversary.toml --data speech/
      hzc train export training/base-adversary.toml --id 240 --name mine --folder . \\
          --measure-on some/speech

    Every stage keeps its files in a folder of its own, runs/<name of the configuration>.
    """  # noqa: D301 - click looks for the backspace itself


_config = click.argument("config")
_run = click.option("--run", "run_dir", metavar="DIR", help="Default: runs/<config's name>.")
_data = click.option("--data", "folders", metavar="DIR", multiple=True, required=True,
                     help="Folder of speech, searched recursively; may be repeated.")  # fmt: skip
_cache = click.option("--cache", metavar="FILE",
                      help="Keep the decoded speech here (.npy), for a quick start.")  # fmt: skip


def _run_dir(config: str, run_dir: str | None) -> Path:
    return Path(run_dir) if run_dir else Path("runs") / Path(config).stem


@command.command("run")
@_config
@_data
@_cache
@_run
def run(config: str, folders: tuple[str, ...], cache: str | None, run_dir: str | None) -> None:
    """Train the transforms; resume from the last checkpoint.

    On several processors, machines or GPUs: torchrun --nproc-per-node 4 -m hzc train CONFIG ...
    Each process computes its share of every batch.
    """
    from hzc.train.config import load_config
    from hzc.train.data import load_corpus
    from hzc.train.processes import joined
    from hzc.train.trainer import Trainer

    settings = load_config(config)
    corpus = load_corpus(folders, settings.model.sample_rate_hz, cache)
    with joined(settings.device):
        Trainer(settings, _run_dir(config, run_dir), corpus).run()


@command.command("prior")
@_config
@_data
@_cache
@_run
def prior(config: str, folders: tuple[str, ...], cache: str | None, run_dir: str | None) -> None:
    """Fit the integer prior on the symbols of a finished run."""
    from hzc.train.checkpoint import load_averages
    from hzc.train.config import load_config
    from hzc.train.data import load_corpus
    from hzc.train.export import save_prior
    from hzc.train.prior_data import collect
    from hzc.train.prior_fit import FrameSampler, fit_prior

    settings, folder = load_config(config), _run_dir(config, run_dir)
    averages = load_averages(folder, settings.model)
    corpus = load_corpus(folders, settings.model.sample_rate_hz, cache)
    latents = collect(averages.weights, settings, corpus)
    fitted = fit_prior(FrameSampler(latents, settings.prior_fit), settings)
    path = save_prior(fitted, folder, averages.step)
    click.echo(f"{path}  fingerprint {fitted.prior.fingerprint:04x}", err=True)


@command.command("export")
@_config
@_run
@click.option("--id", "model_id", type=click.IntRange(1, 255), required=True,
              help="Registry id; 240 to 255 are for private models.")  # fmt: skip
@click.option("--name", required=True, help="Name of the model and of its file.")
@click.option("--folder", required=True, metavar="DIR", help="Where weights and registry.json go.")
@click.option("--measure-on", required=True, metavar="DIR", help="Recordings to set the rate on.")
@click.option("--label", metavar="TEXT", help="What to call these recordings. Default: DIR's name.")
@click.option("--replace", is_flag=True, help="Replace a model that was never released.")
@click.option("--kbps", type=float, default=1.0, show_default=True, help="Rate to aim at.")
def export(
    config: str, run_dir: str | None, model_id: int, name: str, folder: str, measure_on: str,
    label: str | None, replace: bool, kbps: float,
) -> None:  # fmt: skip
    """Write the weight file and its registry entry, with the measured rate."""
    from hzc.train.config import load_config
    from hzc.train.data import find_audio
    from hzc.train.export import Target
    from hzc.train.export import export as write

    if not Path(folder).is_dir():
        raise TrainingError("no such folder", path=folder)
    target = Target(model_id, name, Path(folder), kbps, replace, label or Path(measure_on).name)
    recordings = find_audio([measure_on])
    spec = write(load_config(config), _run_dir(config, run_dir), target, recordings)
    click.echo(f"{spec.name}: {spec.measured_kbps:.3f} kbps, sha256 {spec.sha256}", err=True)
    for graph in _graphs(Path(folder) / f"{name}.safetensors"):
        click.echo(str(graph), err=True)


@command.command("graphs")
@click.argument("weights", type=click.Path(exists=True, dir_okay=False))
def graphs(weights: str) -> None:
    """Write the ONNX graphs of a weight file, next to it; `export` does this too."""
    for graph in _graphs(Path(weights)):
        click.echo(str(graph), err=True)


def _graphs(weights: Path) -> tuple[Path, Path]:
    from hzc.model.file import open_model
    from hzc.train.graphs import write_graphs

    return write_graphs(open_model(weights))
