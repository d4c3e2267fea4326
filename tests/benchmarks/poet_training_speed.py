"""Tokens a CPU second in the training of a PoET, by context and precision, on one thread.

python tests/benchmarks/poet_training_speed.py fam_DHFR_PEPM3.an.gz [--contexts 1024 2048 4096] [--layers 4] [--width 128] [--heads 4]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from genoseq.families.poet.sets import collate, draw_set, read_family
from genoseq.nets.models.poet import PoETConfig, PoETForCausalLM
from genoseq.tokenizers.protein import PoETTokenizer

TOKENS = 8192  # of a step


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("family", type=Path)
    parser.add_argument("--contexts", type=int, nargs="+", default=[1024, 2048, 4096])
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--steps", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    tokenizer = PoETTokenizer()
    family = read_family(given.family, tokenizer)
    net = PoETForCausalLM(PoETConfig(hidden_dim=given.width, num_layers=given.layers, nhead=given.heads)).train()
    optimiser = torch.optim.AdamW(net.parameters())

    def step(number: int, context: int, halved: bool) -> int:
        rows = max(1, TOKENS // context)
        drawn = [draw_set(family, context, np.random.default_rng([number, row])) for row in range(rows)]
        batch = collate(drawn, tokenizer.pad_token_id)
        with torch.autocast("cpu", torch.bfloat16, enabled=halved):
            loss = net(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        return int(batch["input_ids"].numel())

    print("context  precision  tokens a CPU second")
    for context in given.contexts:
        for halved in (False, True):
            step(0, context, halved)  # the first makes its buffers
            begun = time.process_time()
            tokens = sum(step(number, context, halved) for number in range(1, given.steps + 1))
            speed = tokens / (time.process_time() - begun)
            print(f"{context:7,}  {'bfloat16' if halved else 'float32':9}  {speed:10,.0f}")


if __name__ == "__main__":
    main()
