"""Measure what nets cost by the length of their input, 1k to 1M bases: a table, and a figure with attention beside it.

    python tests/benchmarks/cost_by_length.py -o cost.tsv                       # every net at every length; prints as it goes
    python tests/benchmarks/cost_by_length.py --figure cost.tsv -o cost.png     # draw a table that is there
    python tests/benchmarks/cost_by_length.py --device cuda --dtype bfloat16 -o gpu.tsv
    python tests/benchmarks/cost_by_length.py --layers 1 --lengths 1000000 -o memory.tsv     # the memory of six layers, sooner

Nets have six layers of width 256 (``--layers`` for fewer) and random weights; each gives logits over 16 tokens for every base of one sequence, without
gradients. Each run is a process of its own, since a process remembers its peak. Seconds on the CPU are those of the one thread
that computes, after a warm-up at 1,024 bases, so that a busy machine disturbs little; on a GPU they are of the clock. Memory is
the process's peak (on a GPU: the most that PyTorch had allocated), and how much of it came after the warm-up. A net is not
tried at a length at which, by its last step, it would take longer than ``--patience`` seconds.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

LAYERS, WIDTH, VOCABULARY = 6, 256, 16
LENGTHS = (1_000, 4_000, 16_000, 64_000, 250_000, 1_000_000)
WARM_UP = 1_024
COLUMNS = ("net", "parameters", "length", "seconds", "peak_mb", "added_mb")


def _mamba(layers: int, kind: str) -> Any:
    from genoseq.nets.models.mamba import MambaConfig, MambaForCausalLM

    return MambaForCausalLM(MambaConfig(d_model=WIDTH, n_layer=layers, vocab_size=VOCABULARY, ssm_cfg={"layer": kind}))


def _hyenadna(layers: int, length: int) -> Any:
    from genoseq.nets.models.hyenadna import HyenaDNAConfig, HyenaDNAForCausalLM

    size = max(length, WARM_UP) + 2
    return HyenaDNAForCausalLM(HyenaDNAConfig(d_model=WIDTH, n_layer=layers, vocab_size=VOCABULARY, max_seq_len=size))


def _stripedhyena(layers: int, attention: list[int]) -> Any:
    from genoseq.nets.models.stripedhyena import StripedHyenaConfig, StripedHyenaForCausalLM

    shape: dict[str, Any] = {"hidden_size": WIDTH, "num_layers": layers, "num_attention_heads": 4, "vocab_size": VOCABULARY}
    return StripedHyenaForCausalLM(StripedHyenaConfig(**shape, attn_layer_idxs=attention))


def _hnet() -> Any:
    from genoseq.nets.models.hnet import HNetConfig, HNetForCausalLM

    stages = {"num_heads": [4, 4], "rotary_emb_dim": [32, 32], "window_size": [-1, -1]}
    layout = ["m2", ["M2"], "m2"]
    return HNetForCausalLM(HNetConfig(arch_layout=layout, d_model=[WIDTH, WIDTH], vocab_size=VOCABULARY, attn_cfg=stages))


def _attention(layers: int) -> Any:
    from genoseq.nets.models.hybrid import HybridConfig, HybridForCausalLM

    block = {"mixer": "attention", "repeat": layers, "options": {"n_heads": 4, "rotary_dim": 64}}
    return HybridForCausalLM(HybridConfig(vocab_size=VOCABULARY, d_model=WIDTH, blocks=[block]))


NETS: dict[str, Callable[[int, int], Any]] = {
    "Mamba-1": lambda layers, length: _mamba(layers, "Mamba1"),
    "Mamba-2": lambda layers, length: _mamba(layers, "Mamba2"),
    "HyenaDNA": _hyenadna,
    "StripedHyena": lambda layers, length: _stripedhyena(layers, []),
    "StripedHyena, 1 of 6 attention": lambda layers, length: _stripedhyena(layers, [layers // 2]),
    "H-Net": lambda layers, length: _hnet(),
    "attention": lambda layers, length: _attention(layers),
}
"""Nets by name, from their layers and the length that they must take. StripedHyena without attention shows what its filters cost;
H-Net has two Mamba-2 layers outside, two with feed-forward over the chunks, and two outside again, whatever is asked for."""


def make(name: str, length: int, layers: int = LAYERS) -> Any:
    """The net, in evaluation mode, the same at every call."""
    torch.manual_seed(0)
    return NETS[name](layers, length).eval()


def bases(length: int) -> Tensor:
    """Ids ``(1, L)`` of four tokens, the same at every call."""
    return torch.randint(7, 11, (1, length), generator=torch.Generator().manual_seed(1))


def _peak(device: torch.device) -> float:
    """Megabytes that this process has held at most."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def _now(device: torch.device) -> float:
    if device.type != "cuda":
        return time.thread_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


