"""The report: every figure from the rows, losses included; means, intervals and verdicts."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from hzc_bench import metrics, published, report, summary, systems
from hzc_bench.speed import Speed

MACHINE = ["1970-01-01, a machine"]


@pytest.fixture
def about(compared, some_metrics):
    """What stands beside the figures."""
    return report.About(
        "sounds of nobody",
        compared,
        some_metrics,
        {"Lyra": "not here"},
        [Speed("hzc", 100.0, 99.6)],
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
    table = text.split("## hzc next to its peers")[1].split("###")[0]
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


def test_rates_of_others_are_marked_as_stated(rows, about, tmp_path):
    theirs = published.Published("mimi-1.1", "mimi", "mimi", tmp_path, 1.1)
    stated = [replace(row, system="mimi-1.1", file_bytes=825.0) for row in rows[:8]]
    table = report.quality_table(rows + stated, [about.systems[0], theirs], about.metrics)
    assert "| hzc | 1.00 |" in table
    assert "| mimi | (1.1 stated) |" in table


def test_hzc_at_other_rates_has_a_table_of_its_own(rows, about):
    finer = systems.Hzc.at(None, -8)
    more = [replace(row, system=finer.name) for row in rows[:8]]
    text = report.text(rows + more, replace(about, systems=[*about.systems, finer]), "f", MACHINE)
    assert "| hzc, step −8 | 1.00 |" in text.split("## hzc from rate to rate")[1]
    assert "step −8" not in text.split("## hzc from rate to rate")[0]


def test_gains_of_a_search_are_differences_at_the_same_step(rows, about):
    searched = systems.Hzc.at(None, effort=2)
    better = [
        replace(
            row, system=searched.name, file_bytes=row.file_bytes * 0.99,
            figures={**row.figures, "pesq_wb": row.figures["pesq_wb"] + 0.25},
        )
        for row in rows[:8]
    ]  # fmt: skip
    compared = replace(about, systems=[*about.systems, searched])
    text = report.text(rows + better, compared, "f", MACHINE)
    table = text.split("## What the search of the encoder gains")[1].split("##")[0]
    assert "| effort 2 | default | × 0.990 | +0.25 ± 0.00 | +0.000 ± 0.000 |" in table
    assert "What the search" not in report.text(rows, about, "f", MACHINE)


# --- means -----------------------------------------------------------------------------------


def test_interval_has_about_the_width_that_statistics_expects():
    found = summary.estimate(np.random.default_rng(0).normal(5.0, 2.0, 400))
    assert found.low < found.mean < found.high
    assert found.half_width == pytest.approx(1.96 * 2.0 / 20.0, rel=0.15)
    assert np.isnan(summary.estimate(np.array([np.nan, np.nan])).mean)
    assert summary.estimate(np.array([1.0, np.nan, 3.0])).mean == 2.0


def test_rate_is_all_bytes_over_all_seconds_and_wer_all_errors_over_all_words(rows):
    assert summary.rate(rows, "hzc").mean == pytest.approx(1.0)
    assert summary.rate(rows, "hzc", is_payload=True).mean == pytest.approx(8e-3 * 700 / 6)
    words = [{"n_words": 30.0, "wer": 0.1}, {"n_words": 10.0, "wer": 0.5}]
    pair = [replace(row, figures=figures) for row, figures in zip(rows[:2], words, strict=True)]
    assert summary.figure(pair, "hzc", "wer").mean == pytest.approx(8 / 40)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [("pesq_wb", "better"), ("stoi", "worse"), ("logmel", "even"), ("visqol", "")],
)
def test_verdict_says_who_is_ahead(rows, metric, expected):
    assert summary.verdict(rows, "hzc", "opus-6", metrics.BY_NAME[metric]) == expected
