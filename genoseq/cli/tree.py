"""``genoseq tree``: a tree from a matrix of distances, as Newick, and as a figure."""

from __future__ import annotations

import logging
from pathlib import Path

import click

__all__ = ["tree"]

log = logging.getLogger("genoseq.tree")

FORMS = (".png", ".svg", ".pdf")


@click.command(name="tree")
@click.argument("matrix", metavar="MATRIX")
@click.option("-o", "--output", metavar="FILE", default="-", help="Newick file to write. Default: standard output.")
@click.option(
    "--method",
    type=click.Choice(["nj", "upgma"]),
    default="nj",
    show_default=True,
    help="Neighbour joining (no root, any speed of evolution) or UPGMA (a root, the same speed everywhere).",
)
@click.option("--root", type=click.Choice(["none", "midpoint"]), default="none", show_default=True, help="Root of an nj tree.")
@click.option("--negative", is_flag=True, help="Keep negative branch lengths of nj, which are else set to 0.")
@click.option("--figure", metavar="FILE", help="Draw the tree beside the distances here (.png, .svg or .pdf).")
@click.option("--title", default="", help="Title of the figure. Default: how the distances were made.")
def tree(matrix: str, output: str, method: str, root: str, negative: bool, figure: str | None, title: str) -> None:
    """Write the tree of MATRIX (as `genoseq distances` writes it, TSV or PHYLIP; - is standard input).

    A tree that has no root is drawn with one in the middle of its longest path.
    """
    if method == "upgma" and (root != "none" or negative):
        raise click.UsageError("--root and --negative are for --method nj: a UPGMA tree has a root and no negative branches")
    if title and figure is None:
        raise click.UsageError("--title has no effect without --figure")
    if figure is not None and Path(figure).suffix.lower() not in FORMS:
        raise click.UsageError(f"--figure {figure}: expected a name that ends in {', '.join(FORMS)}")
    from genoseq.classify.distance_files import read_distances
    from genoseq.classify.trees import midpoint_rooted, neighbour_joining, newick, upgma
    from genoseq.log import counted
    from genoseq.outputs import check_writable, whole_file

    for path in (output, figure):
        if path is not None and path != "-":
            check_writable(path)
    found = read_distances(matrix)
    unrelated = found.unrelated()
    if unrelated:
        log.warning(
            "%d of %s at distance 1, which mash, ani, jaccard and containment give where no word is shared: how far apart they "
            "are is not known, and the tree guesses; distances with a smaller -k or --words translated reach further",
            unrelated, f"{counted(len(found) * (len(found) - 1) // 2, 'pair')} {'is' if unrelated == 1 else 'are'}",
        )  # fmt: skip
    made = upgma(found) if method == "upgma" else neighbour_joining(found, negative="keep" if negative else "zero")
    if root == "midpoint":
        made = midpoint_rooted(made)
    if figure is not None:
        from genoseq.report.distance_tree import draw_distance_tree

        rooted = method == "upgma" or root == "midpoint"
        draw_distance_tree(found, made if rooted else midpoint_rooted(made), Path(figure), title=title, rooted=rooted)
    text = newick(made) + "\n"
    if output == "-":
        click.echo(text, nl=False)
        return
    with whole_file(output) as temporary:
        temporary.write_text(text, encoding="utf-8")
