"""``AutoTokenizer`` finds genoseq's tokenizers: registered as soon as both are imported, in whichever order.

``AutoTokenizer`` brings in torch, which takes seconds, and ``import genoseq.tokenizers`` must not. So where it is not imported
yet, a finder waits for its module and registers when that has been loaded; nothing else of the import is touched.
"""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from types import ModuleType
from typing import Any

__all__ = ["SAVED_CLASSES", "register_auto_tokenizers"]

AUTO = "transformers.models.auto.tokenization_auto"

# The names under which classes are saved in tokenizer_config.json. Those that are not a published family's begin with Genoseq, so
# that no other project's tokenizer of the same name is ever opened by the wrong class.
SAVED_CLASSES = {
    "CaduceusTokenizer": "genoseq.tokenizers.nucleotide",
    "ESM2Tokenizer": "genoseq.tokenizers.protein",
    "EvoTokenizer": "genoseq.tokenizers.byte",
    "GenoseqBpeTokenizer": "genoseq.tokenizers.bpe",
    "GenoseqCodonTokenizer": "genoseq.tokenizers.codon",
    "GenoseqKmerTokenizer": "genoseq.tokenizers.kmer",
    "GenoseqNucleotideTokenizer": "genoseq.tokenizers.nucleotide",
    "HNetTokenizer": "genoseq.tokenizers.byte",
    "HyenaDNATokenizer": "genoseq.tokenizers.nucleotide",
    "NucleotideTransformerTokenizer": "genoseq.tokenizers.kmer",
    "PoETTokenizer": "genoseq.tokenizers.protein",
}


def register_auto_tokenizers() -> None:
    """Make ``AutoTokenizer.from_pretrained`` open what genoseq's tokenizers saved, now if it is loaded, else once it is."""
    module = sys.modules.get(AUTO)
    if module is not None and hasattr(module, "AutoTokenizer"):
        _register(module)
    elif not any(isinstance(finder, _Waiting) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Waiting())


def _register(module: ModuleType) -> None:
    from transformers import PreTrainedConfig

    for name, home in SAVED_CLASSES.items():
        tokenizer = getattr(import_module(home), name)
        # AutoTokenizer files a tokenizer under a class of configurations; these are no net's, only keys
        config = type(f"{name}Config", (PreTrainedConfig,), {"model_type": f"genoseq-{name}", "__module__": __name__})
        module.AutoTokenizer.register(config, tokenizer_class=tokenizer)


class _Waiting(MetaPathFinder):
    """Finds one module as Python would, and registers once it has been executed."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != AUTO:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return None
        loader: Any = spec.loader
        execute = loader.exec_module

        def execute_and_register(module: ModuleType) -> None:
            execute(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            _register(module)

        loader.exec_module = execute_and_register
        return spec
