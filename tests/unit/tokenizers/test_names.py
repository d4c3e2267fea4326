"""Tokenizers by name, and what importing them costs."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from genoseq import tokenizers
from genoseq.errors import UsageError
from genoseq.tokenizers.auto import SAVED_CLASSES

NAMES = [
    *("nucleotide", "hyenadna", "hyenadna-original", "caduceus"),
    *("kmer", "nucleotide-transformer-v1", "nucleotide-transformer-v2", "codon", "bpe", "dnabert2"),
    *("evo", "hnet", "esm", "poet"),
]


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_and_listing_load_nothing_heavy() -> None:
    run(
        "import sys; from genoseq import tokenizers\n"
        "assert len(tokenizers.names()) >= 14\n"
        "heavy = {'torch', 'transformers', 'tokenizers', 'numpy', 'Bio'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert 'CaduceusTokenizer' in dir(tokenizers)\n"
    )


def test_making_a_tokenizer_does_not_import_torch() -> None:
    run(
        "import sys; from genoseq import tokenizers\n"
        "for name in ('caduceus', 'kmer', 'codon', 'evo', 'esm'):\n"
        "    tokenizers.make(name)('ACGT', return_tensors='np')\n"
        "assert 'torch' not in sys.modules\n"
    )


def test_all_names_are_there() -> None:
    assert list(tokenizers.names())[: len(NAMES)] == NAMES
    assert all(tokenizers.registry.entry(name).summary for name in NAMES)


def test_options_are_listed_and_misspelt_ones_refused() -> None:
    assert {"k", "upper", "u_as_t", "strict", "padding_side", "model_max_length"} <= set(tokenizers.options("kmer"))
    assert tokenizers.make("kmer", k=3, padding_side="left").padding_side == "left"
    for name in NAMES:
        needed = {"folder": "x"} if name in ("bpe", "dnabert2") else {}
        with pytest.raises(UsageError, match=rf"tokenizer '{name}' has no option 'strct' \(did you mean 'strict'\?\); it has: "):
            tokenizers.make(name, strct=True, **needed)
        assert {"strict", "pad_token"} <= set(tokenizers.options(name))
    with pytest.raises(
        UsageError, match=r"no tokenizer is called 'caducus' \(did you mean 'caduceus'\?\); there are: nucleotide, "
    ):
        tokenizers.make("caducus")


def test_public_names_load_and_unknown_ones_say_so() -> None:
    for name in tokenizers.__all__:
        assert getattr(tokenizers, name) is not None
    with pytest.raises(AttributeError, match=r"module 'genoseq.tokenizers' has no attribute 'Nope'; it has CaduceusTokenizer, "):
        tokenizers.Nope  # noqa: B018


def test_saved_class_names_are_the_names_of_the_classes_and_not_those_of_other_projects() -> None:
    for name in SAVED_CLASSES:
        cls = getattr(tokenizers, name)
        assert inspect.isclass(cls) and cls.__name__ == name
        assert name.startswith(("Genoseq", "Caduceus", "HyenaDNA", "ESM2", "Evo", "HNet", "NucleotideTransformer", "PoET"))
