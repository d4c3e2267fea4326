"""Tables of a mapper comparison: one row per tool and read set, as TSV (everything) and Markdown (to read)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genoseq.evaluate.judge import CurvePoint, Judgement
from genoseq.evaluate.peers import IndexRun, MapRun, Peer
from genoseq.outputs import whole_file

__all__ = ["Result", "make_result", "markdown_report", "markdown_table", "write_tsv"]

CONFIDENT = 20  # mapping quality


@dataclass(frozen=True, kw_only=True)
class Result:
    """One tool on one read set. Rates are shares of 1, memory and sizes bytes, times seconds.

    ``placed_q20`` and ``wrong_q20`` (reads placed and wrong with mapping quality 20 or better) are None for a tool
    without mapping qualities. ``curve`` is the cumulative error curve, best quality first.
    """

    tool: str
    label: str
    version: str
    read_set: str
    divergence: float
    errors: float
    length: int
    paired: bool
    reads: int
    correct: int
    wrong: int
    unmapped: int
    lost: int
    invented: int
    placed_q20: int | None
    wrong_q20: int | None
    pairs: int
    pairs_correct: int
    reads_per_second: float
    wall_s: float
    cpu_s: float
    peak_bytes: int
    threads: int
    index_s: float
    index_peak_bytes: int
    index_bytes: int
    command: str
    curve: tuple[CurvePoint, ...]


def make_result(
    peer: Peer,
    index: IndexRun,
    run: MapRun,
    judgement: Judgement,
    *,
    read_set: str,
    divergence: float,
    errors: float,
    length: int,
    paired: bool,
) -> Result:
    """The row that joins what a tool cost and what came out."""
    confident = judgement.at_least(CONFIDENT) if judgement.has_quality else None
    return Result(
        tool=peer.name,
        label=peer.label,
        version=index.version,
        read_set=read_set,
        divergence=divergence,
        errors=errors,
        length=length,
        paired=paired,
        reads=judgement.reads,
        correct=judgement.correct,
        wrong=judgement.wrong,
        unmapped=judgement.unmapped,
        lost=judgement.lost,
        invented=judgement.invented,
        placed_q20=None if confident is None else confident.placed,
        wrong_q20=None if confident is None else confident.wrong,
        pairs=judgement.pairs,
        pairs_correct=judgement.pairs_correct,
        reads_per_second=run.reads_per_second,
        wall_s=run.cost.wall_s,
        cpu_s=run.cost.cpu_s,
        peak_bytes=run.cost.peak_bytes,
        threads=run.threads,
        index_s=index.cost.wall_s,
        index_peak_bytes=index.cost.peak_bytes,
        index_bytes=index.index_bytes,
        command=run.command,
        curve=tuple(judgement.curve()),
    )


def write_tsv(rows: Sequence[Any], path: Path, *, leave_out: Sequence[str] = ("curve",)) -> None:
    """Write dataclass instances of one kind as TSV with a header line; None is ``NA``."""
    names = [field.name for field in dataclasses.fields(rows[0]) if field.name not in leave_out] if rows else []

    def text(value: object) -> str:
        if value is None:
            return "NA"
        return f"{value:.6g}" if isinstance(value, float) else str(value)

    with whole_file(path) as temporary:
        lines = ["\t".join(names), *("\t".join(text(getattr(row, name)) for name in names) for row in rows)]
        temporary.write_text("\n".join(lines) + "\n")


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: first column left, the others right.

    >>> print(markdown_table(["tool", "reads"], [["a", "1"]]))
    | tool | reads |
    | :--- | ---: |
    | a | 1 |
    """
    marks = [":---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, marks, *rows))


def _grid(results: Sequence[Result], cell: Callable[[Result], str]) -> str:
    """Tools down, read sets across."""
    tools = dict.fromkeys((result.tool, result.label) for result in results)
    sets = dict.fromkeys(result.read_set for result in results)
    cells = {(result.tool, result.read_set): cell(result) for result in results}
    rows = [[label, *(cells.get((tool, read_set), "–") for read_set in sets)] for tool, label in tools]
    return markdown_table(["tool", *sets], rows)


def _percent(count: int, reads: int) -> str:
    return f"{100 * count / reads:.2f}" if reads else "–"


def _confident(result: Result) -> str:
    if result.placed_q20 is None or result.wrong_q20 is None:
        return "no MAPQ"
    return f"{_percent(result.placed_q20, result.reads)} / {result.wrong_q20}"


def markdown_report(results: Sequence[Result], *, title: str, notes: Sequence[str] = ()) -> str:
    """The comparison as Markdown: accuracy, confident placements, pairs, speed, memory, indexes and commands."""
    tools = {result.tool: result for result in results}
    threads = ", ".join(sorted({str(result.threads) for result in results}))
    pairs = [result for result in results if result.paired]
    lost = [result for result in results if result.lost or result.invented]
    parts = [f"# {title}", *notes]
    parts += [
        "## Correct / wrong, % of reads",
        _grid(results, lambda r: f"{_percent(r.correct, r.reads)} / {_percent(r.wrong, r.reads)}"),
    ]
    parts += [
        f"## Placed with MAPQ {CONFIDENT} or better, % of reads / wrong among them, reads",
        _grid(results, _confident),
    ]
    if pairs:
        parts += [
            "## Pairs with both mates correct, %",
            _grid(pairs, lambda r: _percent(r.pairs_correct, r.pairs)),
        ]
    parts += [
        f"## Reads per second of wall time, {threads} threads, whole command",
        _grid(results, lambda r: f"{r.reads_per_second:,.0f}"),
        "## Processor time, µs per read",
        _grid(results, lambda r: f"{1e6 * r.cpu_s / r.reads:,.0f}" if r.reads else "–"),
        "## Peak memory, MB",
        _grid(results, lambda r: f"{r.peak_bytes / 1e6:,.0f}"),
        "## Index",
        markdown_table(
            ["tool", "version", "size, MB", "built in, s", "peak memory, MB"],
            [
                [
                    r.label,
                    r.version,
                    f"{r.index_bytes / 1e6:,.1f}",
                    f"{r.index_s:,.1f}",
                    f"{r.index_peak_bytes / 1e6:,.0f}",
                ]
                for r in tools.values()
            ],
        ),
        "## Records lost and invented",
        markdown_table(
            ["tool, set", "reads without a record", "records beyond one per read"],
            [[f"{r.label}, {r.read_set}", str(r.lost), str(r.invented)] for r in lost],
        )
        if lost
        else "None: every tool wrote one primary record per read (LAST: at most one best hit).",
        "## Commands",
        "\n".join(f"- {r.label}: `{r.command}`" for r in tools.values()),
    ]
    return "\n\n".join(parts) + "\n"
