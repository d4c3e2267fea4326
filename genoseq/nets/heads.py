"""Heads: what a backbone is used for. Each family makes its classes from these.

    class HyenaDNAForCausalLM(CausalLM, HyenaDNANet):
        backbone_class = HyenaDNAModel

The backbone is the attribute that ``base_model_prefix`` names, as everywhere in transformers, so that weights trained with one
head load under another.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.utils.generic import can_return_tuple

from genoseq.errors import UsageError
from genoseq.nets.base import Net, NetConfig, real_positions
from genoseq.nets.outputs import BackboneOutput, NetOutput
from genoseq.nets.pooling import pool

__all__ = ["CausalLM", "LanguageModel", "MaskedLM", "SequenceHead", "TokenHead", "cross_entropy", "label_loss", "without_padding"]

IGNORED = -100


class WithBackbone(Net):
    """A net with a head: builds the backbone under the family's name for it."""

    backbone_class: ClassVar[type[Net]]

    def __init__(self, config: NetConfig) -> None:
        super().__init__(config)
        setattr(self, self.base_model_prefix, self.backbone_class(config))
        self.add_head(config)
        self.post_init()

    def add_head(self, config: NetConfig) -> None:
        """Make the modules of the head."""
        raise NotImplementedError

    @property
    def backbone_net(self) -> Net:
        """The net without its head."""
        net: Net = getattr(self, self.base_model_prefix)
        return net

    @property
    def width(self) -> int:
        """Channels of the backbone's output."""
        return int(getattr(self.config, "output_width", None) or self.config.hidden_size)


class LanguageModel(WithBackbone):
    """Logits over the vocabulary at every position; `CausalLM` and `MaskedLM` differ in their loss."""

    @property
    def predicts_next(self) -> bool:
        """True if the logits at a position are of the token after it, False if they are of the token there."""
        raise NotImplementedError

    def add_head(self, config: NetConfig) -> None:
        """A linear map to the vocabulary; families whose head is another override this and `head_logits`."""
        rows = self.get_input_embeddings().weight.shape[0]
        self.lm_head = nn.Linear(self.width, rows, bias=False)

    def get_output_embeddings(self) -> nn.Module | None:
        """The module that maps to the vocabulary."""
        head: nn.Module = self.lm_head
        return head

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace the module that maps to the vocabulary."""
        self.lm_head = new_embeddings

    def head_logits(self, hidden: Tensor) -> Tensor:
        """Logits ``(B, l, V)`` of the backbone's output ``(B, l, D)`` at any positions."""
        logits: Tensor = self.lm_head(hidden)
        return logits

    def loss(self, logits: Tensor, labels: Tensor, *, items: Tensor | int | None = None, weights: Tensor | None = None) -> Tensor:
        """The loss that belongs to this kind of language model, in nats per predicted token."""
        raise NotImplementedError

    def extra_loss(self, out: BackboneOutput) -> Tensor | None:
        """What a family adds to the loss besides the prediction of tokens."""
        return None

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        cache: Any | None = None,
        use_cache: bool = False,
        output_hidden_states: bool | None = None,
        logits_to_keep: int = 0,
        **options: Any,
    ) -> NetOutput:
        """Logits, and the loss if labels are given.

        Args:
            input_ids: ``(B, L)`` token ids.
            attention_mask: ``(B, L)``, 0 at padding on the left or right; without it every position counts.
            inputs_embeds: ``(B, L, D)`` instead of ids.
            labels: ``(B, L)`` token ids to predict, aligned with the input; -100 is ignored.
            cache: what an earlier call returned, to go on after the piece of sequence it saw.
            use_cache: return a cache.
            output_hidden_states: return the hidden states too; the configuration's choice unless given.
            logits_to_keep: only the last so many positions get logits; 0 means all.
            options: ``num_items_in_batch``, the number by which the summed loss is divided instead of the number of labels;
                ``loss_weights`` ``(B, L)``, how much each label counts.

        Raises:
            UsageError: too many tokens, or a cache for a net that cannot go on from one.
            InputError: ids that the net does not know, or an empty sequence.
        """
        items = options.pop("num_items_in_batch", None)
        weights = options.pop("loss_weights", None)
        out: BackboneOutput = self.backbone_net(
            input_ids=input_ids,
            attention_mask=attention_mask,
            inputs_embeds=inputs_embeds,
            cache=cache,
            use_cache=use_cache,
            output_hidden_states=output_hidden_states,
            **options,
        )
        hidden = out.last_hidden_state
        assert hidden is not None  # backbones always give it
        if labels is not None and logits_to_keep:
            raise UsageError("labels need logits at all positions: leave logits_to_keep out")
        logits = self.head_logits(hidden[:, -logits_to_keep:] if logits_to_keep else hidden)
        loss = None if labels is None else self.loss(logits, labels, items=items, weights=weights)
        extra = None if loss is None else self.extra_loss(out)
        if loss is not None and extra is not None:
            loss = loss + extra
        return NetOutput(loss=loss, logits=logits, hidden_states=out.hidden_states, cache=out.cache, boundaries=out.boundaries)


