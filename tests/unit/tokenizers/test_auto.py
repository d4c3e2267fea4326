"""AutoTokenizer opens what was saved, in whichever order things are imported, and without remote code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from genoseq import tokenizers
from genoseq.errors import InputError

GENOSEQ_FIRST = """
import sys
from genoseq import tokenizers
assert "transformers" not in sys.modules
waiting = [type(finder).__name__ for finder in sys.meta_path].count("_Waiting")
assert waiting == 1, waiting
import importlib.util
assert importlib.util.find_spec("transformers.models.auto.tokenization_auto") is not None  # a look that loads nothing
from transformers import AutoTokenizer
"""
GENOSEQ_LAST = """
import sys
from transformers import AutoTokenizer
AutoTokenizer.from_pretrained
from genoseq import tokenizers
"""
CHECK = """
opened = AutoTokenizer.from_pretrained(sys.argv[1])
assert type(opened).__name__ == "GenoseqCodonTokenizer", type(opened)
assert opened.frame == 1 and opened("AATG")["input_ids"] == [2, 70, 19, 3]
assert "_Waiting" not in [type(finder).__name__ for finder in sys.meta_path]
from transformers.models.auto import tokenization_auto
import inspect
assert "class AutoTokenizer" in inspect.getsource(tokenization_auto)
"""


@pytest.mark.parametrize("order", [GENOSEQ_FIRST, GENOSEQ_LAST], ids=["genoseq first", "transformers first"])
def test_the_order_of_imports_does_not_matter(order: str, tmp_path: Path) -> None:
    tokenizers.make("codon", frame=1).save_pretrained(tmp_path)
    done = subprocess.run([sys.executable, "-W", "error", "-c", order + CHECK, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_registering_twice_changes_nothing() -> None:
    from transformers import AutoTokenizer
    from transformers.models.auto.tokenization_auto import REGISTERED_TOKENIZER_CLASSES

    assert AutoTokenizer is not None
    before = dict(REGISTERED_TOKENIZER_CLASSES)
    tokenizers.auto.register_auto_tokenizers()
    assert before == REGISTERED_TOKENIZER_CLASSES
    assert {"CaduceusTokenizer", "GenoseqBpeTokenizer"} <= before.keys()


def test_folders_of_the_hub_open_without_their_code(tmp_path: Path) -> None:
    """As Caduceus and HyenaDNA are published: the class by name, code of their own, no vocabulary."""
    from transformers import AutoTokenizer

    for name, extra in (
        ("CaduceusTokenizer", {}),
        ("HyenaDNATokenizer", {"characters": list("ACGTN"), "add_prefix_space": False}),
    ):
        special = {f"{kind}_token": f"[{kind.upper()}]" for kind in ("bos", "sep", "cls", "pad", "mask", "unk")}
        config = {
            "tokenizer_class": name,
            "auto_map": {"AutoTokenizer": [f"tokenization.{name}", None]},
            "clean_up_tokenization_spaces": True,
            "model_max_length": 131072,
            "padding_side": "left",
            "eos_token": "[SEP]",
            "added_tokens_decoder": {
                str(number): {"content": token, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
                for number, token in enumerate(["[CLS]", "[SEP]", "[BOS]", "[MASK]", "[PAD]"])
            },
            **special,
            **extra,
        }  # fmt: skip
        folder = tmp_path / name
        folder.mkdir()
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
        (folder / "config.json").write_text(json.dumps({"model_type": "no-such-model-type"}))
        tokenizer = AutoTokenizer.from_pretrained(folder)
        assert type(tokenizer) is getattr(tokenizers, name)
        assert tokenizer("ACGTN")["input_ids"] == [7, 8, 9, 10, 11, 1]
        assert tokenizer.model_max_length == 131072
        assert tokenizer.digest == getattr(tokenizers, name)().digest


@pytest.mark.parametrize("model_type", ["mamba", "mamba2", "esm", "bert"])
def test_a_tokenizer_saved_beside_a_net_of_transformers_is_still_ours(model_type: str, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizers.make("kmer", k=3).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    opened = AutoTokenizer.from_pretrained(tmp_path)
    assert type(opened) is tokenizers.GenoseqKmerTokenizer and opened.k == 3


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    tokenizers.make("nucleotide").save_pretrained(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    config = json.loads(path.read_text())
    assert config["genoseq_format"] == 1
    path.write_text(json.dumps(config | {"genoseq_format": 2}))
    with pytest.raises(InputError, match=r"tokenizer saved in format 2; this genoseq reads up to 1; update genoseq"):
        tokenizers.GenoseqNucleotideTokenizer.from_pretrained(tmp_path)
