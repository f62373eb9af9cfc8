"""BENCHMARKS.md, with its plot and CSV: everything in it comes from the rows."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

from hzc_bench import summary
from hzc_bench.metrics import Metric
from hzc_bench.peers import Codec, Command
from hzc_bench.run import Row, write_csv
from hzc_bench.speed import Speed
from hzc_bench.summary import Estimate

PLOT, CSV = "quality.png", "figures.csv"
FIDELITY = ("pesq_wb", "pesq_nb", "stoi", "estoi", "visqol", "logmel", "level_db")
ARTEFACTS = ("pause_db", "pre_echo_db", "pumping_db", "repetition", "gpe")
SIGNS = {"better": "▲", "worse": "▼", "even": "=", "": ""}
INTRODUCTION = """\
Written by `{command}`; not to be edited. {n} recordings, {minutes:.1f} min: {data}. Every recording
is encoded to the bytes of a file and decoded from them; everything is measured at 16 kHz, after one
delay a codec has been taken out. Figures are means over recordings with 95 % intervals (bootstrap
over recordings). Rates are **measured**: 8 × bytes / seconds, of all recordings together; quality
stands beside the rate of whole files."""
CAVEATS = """\
## Reading these figures

- These are predictors. No listening test has been made; `{page}` writes a
  page to make one, with a blind A/B mode.
- PESQ, STOI and ViSQOL expect a decoder that follows the waveform or its fine spectrum, and are
  harsh on codecs that invent what they do not send. DistillMOS looks at no original: it hears how
  natural speech is, not whether it says the same. Read it beside WER and speaker similarity.
- WER is that of PocketSphinx (en-us, narrow beams) against **its own transcript of the original**,
  since the recordings come without transcripts. It is a weak recogniser that changes its mind
  easily: only differences between codecs mean something. Inserted words count, so that WER may pass
  1. It takes longer than all the rest, and so is computed on 16 recordings, evenly spaced.
- ViSQOL is the Python port in speech mode with the polynomial mapping, not the lattice.
- Speaker similarity is the cosine of Resemblyzer embeddings; F0 and voicing are WORLD's (DIO,
  StoneMask), every 5 ms; F0 error is over frames that are voiced on both sides. DIO follows the
  fundamental, which Codec 2 weakens in low voices: part of its errors there are the tracker's.
- Pauses: by how much the quietest tenth of the original (level of every millisecond) comes back
  louder. Pre-echo: by how much the 60 ms before onsets do, onsets being rises of 20 dB and more.
  Pumping: spread of the gain from one quarter of a second to the next, in speech. Repetition: the
  highest autocorrelation of the fine spectrum above 4 kHz at lags of 50 to 250 ms; natural hiss has
  nearly none. Gross pitch error: share of frames, voiced on both sides, that are off by over a
  fifth. `bench/hzc_bench/artefacts.py` has them to the letter; they were made for this report.
- Log-mel distance is the mean absolute difference of log10 mel magnitudes (80 bands, 0 … 8 kHz).
  Codec 2 and narrow-band Speex send nothing above 4 kHz; Opus decides on its bandwidth itself.
- Small files are mostly container: short recordings make the file rates of Ogg codecs look high.
  Payload rates leave container and headers out. Speex files hold ten frames a packet, Opus files
  have no tags and no padding.