@torch.no_grad()
def one(name: str, length: int, layers: int, *, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """Cost of one net at one length; call it once in a process."""
    net = make(name, length, layers).to(device=device, dtype=dtype)
    ids = bases(length).to(device)
    net(bases(WARM_UP).to(device))
    before, start = _peak(device), _now(device)
    net(ids)
    seconds, peak = _now(device) - start, _peak(device)
    values = (name, sum(p.numel() for p in net.parameters()), length, round(seconds, 4), round(peak), round(peak - before, 1))
    return dict(zip(COLUMNS, values, strict=True))


def in_own_process(script: str, *arguments: object) -> dict[str, Any] | None:
    """What a script prints as JSON in a process of its own; None if it ended otherwise, which is said."""
    done = subprocess.run([sys.executable, script, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        print(f"{' '.join(map(str, arguments))}: {last[0]}", file=sys.stderr)
        return None
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measure(names: list[str], lengths: list[int], output: Path, *, layers: int, device: str, dtype: str, patience: float) -> None:
    """Write the table, a row as soon as it is there."""
    with output.open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, delimiter="\t", lineterminator="\n")
        table.writeheader()
        for name in names:
            rows: list[dict[str, Any]] = []
            for length in lengths:
                if len(rows) > 1 and _guess(rows, length) > patience:
                    print(f"{name}, {length:,}: would take about {_guess(rows, length):,.0f} s; left out", file=sys.stderr)
                    break
                where = ("--layers", layers, "--device", device, "--dtype", dtype)
                row = in_own_process(__file__, "--one", name, "--lengths", length, *where)
                if row is None:
                    break
                rows.append(row)
                table.writerow(row)
                file.flush()
                print(*row.values(), sep="\t", file=sys.stderr)


def _guess(rows: list[dict[str, Any]], length: int) -> float:
    """Seconds at a length if a net goes on as it did from the last but one to the last, or grows with the square of the length."""
    last, power = rows[-1], 2 if "attention" in rows[-1]["net"] else 1
    guessed: float = last["seconds"] * (length / last["length"]) ** power
    return guessed


def draw(table: Path, figure_path: Path) -> None:
    """Seconds and memory against length, both axes logarithmic."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    with table.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    styles = {
        "Mamba-1": ("#1f6f8b", "o", "-"),
        "Mamba-2": ("#5aa9c4", "s", "-"),
        "HyenaDNA": ("#3c7d3c", "^", "-"),
        "StripedHyena": ("#b8860b", "D", "-"),
        "StripedHyena, 1 of 6 attention": ("#b8860b", "d", "--"),
        "H-Net": ("#7a4b94", "v", "-"),
        "attention": ("#c2452d", "X", "--"),
    }
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2)
    for axes, column, unit, title in (
        (panels[0], "seconds", 1.0, "seconds of processor time, one thread"),
        (panels[1], "added_mb", 1e-3, "memory beside net and program, GB"),
    ):
        for name in dict.fromkeys(row["net"] for row in rows):
            colour, marker, line = styles.get(name, ("0.4", ".", "-"))
            points = [(int(row["length"]), float(row[column]) * unit) for row in rows if row["net"] == name]
            points = [(x, max(y, 1e-3)) for x, y in points]
            axes.plot(*zip(*points, strict=True), color=colour, marker=marker, linestyle=line, markersize=5, label=name)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks([int(length) for length in dict.fromkeys(row["length"] for row in rows)])
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x / 1e6:g}M" if x >= 1e6 else f"{x / 1e3:g}k"))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        axes.set_yticks([10.0**power for power in range(-3, 5)])
        axes.set_ylim(*_decades([float(row[column]) * unit for row in rows]))
        axes.minorticks_off()
        axes.grid(color="0.9")
        axes.set_xlabel("bases")
        axes.set_title(title, fontsize=10)
    panels[0].legend(frameon=False, fontsize=8)
    figure.savefig(figure_path, dpi=130)


def _decades(values: list[float]) -> tuple[float, float]:
    """The powers of ten around values, from a thousandth on."""
    return 10.0 ** math.floor(math.log10(max(min(values), 1e-3))) * 0.8, 10.0 ** math.ceil(math.log10(max(*values, 1e-2))) * 1.25


def main() -> None:
    """Measure or draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, help="table or figure to write")
    parser.add_argument("--figure", type=Path, metavar="TABLE", help="draw this table instead of measuring")
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(NETS), metavar="NET", help=f"of: {'; '.join(NETS)}")
    parser.add_argument("--lengths", nargs="+", type=int, default=list(LENGTHS))
    parser.add_argument("--layers", type=int, default=LAYERS)
    parser.add_argument("--patience", type=float, default=600, help="seconds that one run may take, by estimate (default 600)")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--one", choices=NETS, help="measure this net at the first of --lengths only; print JSON")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.one:
        dtype: torch.dtype = getattr(torch, given.dtype)
        print(json.dumps(one(given.one, given.lengths[0], given.layers, device=torch.device(given.device), dtype=dtype)))
    elif given.output is None:
        parser.error("-o is missing")
    elif given.figure:
        draw(given.figure, given.output)
    else:
        options: dict[str, Any] = {"layers": given.layers, "device": given.device, "dtype": given.dtype}
        measure(given.nets, given.lengths, given.output, **options, patience=given.patience)


if __name__ == "__main__":
    main()
