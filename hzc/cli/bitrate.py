"""`hzc bitrate`."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

import click

from hzc import bitrate, container, files
from hzc.bitrate import Rate
from hzc.cli.options import model_options, prepare_torch, report_options
from hzc.cli.report import Report, say, say_json
from hzc.container import Container
from hzc.errors import HzcError
from hzc.files import STDIO

if TYPE_CHECKING:
    from hzc.codec import Codec

RECORDS_AT_ONCE = 64
RUNGS = {
    "nominal": "32-bit floats",
    "kl": "KL to the prior",
    "ideal": "ideal code length",
    "payload": "coded symbols",
    "file": "file bytes",
}


@click.command("bitrate")
@click.argument("inputs", nargs=-1, required=True, metavar="FILE...")
@click.option("--ladder", is_flag=True, help="Every rung from the raw latent to the file.")
@model_options
@report_options
def command(
    inputs: tuple[str, ...], ladder: bool, model: str | None, device: str, threads: int | None,
    quiet: bool, as_json: bool,
) -> None:  # fmt: skip
    """Print what files really cost: file bytes, header included, per second of audio.

    \b
    Examples:
      hzc bitrate *.hzc
      hzc bitrate talk.hzc --ladder
      hzc bitrate talk.wav --ladder        encodes in memory; adds the KL rung

    A WAV or other audio file is encoded in memory, and nothing is written.
    """  # noqa: D301 - click looks for the backspace itself
    report = Report(len(inputs), quiet=quiet, as_json=as_json)
    rates: list[Rate] = []

    @cache
    def codec() -> Codec:
        prepare_torch(device, threads)
        from hzc.codec import Codec

        return Codec.load(model, device)

    for path in inputs:
        try:
            data, kl_bits = _file_or_encoded(path, codec, ladder)
            parsed = container.unpack(data)
            measured = bitrate.measure(parsed, len(data))
            rungs = None
            if ladder:
                ideal_bits = _ideal_bits(parsed, model)
                rungs = bitrate.ladder(parsed, len(data), ideal_bits, kl_bits)
        except HzcError as error:
            report.failed(error, path)
            continue
        rates.append(measured)
        _print(path, measured, rungs, as_json)
    if len(rates) > 1 and not as_json:
        say(f"total ({len(rates)} files)  {bitrate.total(rates).line()}")
    report.n_done = len(rates)
    report.summary()
    click.get_current_context().exit(report.exit_code)


def _file_or_encoded(path: str, codec: Any, with_kl: bool) -> tuple[bytes, float | None]:
    """Return the bytes of a .hzc file, or of audio encoded in memory with its KL in bits."""
    from_disk = path != STDIO and os.path.isfile(path)
    # A long recording on disk is not read whole: its first bytes tell what it is.
    data = files.read_start(path, len(container.MAGIC)) if from_disk else files.read_bytes(path)
    if path.lower().endswith(".hzc") or data.startswith(container.MAGIC):
        return (files.read_bytes(path) if from_disk else data), None
    from hzc.audio import sources

    source = sources.open_source(path if from_disk else data)
    encoded = codec().encoder.encode(source, with_kl=with_kl)
    return encoded.data, encoded.kl_bits


def _ideal_bits(parsed: Container, model: str | None) -> float:
    """Return the code length of a file's symbols under its model's tables; no torch needed."""
    from hzc.model.file import open_for_id

    opened = open_for_id(parsed.header.model_id, model)
    opened.check(parsed.header)
    step_index, bits = parsed.header.step_index, 0.0
    records = [(chunk.n_frames, payload) for chunk in parsed.chunks for payload in chunk.payloads]
    for start in range(0, len(records), RECORDS_AT_ONCE):
        lengths, payloads = zip(*records[start : start + RECORDS_AT_ONCE], strict=True)
        for symbols in opened.prior.decode(list(payloads), list(lengths), step_index):
            bits += opened.prior.ideal_bits(symbols, step_index)
    return bits


def _print(path: str, measured: Rate, rungs: dict[str, float] | None, as_json: bool) -> None:
    if as_json:
        extra = {"ladder_bits_per_s": {k: round(v, 3) for k, v in rungs.items()}} if rungs else {}
        say_json({"path": path, **measured.values(), **extra})
        return
    say(f"{path}  {measured.line()}")
    for rung, bits_per_s in (rungs or {}).items():
        say(f"  {rung:<8} {bits_per_s:9.1f} bit/s  {bits_per_s / 8:8.1f} B/s  {RUNGS[rung]}")
