"""Language models that commands take beside models of a family: ``-m poet=DIR`` and ``-m masked=DIR``."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

if TYPE_CHECKING:
    from genoseq.families.language.read_once import LanguageScorer
    from genoseq.families.poet.prompt import Prompt

__all__ = ["KINDS", "Member", "drawn_prompts", "open_member", "split_models"]

log = logging.getLogger("genoseq.family")

KINDS = ("poet", "masked")
LONG = 60  # seconds from which a word on the time is due
PROBE = 128  # tokens that are read to know the speed


class Member(NamedTuple):
    """A language model that was loaded, for any protein.

    Attributes:
        name: in tables: its kind, with a number from the second of a kind on.
        kind: one of ``KINDS``.
        source: as the user gave it.
        sha256: of the weights.
        scorer: makes what scores, of the wild type, its prompts and the number of sequences that will be asked for.
    """

    name: str
    kind: str
    source: str
    sha256: str
    scorer: Callable[[str, Sequence[Prompt], int], LanguageScorer]


def split_models(models: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Plain sources, and pairs of kind and source of those given as ``KIND=SOURCE``.

    Raises:
        click.UsageError: a kind without a source.
    """
    plain, members = [], []
    for one in models:
        kind, equals, source = one.partition("=")
        if equals and kind in KINDS:
            if not source:
                raise click.UsageError(f"-m {one}: name the folder or file of the model behind {kind}=")
            members.append((kind, source))
        else:
            plain.append(one)
    return plain, members


def open_member(kind: str, source: str, *, device: str, taken: Sequence[str] = ()) -> Member:
    """Load a language model; its licence goes to the log.

    Args:
        kind: one of ``KINDS``.
        source: folder, file or name on the hub.
        device: ``auto``, ``cpu`` or ``cuda``.
        taken: names of members that there are already.

    Raises:
        InputError: no such folder, or it cannot be loaded.
        UsageError: a model of another kind.
    """
    from genoseq.errors import InputError
    from genoseq.families.language.masked import MaskedModel, MaskedScorer, load_masked
    from genoseq.infer.running import choose_device

    # names on the hub have one slash and no leading dot; anything else that is not there is a slip of the pen
    if not Path(source).exists() and (source.count("/") != 1 or source.startswith((".", "/", "~"))):
        remedy = (
            "train one (genoseq family poet train) or name the checkpoint"
            if kind == "poet"
            else "name a folder of ESM-2 or ESM C"
        )
        raise InputError("no such file or folder", path=source, remedy=f"-m {kind}=: {remedy}")
    place = str(choose_device(device))
    count = sum(name.split("_")[0] == kind for name in taken)
    name = kind if not count else f"{kind}_{count + 1}"
    if kind == "masked":
        model: MaskedModel = load_masked(source, device=place)

        def masked(wild_type: str, prompts: Sequence[Prompt], count: int) -> LanguageScorer:
            length = min(len(wild_type), model.window)
            _tell_time(name, model.net, len(wild_type) * length, f"{len(wild_type):,} residues masked one at a time")
            return MaskedScorer(model, wild_type)

        return Member(name, kind, source, model.digest(), masked)
    from genoseq.checkpoints.loading import load
    from genoseq.families.poet.scoring import PoETFamily, check_poet
    from genoseq.infer.provenance import model_hash

    net, tokenizer = load(source, dtype="float32", device=place)
    poet = check_poet(net)

    def after_prompts(wild_type: str, prompts: Sequence[Prompt], count: int) -> LanguageScorer:
        # half of a protein is read for a variant, on the average over places and directions
        tokens = 2 * sum(prompt.tokens for prompt in prompts) + len(prompts) * count * len(wild_type)
        _tell_time(name, poet, tokens, f"{count:,} sequences after {len(prompts)} prompt{'s' * (len(prompts) > 1)}")
        return PoETFamily(poet, tokenizer, prompts, wild_type=wild_type)

    return Member(name, kind, source, model_hash(poet), after_prompts)


def drawn_prompts(homologues: Any, count: int | None, seed: int | None) -> list[Prompt]:
    """So many prompts of a family (one unless given), and a word on each."""
    from genoseq.families.poet.prompt import draw_prompts, prompt_grid

    prompts = draw_prompts(homologues, prompt_grid(count or 1), seed=seed or 0)
    for prompt in prompts:
        log.info("prompt of %d tokens: %d of %d sequences", prompt.tokens, len(prompt.sequences), len(homologues))
    return prompts


def _tell_time(name: str, net: Any, tokens: int, what: str) -> None:
    """A warning of what takes long, by the time of a few tokens; attention to what stands before comes on top of it."""
    import torch

    from genoseq.infer.running import evaluating

    ids = torch.zeros(1, PROBE, dtype=torch.long, device=next(net.parameters()).device) + 5  # any residue
    with evaluating(net, None), torch.inference_mode():
        net(input_ids=ids[:, :8])  # the first call of a process makes its buffers
        begun = time.monotonic()
        net(input_ids=ids)
        seconds = (time.monotonic() - begun) / PROBE * tokens
    if seconds >= LONG:
        log.warning("%s: %s will take %d minutes or more on %s", name, what, max(1, round(seconds / 60)), ids.device.type)
