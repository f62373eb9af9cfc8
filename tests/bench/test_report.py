"""The report: every figure from the rows, losses included."""

from __future__ import annotations

import csv
import re

import pytest

from hzc_bench import report, run
from hzc_bench.speed import Speed

MACHINE = ["1970-01-01, a machine"]


@pytest.fixture
def about(codecs, some_metrics):
    """What stands beside the figures."""
    return report.About(
        "sounds of nobody", codecs, some_metrics, {"Lyra": "not here"}, [Speed("hzc", 100.0, 99.6)]
    )


def test_report_tells_measured_rates_of_files_and_payload(rows, about):
    text = report.text(rows, about, "folder", MACHINE)
    assert "8 recordings, 0.8 min: sounds of nobody." in " ".join(text.split())
    assert "| hzc | 1.000 ± 0.000 | 0.933 ± 0.000 | 0 ms |" in text
    assert "| Opus 6 kbit/s | 6.400 ± 0.000 | 6.333 ± 0.000 | 0 ms |" in text
    assert "| hzc | 100 × | 100 × |" in text
    assert "- Lyra: not here" in text
    assert "- 1970-01-01, a machine" in text
    assert "](folder/quality.png)" in text
    assert not re.search(r"nan|None|\{|\}", text)


def test_report_says_where_hzc_loses(rows, about):
    text = report.text(rows, about, "folder", MACHINE)
    table = text.split("## hzc beside its peers")[1].split("###")[0]
    columns = [[c.strip() for c in line.split("|")] for line in table.splitlines() if "|" in line]
    place = columns[0].index("Opus 6 kbit/s")
    cells = {line[1]: line[place] for line in columns}
    assert cells["its rate"] == "6.4 ×"
    assert [cells[m.title] for m in about.metrics] == ["▲", "▼", "="]
    found = r"- \*\*Opus 6 kbit/s\*\* \(6.4 × the rate\): STOI 0\.\d+ against 0\.\d+\."
    assert re.search(found, text)
    assert "- **Codec 2 1300** (1.3 × the rate): nowhere." in text
    assert "Opus" in text.split("Where hzc loses")[1]


def test_report_gives_the_original_no_figures_beside_itself(rows, about):
    text = report.text(rows, about, "folder", MACHINE)
    assert len(re.findall(r"^\| original", text, re.M)) == 1  # the rate's


def test_tables_have_as_many_cells_in_every_line(rows, about):
    text = report.text(rows, about, "folder", MACHINE)
    for block in re.findall(r"(?:^\|.*\n)+", text, re.M):
        assert len({line.count("|") for line in block.splitlines()}) == 1


def test_report_is_the_same_for_the_same_rows(rows, about):
    texts = [report.text(r, about, "folder", MACHINE) for r in (rows, rows[::-1])]
    assert texts[0] == texts[1]


def test_report_is_written_with_its_plot_and_figures(tmp_path, monkeypatch, rows, about):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(report, "machine", lambda about: MACHINE)
    path = tmp_path / "RESULTS.md"
    report.write(path, rows, about)
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)]*)\)", text):
        assert (tmp_path / target).is_file(), target
    plot = (tmp_path / "results" / "quality.png").read_bytes()
    assert plot.startswith(b"\x89PNG")
    report.write(path, rows, about)
    assert (tmp_path / "results" / "quality.png").read_bytes() == plot
    assert len(plot) < 200_000


def test_csv_has_a_line_for_every_recording_and_codec(tmp_path, rows):
    run.write_csv(tmp_path / "a.csv", rows)
    with open(tmp_path / "a.csv", newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(rows)
    for line, row in zip(lines, rows, strict=True):
        assert (line["codec"], line["file"]) == (row.codec, row.file)
        assert float(line["kbps"]) == pytest.approx(row.kbps, rel=1e-5)
        assert float(line["pesq_wb"]) == pytest.approx(row.figures["pesq_wb"], rel=1e-5)


def test_plain_table_has_a_line_for_every_codec(rows, about):
    lines = report.plain_table(rows, about.codecs, about.metrics).splitlines()
    assert [line.split()[0] for line in lines] == [codec.name for codec in about.codecs]
    assert "kbps 1.000 ± 0.000" in lines[0]


def test_machine_names_versions_but_no_paths(codecs, some_metrics, tmp_path):
    about = report.About("x", codecs[:2], [m for m in some_metrics if not m.packages], {}, [])
    lines = report.machine(about)
    assert any("cores" in line for line in lines)
    assert any(line.startswith("hzc: hzc ") and "sha256" in line for line in lines)
    assert not any(re.search(r"/(home|root|work|tmp|usr)/", line) for line in lines)
