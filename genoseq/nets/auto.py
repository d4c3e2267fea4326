"""``AutoConfig`` and ``AutoModel`` find genoseq's nets: `register_auto_nets` tells transformers of them."""

from __future__ import annotations

import functools

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from genoseq.nets.architectures import ARCHITECTURES

__all__ = ["register_auto_nets"]

AUTO = {
    "backbone": AutoModel,
    "causal_lm": AutoModelForCausalLM,
    "masked_lm": AutoModelForMaskedLM,
    "sequence": AutoModelForSequenceClassification,
    "token": AutoModelForTokenClassification,
}


@functools.cache
def register_auto_nets() -> None:
    """Make ``AutoModel.from_pretrained`` and its kin open folders that genoseq's nets were saved to.

    Once in a process; `genoseq.load` does not need it.

    >>> from genoseq.nets.auto import register_auto_nets
    >>> register_auto_nets()
    >>> from transformers import AutoConfig
    >>> type(AutoConfig.for_model("hyenadna", d_model=64)).__name__
    'HyenaDNAConfig'
    """
    for architecture in ARCHITECTURES.values():
        config = architecture.config_class
        AutoConfig.register(architecture.model_type, config)
        for head in architecture.heads:
            # transformers compares the bare names of classes, and has a MambaConfig and an EsmConfig of its own
            AUTO[head].register(config, architecture.net_class(head), exist_ok=True)