"""


@dataclass(frozen=True)
class About:
    """What the report says beside the figures."""

    data: str
    codecs: Sequence[Codec]
    metrics: Sequence[Metric]
    missing: dict[str, str]
    """Title of what was left out to a reason."""
    speeds: Sequence[Speed]
    command: str = "hzc-bench DIR --report BENCHMARKS.md"


def write(path: Path, rows: Sequence[Row], about: About) -> None:
    """Write the report, and its plot and CSV into a folder of its name beside it."""
    from hzc_bench import plots

    folder = path.parent / path.stem.lower()
    folder.mkdir(exist_ok=True)
    plots.quality(folder / PLOT, rows, about.codecs, about.metrics)
    write_csv(folder / CSV, rows)
    path.write_text(text(rows, about, folder.name, machine(about)), encoding="utf-8")


def text(rows: Sequence[Row], about: About, folder: str, machine_lines: list[str]) -> str:
    """Return the report; folder is where plot and CSV are."""
    mine = summary.of_codec(rows, about.codecs[0].name)
    introduction = INTRODUCTION.format(
        command=about.command,
        n=len(mine),
        data=about.data,
        minutes=sum(row.duration_s for row in mine) / 60.0,
    )
    parts = [
        f"# Benchmarks\n\n{filled(introduction)}\n",
        "## Rate\n\n" + rate_table(rows, about.codecs),
    ]  # fmt: skip
    others = [m.name for m in about.metrics if m.name not in FIDELITY + ARTEFACTS]
    groups = {
        "Likeness to the original": FIDELITY,
        "Naturalness, voice and words": others,
        "What a listener notices first": ARTEFACTS,
    }
    for title, names in groups.items():
        metrics = [m for m in about.metrics if m.name in names]
        if metrics:
            parts.append(f"## {title}\n\n" + quality_table(rows, about.codecs, metrics))
    parts.append(f"![Quality against measured rate]({folder}/{PLOT})\n")
    parts.append(comparison(rows, about))
    if about.speeds:
        parts.append("## Speed\n\n" + speed_table(about.speeds))
    parts.append(CAVEATS.format(page="hzc-bench DIR --html listen.html"))
    parts.append("## What ran\n\n" + "\n".join(f"- {line}" for line in machine_lines) + "\n")
    if about.missing:
        lines = [f"- {title}: {reason}" for title, reason in about.missing.items()]
        parts.append("## Left out\n\n" + "\n".join(lines) + "\n")
    parts.append(f"Figures of every recording: [{folder}/{CSV}]({folder}/{CSV}).\n")
    return "\n".join(parts)


def filled(paragraph: str) -> str:
    """Return a paragraph in lines of at most 100 characters."""
    return textwrap.fill(" ".join(paragraph.split()), 100, break_long_words=False)


# --- tables ----------------------------------------------------------------------------------


def cell(value: Estimate, digits: int) -> str:
    """Return mean ± half width, a dash where there is none."""
    if not np.isfinite(value.mean):
        return "–"
    return f"{value.mean:.{digits}f} ± {value.half_width:.{digits}f}".replace("-", "−")


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *body]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def rate_table(rows: Sequence[Row], codecs: Sequence[Codec]) -> str:
    """Return measured rates and delays."""
    body = []
    for codec in codecs:
        files, payload = (summary.rate(rows, codec.name, is_payload=p) for p in (False, True))
        delay_ms = summary.of_codec(rows, codec.name)[0].delay_ms
        body.append([codec.title, cell(files, 3), cell(payload, 3), f"{delay_ms} ms"])
    return table(["codec", "kbit/s of file bytes", "kbit/s of payload", "delay taken out"], body)


def quality_table(rows: Sequence[Row], codecs: Sequence[Codec], metrics: Sequence[Metric]) -> str:
    """Return metrics of all codecs; arrows in the head say which way is better."""
    arrows = {"higher": " ↑", "lower": " ↓", "zero": " →0"}
    head = ["codec", "kbit/s", *(m.title + arrows[m.better] for m in metrics)]
    body = []
    for codec in codecs:
        figures = [cell(summary.figure(rows, codec.name, m.name), m.digits) for m in metrics]
        if codec.name == "original":  # beside itself everything is perfect
            figures = [
                f if not m.is_referenced else "–" for f, m in zip(figures, metrics, strict=True)
            ]
            if set(figures) == {"–"}:
                continue
        body.append([codec.title, f"{summary.rate(rows, codec.name).mean:.2f}", *figures])
    return table(head, body)


def speed_table(speeds: Sequence[Speed]) -> str:
    """Return speeds as multiples of real time."""
    body = [[s.title, f"{s.encode:.0f} ×", f"{s.decode:.0f} ×"] for s in speeds]
    note = filled(
        "Seconds of sound per second of processor time, on two minutes of the recordings joined. "
        "Peers are whole processes with their start-up; hzc is measured so, and in process with "
        "its model loaded. `hzc-speed` measures memory, and time on the wall."
    )
    return table(["codec", "encode", "decode"], body) + "\n" + note + "\n"


def comparison(rows: Sequence[Row], about: About) -> str:
    """Return where hzc stands beside every peer, and in words where it loses."""
    peers = [c for c in about.codecs if c.name not in ("hzc", "original")]
    if not peers or not any(c.name == "hzc" for c in about.codecs):
        return ""
    verdicts = {
        (p.name, m.name): summary.verdict(rows, "hzc", p.name, m)
        for p in peers
        for m in about.metrics
    }
    rate = summary.rate(rows, "hzc").mean
    ratios = {p.name: f"{summary.rate(rows, p.name).mean / rate:.1f} ×" for p in peers}
    body = [["its rate", *ratios.values()]]
    body += [[m.title, *(SIGNS[verdicts[p.name, m.name]] for p in peers)] for m in about.metrics]
    losses = []
    for peer in peers:
        lost = [m for m in about.metrics if verdicts[peer.name, m.name] == "worse"]
        behind = "; ".join(f"{m.title} {beside(rows, peer, m)}" for m in lost)
        losses.append(
            f"- **{peer.title}** ({ratios[peer.name]} the rate): {behind or 'nowhere'}.\n"
        )
    head = ["hzc beside", *(peer.title for peer in peers)]
    return (
        "## hzc beside its peers\n\n"
        "▲ hzc is better, ▼ worse, = the 95 % interval of the difference, recording by recording, "
        "includes none.\n\n" + table(head, body) + "\n### Where hzc loses\n\n" + "".join(losses)
    )


def beside(rows: Sequence[Row], peer: Codec, metric: Metric) -> str:
    """Return hzc's mean against a peer's."""
    values = [summary.figure(rows, name, metric.name).mean for name in ("hzc", peer.name)]
    return " against ".join(f"{v:.{metric.digits}f}".replace("-", "−") for v in values)


def plain_table(rows: Sequence[Row], codecs: Sequence[Codec], metrics: Sequence[Metric]) -> str:
    """Return one line a codec, for the terminal."""
    lines = []
    for codec in codecs:
        figures = [f"kbps {cell(summary.rate(rows, codec.name), 3)}"]
        for metric in metrics:
            value = summary.figure(rows, codec.name, metric.name)
            figures.append(f"{metric.name} {cell(value, metric.digits)}")
        lines.append(f"{codec.name:<12}  " + "  ".join(figures))
    return "\n".join(lines)


# --- what ran --------------------------------------------------------------------------------


def machine(about: About) -> list[str]:
    """Return date, machine, versions of packages and programs, and what each codec was run as."""
    distributions = sorted({name for metric in about.metrics for name in metric.packages})
    packages = ["numpy", "torch", "soxr", *distributions]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    today = datetime.datetime.now(datetime.UTC).date()
    return [
        f"{today}, Python {platform.python_version()}, {platform.system()} {platform.machine()}, "
        f"{cores} cores, {processor()}",
        ", ".join(f"{name} {metadata.version(name)}" for name in packages),
        *(f"{codec.title}: {codec.description}{version(codec)}" for codec in about.codecs),
    ]


def processor() -> str:
    """Return the processor's name, as far as the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":")[1].strip()
    return platform.processor() or "unknown processor"


def version(codec: Codec) -> str:
    """Return the first line that a codec's encoder says about itself, where it does."""
    if not isinstance(codec, Command) or codec.encoder[0] == "c2enc":  # which says nothing
        return ""
    done = subprocess.run(
        [codec.encoder[0], "--version"], capture_output=True, text=True, check=False
    )
    first = (done.stdout or done.stderr).splitlines()
    return f" ({first[0]})" if first else ""