class CausalLM(LanguageModel):
    """Predicts each token from those before it.

    Raises:
        UsageError: a net that sees both sides of a position, and with that the token it should predict.
    """

    predicts_next = True

    def __getattr__(self, name: str) -> Any:
        if name == "generate":
            raise AttributeError(
                f"{type(self).__name__} has no generate of transformers: use genoseq.infer.generate(model, tokenizer, prompts, "
                "length=N), or `genoseq generate`"
            )
        return super().__getattr__(name)

    def __init__(self, config: NetConfig) -> None:
        if not config.causal:
            raise UsageError(
                f"{type(self).__name__} predicts the next token, and this net sees it: one that reads in both directions "
                "is a masked language model"
            )
        super().__init__(config)

    def loss(self, logits: Tensor, labels: Tensor, *, items: Tensor | int | None = None, weights: Tensor | None = None) -> Tensor:
        """Cross entropy of token ``i + 1`` given the logits at ``i``."""
        shifted = None if weights is None else weights[:, 1:]
        return cross_entropy(logits[:, :-1], labels[:, 1:], items=items, weights=shifted)


class MaskedLM(LanguageModel):
    """Predicts tokens at their own position, from both sides if the net sees them."""

    predicts_next = False
    masks_itself: ClassVar[bool] = False
    """Whether in training the net masks tokens on its own, and wants the unmasked ids and all labels."""

    def loss(self, logits: Tensor, labels: Tensor, *, items: Tensor | int | None = None, weights: Tensor | None = None) -> Tensor:
        """Cross entropy of token ``i`` given the logits at ``i``."""
        return cross_entropy(logits, labels, items=items, weights=weights)


class SequenceHead(WithBackbone):
    """One answer per sequence: classes, several labels at once, or numbers (``config.problem_type``)."""

    pool_default: ClassVar[str] = "mean"

    def add_head(self, config: NetConfig) -> None:
        """A linear map from the pooled vector to the labels."""
        self.score = nn.Linear(self.width, int(config.num_labels or 2), bias=False)

    def sequence_logits(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """Logits ``(B, labels)`` of the backbone's output ``(B, L, D)``."""
        logits: Tensor = self.score(pool(hidden, mask, getattr(self.config, "pool", None) or self.pool_default))
        return logits

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
        **options: Any,
    ) -> NetOutput:
        """Logits ``(B, labels)``, and the loss if labels ``(B,)`` or ``(B, labels)`` are given."""
        options.pop("num_items_in_batch", None)
        out: BackboneOutput = self.backbone_net(
            input_ids=input_ids,
            attention_mask=attention_mask,
            inputs_embeds=inputs_embeds,
            output_hidden_states=output_hidden_states,
            **options,
        )
        assert out.last_hidden_state is not None  # backbones always give it
        logits = self.sequence_logits(out.last_hidden_state, real_positions(attention_mask))
        loss = None if labels is None else label_loss(logits, labels, self.config)
        return NetOutput(loss=loss, logits=logits, hidden_states=out.hidden_states)


