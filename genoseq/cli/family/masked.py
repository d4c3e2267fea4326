"""``genoseq family masked``: what variants cost, by a masked language model of proteins."""

from __future__ import annotations

import logging

import click

from genoseq.cli.family.model_source import method_option, torch_threads
from genoseq.cli.model_options import batch_tokens_option, device_options

__all__ = ["masked"]

log = logging.getLogger("genoseq.family")


@click.command(name="masked")
@click.argument("wild_type_path", metavar="WT")
@click.argument("variants_path", metavar="[VARIANTS]", required=False)
@click.option("-m", "--model", "source", required=True, metavar="DIR|NAME", help="ESM-2, ESM C, or a model saved like them.")
@method_option
@click.option("--all-singles", is_flag=True, help="Score every single variant, instead of VARIANTS.")
@click.option("--offset", type=int, metavar="N", help="Residues before the wild type's first. Default: by WT's name, or 0.")
@click.option("--column", metavar="NAME", help="Column of the variants. Default: mutant, mutation(s), variant or hgvs_pro.")
@click.option("-o", "--output", metavar="FILE", help="The table: CSV if so named, else TSV. Default: standard output.")
@batch_tokens_option
@device_options
def masked(
    wild_type_path: str,
    variants_path: str | None,
    source: str,
    method: str | None,
    all_singles: bool,
    offset: int | None,
    column: str | None,
    output: str | None,
    batch_tokens: int,
    device: str,
    dtype: str,
    threads: int,
) -> None:
    """Score VARIANTS of the protein WT (FASTA of one sequence) by a masked language model.

    Scores are differences to the wild type in nats: higher is fitter. VARIANTS may be - for standard input.
    """
    if all_singles == (variants_path is not None):
        raise click.UsageError("give either VARIANTS or --all-singles")
    if all_singles and column is not None:
        raise click.UsageError("--column is about VARIANTS")
    if variants_path == wild_type_path == "-":
        raise click.UsageError("standard input is read once: give one of the files by name")
    import numpy as np

    from genoseq.cli.family.model_source import wild_type_of
    from genoseq.cli.family.standard_input import input_path
    from genoseq.cli.targets import check_targets, target_of
    from genoseq.families.language.masked import MaskedScorer, load_masked
    from genoseq.families.models.score_files import RawTable, write_scores
    from genoseq.families.variants.files import read_variants
    from genoseq.families.variants.notation import all_single_variants, check_variants, format_variant
    from genoseq.infer.running import choose_device
    from genoseq.log import counted

    output = target_of(output)
    check_targets([output], [wild_type_path, variants_path])
    name, wild_type, named_offset = wild_type_of(wild_type_path)
    offset = named_offset if offset is None else offset
    sequences = None
    if variants_path is None:
        variants = tuple(all_single_variants(wild_type))
        raw = RawTable(("mutant",), [(format_variant(one, offset=offset),) for one in variants])
    else:
        path = input_path(variants_path)
        table = read_variants(path, offset=offset, column=column, wild_type=wild_type)
        raw = RawTable(table.columns, table.records)
        variants, sequences = table.variants or (), table.sequences
        if table.variants is not None:
            check_variants(wild_type, variants, offset=offset, path=path)
            sequences = None
    with torch_threads(threads):
        model = load_masked(source, device=str(choose_device(device)), dtype=dtype, batch_tokens=batch_tokens)
        scorer = MaskedScorer(model, wild_type, method=method or "masked-marginal")  # type: ignore[arg-type]
        scores = scorer.score_variants(variants) if sequences is None else scorer.score_sequences(sequences)
        digest = model.digest()
    missing = int(np.isnan(scores).sum())
    if missing:
        log.warning(
            "%s of %d no score: of another length than the wild type (choose --method pseudo-likelihood), or residues not known",
            "1 variant has" if missing == 1 else f"{missing:,} variants have", len(scores),
        )  # fmt: skip
    else:
        log.info("%s by %s", counted(len(scores), "variant"), scorer.method)
    described = {"wild_type": name, "offset": offset, "method": scorer.method, "model": source, "model_sha256": digest}
    write_scores(output, raw, {"score": scores}, described)
