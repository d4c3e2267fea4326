"""Named settings of the search: how much work a read may cost."""

from __future__ import annotations

from typing import Any

from genoseq.align.place import Settings
from genoseq.errors import UsageError

__all__ = ["PRESETS", "settings_for"]

LEAST = 50
"""Least score of a place however small the reference."""
MARGIN = 11
"""Points above the chance score that a place must reach: so that few unrelated reads (1 in 100 or less) are given one."""

PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    "default": ("reads of any divergence up to about 25 %", {}),
    "fast": (
        "stops the search earlier: for reads of the reference's own species",
        {"miss": 0.02, "work": 20_000, "neighbours": False},
    ),
    "sensitive": ("keeps searching until a miss is very improbable", {"miss": 1e-5, "work": 4_000_000, "far_list": 65_536}),
}


def settings_for(preset: str, *, chance: int) -> Settings:
    """Settings of a preset for a reference in which chance alignments score ``chance``.

    Raises:
        UsageError: no such preset.
    """
    if preset not in PRESETS:
        raise UsageError(f"no preset {preset!r}; there are {', '.join(PRESETS)}")
    return Settings(least=max(chance + MARGIN, LEAST))._replace(**PRESETS[preset][1])
