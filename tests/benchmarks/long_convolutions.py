"""Measure Hyena, S4, S4D and S5 against their plain forms, and the memory of long inputs; prints JSON.

    python tests/benchmarks/long_convolutions.py                    # times
    python tests/benchmarks/long_convolutions.py --quick            # times, shorter sequences
    python tests/benchmarks/long_convolutions.py --only 'Hyena, order 2'
    python tests/benchmarks/long_convolutions.py --memory 1000000   # peak memory of each layer over a sequence, width 256

The plain forms are what the public code does where it has no CUDA kernels: convolutions padded to twice the length, the Cauchy
kernel of S4, the Vandermonde matrix of S4D, one position after the other for S5. Results are compared before anything is timed.
Times are medians of the CPU seconds of the one thread that computes, taken in turns, so that a busy machine disturbs both alike.
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
import torch.nn.functional as F
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from genoseq.nets.layers.hyena import HyenaOperator
from genoseq.nets.layers.s4 import S4
from genoseq.nets.layers.s4_kernel import LowRankKernel
from genoseq.nets.layers.s4d import S4D, S4DKernel
from genoseq.nets.layers.s5 import S5
from genoseq.nets.ops.diagonal import linear_scan, linear_scan_loop
from genoseq.nets.ops.dplr import cauchy_kernel
from genoseq.nets.ops.fftconv import fft_convolution

WIDTH = 128
LAYERS: dict[str, Callable[[int, int], nn.Module]] = {
    "hyena": lambda width, length: HyenaOperator(d_model=width, l_max=length),
    "hyena, order 3": lambda width, length: HyenaOperator(d_model=width, l_max=length, order=3),
    "s4": lambda width, length: S4(d_model=width),
    "s4, diagonal": lambda width, length: S4(d_model=width, mode="diag"),
    "s4d": lambda width, length: S4D(d_model=width),
    "s5": lambda width, length: S5(width=width),
}


def padded_to_twice(u: Tensor, k: Tensor, skip: Tensor) -> Tensor:
    """The convolution of the public code of HyenaDNA and S4D."""
    length = u.shape[-1]
    spectrum = torch.fft.rfft(u, n=2 * length) * torch.fft.rfft(k, n=2 * length)
    return torch.fft.irfft(spectrum, n=2 * length)[..., :length] + u * skip[:, None]


def plain_hyena(op: HyenaOperator, x: Tensor) -> Tensor:
    """The operator of the public code of HyenaDNA, from its parameters."""
    length = x.shape[1]
    u = op.in_proj(x).transpose(1, 2)
    u = F.conv1d(u, op.short_filter.weight, op.short_filter.bias, padding=2, groups=u.shape[1])[..., :length]
    *gates, v = u.split(op.d_model, dim=1)
    hidden = op.filter_fn.pos_emb.z[:, :length]
    for layer in op.filter_fn.implicit_filter:
        hidden = layer(hidden)
    t = op.filter_fn.pos_emb.t[:, :length]
    taps = (hidden * (torch.exp(-t * op.filter_fn.modulation.deltas.abs()) + 0.05))[0]
    taps = taps.T.reshape(op.order - 1, op.d_model, length)
    skips = op.filter_fn.bias.reshape(op.order - 1, op.d_model)
    for o, gate in enumerate(reversed(gates[1:])):
        v = padded_to_twice(v * gate, taps[o], skips[o])
    y: Tensor = op.out_proj((v * gates[0]).transpose(1, 2))
    return y


def vandermonde(kernel: S4DKernel, length: int) -> Tensor:
    """The kernel of the public code of S4D: an array of states times positions."""
    system = kernel.system()
    powers = (system.log_a[..., None] * torch.arange(length)).exp()
    return 2 * torch.einsum("hn,hnl->hl", system.c[0], powers).real


def cases(quick: bool) -> dict[str, tuple[Callable[[], Tensor], Callable[[], Tensor]]]:
    """Ours and the plain form of each, by name."""
    found: dict[str, tuple[Callable[[], Tensor], Callable[[], Tensor]]] = {}
    for length in (8_194, 32_770) if quick else (8_194, 32_770, 160_002, 450_002, 1_000_002):
        u, k, skip = torch.randn(1, 16, length), torch.randn(16, length), torch.randn(16)
        found[f"convolution, 16 channels, {length:,}"] = (
            lambda u=u, k=k, skip=skip: fft_convolution(u, k, skip),
            lambda u=u, k=k, skip=skip: padded_to_twice(u, k, skip),
        )
    for length in (8_192, 32_768) if quick else (8_192, 32_768, 160_000, 160_002):
        for order in (2, 3):
            op, x = HyenaOperator(d_model=WIDTH, l_max=length, order=order), torch.randn(1, length, WIDTH)
            found[f"Hyena, order {order}, width {WIDTH}, {length:,}"] = (
                lambda op=op, x=x: op(x)[0],
                lambda op=op, x=x: plain_hyena(op, x),
            )
    for length in (1_024, 8_192) if quick else (1_024, 16_384):
        dense, diagonal = LowRankKernel(d_model=WIDTH, l_max=length), S4DKernel(d_model=WIDTH)

        def by_cauchy(kernel: LowRankKernel = dense, length: int = length) -> Tensor:
            step, a, b, c = kernel.continuous()
            return cauchy_kernel(a, kernel._low_rank(), b, c, step, length)

        found[f"S4 kernel, width {WIDTH}, {length:,}"] = lambda k=dense, n=length: k(n), by_cauchy
        found[f"S4D kernel, width {WIDTH}, {length:,}"] = (
            lambda k=diagonal, n=length: k(n),
            lambda k=diagonal, n=length: vandermonde(k, n),
        )
        a = torch.polar(torch.rand(WIDTH), torch.randn(WIDTH))
        b = torch.randn(1, length, WIDTH, dtype=torch.complex64)
        found[f"S5 scan, {WIDTH} states, {length:,}"] = (
            lambda a=a, b=b: linear_scan(a, b),
            lambda a=a, b=b: linear_scan_loop(a, b),
        )
    return found


def seconds(work: Callable[[], Tensor]) -> float:
    start = time.thread_time()
    work()
    return time.thread_time() - start


@torch.no_grad()
def measure(rounds: int, quick: bool, only: str) -> dict[str, Any]:
    """Medians in ms and their ratio, by name, of the cases whose names begin with ``only``."""
    table: dict[str, Any] = {}
    for name, (ours, plain) in cases(quick).items():
        if not name.startswith(only):
            continue
        found, expected = ours(), plain()
        error = float((found - expected).abs().max() / expected.abs().max())
        if not error < 1e-4:
            raise SystemExit(f"{name}: results differ by {error:.1e} of the largest value")
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(rounds):
            for work, list_ in zip((ours, plain), times, strict=True):
                list_.append(seconds(work))
        fast, slow = (1000 * statistics.median(list_) for list_ in times)
        table[name] = {"genoseq_ms": round(fast, 1), "plain_ms": round(slow, 1), "ratio": round(slow / fast, 2), "error": error}
        print(name, table[name], file=sys.stderr)
    return table


@torch.no_grad()
def peak(layer: str, length: int, width: int) -> dict[str, Any]:
    """Peak memory in GB of this process while one layer works on a sequence, beside what it held before, and its time."""
    net, x = LAYERS[layer](width, length).eval(), torch.randn(1, length, width)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    taken = seconds(lambda: net(x)[0])
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    gigabytes = [round(kib / 2**20, 2) for kib in (before, after, after - before)]
    return dict(zip(("before_gb", "peak_gb", "added_gb"), gigabytes, strict=True)) | {
        "output_gb": round(x.numel() * 4 / 2**30, 2),
        "cpu_seconds": round(taken, 1),
    }


def main() -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", type=int, metavar="LENGTH")
    parser.add_argument("--layer", choices=LAYERS, help="with --memory: only this one")
    parser.add_argument("--width", type=int, default=256, help="with --memory")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="", metavar="START", help="times: only cases whose names begin so")
    given = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    if given.memory is None:
        print(json.dumps(measure(given.rounds, given.quick, given.only), indent=1))
    elif given.layer:
        print(json.dumps(peak(given.layer, given.memory, given.width)))
    else:  # each in a process of its own: a process remembers its peak
        table = {}
        for layer in LAYERS:
            command = [sys.executable, __file__, "--memory", str(given.memory), "--width", str(given.width), "--layer", layer]
            table[layer] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            print(layer, table[layer], file=sys.stderr)
        print(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
