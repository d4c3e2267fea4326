"""Single state-space layers: S4 (DPLR and diagonal), S4D and S5, by the names of their authors' programs.

``genoseq.load`` gives the layer itself, with no tokenizer: ``layer(x)`` is ``(y, cache)``, channels last, or ``(B, H, L)`` where
the configuration says ``transposed``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from typing import Any

from torch import nn

from genoseq.checkpoints.adapter import PLUMBING, Adapter, Found
from genoseq.errors import UsageError

__all__ = ["StateSpaceLayer"]

KINDS = {
    "S4D": (r"^kernel\.log_A_real$", "genoseq.nets.layers.s4d"),
    "S5": (r"^(seq\.)?Lambda$", "genoseq.nets.layers.s5"),
    "S5Block": (r"^s5\.seq\.Lambda$", "genoseq.nets.layers.s5"),
    "S4": (r"^layer\.kernel\.A_real$", "genoseq.nets.layers.s4"),
}
"""Layers, with a name that each has and the others have not, and where genoseq has them."""

TRAINING = frozenset({"deterministic", "lr", "lr_dt", "verbose", "wd"})
"""Keys of the authors' configurations that say how the layer is trained."""


class StateSpaceLayer(Adapter):
    """Layers of state-spaces/s4 and i404788/s5-pytorch."""

    family = "state_space"
    title = "state-space layer"
    float32 = r"(^|\.)(kernel|seq)\."

    def recognises(self, found: Found) -> bool:
        """By the names, where no configuration claims them for a whole net."""
        return not found.model_type and not found.classes and _kind(found) is not None

    def own_name(self, name: str) -> str | None:
        """The authors' names; those of a bare S5 state space under ``seq.``."""
        return f"seq.{name}" if name in ("Lambda", "B", "C", "log_step") else name

    def own_names(self, found: Found) -> dict[str, str | None]:
        """``D`` alone does not say whose it is."""
        names = super().own_names(found)
        if "Lambda" in found.weights:
            names["D"] = "seq.D"
        return names

    def config_for(self, found: Found) -> dict[str, Any]:
        """The keyword arguments of the layer: the file's keys, and what is missing from shapes."""
        given = {key: value for key, value in found.config.items() if key not in PLUMBING | TRAINING}
        return {**_inferred(found, str(_kind(found))), **given, "_kind": _kind(found)}

    def maker(self, config: Any, head: str) -> tuple[Any, Callable[[], nn.Module]]:
        """The layer's class, and how one is made.

        Raises:
            UsageError: a head is asked for.
        """
        if head != "backbone":
            raise UsageError(f"a single {config['_kind']} layer has no head {head!r}; leave head out")
        layer_class = getattr(import_module(KINDS[config["_kind"]][1]), config["_kind"])
        settings = {key: value for key, value in config.items() if key != "_kind"}
        turned = config["_kind"] != "S4D" and settings.pop("transposed", False)

        def make() -> nn.Module:
            layer: nn.Module = layer_class(**settings)
            return _channels_first(layer) if turned else layer

        return layer_class, make

    def head(self, found: Found) -> str:
        """There is none."""
        return "backbone"


def _kind(found: Found) -> str | None:
    """Which layer has such names."""
    return next((kind for kind, (pattern, _) in KINDS.items() if found.has(pattern)), None)


def _channels_first(layer: nn.Module) -> nn.Module:
    """Let the layer take and give ``(B, H, L)``."""
    layer.register_forward_pre_hook(lambda _, given: (given[0].transpose(1, 2), *given[1:]))
    layer.register_forward_hook(lambda _, given, out: (out[0].transpose(1, 2), *out[1:]))
    return layer


def _inferred(found: Found, kind: str) -> dict[str, Any]:
    """What shapes show of a layer's arguments."""
    shapes = {re.sub(r"^(s5\.)?seq\.", "", name): found.weights.shape(name) for name in found.weights}
    if kind == "S4D":
        return {"d_model": shapes["D"][0], "d_state": 2 * shapes["kernel.C"][1]}
    if kind in ("S5", "S5Block"):
        states = shapes["Lambda"][0]
        both = {"bidir": shapes["C"][1] == 2 * states}
        if kind == "S5":
            return {"width": shapes["D"][0], "state_width": states, **both}
        width, inner = shapes["ff_dec.weight"]
        gated = shapes["ff_enc.weight"][0] == 2 * inner
        return {"dim": width, "state_dim": states, "ff_mult": inner / width, "glu": gated, **both}
    outputs, width = shapes["layer.D"]
    channels, _, half, *_ = shapes["layer.kernel.C"]
    low_rank = "layer.kernel.P" in shapes
    real = "layer.kernel.A_imag" not in shapes
    mixed = shapes.get("output_linear.0.weight")
    return {
        "d_model": width,
        "d_state": half if real else 2 * half,
        "channels": outputs,
        "bidirectional": channels == 2 * outputs,
        "mode": "dplr" if low_rank else "diag",
        "n_ssm": shapes["layer.kernel.B"][1],
        "dt_tie": shapes["layer.kernel.inv_dt"][1] == 1,
        "final_act": None if mixed is None else "glu" if mixed[0] == 2 * width else "identity",
        **({"rank": shapes["layer.kernel.P"][0]} if low_rank else {"is_real": real}),
    }
