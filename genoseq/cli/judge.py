"""``genoseq judge``: how many simulated reads a mapper put where they came from."""

from __future__ import annotations

from pathlib import Path

import click

from genoseq.cli.options import Whole

__all__ = ["judge"]


@click.command(name="judge")
@click.argument("alignments", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "-n",
    "--number",
    type=Whole(0),
    help="Reads or pairs that were given to the mapper; needed to find lost ones.",
)
@click.option(
    "--tolerance",
    type=Whole(0),
    default=40,
    show_default=True,
    help="Largest distance in bp from the true start, clipped bases counted back.",
)
@click.option("--reference", type=click.Path(path_type=Path), help="FASTA that a CRAM file needs.")
@click.option("--silent", is_flag=True, help="The mapper writes no record for unmapped reads (as LAST).")
@click.option("--curve", is_flag=True, help="Print placed and wrong reads for each mapping quality instead.")
def judge(
    alignments: Path, number: int | None, tolerance: int, reference: Path | None, silent: bool, curve: bool
) -> None:
    """Judge ALIGNMENTS (SAM, BAM, CRAM, or LAST's TAB or MAF; - is standard input) of reads by `genoseq simulate`.

    Prints a table: correct, wrong, unmapped and lost reads add up to the reads given. Primary records count; correct
    is the true contig and strand and a start within the tolerance.
    """
    from genoseq.evaluate.judge import judge as judge_placements
    from genoseq.evaluate.placements import read_placements

    placements = read_placements(alignments, reference=reference)
    judged = judge_placements(placements, expected=number, tolerance=tolerance, silent=silent)
    if curve:
        click.echo("mapq\tplaced\twrong\terror")
        for point in judged.curve():
            click.echo(f"{point.quality}\t{point.placed}\t{point.wrong}\t{point.error:.3g}")
        return
    click.echo("measure\tcount\tpercent")
    counts = {
        "reads": judged.reads,
        "correct": judged.correct,
        "wrong": judged.wrong,
        "unmapped": judged.unmapped,
        "lost": judged.lost,
        "invented": judged.invented,
    }
    if judged.has_quality:
        confident = judged.at_least(20)
        counts |= {"placed_mapq20": confident.placed, "wrong_mapq20": confident.wrong}
    for measure, count in counts.items():
        click.echo(f"{measure}\t{count}\t{100 * judged.share(count):.3f}")
    if judged.pairs:
        for measure, count in (("pairs_correct", judged.pairs_correct), ("pairs_proper", judged.pairs_proper)):
            click.echo(f"{measure}\t{count}\t{100 * count / judged.pairs:.3f}")
    click.echo(f"secondary\t{judged.secondary}\tNA")
    click.echo(f"supplementary\t{judged.supplementary}\tNA")
