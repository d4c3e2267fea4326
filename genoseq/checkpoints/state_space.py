"""Single state-space layers: S4 (DPLR and diagonal), S4D and S5, by the names of their authors' programs.

``genoseq.load`` gives the layer itself, with no tokenizer: ``layer(x)`` is ``(y, cache)``. Without a configuration channels are
last; a configuration means what it means to the authors' programs, where S4 and S4D take ``(B, H, L)`` unless it says
``transposed: false``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from typing import Any

from torch import nn

from genoseq.checkpoints.adapter import PLUMBING, Adapter, Found
from genoseq.errors import InputError, UsageError

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
STARTING = frozenset(
    {
        "bcInit", "initializer",
        "B_init", "B_random", "B_scale", "P_scale", "imag_random", "imag_scale", "normalize", "real_random", "real_scale",
    }
)  # fmt: skip
"""Keys that say how the numbers were drawn which the weights now hold."""
ABSENT = {"bottleneck": None, "factor_rank": None, "gate": None, "gate_act": None, "weight_norm": False}
"""Keys of parts that genoseq's layers do not have, with the value that leaves the part out."""
KERNELS = {"diag": "diag", "dplr": "dplr", "nplr": "dplr", "s4": "dplr", "s4d": "diag"}
"""What the authors' program calls the kernels of S4, and their names here."""


class StateSpaceLayer(Adapter):
    """Layers of state-spaces/s4 and i404788/s5-pytorch."""

    family = "state_space"
    title = "state-space layer"
    float32 = r"(^|\.)(kernel|seq)\."

    def recognises(self, found: Found) -> bool:
        """By the names, where no configuration claims them for a whole net."""
        return not found.model_type and not found.classes and _kind(found) is not None

    def check_changes(self, changes: Collection[str], found: Found) -> None:
        """Nothing to refuse here: the layer's own arguments are checked when it is made."""

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
        """The keyword arguments of the layer: the file's keys, and what is missing from shapes.

        Raises:
            InputError: the file asks for parts that the layers here do not have.
        """
        kind = str(_kind(found))
        given = _given(found, kind)
        return {**_inferred(found, kind, given), **given, "_kind": kind}

    def maker(self, config: Any, head: str) -> tuple[Any, Callable[[], nn.Module]]:
        """The layer's class, and how one is made.

        Raises:
            UsageError: a head is asked for.
        """
        if head != "backbone":
            raise UsageError(f"a single {config['_kind']} layer has no head {head!r}; leave head out")
        layer_class = getattr(import_module(KINDS[config["_kind"]][1]), config["_kind"])
        settings = {key: value for key, value in config.items() if key != "_kind"}
        turned = config["_kind"] == "S4" and settings.pop("transposed", False)

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


def _given(found: Found, kind: str) -> dict[str, Any]:
    """What the file says of a layer's arguments, by their names here; nothing if there is no file.

    Raises:
        InputError: it asks for parts that the layers here do not have.
    """
    path = found.config_path or found.weights.path
    given = {key: value for key, value in found.config.items() if key not in PLUMBING | TRAINING | STARTING}
    if found.config.get("bcInit") == "factorized":
        raise InputError("configuration: bcInit is 'factorized': genoseq reads S5 layers with whole matrices B and C", path=path)
    for key, only in ABSENT.items():
        value = given.pop(key, only)
        if value not in (None, only):
            raise InputError(f"configuration: {key} is {value!r}: genoseq reads layers without that part", path=path)
    if kind in ("S4", "S4D") and found.config:
        given.setdefault("transposed", True)
    if kind != "S4":
        return given
    given.pop("backend", None)  # which of several programs for the same numbers
    for old, new in (("postact", "final_act"), ("measure", "init"), ("kernel", "mode")):
        value = given.pop(old, None)  # the names of older versions; kernel is the newer one
        if value is not None:
            given[new] = value
    if given.get("init") is None:
        given.pop("init", None)
    mode = given.get("mode")
    if mode is not None and mode not in KERNELS:
        raise InputError(f"configuration: the kernel is {mode!r}: known are {', '.join(KERNELS)}", path=path)
    if mode is not None:
        given["mode"] = KERNELS[mode]
    return given


def _inferred(found: Found, kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What shapes show of a layer's arguments, some of which the file has given."""
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
    rows, width = shapes["layer.D"]
    channels, _, half, *_ = shapes["layer.kernel.C"]
    outputs = rows // 2 if given.get("activation") == "glu" else rows
    low_rank = "layer.kernel.P" in shapes
    real = "layer.kernel.A_imag" not in shapes
    mixed = shapes.get("output_linear.0.weight")
    return {
        "d_model": width,
        "d_state": half if real else 2 * half,
        "channels": outputs,
        "bidirectional": channels == 2 * rows,
        "mode": "dplr" if low_rank else "diag",
        "n_ssm": shapes["layer.kernel.B"][1],
        "dt_tie": shapes["layer.kernel.inv_dt"][1] == 1,
        "final_act": None if mixed is None else "glu" if mixed[0] == 2 * width else "identity",
        **({"rank": shapes["layer.kernel.P"][0]} if low_rank else {"is_real": real}),
    }