class TokenHead(WithBackbone):
    """One answer per token: classes, or numbers (``config.problem_type = "regression"``)."""

    def add_head(self, config: NetConfig) -> None:
        """A linear map from each position to the labels."""
        self.classifier = nn.Linear(self.width, int(config.num_labels or 2))

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
        **options: Any,
    ) -> NetOutput:
        """Logits ``(B, L, labels)``, and the loss if labels are given.

        Labels are classes ``(B, L)``, -100 ignored, or numbers ``(B, L, labels)``, NaN ignored.
        """
        items = options.pop("num_items_in_batch", None)
        out: BackboneOutput = self.backbone_net(
            input_ids=input_ids,
            attention_mask=attention_mask,
            inputs_embeds=inputs_embeds,
            output_hidden_states=output_hidden_states,
            **options,
        )
        logits: Tensor = self.classifier(out.last_hidden_state)
        loss = None
        if labels is not None and self.config.problem_type == "regression":
            wanted = labels.reshape(logits.shape)
            known = ~wanted.isnan()
            loss = functional.mse_loss(logits.float()[known], wanted.float()[known])
        elif labels is not None:
            loss = cross_entropy(logits, labels, items=items)
        return NetOutput(loss=loss, logits=logits, hidden_states=out.hidden_states)


def cross_entropy(logits: Tensor, labels: Tensor, *, items: Tensor | int | None = None, weights: Tensor | None = None) -> Tensor:
    """Mean cross entropy in nats over labels that are not -100, or their sum divided by ``items``; float32 inside.

    Without any such label it is 0: a batch in which nothing happens to be masked teaches nothing, and does no harm.

    Args:
        logits: ``(..., classes)``.
        labels: ``(...)``.
        items: number of labels of the whole step, when this batch is a part of it.
        weights: ``(...)``, how much each label counts; the mean is then the weighted one.
    """
    flat = logits.reshape(-1, logits.shape[-1])
    flat = flat.to(torch.promote_types(flat.dtype, torch.float32))
    wanted = labels.reshape(-1).to(flat.device)
    if weights is not None:
        each = functional.cross_entropy(flat, wanted, ignore_index=IGNORED, reduction="none")
        counted = weights.reshape(-1).to(flat) * (wanted != IGNORED)
        total = counted.sum()
        return (each * counted).sum() / torch.where(total == 0, 1.0, total)
    if items is None:
        items = (wanted != IGNORED).sum().clamp(min=1)
    return functional.cross_entropy(flat, wanted, ignore_index=IGNORED, reduction="sum") / items


def without_padding(labels: Tensor, pad_token_id: int | None) -> Tensor:
    """Labels in which padding does not count either."""
    return labels if pad_token_id is None else labels.masked_fill(labels == pad_token_id, IGNORED)


def label_loss(logits: Tensor, labels: Tensor, config: NetConfig) -> Tensor:
    """The loss of sequence labels by ``config.problem_type``; found out from the labels, and noted, where it is not set.

    One label is a number to regress on, whole numbers are classes, anything else is several labels at once.
    """
    if config.problem_type is None:
        if logits.shape[-1] == 1:
            config.problem_type = "regression"
        else:
            whole = not labels.is_floating_point()
            config.problem_type = "single_label_classification" if whole else "multi_label_classification"
    logits = logits.float()
    if config.problem_type == "regression":
        return functional.mse_loss(logits.reshape(labels.shape), labels.float())
    if config.problem_type == "single_label_classification":
        return functional.cross_entropy(logits, labels.reshape(-1))
    return functional.binary_cross_entropy_with_logits(logits, labels.float())
