"""Take a long sequence through whole nets in three ways: peak memory of each, and how much their answers differ; prints JSON.

    python tests/benchmarks/one_megabase.py                                  # 1 Mbp, every net, whole and in pieces
    python tests/benchmarks/one_megabase.py --length 65536 --ways whole pieces unchunked

``whole`` is one call, as a user makes it: the net works in segments or groups of channels by itself. ``pieces`` feeds 16,384 bases
at a time and carries the state (for Hyena, whose state is all that it has seen, that is the same sum in another order).
``unchunked`` keeps the net from segmenting: everything exists at its full length, which takes several times the memory. Nets are
those of `cost_by_length.py`: six layers, width 256. Differences are the largest between logits, beside the largest logit.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cost_by_length import NETS, WARM_UP, _now, _peak, bases, in_own_process, make
from torch import Tensor

PIECE = 16_384
DEFAULT = ("Mamba-1", "Mamba-2", "HyenaDNA", "StripedHyena")
WAYS = ("whole", "pieces", "unchunked")


def logits_of(net: Any, ids: Tensor, way: str) -> Tensor:
    """Logits ``(1, L, V)`` by one of the ways."""
    if way == "unchunked":  # nets segment only where there can be no gradients; with all weights frozen, none are kept
        net.requires_grad_(False)
        with torch.enable_grad():
            unchunked: Tensor = net(ids).logits
        return unchunked
    with torch.no_grad():
        if way == "whole":
            return torch.as_tensor(net(ids).logits)
        parts, cache = [], None
        for start in range(0, ids.shape[1], PIECE):
            out = net(ids[:, start : start + PIECE], cache=cache, use_cache=True)
            parts.append(out.logits)
            cache = out.cache
        return torch.cat(parts, 1)


def one(name: str, length: int, way: str, file: Path) -> dict[str, Any]:
    """Cost of one way; the logits go to a file. Call it once in a process."""
    cpu = torch.device("cpu")
    net, ids = make(name, length), bases(length)
    logits_of(net, bases(WARM_UP), way)
    before, start = _peak(cpu), _now(cpu)
    logits = logits_of(net, ids, way)
    found = {"seconds": round(_now(cpu) - start, 2), "peak_gb": round(_peak(cpu) / 1e3, 2)}
    found["added_gb"] = round((_peak(cpu) - before) / 1e3, 3)
    np.save(file, logits[0].numpy())
    return found


def main() -> None:
    """Measure each way in a process of its own, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=int, default=1_000_000)
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(DEFAULT), metavar="NET", help=f"of: {'; '.join(NETS)}")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=["whole", "pieces"])
    parser.add_argument("--one", type=Path, metavar="FILE", help="the first net and way only; logits to this file")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.one:
        print(json.dumps(one(given.nets[0], given.length, given.ways[0], given.one)))
        return
    table: dict[str, Any] = {}
    for name in given.nets:
        table[name] = {}
        with tempfile.TemporaryDirectory() as folder:
            answers = {}
            for way in given.ways:
                file = Path(folder) / f"{way}.npy"
                row = in_own_process(__file__, "--nets", name, "--ways", way, "--length", given.length, "--one", file)
                if row is None:
                    continue
                table[name][way] = row
                answers[way] = np.load(file, mmap_mode="r")
                print(name, way, row, file=sys.stderr)
            if "whole" in answers:
                whole = answers["whole"]
                table[name]["largest_logit"] = float(np.abs(whole).max())
                for way, found in answers.items():
                    if way != "whole":
                        table[name][f"difference_{way}"] = float(np.abs(found - whole).max())
    print(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
