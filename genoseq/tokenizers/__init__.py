"""Tokenizers: sequences to ids and back, by name or by class.

>>> from genoseq import tokenizers
>>> tokenizers.make("hyenadna").encode_array("ACGT").tolist()
[7, 8, 9, 10]

Importing this package imports neither transformers nor torch: names are loaded on first use. Other packages add tokenizers by
entry points in the group ``genoseq.tokenizers``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from genoseq.registry import Entry, Registry
from genoseq.tokenizers.auto import SAVED_CLASSES, register_auto_tokenizers

if TYPE_CHECKING:
    from genoseq.tokenizers.base import SequenceEncoder as SequenceEncoder
    from genoseq.tokenizers.base import SequenceTokenizer as SequenceTokenizer
    from genoseq.tokenizers.bpe import GenoseqBpeTokenizer as GenoseqBpeTokenizer
    from genoseq.tokenizers.bpe import load_bpe as load_bpe
    from genoseq.tokenizers.bpe import train_bpe as train_bpe
    from genoseq.tokenizers.byte import EvoTokenizer as EvoTokenizer
    from genoseq.tokenizers.byte import HNetTokenizer as HNetTokenizer
    from genoseq.tokenizers.codon import GenoseqCodonTokenizer as GenoseqCodonTokenizer
    from genoseq.tokenizers.genetic import back_translate as back_translate
    from genoseq.tokenizers.genetic import codon_usage as codon_usage
    from genoseq.tokenizers.genetic import genetic_code as genetic_code
    from genoseq.tokenizers.genetic import genetic_codes as genetic_codes
    from genoseq.tokenizers.genetic import to_nucleotides as to_nucleotides
    from genoseq.tokenizers.genetic import translate as translate
    from genoseq.tokenizers.kmer import GenoseqKmerTokenizer as GenoseqKmerTokenizer
    from genoseq.tokenizers.kmer import NucleotideTransformerTokenizer as NucleotideTransformerTokenizer
    from genoseq.tokenizers.merge import Segmentation as Segmentation
    from genoseq.tokenizers.merge import Segmenter as Segmenter
    from genoseq.tokenizers.merge import from_source_map as from_source_map
    from genoseq.tokenizers.merge import write_bed as write_bed
    from genoseq.tokenizers.nucleotide import CaduceusTokenizer as CaduceusTokenizer
    from genoseq.tokenizers.nucleotide import GenoseqNucleotideTokenizer as GenoseqNucleotideTokenizer
    from genoseq.tokenizers.nucleotide import HyenaDNATokenizer as HyenaDNATokenizer
    from genoseq.tokenizers.protein import ESM2Tokenizer as ESM2Tokenizer
    from genoseq.tokenizers.protein import PoETTokenizer as PoETTokenizer

_PUBLIC = SAVED_CLASSES | {
    "Segmentation": "genoseq.tokenizers.merge",
    "Segmenter": "genoseq.tokenizers.merge",
    "SequenceEncoder": "genoseq.tokenizers.base",
    "SequenceTokenizer": "genoseq.tokenizers.base",
    "back_translate": "genoseq.tokenizers.genetic",
    "codon_usage": "genoseq.tokenizers.genetic",
    "from_source_map": "genoseq.tokenizers.merge",
    "genetic_code": "genoseq.tokenizers.genetic",
    "genetic_codes": "genoseq.tokenizers.genetic",
    "load_bpe": "genoseq.tokenizers.bpe",
    "to_nucleotides": "genoseq.tokenizers.genetic",
    "train_bpe": "genoseq.tokenizers.bpe",
    "translate": "genoseq.tokenizers.genetic",
    "write_bed": "genoseq.tokenizers.merge",
}

__all__ = [
    "CaduceusTokenizer",
    "ESM2Tokenizer",
    "EvoTokenizer",
    "GenoseqBpeTokenizer",
    "GenoseqCodonTokenizer",
    "GenoseqKmerTokenizer",
    "GenoseqNucleotideTokenizer",
    "HNetTokenizer",
    "HyenaDNATokenizer",
    "NucleotideTransformerTokenizer",
    "PoETTokenizer",
    "Segmentation",
    "Segmenter",
    "SequenceEncoder",
    "SequenceTokenizer",
    "back_translate",
    "codon_usage",
    "from_source_map",
    "genetic_code",
    "genetic_codes",
    "load_bpe",
    "make",
    "names",
    "options",
    "registry",
    "to_nucleotides",
    "train_bpe",
    "translate",
    "write_bed",
]

_HOME = "genoseq.tokenizers"
_HUGGING_FACE = frozenset(  # options that every Hugging Face tokenizer has
    {"model_max_length", "padding_side", "truncation_side", "model_input_names", "split_special_tokens", "extra_special_tokens"}
    | {f"{name}_token" for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask")}
)

registry = Registry(
    "tokenizer",
    "genoseq.tokenizers",
    {
        "nucleotide": Entry(f"{_HOME}.nucleotide:GenoseqNucleotideTokenizer", summary="A, C, G, T, N; lower case and U read"),
        "hyenadna": Entry(f"{_HOME}.nucleotide:HyenaDNATokenizer", summary="HyenaDNA as on the hub: x [SEP]"),
        "hyenadna-original": Entry(
            f"{_HOME}.nucleotide:HyenaDNATokenizer", {"add_cls": True}, summary="HyenaDNA's original code: [CLS] x [SEP]"
        ),
        "caduceus": Entry(f"{_HOME}.nucleotide:CaduceusTokenizer", summary="Caduceus: upper-cases, x [SEP]"),
        "kmer": Entry(f"{_HOME}.kmer:GenoseqKmerTokenizer", summary="overlapping k-mers, as DNABERT"),
        "nucleotide-transformer-v1": Entry(
            f"{_HOME}.kmer:NucleotideTransformerTokenizer", {"layout": "v1"}, summary="6-mers side by side, ids of version 1"
        ),
        "nucleotide-transformer-v2": Entry(
            f"{_HOME}.kmer:NucleotideTransformerTokenizer", {"layout": "v2"}, summary="6-mers side by side, ids of version 2"
        ),
        "codon": Entry(f"{_HOME}.codon:GenoseqCodonTokenizer", summary="codons of any frame and strand; RNA and proteins too"),
        "bpe": Entry(f"{_HOME}.bpe:load_bpe", summary="byte-pair encoding, from the folder of a trained one"),
        "dnabert2": Entry(f"{_HOME}.bpe:load_bpe", summary="DNABERT-2's, from its folder"),
        "evo": Entry(f"{_HOME}.byte:EvoTokenizer", summary="bytes, vocabulary 512: Evo and Evo 2"),
        "hnet": Entry(f"{_HOME}.byte:HNetTokenizer", summary="bytes, vocabulary 256: H-Net"),
        "esm": Entry(f"{_HOME}.protein:ESM2Tokenizer", summary="ESM-2's residues: <cls> x <eos>"),
        "poet": Entry(f"{_HOME}.protein:PoETTokenizer", summary="PoET's residues: * x $"),
    },
    common=_HUGGING_FACE,
)
"""Every tokenizer by name."""


def names() -> tuple[str, ...]:
    """Names that :func:`make` takes, those of other packages at the end. Imports none of them."""
    return registry.names()


def make(name: str, **options: Any) -> Any:
    """A new tokenizer by name.

    Args:
        name: one of :func:`names`.
        options: of that tokenizer (:func:`options` lists them), and those of Hugging Face, such as ``padding_side``.

    Raises:
        UsageError: no such name, or an option it does not have; the message lists those there are.
    """
    return registry.make(name, **options)


def options(name: str) -> tuple[str, ...]:
    """Names of the options of a tokenizer; empty if it takes any."""
    return tuple(registry.options(name) or ())


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'genoseq.tokenizers' has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


register_auto_tokenizers()
