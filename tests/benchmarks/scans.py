"""Measure Mamba and Mamba-2 against the PyTorch path of transformers, and the memory of long inputs; prints JSON.

    python tests/benchmarks/scans.py                     # forward at length 8192, forward and backward at 1024
    python tests/benchmarks/scans.py --memory 1000000    # peak memory of one layer of width 256 over a sequence

Nets have four layers of width 128 and the same weights on both sides; their logits are compared before anything is timed. Times are
medians of the CPU seconds of the one thread that computes, taken in turns, so that a busy machine disturbs both sides alike.
The derivative of transformers' Mamba grows with the square of the length (each position adds to a gradient of the whole sequence):
at 8192 it takes hours, hence the shorter length there.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from genoseq.nets.layers.mamba import Mamba
from genoseq.nets.layers.mamba2 import Mamba2
from genoseq.nets.layers.norms import RMSNorm
from genoseq.nets.ops.scan import selective_scan

LAYERS, WIDTH, VOCABULARY = 4, 128, 16


class Stack(nn.Module):
    """Embedding, layers beside the residual stream, norm and head, with the names of transformers' classes."""

    def __init__(self, make: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.backbone = nn.Module()
        self.backbone.embeddings = nn.Embedding(VOCABULARY, WIDTH)
        self.backbone.layers = nn.ModuleList(nn.ModuleDict({"norm": RMSNorm(WIDTH), "mixer": make()}) for _ in range(LAYERS))
        self.backbone.norm_f = RMSNorm(WIDTH)
        self.lm_head = nn.Linear(WIDTH, VOCABULARY, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.backbone.embeddings(ids)
        for layer in self.backbone.layers:
            x = x + layer["mixer"](layer["norm"](x))[0]
        return self.lm_head(self.backbone.norm_f(x))


def pairs() -> dict[str, tuple[nn.Module, nn.Module]]:
    """Nets of transformers, and the same of genoseq."""
    from transformers import Mamba2Config, Mamba2ForCausalLM, MambaConfig, MambaForCausalLM

    shared: dict[str, Any] = {
        "vocab_size": VOCABULARY, "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "use_cache": False,
        "tie_word_embeddings": False, "pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0,
    }  # fmt: skip
    found = {}
    torch.manual_seed(0)
    theirs: nn.Module = MambaForCausalLM(MambaConfig(**shared))
    found["mamba"] = (theirs, Stack(lambda: Mamba(d_model=WIDTH)))
    for heads, size, states in ((4, 64, 128), (8, 32, 64)):
        config = Mamba2Config(**shared, num_heads=heads, head_dim=size, state_size=states, n_groups=1)
        own = Stack(lambda size=size, states=states: Mamba2(d_model=WIDTH, headdim=size, d_state=states))
        found[f"mamba2, {heads} heads of {size}, {states} states"] = (Mamba2ForCausalLM(config), own)
    for theirs, own in found.values():
        own.load_state_dict(theirs.state_dict())
        theirs.eval(), own.eval()
    return found


def in_turns(functions: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median CPU seconds of each function, each called once before."""
    for function in functions.values():
        function()
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.thread_time()
            function()
            taken[name].append(time.thread_time() - start)
    return {name: statistics.median(times) for name, times in taken.items()}


def compare(length: int, *, back: bool, repeats: int) -> dict[str, Any]:
    """Seconds and ratios of whole nets."""
    results = {}
    ids = torch.randint(0, VOCABULARY, (1, length))
    for name, (theirs, own) in pairs().items():
        with torch.no_grad():
            difference = (theirs(ids[:, :512]).logits - own(ids[:, :512])).abs().max().item()

        def run(call: Callable[[], Tensor], net: nn.Module) -> None:
            with torch.set_grad_enabled(back):
                logits = call()
                if back:
                    nn.functional.cross_entropy(logits.flatten(0, 1), ids.flatten()).backward()
                    net.zero_grad()

        seconds = in_turns(
            {
                "transformers": lambda net=theirs: run(lambda: net(ids).logits, net),
                "genoseq": lambda net=own: run(lambda: net(ids), net),
            },
            repeats,
        )
        ratio = seconds["transformers"] / seconds["genoseq"]
        results[name] = {
            **{key: round(value, 4) for key, value in seconds.items()},
            "ratio": round(ratio, 2),
            "difference": difference,
        }
    return results


def forms(length: int, repeats: int) -> dict[str, Any]:
    """Seconds of the scan alone in its two forms: 256 channels, 16 states."""
    u, delta, z = torch.randn(3, 1, length, 256).transpose(2, 3)
    maps = torch.randn(2, 1, length, 16).transpose(2, 3)
    rates = -torch.arange(1.0, 17).repeat(256, 1)
    results: dict[str, Any] = {}
    for back in (False, True):
        inputs = [tensor.clone().requires_grad_(back) for tensor in (u, delta, rates, *maps)]

        def run(form: Any, inputs: list[Tensor] = inputs, back: bool = back) -> None:
            y, _ = selective_scan(*inputs, z=z, delta_softplus=True, form=form)
            if back:
                torch.autograd.grad(y, inputs, torch.ones_like(y))

        found = in_turns({"chunks": lambda run=run: run("chunks"), "kernel": lambda run=run: run("kernel")}, repeats)
        results["forward and backward" if back else "forward"] = {key: round(value, 4) for key, value in found.items()}
    return results


def memory(kind: str, length: int, width: int) -> dict[str, float]:
    """Seconds and peak memory (GB) of one layer over one sequence; call it once in a process."""
    layer = {"mamba": Mamba, "mamba2": Mamba2}[kind](d_model=width)
    with torch.no_grad():
        layer(torch.randn(1, 4096, width))  # so that what is loaded or compiled on first use is there
        x = torch.randn(1, length, width)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.thread_time()
        layer(x)
        taken = time.thread_time() - start
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    size = x.numel() * x.element_size()
    return {
        "input": round(size / 1e9, 3),
        "temporaries": round(((after - before) * 1024 - size) / 1e9, 3),
        "whole process": round(after * 1024 / 1e9, 3),
        "seconds": round(taken, 2),
    }


def in_own_process(kind: str, length: int, width: int) -> Any:
    """`memory` in a process of its own, whose peak is that of this layer alone."""
    command = [sys.executable, __file__, "--memory", str(length), "--width", str(width), "--layer", kind]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Parse options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=int, default=8192, help="positions, forward (default 8192)")
    parser.add_argument("--back-length", type=int, default=1024, help="positions, forward and backward (default 1024)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--memory", type=int, metavar="LENGTH", help="measure memory only, at this length")
    parser.add_argument("--layer", choices=("mamba", "mamba2"), help="the layer for --memory (default both)")
    parser.add_argument("--width", type=int, default=256, help="channels of the layer for --memory (default 256)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.memory and options.layer:
        result: dict[str, Any] = memory(options.layer, options.memory, options.width)
    elif options.memory:
        result = {kind: in_own_process(kind, options.memory, options.width) for kind in ("mamba", "mamba2")}
    else:
        from transformers.utils import logging

        logging.set_verbosity_error()
        result = {
            f"forward, length {options.length}": compare(options.length, back=False, repeats=options.repeats),
            f"forward and backward, length {options.back_length}": compare(
                options.back_length, back=True, repeats=max(1, options.repeats // 2)
            ),
            f"scan, length {options.length}": forms(options.length, options.repeats),
        }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
