"""One token per nucleotide: genoseq's own, HyenaDNA's and Caduceus's, which share their ids.

Ids: [CLS] 0, [SEP] 1, [BOS] 2, [MASK] 3, [PAD] 4, [RESERVED] 5, [UNK] 6, then the letters A 7, C 8, G 9, T 10, N 11.

| | lower case | U | N | other IUPAC codes, X | `*`, `-`, anything else |
|---|---|---|---|---|---|
| genoseq's own | as upper case | as T | N | N | [UNK] |
| HyenaDNA | [UNK] | [UNK] | N | [UNK] | [UNK] |
| Caduceus | as upper case | [UNK] | N | [UNK] | [UNK] |

Sources: CharacterTokenizer of HazyResearch/hyena-dna and HyenaDNATokenizer of its Hugging Face port (Nguyen et al. 2023),
CaduceusTokenizer of kuleshov-group/caduceus (Schiff et al. 2024).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import UsageError
from genoseq.seqs.alphabet import COMPLEMENTS
from genoseq.tokenizers.base import SequenceTokenizer
from genoseq.tokenizers.letters import check_known, code_table, known_letters

__all__ = ["CaduceusTokenizer", "GenoseqNucleotideTokenizer", "HyenaDNATokenizer"]

SPECIAL = ("[CLS]", "[SEP]", "[BOS]", "[MASK]", "[PAD]", "[RESERVED]", "[UNK]")
_NAMES = {
    "bos_token": "[BOS]",
    "eos_token": "[SEP]",
    "sep_token": "[SEP]",
    "cls_token": "[CLS]",
    "pad_token": "[PAD]",
    "mask_token": "[MASK]",
    "unk_token": "[UNK]",
}


class GenoseqNucleotideTokenizer(SequenceTokenizer):
    """One token per letter.

    Args:
        characters: the letters, in the order of their ids from 7 on.
        upper: read lower case (soft-masked sequence) as upper case.
        u_as_t: read ``U`` as ``T``.
        ambiguous: what the IUPAC codes that are not among the letters become: ``N`` or ``[UNK]``.
        add_cls: put [CLS] before each sequence.
        add_sep: put [SEP] after each sequence.
        strict: refuse characters that would become [UNK].

    >>> tokenizer = GenoseqNucleotideTokenizer()
    >>> tokenizer.encode_array("ACGTNacguR-").tolist()
    [7, 8, 9, 10, 11, 7, 8, 9, 10, 11, 6]
    >>> tokenizer("ACGT")["input_ids"]
    [7, 8, 9, 10, 1]
    """

    def __init__(
        self,
        *,
        characters: Sequence[str] = ("A", "C", "G", "T", "N"),
        upper: bool = True,
        u_as_t: bool = True,
        ambiguous: Literal["N", "[UNK]"] = "N",
        add_cls: bool = False,
        add_sep: bool = True,
        strict: bool = False,
        **kwargs: Any,
    ) -> None:
        characters = tuple(characters)
        wrong = [letter for letter in characters if len(letter) != 1 or not letter.isascii() or not letter.isprintable()]
        if wrong or len(set(characters)) != len(characters):
            raise UsageError(f"characters are {', '.join(map(repr, characters))}; expected single ASCII letters, each once")
        if ambiguous not in ("N", "[UNK]"):
            raise UsageError(f"ambiguous is {ambiguous!r}; expected 'N' or '[UNK]'")
        tokens = (*SPECIAL, *characters)
        ids = {letter: len(SPECIAL) + number for number, letter in enumerate(characters)}
        unknown = tokens.index("[UNK]")
        self._table = code_table(
            ids, unknown=unknown, upper=upper, u_as_t=u_as_t, ambiguous=ids.get("N") if ambiguous == "N" else None
        )
        self._known = known_letters(self._table, unknown)
        self.characters, self.upper, self.u_as_t, self.ambiguous = list(characters), upper, u_as_t, ambiguous
        self.add_cls, self.add_sep = add_cls, add_sep
        kwargs = {**_NAMES, "padding_side": "left", **kwargs}
        super().__init__(
            tokens=tokens,
            before=["[CLS]"] if add_cls else [],
            after=["[SEP]"] if add_sep else [],
            strict=strict,
            characters=self.characters,
            upper=upper,
            u_as_t=u_as_t,
            ambiguous=ambiguous,
            add_cls=add_cls,
            add_sep=add_sep,
            **kwargs,
        )

    @property
    def complement_map(self) -> dict[int, int]:
        """Id of the complement of each id; special tokens and letters without a complement are their own."""
        ids = self._index
        partners = {letter: chr(COMPLEMENTS[ord(letter)]) for letter in self.characters}
        if "U" in ids and "T" not in ids:  # an alphabet of RNA
            partners["A"] = "U"
        return {ids[token]: ids.get(partners.get(token, token), ids[token]) for token in self._tokens}

    def _encode_letters(self, letters: bytes) -> NDArray[np.uint8]:
        if self.strict:
            check_known(letters, self._known, alphabet="DNA", shown=self.characters)
        return np.frombuffer(letters.translate(self._table), np.uint8)

    def _spans_of_letters(self, letters: bytes) -> NDArray[np.int64]:
        starts = np.arange(len(letters), dtype=np.int64)
        return np.stack([starts, starts + 1], axis=1)

    def _identity(self) -> dict[str, Any]:
        return {"strict": self.strict, "table": self._table.hex()}


class HyenaDNATokenizer(GenoseqNucleotideTokenizer):
    """HyenaDNA's letters: nothing is upper-cased, [SEP] at the end, padding on the left.

    ``add_cls=True`` gives [CLS] x [SEP], as the original code does; its Hugging Face port gives x [SEP].

    >>> HyenaDNATokenizer()("ACGTa")["input_ids"]
    [7, 8, 9, 10, 6, 1]
    """

    model_input_names = ["input_ids"]  # noqa: RUF012 - as Hugging Face declares it

    def __init__(
        self,
        *,
        characters: Sequence[str] = ("A", "C", "G", "T", "N"),
        upper: bool = False,
        u_as_t: bool = False,
        ambiguous: Literal["N", "[UNK]"] = "[UNK]",
        add_cls: bool = False,
        add_sep: bool = True,
        strict: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            characters=characters,
            upper=upper,
            u_as_t=u_as_t,
            ambiguous=ambiguous,
            add_cls=add_cls,
            add_sep=add_sep,
            strict=strict,
            **kwargs,
        )


class CaduceusTokenizer(HyenaDNATokenizer):
    """Caduceus's letters: upper-cased, [SEP] at the end, padding on the left, and a map of complements for its net.

    >>> CaduceusTokenizer()("ACGTa")["input_ids"]
    [7, 8, 9, 10, 7, 1]
    >>> CaduceusTokenizer().complement_map[7]
    10
    """

    def __init__(
        self,
        *,
        characters: Sequence[str] = ("A", "C", "G", "T", "N"),
        complement_map: Mapping[str, str] | None = None,
        upper: bool = True,
        u_as_t: bool = False,
        ambiguous: Literal["N", "[UNK]"] = "[UNK]",
        add_cls: bool = False,
        add_sep: bool = True,
        strict: bool = False,
        **kwargs: Any,
    ) -> None:
        odd = {one: other for one, other in (complement_map or {}).items() if COMPLEMENTS[ord(one)] != ord(other)}
        if odd:
            raise UsageError(f"complement_map has {odd}; only complements as IUPAC defines them are supported")
        super().__init__(
            characters=characters,
            upper=upper,
            u_as_t=u_as_t,
            ambiguous=ambiguous,
            add_cls=add_cls,
            add_sep=add_sep,
            strict=strict,
            **kwargs,
        )
