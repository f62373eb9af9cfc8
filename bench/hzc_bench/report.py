"""BENCHMARKS.md, with its plot and CSV: everything in it comes from the rows."""

from __future__ import annotations

import datetime
import os
import platform
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

from hzc_bench import gains, summary
from hzc_bench.metrics import Metric
from hzc_bench.pipeline import Row, write_csv
from hzc_bench.speed import Speed
from hzc_bench.summary import Estimate
from hzc_bench.systems import Hzc, System

PLOT, CSV = "quality.png", "figures.csv"
FIDELITY = ("pesq_wb", "pesq_nb", "stoi", "estoi", "visqol", "logmel", "level_db")
ARTEFACTS = ("pause_db", "pre_echo_db", "pumping_db", "repetition", "gpe")
GROUPED = FIDELITY + ARTEFACTS
SIGNS = {"better": "▲", "worse": "▼", "even": "=", "": ""}
INTRODUCTION = """\
Written by `{command}`; not to be edited. {n} recordings, {minutes:.1f} min: {data}. Every recording
is encoded to the bytes of a file and decoded from them; everything is measured at 16 kHz, after one
delay a codec has been taken out. Figures are means over recordings with 95 % intervals (bootstrap
over recordings). Rates are **measured**: 8 × bytes / seconds, of all recordings together; quality
stands next to the rate of whole files."""
GAINS = """\
Differences to effort 0 at the same step index, recording by recording, with 95 % intervals.
Decoders and files stay as they are; the encoder looks for symbols that sound closer to the
recording."""
CAVEATS = """\
## Reading these figures

- These are predictors. No listening test has been made; `{page}` writes a
  page to make one, with a blind A/B mode.
- PESQ, STOI and ViSQOL expect a decoder that follows the waveform or its fine spectrum, and are
  harsh on codecs that invent what they do not send. DistillMOS looks at no original: it hears how
  natural speech is, not whether it says the same. Read it next to WER and speaker similarity.
- WER is that of Whisper base (English, one temperature) against **its own transcript of the
  original**, since the recordings come without transcripts: all wrong words over all
  {n_words} words. Inserted words count, so that WER may pass 1.
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
- Published decodes are those that other projects put on their pages; their rates are as stated
  there, of the coded symbols as a rule, and not measured.
- Small files are mostly container: short recordings make the file rates of Ogg codecs look high.
  Payload rates leave container and headers out. Speex files hold ten frames a packet, Opus files
  have no tags and no padding.
"""


@dataclass(frozen=True)
class About:
    """What the report says next to the figures."""

    data: str
    systems: Sequence[System]
    metrics: Sequence[Metric]
    missing: dict[str, str]
    """Title of what was left out to a reason."""
    speeds: Sequence[Speed] = ()
    published: str = ""
    """Tables of published decodes."""
    command: str = "hzc-bench DIR"

    @property
    def curve(self) -> list[System]:
        """Hzc at other rates and efforts."""
        return [s for s in self.systems if isinstance(s, Hzc) and s.name != "hzc"]

    @property
    def main(self) -> list[System]:
        """What is compared in all tables."""
        return [s for s in self.systems if s not in self.curve]


def write(path: Path, rows: Sequence[Row], about: About) -> None:
    """Write the report, and its plot and CSV into a folder of its name next to it."""
    from hzc_bench import plots

    folder = path.parent / path.stem.lower()
    folder.mkdir(exist_ok=True)
    plots.quality(folder / PLOT, rows, about.systems, about.metrics)
    write_csv(folder / CSV, rows)
    path.write_text(text(rows, about, folder.name, machine(about)), encoding="utf-8")


def text(rows: Sequence[Row], about: About, folder: str, machine_lines: list[str]) -> str:
    """Return the report; folder is where plot and CSV are."""
    mine = summary.of_system(rows, about.systems[0].name)
    introduction = INTRODUCTION.format(
        command=about.command,
        n=len(mine),
        data=about.data,
        minutes=sum(row.duration_s for row in mine) / 60.0,
    )
    parts = [
        f"# Benchmarks\n\n{filled(introduction)}\n",
        "## Rate\n\n" + rate_table(rows, about.main),
        *sections(rows, about.main, about.metrics),
        f"![Quality against measured rate]({folder}/{PLOT})\n",
        comparison(rows, about),
    ]  # fmt: skip
    if about.curve:
        sizes = quality_table(rows, about.curve, about.metrics)
        parts.append("## hzc from rate to rate\n\n" + sizes)
    if gained := gains_table(rows, about.systems, about.metrics):
        text = f"{filled(GAINS)}\n\n{gained}"
        parts.append(f"## What the search of the encoder gains\n\n{text}")
    if about.published:
        parts.append("## Published decodes\n\n" + about.published)
    if about.speeds:
        parts.append("## Speed\n\n" + speed_table(about.speeds))
    n_words = np.nansum(summary.column(mine, "n_words"))
    parts.append(CAVEATS.format(page="hzc-bench DIR --html listen.html", n_words=f"{n_words:.0f}"))
    parts.append("## What ran\n\n" + "\n".join(f"- {line}" for line in machine_lines) + "\n")
    if about.missing:
        lines = [f"- {title}: {reason}" for title, reason in about.missing.items()]
        parts.append("## Left out\n\n" + "\n".join(lines) + "\n")
    parts.append(f"Figures of every recording: [{folder}/{CSV}]({folder}/{CSV}).\n")
    return "\n".join(parts)


