"""A net that chooses its own tokens as a tokenizer: `segmenter` shows where H-Net and MergeDNA put the boundaries."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from genoseq.errors import UsageError
from genoseq.infer.running import backbone_of, evaluating
from genoseq.nets.base import Net
from genoseq.tokenizers.merge import Segmenter

__all__ = ["segmenter"]

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
