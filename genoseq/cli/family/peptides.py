"""``genoseq family peptides``: peptides that may bind a target, by PepMLM."""

from __future__ import annotations

import json
import logging

import click

from genoseq.cli.family.model_source import torch_threads
from genoseq.cli.model_options import device_options

__all__ = ["peptides"]

log = logging.getLogger("genoseq.family")
FORMAT, VERSION = "genoseq.peptides", 1
COLUMNS = ("rank", "target", "peptide", "pseudo_perplexity", "identity", "attempt")


@click.command(name="peptides")
@click.argument("target_path", metavar="TARGET")
@click.option("-m", "--model", "source", required=True, metavar="DIR|NAME", help="PepMLM, or another masked language model.")
@click.option("--length", type=click.IntRange(1), default=12, show_default=True, metavar="N", help="Residues of a peptide.")
@click.option("-n", "--number", type=click.IntRange(1), default=20, show_default=True, metavar="N", help="Peptides of a target.")
@click.option(
    "--top-k",
    type=click.IntRange(0, 20),
    default=3,
    show_default=True,
    metavar="K",
    help="Draw each residue from its K likeliest amino acids; 0: from all 20.",
)
@click.option(
    "--temperature",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    metavar="T",
    help="Above 1 is more diverse.",
)
@click.option(
    "--max-identity",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    metavar="SHARE",
    help="Pass over a peptide that has a larger share of its residues in common with one before it.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, metavar="N", help="Of the random numbers.")
@click.option("-o", "--output", metavar="FILE", help="The table (TSV), the best first. Default: standard output.")
@device_options
def peptides(
    target_path: str,
    source: str,
    length: int,
    number: int,
    top_k: int,
    temperature: float,
    max_identity: float,
    seed: int,
    output: str | None,
    device: str,
    dtype: str,
    threads: int,
) -> None:
    """Design peptides for every protein in TARGET (FASTA), ranked by pseudo-perplexity behind it: lower is better."""
    from genoseq import __version__
    from genoseq.cli.targets import check_targets, target_of
    from genoseq.errors import InputError
    from genoseq.families.alignments.protein_records import read_proteins
    from genoseq.families.language.masked import load_masked
    from genoseq.families.language.peptides import design_peptides
    from genoseq.infer.running import choose_device
    from genoseq.infer.score_files import text_output
    from genoseq.log import Progress

    output = target_of(output)
    check_targets([output], [target_path])
    targets = list(read_proteins(target_path))
    if not targets:
        raise InputError("holds no proteins", path=target_path)
    with torch_threads(threads), Progress(number * len(targets), unit="peptides", label="designing") as progress:
        model = load_masked(source, device=str(choose_device(device)), dtype=dtype)
        found = [
            (
                target.name,
                design_peptides(
                    model, target.sequence, length=length, number=number, top_k=top_k, temperature=temperature,
                    max_identity=max_identity, seed=seed, report=progress.update,
                ),
            )
            for target in targets
        ]  # fmt: skip
        digest = model.digest()
    content = {
        "format": FORMAT, "version": VERSION, "genoseq": __version__, "model": source, "model_sha256": digest, "seed": seed,
        "top_k": top_k, "temperature": temperature, "max_identity": max_identity,
    }  # fmt: skip
    with text_output(output) as file:
        file.write(f"#{json.dumps(content, sort_keys=True)}\n" + "\t".join(COLUMNS) + "\n")
        for name, designs in found:
            for rank, one in enumerate(designs.peptides, start=1):
                identity = "" if rank == 1 else f"{one.identity:.4f}"
                fields = (str(rank), name, one.sequence, f"{one.perplexity:.4f}", identity, str(one.attempt))
                file.write("\t".join(fields) + "\n")
            log.info("%s: %d peptides, diversity %.3f", name, len(designs.peptides), designs.diversity)
