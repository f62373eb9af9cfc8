"""`hzc info`."""

from __future__ import annotations

from typing import Any

import click

from hzc import bitrate, container, files
from hzc.cli.options import report_options
from hzc.cli.report import Report, say, say_json, shown
from hzc.errors import HzcError, UnknownModelError
from hzc.model import registry


@click.command("info")
@click.argument("inputs", nargs=-1, required=True, metavar="FILE...")
@report_options
def command(inputs: tuple[str, ...], quiet: bool, as_json: bool) -> None:
    """Print the headers and sizes of .hzc files.

    Verifies every checksum; the model is not needed.
    """
    report = Report(len(inputs), quiet=quiet, as_json=as_json)
    for path in inputs:
        try:
            values = _describe(files.read_hzc(path))
        except HzcError as error:
            report.failed(error, path)
            continue
        report.n_done += 1
        if as_json:
            say_json({"path": path, **values})
            continue
        say(shown(path))
        for key, value in values.items():
            say(f"  {key:<16} {'-' if value is None else value}")
    report.summary()
    click.get_current_context().exit(report.exit_code)


def _describe(data: bytes) -> dict[str, Any]:
    parsed = container.unpack(data)
    header = parsed.header
    try:
        name = registry.find_id(header.model_id).name
    except UnknownModelError:
        name = None
    return {
        "format_version": container.VERSION,
        "model_id": header.model_id,
        "model": name,
        "fingerprint": f"{header.fingerprint:04x}",
        "n_channels": header.n_channels,
        "sample_rate_hz": header.sample_rate_hz,
        "n_samples": header.n_samples,
        "n_latent": header.n_latent,
        "n_frames": header.n_frames,
        "n_chunks": len(parsed.chunks),
        "step_index": header.step_index,
        "step_offsets": list(header.step_offsets) if header.step_offsets else None,
        "gains_db": sorted({chunk.gain_half_db / 2 for chunk in parsed.chunks}),
        "is_streamed": parsed.is_streamed,
        **bitrate.measure(parsed, len(data)).values(),
    }
