"""A net that chooses its own tokens as a tokenizer: `segmenter` shows where H-Net and MergeDNA put the boundaries.

`segmentation_lines` writes them, as BED or for reading.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray

from genoseq.errors import Pathlike, UsageError
from genoseq.infer.running import backbone_of, evaluating
from genoseq.nets.base import Net
from genoseq.tokenizers.merge import Segmentation, Segmenter

__all__ = ["FORMAT", "VERSION", "Form", "choose_form", "segmentation_lines", "segmenter"]

FORMAT = "genoseq.segments"
VERSION = 1
Form = Literal["bed", "text"]
ENDINGS: dict[str, Form] = {".bed": "bed", ".txt": "text"}

Begins = tuple[NDArray[np.bool_], NDArray[np.float32]]


def segmenter(model: Net, tokenizer: Any, *, stage: int = 0) -> Segmenter:
    """A tokenizer that cuts sequences where a learned net begins a new token.

    Each sequence goes through the net by itself and whole. The model stays the caller's: it is in evaluation mode while a
    sequence is cut, and afterwards as it was.

    Args:
        model: a net that chooses its own tokens: H-Net or MergeDNA, with any head or none.
        tokenizer: the net's tokenizer, which makes its input.
        stage: of an H-Net with several, whose chunks: 0 is the outermost with the shortest ones.

    Raises:
        UsageError: a net that does not choose its tokens, or no such stage (when a sequence is cut).

    >>> import genoseq
    >>> model, tokenizer = genoseq.load("hnet-1stage-l")  # doctest: +SKIP
    >>> print(segmenter(model, tokenizer).segment("ATGGCGTAA").render())  # doctest: +SKIP
    0  |AT|GGCG|TAA
    """
    backbone = backbone_of(model)

    @torch.no_grad()
    def begins(ids: NDArray[np.int64]) -> Begins:
        with evaluating(model) as place:
            chosen = backbone(input_ids=torch.from_numpy(ids)[None].to(place)).boundaries
        if not chosen:
            raise UsageError(f"{type(model).__name__} does not choose its own tokens: H-Net and MergeDNA do")
        if not 0 <= stage < len(chosen):
            raise UsageError(f"stage {stage} does not exist: this net has the stages 0 to {len(chosen) - 1}")
        at = np.arange(len(ids))  # where the tokens begin that a stage chooses from
        for number in range(stage):
            at = at[chosen[number].mask[0].cpu().numpy()]
        found, probability = np.zeros(len(ids), bool), np.zeros(len(ids), np.float32)
        found[at] = chosen[stage].mask[0].cpu().numpy()
        probability[at] = chosen[stage].probability[0].float().cpu().numpy()
        return found, probability

    return Segmenter(begins, tokenizer)


def choose_form(path: Pathlike | None, form: str | None = None) -> Form:
    """The form of a file of boundaries, ``bed`` or ``text``: the one asked for, else by the file's ending; BED without a file.

    Raises:
        UsageError: an ending that tells nothing, or another form than the one asked for.

    >>> choose_form("tokens.txt"), choose_form(None)
    ('text', 'bed')
    """
    if path is None:
        return cast(Form, form or "bed")
    told = ENDINGS.get(Path(path).suffix.lower())
    if form is not None and told in (None, form):
        return cast(Form, form)
    if told is None:
        raise UsageError(f"{path}: the name of a file of boundaries ends in {' or '.join(ENDINGS)}, or give --output-format")
    if form is not None:
        raise UsageError(f"--output-format {form} contradicts the ending of {path}")
    return told


def segmentation_lines(name: str, found: Segmentation, *, form: Form) -> Iterator[str]:
    """Lines for one sequence: BED, or its name with a summary and then its letters with a bar at each boundary.

    >>> cut = Segmentation(8, np.array([0, 3, 4]), letters="ACGTTGAC")
    >>> for line in segmentation_lines("s", cut, form="text"):
    ...     print(line)
    >s  3 tokens of 8 bases: mean 2.67, median 3, shortest 1, longest 4
    0  |ACG|T|TGAC
    """
    if form == "bed":
        yield from found.bed_lines(name)
        return
    yield f">{name}  {found.summary()}"
    yield from found.render().splitlines()
