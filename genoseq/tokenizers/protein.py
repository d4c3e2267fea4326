"""One token per residue: the alphabets of ESM-2 and of PoET.

| | lower case | B, Z | X | U, O | J | `*` | `-` | `.` | anything else |
|---|---|---|---|---|---|---|---|---|---|
| ESM-2 | `<unk>` | their own | its own | their own | `<unk>` | `<unk>` | its own | its own | `<unk>` |
| PoET | as upper case | mask (23) | mask (23) | C, K | mask | start (21) | gap (20) | mask | mask |

``$`` is PoET's stop (22). ``upper=True`` makes ESM-2's tokenizer read lower case too; ``upper=False`` makes PoET's take it for
unknown, as the bare alphabet of its code does (its pipeline upper-cases before).

Sources: ``Alphabet`` of facebookresearch/esm (Lin et al. 2023) as in ``EsmTokenizer`` of transformers, where a run of unknown
characters is one ``<unk>`` and here each is; ``Uniprot21`` of OpenProteinAI/PoET (Truong and Bepler 2023) with gap and distinct
start and stop.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from genoseq.tokenizers.base import SequenceTokenizer
from genoseq.tokenizers.letters import check_known, code_table, known_letters

__all__ = ["ESM2Tokenizer", "PoETTokenizer"]

ESM2_TOKENS = ("<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO.-", "<null_1>", "<mask>")
POET_TOKENS = tuple("ARNDCQEGHILKMFPSTWYV-*$X")
POET_SYNONYMS = {"O": "K", "U": "C", "B": "X", "Z": "X"}


class _ProteinTokenizer(SequenceTokenizer):
    unknown: ClassVar[str]
    synonyms: ClassVar[dict[str, str]] = {}

    def __init__(self, *, tokens: tuple[str, ...], upper: bool, strict: bool, **kwargs: Any) -> None:
        ids = {token: number for number, token in enumerate(tokens) if len(token) == 1}
        ids |= {letter: ids[meant] for letter, meant in self.synonyms.items()}
        self._table = code_table(ids, unknown=tokens.index(self.unknown), upper=upper)
        # the unknown token may be a letter too (PoET's X): what is known are the letters that have an entry
        self._known = known_letters(code_table(dict.fromkeys(ids, 0), unknown=1, upper=upper), 1)
        self.upper = upper
        super().__init__(tokens=tokens, strict=strict, upper=upper, **kwargs)

    def _encode_letters(self, letters: bytes) -> NDArray[np.uint8]:
        if self.strict:
            shown = [chr(letter) for letter in self._known if not chr(letter).islower()]
            check_known(letters, self._known, alphabet="protein", shown=shown)
        return np.frombuffer(letters.translate(self._table), np.uint8)

    def _spans_of_letters(self, letters: bytes) -> NDArray[np.int64]:
        starts = np.arange(len(letters), dtype=np.int64)
        return np.stack([starts, starts + 1], axis=1)

    def _identity(self) -> dict[str, Any]:
        return {"strict": self.strict, "table": self._table.hex()}


class ESM2Tokenizer(_ProteinTokenizer):
    """ESM-2's 33 tokens; ``<cls>`` x ``<eos>``.

    Args:
        upper: read lower case as upper case.
        strict: refuse an empty sequence and characters that would become ``<unk>``.

    >>> ESM2Tokenizer()("MKTW")["input_ids"]
    [0, 20, 15, 11, 22, 2]
    """

    unknown = "<unk>"

    def __init__(self, *, upper: bool = False, strict: bool = False, **kwargs: Any) -> None:
        names = {"cls_token": "<cls>", "pad_token": "<pad>", "eos_token": "<eos>", "unk_token": "<unk>", "mask_token": "<mask>"}
        super().__init__(tokens=ESM2_TOKENS, upper=upper, strict=strict, before=["<cls>"], after=["<eos>"], **{**names, **kwargs})


class PoETTokenizer(_ProteinTokenizer):
    """PoET's 24 tokens: A R N D C Q E G H I L K M F P S T W Y V, gap 20, start ``*`` 21, stop ``$`` 22, mask ``X`` 23.

    Each sequence becomes ``*`` x ``$``. Padding is the mask, as in PoET.

    Args:
        upper: read lower case (the insertions of an a3m) as upper case.
        strict: refuse an empty sequence and characters that are neither residues nor ``-``, ``*``, ``$``.

    >>> PoETTokenizer()("MKU")["input_ids"]
    [21, 12, 11, 4, 22]
    """

    unknown = "X"
    synonyms: ClassVar[dict[str, str]] = POET_SYNONYMS

    def __init__(self, *, upper: bool = True, strict: bool = False, **kwargs: Any) -> None:
        names = {"bos_token": "*", "eos_token": "$", "pad_token": "X", "mask_token": "X", "unk_token": "X"}
        super().__init__(tokens=POET_TOKENS, upper=upper, strict=strict, before=["*"], after=["$"], **{**names, **kwargs})
