"""Under which licence public protein models are given out, so that nobody finds out too late.

What a folder says itself (``license:`` at the top of its README.md, as the hub has it) goes first; for names, a small table of
what their pages said, each with its source; where pages disagree or could not be read it says "not verified" instead of a guess.
Neither is legal advice, and the model's own page is what holds.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import NamedTuple

from genoseq.errors import Pathlike
from genoseq.log import announce

__all__ = ["LICENCES", "Licence", "licence_of", "tell_licence"]

log = logging.getLogger(__name__)


class Licence(NamedTuple):
    """A licence: its short name, what it means for use, and where that was found (``table``, ``README.md`` or nowhere)."""

    name: str
    note: str
    source: str


LICENCES: dict[str, tuple[str, str]] = {
    # metadata of huggingface.co/facebook/esm2_t33_650M_UR50D and its sisters; LICENSE of github.com/facebookresearch/esm
    r"facebook/esm2_.*": ("MIT", "free use, also commercial"),
    # README.md of huggingface.co/biohub/ESMC-6B: "license: mit, other", with THIRD_PARTY_NOTICE.md of github.com/Biohub/esm
    r"biohub/esmc-(300m|600m|6b)": ("MIT", "free use, also commercial; third-party notices apply"),
    # LICENSE.md of github.com/evolutionaryscale/esm, and the README.md of each model. Later also under biohub/
    r"evolutionaryscale/esmc-300m.*": (
        "Cambrian Open License", "also commercial use, on conditions: read them",
    ),
    r"evolutionaryscale/esmc-600m.*": ("Cambrian Non-Commercial License", "non-commercial use only"),
    r"biohub/esmc-.*-2024-12": ("not verified", "given out under the Cambrian licences before: read the model's page"),
    # huggingface.co/ChatterjeeLab/PepMLM-650M says MIT since 2025 and said CC BY-NC-ND 4.0 before; README.md of
    # github.com/programmablebio/pepmlm, which names TianlaiChen/PepMLM-650M, says CC BY-NC-SA 4.0
    r"(chatterjeelab|tianlaichen)/pepmlm-.*": (
        "not verified", "its pages say MIT, CC BY-NC-ND 4.0 and CC BY-NC-SA 4.0: ask the authors before commercial use",
    ),
    # metadata of huggingface.co/nferruz/ProtGPT2 and huggingface.co/AI4PD/ZymCTRL
    r"nferruz/protgpt2": ("Apache 2.0", "free use, also commercial"),
    r"(nferruz|ai4pd)/zymctrl": ("Apache 2.0", "free use, also commercial"),
    # README.md of huggingface.co/GreatCaptainNemo/ProLLaMA and of ProLLaMA_Stage_1: "license: apache-2.0", "please follow the
    # license of Llama2"
    r"greatcaptainnemo/prollama.*": (
        "Apache 2.0 and Llama 2 Community License", "trained from Llama 2, whose terms of use apply too",
    ),
    # README.md of github.com/OpenProteinAI/PoET on zenodo.org/records/10061322
    r"openproteinai/poet.*|.*poet\.ckpt": ("CC BY-NC-SA 4.0", "academic use only"),
}  # fmt: skip
"""Short name and meaning of the licence of public models, by a pattern of their names in lower case."""
FRONT = re.compile(r"\A---\s*\n(.*?)\n---", re.DOTALL)
FIELD = re.compile(r"^license(?:_name)?:[ \t]*([^\n]*)((?:\n[ \t]*-[ \t]+[^\n]+)*)", re.MULTILINE)
NO_COMMERCE = re.compile(r"\b(nc|non[- ]?commercial)\b", re.IGNORECASE)
LONGEST = 1 << 16
"""Characters of a README that are read."""


def licence_of(source: Pathlike) -> Licence:
    """The licence of a model by its folder or name.

    >>> licence_of("facebook/esm2_t33_650M_UR50D").name
    'MIT'
    >>> licence_of("ChatterjeeLab/PepMLM-650M").name
    'not verified'
    >>> licence_of("someone/else").name
    'unknown'
    """
    folder = Path(source)
    readme = folder / "README.md"
    if readme.is_file():
        with readme.open(encoding="utf-8", errors="replace") as file:
            found = _stated(file.read(LONGEST))
        if found:
            note = "non-commercial use only" if NO_COMMERCE.search(found.replace("-", " ")) else "see the model's page"
            return Licence(found, note, "README.md")
    name = str(source).rstrip("/").lower()
    for pattern, (short, note) in LICENCES.items():
        if re.fullmatch(pattern, name):
            return Licence(short, note, "table")
    return Licence("unknown", "read the model's page before you use what comes out of it", "nowhere")


def tell_licence(source: Pathlike) -> Licence:
    """Say the licence of a model in the log, and return it."""
    found = licence_of(source)
    announce(log, "%s: licence %s (%s)", source, found.name, found.note)
    return found


def _stated(text: str) -> str:
    """What the front matter of a README says about the licence; empty if nothing."""
    front = FRONT.match(text)
    if front is None:
        return ""
    match = FIELD.search(front[1])
    if match is None:
        return ""
    items = [item.strip(" \t-") for item in match[2].splitlines() if item.strip()]
    return ", ".join(one.strip("'\"[] ") for one in ([match[1]] if match[1].strip() else []) + items)
