"""Bits per residue of members of a family by PoET after a prompt, and by models of columns fitted to the same prompt.

python tests/benchmarks/poet_held_out.py my-poet PF13354.fasta [--members 20] [--tokens 4096]

For each of some members, drawn by weight, a prompt is drawn from the rest of the alignment. PoET reads it and scores the member's
aligned residues and its end, in both directions. The models of columns (frequencies with one pseudo-count, and a PSSM with
BLOSUM62's) are fitted to the very rows of the prompt and are told where the member's gaps are.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

import genoseq
from genoseq.families.alignments.alignment import Alignment
from genoseq.families.alignments.files import read_alignment
from genoseq.families.alignments.weights import sequence_weights
from genoseq.families.alphabet import GAP, decode
from genoseq.families.models.pssm import fit_pssm
from genoseq.families.models.site import fit_site
from genoseq.families.poet.prompt import Prompt
from genoseq.families.poet.scoring import PoETFamily


def bits(values: list[float], residues: list[int]) -> str:
    """Mean over residues and the standard error over members."""
    each = -np.array(values) / np.array(residues) / np.log(2)
    return f"{-sum(values) / sum(residues) / np.log(2):.3f} ({each.std(ddof=1) / len(each) ** 0.5:.3f})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model")
    parser.add_argument("alignment")
    parser.add_argument("--members", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=4096)
    given = parser.parse_args()
    torch.set_num_threads(1)
    net, tokenizer = genoseq.load(given.model)
    family: Alignment = read_alignment(given.alignment)
    family = family.subset((family.matrix[:, family.modelled] < GAP).mean(axis=1) >= 0.7)
    columns = np.ascontiguousarray(family.matrix[:, family.modelled])
    weights = sequence_weights(columns, identity=0.8)
    chance = np.random.default_rng(0)
    names = ("PoET", "PoET, no prompt", "frequencies", "PSSM")
    found: dict[str, list[float]] = {name: [] for name in names}
    residues = []
    for _ in range(given.members):
        order = chance.choice(len(family), len(family), replace=False, p=weights / weights.sum())
        member, rest = int(order[0]), order[1:]
        lengths = np.cumsum([(columns[row] != GAP).sum() + 2 for row in rest])
        prompt = rest[lengths <= given.tokens]
        texts = tuple(decode(columns[row][columns[row] != GAP]) for row in prompt)
        own = columns[member]
        known = np.flatnonzero(own < GAP)
        residues.append(len(known))
        text = decode(own[own != GAP])
        found["PoET"].append(float(PoETFamily(net, tokenizer, [Prompt(texts)]).log_likelihoods([text])[0]))
        found["PoET, no prompt"].append(float(PoETFamily(net, tokenizer, [Prompt(())]).log_likelihoods([text])[0]))
        rows = family.subset(prompt)
        for name, model in (("frequencies", fit_site(rows)), ("PSSM", fit_pssm(rows, min_identity=0))):
            found[name].append(float(model.logs[known, own[known]].sum()))
    print(f"{len(residues)} members, {sum(residues):,} residues, prompts of up to {given.tokens:,} tokens; standard errors")
    for name in names:
        print(f"{name:18}{bits(found[name], residues)}")


if __name__ == "__main__":
    main()
