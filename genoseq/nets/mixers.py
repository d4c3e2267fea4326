"""The layers that mix positions, by the names that recipes use.

Another package adds one under the entry point group ``genoseq.nets``: a module class that takes ``d_model`` and keyword
options, with the ``forward`` of the layers here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from genoseq.registry import Entry, Registry

if TYPE_CHECKING:
    from genoseq.nets.layers.s5 import S5

__all__ = ["MIXERS", "make_s5"]

LAYERS = "genoseq.nets.layers"

MIXERS = Registry(
    "mixer",
    "genoseq.nets",
    {
        "hyena": Entry(f"{LAYERS}.hyena:HyenaOperator", summary="long convolutions with implicit filters, gated (causal)"),
        "mamba": Entry(f"{LAYERS}.mamba:Mamba", summary="selective scan (causal)"),
        "mamba2": Entry(f"{LAYERS}.mamba2:Mamba2", summary="state space duality (causal)"),
        "bimamba": Entry(f"{LAYERS}.bimamba:BiMamba", summary="selective scans in both directions"),
        "attention": Entry(f"{LAYERS}.attention:Attention", summary="softmax attention, causal or not, windowed or not"),
        "s4": Entry(f"{LAYERS}.s4:S4", summary="structured state space, diagonal plus low rank (causal)"),
        "s4d": Entry(f"{LAYERS}.s4d:S4D", summary="diagonal state space (causal)"),
        "s5": Entry("genoseq.nets.mixers:make_s5", summary="one wide diagonal state space for all channels (causal)"),
    },
)


def make_s5(*, d_model: int, d_state: int | None = None, bidirectional: bool = False) -> S5:
    """An S5 layer by the words that other mixers use; its own are those of its public code."""
    from genoseq.nets.layers.s5 import S5

    return S5(width=d_model, state_width=d_state, bidir=bidirectional)
