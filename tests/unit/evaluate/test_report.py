from __future__ import annotations

from pathlib import Path

import pytest

from genoseq.evaluate.report import Result, markdown_report, markdown_table, write_tsv


def test_a_result_joins_cost_and_judgement(results: list[Result]) -> None:
    row = results[0]
    assert (row.reads_per_second, row.placed_q20, row.wrong_q20) == (2000, 802, 2)
    assert [point.quality for point in row.curve] == [60, 10, 0]
    assert (results[1].placed_q20, results[1].wrong_q20, results[1].curve) == (None, None, ())


def test_the_tsv_has_every_field_but_the_curve(results: list[Result], tmp_path: Path) -> None:
    write_tsv(results, tmp_path / "a.tsv")
    header, *rows = (line.split("\t") for line in (tmp_path / "a.tsv").read_text().splitlines())
    table = [dict(zip(header, row, strict=True)) for row in rows]
    assert "curve" not in header
    assert [row["correct"] for row in table] == ["900", "950", "800"]
    assert [row["wrong_q20"] for row in table] == ["2", "NA", "2"]
    assert table[0]["reads_per_second"] == "2000"


def test_the_report_shows_tools_by_sets_and_says_what_was_lost(results: list[Result]) -> None:
    text = markdown_report(results, title="Compared", notes=["A note."])
    assert text.startswith("# Compared\n\nA note.\n\n## Correct / wrong")
    assert "| bwa mem | 90.00 / 5.00 | 80.00 / 6.00 |" in text
    assert "| LAST | 95.00 / 3.00 | – |" in text
    assert "| bwa mem | 80.20 / 2 | 70.20 / 2 |" in text
    assert "| LAST | no MAPQ | – |" in text
    assert "| bwa mem, pairs | 7 | 0 |" in text
    assert "| bwa mem | 80.00 |" in text  # pairs
    assert "- bwa mem: `bwa map`" in text
    assert "None: every tool" in markdown_report(results[:2], title="x")


@pytest.mark.parametrize("rows", [[], [["a", "1", "2"]]])
def test_a_markdown_table_has_a_line_per_row(rows: list[list[str]]) -> None:
    lines = markdown_table(["x", "y", "z"], rows).splitlines()
    assert lines[1] == "| :--- | ---: | ---: |"
    assert len(lines) == 2 + len(rows)
