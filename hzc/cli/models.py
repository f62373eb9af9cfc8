"""`hzc models`."""

from __future__ import annotations

from dataclasses import asdict

import click

from hzc.cli.report import say, say_json
from hzc.model import registry


@click.command("models")
@click.option("--json", "as_json", is_flag=True, help="JSON lines on stdout.")
def command(as_json: bool) -> None:
    """List the models that ship with hzc; * marks the default."""
    for spec in registry.models():
        is_default = spec.name == registry.default_name()
        if as_json:
            say_json({**asdict(spec), "is_default": is_default})
            continue
        counts = ", ".join(f"{k} {v / 1e6:.1f} M" for k, v in spec.n_parameters.items())
        say(
            f"{'*' if is_default else ' '} {spec.name}  id {spec.model_id}  "
            f"{spec.measured_kbps:.3f} kbps on {spec.measured_on}  ({counts})  {spec.date}"
        )
