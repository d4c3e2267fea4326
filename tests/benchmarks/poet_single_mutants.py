"""CPU seconds of all single mutants by PoET: prompt and beginnings shared, against a pass over prompt and mutant for each.

python tests/benchmarks/poet_single_mutants.py msa_BLAT_ECOLX_ColabFold.a3m.gz [--tokens 6144] [--layers 4] [--width 256]

The net has random weights, one direction is read, one thread is used. Mutants of a few residues, evenly spread over the
protein, and fewer of them with passes of their own, are timed and scaled up to all; the largest difference of scores is printed.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from genoseq.families.alignments.files import read_alignment
from genoseq.families.poet.prompt import Homologues, draw_prompt
from genoseq.families.poet.scoring import log_likelihoods, log_likelihoods_plainly, read_prompt
from genoseq.families.variants.notation import all_single_variants, apply_variant
from genoseq.nets.models.poet import PoETConfig, PoETForCausalLM
from genoseq.tokenizers.protein import PoETTokenizer


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("alignment")
    parser.add_argument("--tokens", type=int, default=6144)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--residues", type=int, default=6, help="whose mutants are timed")
    parser.add_argument("--plain", type=int, default=3, help="mutants with passes of their own")
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = PoETForCausalLM(PoETConfig(hidden_dim=given.width, num_layers=given.layers, nhead=given.width // 32)).eval()
    tokenizer = PoETTokenizer()
    homologues = Homologues.of(read_alignment(given.alignment))
    wild = homologues.query or ""
    prompt = draw_prompt(homologues, context=given.tokens)
    every = all_single_variants(wild)
    # middles of equal parts: the mean of what is left to read is that of the whole protein
    places = {int((part + 0.5) * len(wild) / given.residues) for part in range(given.residues)}
    chosen = [apply_variant(wild, one) for one in every if one[0].position in places]

    begun = time.process_time()
    memory = read_prompt(net, tokenizer, prompt)
    log_likelihoods(net, tokenizer, memory, [wild], reference=wild)
    once = time.process_time() - begun
    begun = time.process_time()
    fast = log_likelihoods(net, tokenizer, memory, chosen, reference=wild)
    each = (time.process_time() - begun) / len(chosen)
    few = chosen[:: max(1, len(chosen) // given.plain)][: given.plain]
    begun = time.process_time()
    slow = log_likelihoods_plainly(net, tokenizer, prompt, few)
    plain = (time.process_time() - begun) / len(few) * len(every)
    shared = once + each * len(every)
    difference = np.abs(slow - np.array([fast[chosen.index(one)] for one in few])).max()
    print(f"{len(every):,} mutants after {prompt.tokens:,} tokens, {sum(p.numel() for p in net.parameters()):,} parameters")
    print(
        f"own passes  {plain:10,.0f} s\nshared      {shared:10,.0f} s\ngain        {plain / shared:10.1f}\nlargest difference {difference:.1g}"
    )


if __name__ == "__main__":
    main()