def sections(
    rows: Sequence[Row], systems: Sequence[System], metrics: Sequence[Metric]
) -> list[str]:
    """Return a section with a table for each group of metrics."""
    groups = {
        "Likeness to the original": FIDELITY,
        "Naturalness, voice and words": [m.name for m in metrics if m.name not in GROUPED],
        "What a listener notices first": ARTEFACTS,
    }
    chosen = {title: [m for m in metrics if m.name in names] for title, names in groups.items()}
    return [
        f"## {title}\n\n{quality_table(rows, systems, some)}"
        for title, some in chosen.items()
        if some
    ]


def filled(paragraph: str) -> str:
    """Return a paragraph in lines of at most 100 characters."""
    return textwrap.fill(" ".join(paragraph.split()), 100, break_long_words=False)


# --- tables ----------------------------------------------------------------------------------


def cell(value: Estimate, digits: int) -> str:
    """Return mean ± half width, a dash where there is none."""
    if not np.isfinite(value.mean):
        return "–"
    return f"{value.mean:.{digits}f} ± {value.half_width:.{digits}f}".replace("-", "−")


def rate_cell(rows: Sequence[Row], system: System) -> str:
    """Return kbit/s; a rate that was stated and not measured is marked."""
    kbps = summary.rate(rows, system.name).mean
    if not system.is_stated:
        return f"{kbps:.2f}"
    return f"({kbps:g} stated)" if np.isfinite(kbps) else "(not stated)"


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *body]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def rate_table(rows: Sequence[Row], systems: Sequence[System]) -> str:
    """Return measured rates and delays."""
    body = []
    for system in systems:
        files, payload = (summary.rate(rows, system.name, is_payload=p) for p in (False, True))
        delay_ms = summary.of_system(rows, system.name)[0].delay_ms
        body.append([system.title, cell(files, 3), cell(payload, 3), f"{delay_ms} ms"])
    return table(["codec", "kbit/s of file bytes", "kbit/s of payload", "delay taken out"], body)


def quality_table(rows: Sequence[Row], systems: Sequence[System], metrics: Sequence[Metric]) -> str:
    """Return metrics of all codecs; arrows in the head say which way is better."""
    arrows = {"higher": " ↑", "lower": " ↓", "zero": " →0"}
    head = ["codec", "kbit/s", *(m.title + arrows[m.better] for m in metrics)]
    body = []
    for system in systems:
        figures = [cell(summary.figure(rows, system.name, m.name), m.digits) for m in metrics]
        if system.name == "original":  # next to itself everything is perfect
            figures = [
                f if not m.is_referenced else "–" for f, m in zip(figures, metrics, strict=True)
            ]
            if set(figures) == {"–"}:
                continue
        body.append([system.title, rate_cell(rows, system), *figures])
    return table(head, body)


def gains_table(rows: Sequence[Row], systems: Sequence[System], metrics: Sequence[Metric]) -> str:
    """Return what searches gain; "" where nothing was searched."""
    head, *body = gains.lines(rows, systems, metrics)
    return table(head, body) if body else ""


def speed_table(speeds: Sequence[Speed]) -> str:
    """Return speeds as multiples of real time."""
    body = [[s.title, f"{s.encode:.0f} ×", f"{s.decode:.0f} ×"] for s in speeds]
    note = filled(
        "Seconds of sound per second of processor time, on two minutes of the recordings joined. "
        "Peers are whole processes with their start-up; hzc is measured so, and in process with "
        "its model loaded. `hzc-bench speed` measures memory, and time on the wall."
    )
    return table(["codec", "encode", "decode"], body) + "\n" + note + "\n"


def comparison(rows: Sequence[Row], about: About) -> str:
    """Return where hzc stands next to every peer, and in words where it loses."""
    peers = [s for s in about.main if s.name not in ("hzc", "original")]
    if not peers or not any(s.name == "hzc" for s in about.main):
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
        behind = "; ".join(f"{m.title} {against(rows, peer, m)}" for m in lost)
        losses.append(
            f"- **{peer.title}** ({ratios[peer.name]} the rate): {behind or 'nowhere'}.\n"
        )
    head = ["hzc next to", *(peer.title for peer in peers)]
    return (
        "## hzc next to its peers\n\n"
        "▲ hzc is better, ▼ worse, = the 95 % interval of the difference, recording by recording, "
        "includes none.\n\n" + table(head, body) + "\n### Where hzc loses\n\n" + "".join(losses)
    )


def against(rows: Sequence[Row], peer: System, metric: Metric) -> str:
    """Return hzc's mean against a peer's."""
    values = [summary.figure(rows, name, metric.name).mean for name in ("hzc", peer.name)]
    return " against ".join(f"{v:.{metric.digits}f}".replace("-", "−") for v in values)


def plain_table(rows: Sequence[Row], systems: Sequence[System], metrics: Sequence[Metric]) -> str:
    """Return one line a system, for the terminal."""
    lines = []
    for system in systems:
        figures = [f"kbps {cell(summary.rate(rows, system.name), 3)}"]
        for metric in metrics:
            value = summary.figure(rows, system.name, metric.name)
            figures.append(f"{metric.name} {cell(value, metric.digits)}")
        lines.append(f"{system.name:<12}  " + "  ".join(figures))
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
        *(f"{system.title}: {system.description}" for system in about.main),
    ]


def processor() -> str:
    """Return the processor's name, as far as the system knows it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":")[1].strip()
    return platform.processor() or "unknown processor"
