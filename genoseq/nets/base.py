"""What every net of genoseq shares: a strict configuration, initialisation by the layers themselves, masks and embeddings.

A family is one file under ``models``: a configuration (`NetConfig`), a backbone (`Net`) that turns ids or embeddings into
`BackboneOutput`, and one class per head, made of a head from ``heads`` and the family's base class. Layers initialise
themselves: each has ``reset_parameters``, which their constructor calls.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers import initialization as init

from genoseq.errors import InputError, UsageError
from genoseq.nets.config_keys import warn_of_misspelt

__all__ = ["Net", "NetConfig", "real_positions"]


class NetConfig(PreTrainedConfig):
    """Base of the configurations. Fields have the names that the family's public checkpoints use.

    As in transformers, any other key is kept; one that looks like a misspelt field is warned of. Recipes and
    `genoseq.load` refuse unknown keys.
    """

    model_type = "genoseq_net"

    def __post_init__(self, **kwargs: Any) -> None:
        warn_of_misspelt(kwargs, type(self))
        super().__post_init__(**kwargs)

    @property
    def token_limit(self) -> int | None:
        """Most tokens the net takes at once; None where there is no limit."""
        return None

    @property
    def causal(self) -> bool:
        """True if a position only sees those before it, so that the next token can be predicted."""
        return True

    @property
    def shares_strands(self) -> bool:
        """True if both strands share parameters, and the channels of the backbone's output are ``cat(forward, rc(reverse))``."""
        return False


class Net(PreTrainedModel):
    """Base of the backbones and of the nets with heads."""

    config: NetConfig
    config_class = NetConfig
    supports_gradient_checkpointing = True
    _supports_sdpa = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # transformers takes ``config_class`` from the annotation of ``config``, which is text where annotations are.
        chosen = cls.__dict__.get("config_class")
        super().__init_subclass__(**kwargs)
        inherited = (getattr(base, "config_class", None) for base in cls.__mro__[1:])
        cls.config_class = chosen or next(found for found in inherited if isinstance(found, type))  # type: ignore[assignment]

    def _init_weights(self, module: nn.Module) -> None:
        """Give a module's own parameters their initial values (called once per module, children first)."""
        if isinstance(module, nn.Embedding):
            init.normal_(module.weight, mean=0.0, std=getattr(self.config, "initializer_range", 0.02))
            return
        reset = getattr(module, "reset_parameters", None)
        if callable(reset):
            reset()

    def get_expanded_tied_weights_keys(self, all_submodels: bool = False) -> dict[str, str]:
        """Names of parameters that are the same as another's, by configuration or because a layer shares them in itself.

        A layer that does says so in ``_tied_weights_keys``, as nets do: its own name of the copy, and of the original.
        """
        tied = dict(super().get_expanded_tied_weights_keys(all_submodels=all_submodels))
        for prefix, module in self.named_modules():
            if not isinstance(module, PreTrainedModel):
                own: dict[str, str] = getattr(module, "_tied_weights_keys", None) or {}
                tied.update({f"{prefix}.{copy}": f"{prefix}.{original}" for copy, original in own.items()})
        return tied

    def get_input_embeddings(self) -> nn.Embedding:
        """The module that turns ids into vectors."""
        base = getattr(self, self.base_model_prefix, None) if self.base_model_prefix else None
        if isinstance(base, Net):
            return base.get_input_embeddings()
        raise NotImplementedError(f"{type(self).__name__} does not say where its embeddings are")

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the module that turns ids into vectors."""
        base = getattr(self, self.base_model_prefix, None) if self.base_model_prefix else None
        if not isinstance(base, Net):
            raise NotImplementedError(f"{type(self).__name__} does not say where its embeddings are")
        base.set_input_embeddings(value)

    def embed(self, input_ids: Tensor | None, inputs_embeds: Tensor | None) -> Tensor:
        """Embeddings ``(B, L, D)`` of ids ``(B, L)``, or the given ones; says what is wrong with the input.

        Raises:
            UsageError: both or neither given, more tokens than the net takes, or ids that are no whole numbers.
            InputError: an empty sequence, or ids outside the vocabulary.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise UsageError("give a net either input_ids or inputs_embeds, not both and not neither")
        if inputs_embeds is not None:
            self._check_length(inputs_embeds.shape[1])
            # A copy: without gradients the net works in place on what it gets.
            return inputs_embeds if torch.is_grad_enabled() else inputs_embeds.clone()
        self.check_ids(input_ids)
        embedded: Tensor = self.get_input_embeddings()(input_ids)
        return embedded

    def check_ids(self, input_ids: Tensor | None) -> None:
        """Raise what `embed` says unless ids ``(B, L)`` can be embedded."""
        if input_ids is None:
            raise UsageError("this net needs input_ids")
        if input_ids.dim() != 2:
            raise UsageError(f"input_ids has {input_ids.dim()} dimensions, expected 2: (batch, positions)")
        if input_ids.is_floating_point() or input_ids.is_complex() or input_ids.dtype == torch.bool:
            raise UsageError(f"input_ids is of type {input_ids.dtype}, expected whole numbers: the ids of tokens, as int64")
        self._check_length(input_ids.shape[1])
        rows = self.get_input_embeddings().weight.shape[0]
        # On a GPU looking would make the CPU wait; there the lookup itself fails on a wrong id.
        if not input_ids.is_cuda and not (int(input_ids.min()) >= 0 and int(input_ids.max()) < rows):
            wrong = int(input_ids[(input_ids < 0) | (input_ids >= rows)][0])
            raise InputError(f"token id {wrong} is outside the net's vocabulary of {rows}: is this the net's own tokenizer?")

    def _check_length(self, length: int) -> None:
        if length == 0:
            raise InputError("a sequence without tokens has no embedding; leave empty sequences out")
        limit = self.config.token_limit
        if limit is not None and length > limit:
            raise UsageError(
                f"the sequence has {length:,} tokens, this net takes at most {limit:,}: "
                "cut it into windows, or use a net for longer ones"
            )


def real_positions(attention_mask: Tensor | None) -> Tensor | None:
    """The mask that layers take, ``(B, L)`` bool, or None where nothing is padded.

    Args:
        attention_mask: ``(B, L)``, 1 at tokens and 0 at padding, which must be on the left or on the right of the tokens.

    Raises:
        UsageError: the mask is not two-dimensional, or a sequence has no tokens.
    """
    if attention_mask is None:
        return None
    if attention_mask.dim() != 2:
        raise UsageError(f"attention_mask has {attention_mask.dim()} dimensions, expected 2: (batch, positions)")
    mask = attention_mask.bool()
    if mask.all():
        return None
    if not mask.any(dim=1).all():
        raise UsageError("a sequence of the batch is all padding; leave empty sequences out")
    return mask
