"""Both strands through one net, averaged afterwards: post-hoc conjoining (Zhou et al. 2022; Schiff et al. 2024, section 4.2).

`Conjoined` makes the answer of any net over DNA the same for a sequence and its reverse complement, to within rounding, without
training it anew: it asks the net twice and brings the second answer back to the first strand.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from genoseq.errors import UsageError
from genoseq.nets.base import Net
from genoseq.nets.heads import LanguageModel, SequenceHead
from genoseq.nets.layers.equivariant import complement_table
from genoseq.nets.outputs import BackboneOutput, NetOutput

__all__ = ["Conjoined"]


class Conjoined(nn.Module):
    """The mean of what a net says of a sequence and of its reverse complement.

    Logits of masked language models are averaged base by base, each token's with its complement's on the other strand; labels of
    tokens and hidden states position by position; labels of sequences as they are.

    Args:
        net: a net over single bases, with a head that is no causal language model, or without one.
        complement_map: id of each token's complement; other ids are their own.
        fixed: ids of tokens that stay where they are when the sequence is turned round: padding, [CLS], [SEP] and the like.

    Raises:
        UsageError: a causal language model, which predicts other tokens on the other strand; or a map that is none.

    >>> from genoseq.nets.models.caduceus import CaduceusConfig, CaduceusForMaskedLM
    >>> from genoseq.tokenizers import CaduceusTokenizer
    >>> net = CaduceusForMaskedLM(CaduceusConfig(d_model=8, n_layer=1, vocab_size=12)).eval()
    >>> both = Conjoined.of(net, CaduceusTokenizer())
    >>> here, there = (both(CaduceusTokenizer()(text, return_tensors="pt")["input_ids"]).logits for text in ("AACG", "CGTT"))
    >>> bool(torch.allclose(here[0, 0, [7, 8, 9, 10]], there[0, 3, [10, 9, 8, 7]], atol=1e-6))
    True
    """

    complements: Tensor

    def __init__(self, net: Net, complement_map: Mapping[int | str, int], *, fixed: Collection[int] = ()) -> None:
        super().__init__()
        if isinstance(net, LanguageModel) and net.predicts_next:
            raise UsageError(
                f"{type(net).__name__} predicts the next token, which on the other strand is another one: average the "
                "likelihoods of whole sequences instead (genoseq.infer.score with strand='both')"
            )
        self.net = net
        rows = net.get_input_embeddings().weight.shape[0]
        self.register_buffer("complements", complement_table(complement_map, rows), persistent=False)
        self.fixed = tuple(sorted(fixed))

    @classmethod
    def of(cls, net: Net, tokenizer: Any) -> Conjoined:
        """With the complements and special tokens of a tokenizer of single bases.

        Raises:
            UsageError: the tokenizer knows no complements.
        """
        complements = getattr(tokenizer, "complement_map", None)
        if complements is None:
            raise UsageError(f"{type(tokenizer).__name__} knows no complements: conjoining strands is for single bases")
        moving = {tokenizer.mask_token_id, tokenizer.unk_token_id}
        return cls(net, complements, fixed=set(tokenizer.all_special_ids) - moving)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, output_hidden_states: bool | None = None
    ) -> NetOutput | BackboneOutput:
        """The mean over the strands of ids ``(B, L)``, padded on either side where ``attention_mask`` ``(B, L)`` is 0."""
        turn = self.turned(input_ids, attention_mask)
        other = self.complements[input_ids].gather(1, turn)
        asked: dict[str, Any] = {"attention_mask": attention_mask, "output_hidden_states": output_hidden_states}
        here, there = self.net(input_ids=input_ids, **asked), self.net(input_ids=other, **asked)
        flips = self.net.config.shares_strands

        def mean(one: Tensor | None, two: Tensor | None) -> Tensor:
            assert one is not None and two is not None  # nets always give what is asked for here
            two = two.gather(1, turn[..., None].expand_as(two))
            return (one + (two.flip(-1) if flips else two)) / 2

        states = None
        if here.hidden_states is not None:
            states = tuple(mean(one, two) for one, two in zip(here.hidden_states, there.hidden_states, strict=True))
        if isinstance(here, BackboneOutput):
            return BackboneOutput(last_hidden_state=mean(here.last_hidden_state, there.last_hidden_state), hidden_states=states)
        if isinstance(self.net, SequenceHead):
            return NetOutput(logits=(here.logits + there.logits) / 2, hidden_states=states)
        answer = there.logits.gather(1, turn[..., None].expand_as(there.logits))
        if isinstance(self.net, LanguageModel):
            answer = answer[..., self.complements]
        return NetOutput(logits=(here.logits + answer) / 2, hidden_states=states)

    def turned(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Where each position of the other strand is on this one, ``(B, L)``; its own inverse."""
        stays = torch.isin(input_ids, torch.tensor(self.fixed, dtype=input_ids.dtype, device=input_ids.device))
        moves = ~stays if attention_mask is None else ~stays & attention_mask.bool()
        order = torch.argsort((~moves).to(torch.int8), dim=1, stable=True)  # those that move first
        rank = moves.sum(dim=1, keepdim=True) - moves.cumsum(dim=1)
        places = torch.arange(input_ids.shape[1], device=input_ids.device).expand_as(input_ids)
        return torch.where(moves, order.gather(1, rank.clamp(min=0)), places)
