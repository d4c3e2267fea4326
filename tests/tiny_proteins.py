"""Tiny random checkpoints of protein language models, as the hub lays them out: ESM-2, ESM C, ProtGPT2, ZymCTRL, ProLLaMA."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

__all__ = ["save_esm2", "save_esmc", "save_prollama", "save_protgpt2", "save_zymctrl"]

AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' progress bars."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.enable_progress_bar()


def save_esm2(folder: Path, *, seed: int = 0, positions: int = 1026) -> Path:
    """ESM-2 (PepMLM is one, too) with 2 layers of width 16."""
    from transformers import EsmConfig, EsmForMaskedLM

    from genoseq.tokenizers.protein import ESM2Tokenizer

    config = EsmConfig(
        vocab_size=33, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, pad_token_id=1,
        mask_token_id=32, position_embedding_type="rotary", token_dropout=True, emb_layer_norm_before=False,
        max_position_embeddings=positions,
    )  # fmt: skip
    _save(EsmForMaskedLM, config, folder, seed)
    ESM2Tokenizer().save_pretrained(folder)
    return folder


def save_esmc(folder: Path, *, seed: int = 0) -> Path:
    """ESM C with 2 layers of width 16."""
    from transformers import EsmcConfig, EsmcForMaskedLM, EsmcTokenizer

    config = EsmcConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=128
    )
    _save(EsmcForMaskedLM, config, folder, seed)
    EsmcTokenizer().save_pretrained(folder)
    return folder


def save_protgpt2(folder: Path, *, seed: int = 0, ends: float = 0.0) -> Path:
    """GPT-2 with tokens of one to three residues, of bytes as ProtGPT2 has them; the end is ``ends`` nats likelier."""
    vocabulary = {"<|endoftext|>": 0}
    for token in ["Ċ", *AMINO_ACIDS, "MK", "MKT", "LL", "X", "B", "."]:
        vocabulary[token] = len(vocabulary)
    tokenizer = Tokenizer(models.BPE(vocabulary, [("M", "K"), ("MK", "T"), ("L", "L")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    return _gpt2(folder, tokenizer, seed, {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}, 0, ends)


def save_zymctrl(folder: Path, *, seed: int = 0, ends: float = 0.0) -> Path:
    """GPT-2 with single letters, digits and the marks of ZymCTRL; the end is ``ends`` nats likelier."""
    marks = ["<pad>", "<|endoftext|>", "<sep>", "<start>", "<end>"]
    vocabulary = {token: number for number, token in enumerate([*marks, *AMINO_ACIDS, "X", *"0123456789.-"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(marks)
    return _gpt2(folder, tokenizer, seed, {"pad_token": "<pad>", "eos_token": "<|endoftext|>"}, vocabulary["<end>"], ends)


def save_prollama(folder: Path, *, seed: int = 0, ends: float = 0.0) -> Path:
    """Llama with letters, some marks and blanks as sentencepiece writes them; the end is ``ends`` nats likelier."""
    from transformers import LlamaConfig, LlamaForCausalLM

    vocabulary = {token: number for number, token in enumerate(["<unk>", "<s>", "</s>", "▁"])}
    for code in range(33, 127):
        vocabulary.setdefault(chr(code), len(vocabulary))
    vocabulary["▁M"] = len(vocabulary)
    vocabulary["MK"] = len(vocabulary)
    tokenizer = Tokenizer(models.BPE(vocabulary, [("▁", "M"), ("M", "K")], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first")
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="first")
    tokenizer.add_special_tokens([AddedToken("<s>", special=True), AddedToken("</s>", special=True)])
    config = LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=256, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    _save(LlamaForCausalLM, config, folder, seed, likelier=(vocabulary[">"], ends))
    _save_tokenizer(folder, tokenizer, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"})
    return folder


def _gpt2(folder: Path, tokenizer: Tokenizer, seed: int, names: dict[str, str], end: int, ends: float) -> Path:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=tokenizer.get_vocab_size(), n_embd=16, n_layer=1, n_head=2, n_positions=128, bos_token_id=0, eos_token_id=end,
        tie_word_embeddings=False,
    )  # fmt: skip
    _save(GPT2LMHeadModel, config, folder, seed, likelier=(end, ends))
    _save_tokenizer(folder, tokenizer, names)
    return folder


def _save(kind: type, config: object, folder: Path, seed: int, likelier: tuple[int, float] = (0, 0.0)) -> None:
    folder.mkdir(exist_ok=True)
    torch.manual_seed(seed)
    net = kind(config).eval()  # type: ignore[attr-defined]
    chance = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.dim() > 1:  # far enough from zero that predictions differ
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=chance))
        if likelier[1]:  # the final norm gives a state of fixed size: its mean direction is raised for one token
            norm = net.transformer.ln_f if hasattr(net, "transformer") else net.model.norm
            norm.weight.fill_(0.1)
            if hasattr(norm, "bias"):
                norm.bias.fill_(1.0)
                net.lm_head.weight[likelier[0]] += likelier[1] / norm.bias.numel()
    with quiet():
        net.save_pretrained(folder)


def _save_tokenizer(folder: Path, tokenizer: Tokenizer, names: dict[str, str]) -> None:
    tokenizer.save(os.fspath(folder / "tokenizer.json"))
    content = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(content))
