"""One token per codon, in any frame of either strand; RNA and proteins are mapped to codons too.

Ids: [PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3, [MASK] 4, the codons AAA to TTT 5 to 68 (A, C, G, T, the last letter fastest), NNN 69,
and the letters A 70, C 71, G 72, T 73, N 74 for bases that are not part of a whole codon.

| lower case | U | codon with N or another IUPAC code, X, ``.`` | codon with ``*``, ``-``, anything else | incomplete codon |
|---|---|---|---|---|
| as upper case | as T | NNN | [UNK] | its letters one by one (N for IUPAC codes, [UNK] for others) |

The frame is never lost: each codon is one token whatever it holds. The tokenizer follows Life-Code (Liu et al. 2025), which
has no public code; the ids are genoseq's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import UsageError
from genoseq.tokenizers.base import SequenceTokenizer
from genoseq.tokenizers.genetic import BASES, Frame, Kind, Rule, Strand, genetic_code, read_frame, to_nucleotides, translate
from genoseq.tokenizers.letters import AnySequence, check_known, code_table, known_letters

__all__ = ["GenoseqCodonTokenizer"]

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CODONS = tuple(a + b + c for a in BASES for b in BASES for c in BASES)
TOKENS = (*SPECIAL, *CODONS, "NNN", *BASES, "N")
FIRST, AMBIGUOUS, LETTER = len(SPECIAL), TOKENS.index("NNN"), TOKENS.index("A")
_N, _UNKNOWN = 4, 5  # codes after those of the bases


class GenoseqCodonTokenizer(SequenceTokenizer):
    """One token per codon; [CLS] x [SEP].

    Args:
        code: the genetic code by NCBI's number or name, for translation and for proteins; it changes no ids of DNA.
        frame: bases before the first codon, 0, 1 or 2, counted on the strand that is read.
        strand: ``+``, or ``-`` for the reverse complement. Spans are always in coordinates of the sequence given.
        partial: ``letters`` gives the bases before the frame and after the last whole codon a token each, so that nothing
            is lost; ``drop`` leaves them out.
        strict: refuse an empty sequence and characters that are neither bases nor IUPAC codes.

    >>> tokenizer = GenoseqCodonTokenizer()
    >>> tokenizer.tokenize("ATGGCNTA")
    ['ATG', 'NNN', 'T', 'A']
    >>> GenoseqCodonTokenizer(frame=1, strand="-", partial="drop").token_spans("ACGTACGT").tolist()
    [[4, 7], [1, 4]]
    """

    def __init__(
        self,
        *,
        code: int | str = 1,
        frame: Frame = 0,
        strand: Strand = "+",
        partial: Literal["letters", "drop"] = "letters",
        strict: bool = False,
        **kwargs: Any,
    ) -> None:
        if partial not in ("letters", "drop"):
            raise UsageError(f"partial is {partial!r}; expected 'letters' or 'drop'")
        read_frame(b"", frame=frame, strand=strand)
        self.code, self.frame, self.strand, self.partial = genetic_code(code).number, frame, strand, partial
        bases = {base: number for number, base in enumerate(BASES)}
        self._table = code_table(bases, unknown=_UNKNOWN, upper=True, u_as_t=True, ambiguous=_N)
        self._known = known_letters(self._table, _UNKNOWN)
        self._whole = known_letters(bytes(min(number, _N) for number in self._table), _N)
        names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
        kwargs = {**names, **kwargs, "code": self.code, "frame": frame, "strand": strand, "partial": partial}
        super().__init__(tokens=TOKENS, before=["[CLS]"], after=["[SEP]"], strict=strict, **kwargs)

    def _encode_letters(self, letters: bytes) -> NDArray[np.uint8]:
        if self.strict:
            check_known(letters, self._known, alphabet="DNA", shown=(*BASES, "U", "and IUPAC codes"))
        clean = not letters.translate(None, self._whole)
        letters = read_frame(letters, strand=self.strand)
        start, end = self._codon_range(len(letters))
        codes = np.frombuffer(letters.translate(self._table), np.uint8)
        codons = codes[start:end].reshape(-1, 3)
        ids = (codons[:, 0] << 4) + (codons[:, 1] << 2) + codons[:, 2] + np.uint8(FIRST)
        if not clean:
            worst = np.maximum(np.maximum(codons[:, 0], codons[:, 1]), codons[:, 2])
            ids = np.where(worst < _N, ids, np.where(worst == _N, np.uint8(AMBIGUOUS), np.uint8(self._index["[UNK]"])))
        if self.partial == "drop":
            return ids
        ends = np.concatenate([codes[:start], codes[end:]])
        singles = np.where(ends == _UNKNOWN, np.uint8(self._index["[UNK]"]), ends + np.uint8(LETTER))
        return np.concatenate([singles[:start], ids, singles[start:]])

    def _codon_range(self, length: int) -> tuple[int, int]:
        """First base of the first whole codon and the end of the last, on the strand that is read."""
        start = min(self.frame, length)
        return start, start + (length - start) // 3 * 3

    def _spans_of_letters(self, letters: bytes) -> NDArray[np.int64]:
        start, end = self._codon_range(len(letters))
        codons = np.arange(start, end, 3, dtype=np.int64)
        starts, sizes = codons, np.full(len(codons), 3, np.int64)
        if self.partial == "letters":
            ahead, behind = np.arange(start, dtype=np.int64), np.arange(end, len(letters), dtype=np.int64)
            starts = np.concatenate([ahead, codons, behind])
            sizes = np.concatenate([np.ones_like(ahead), sizes, np.ones_like(behind)])
        if self.strand == "-":
            starts = len(letters) - starts - sizes
        return np.stack([starts, starts + sizes], axis=1)

    def _identity(self) -> dict[str, Any]:
        return {"strict": self.strict, "frame": self.frame, "strand": self.strand, "partial": self.partial}

    def encode_as_codons(
        self, sequence: AnySequence, kind: Kind, *, rule: Rule = "first", usage: Mapping[str, float] | None = None
    ) -> NDArray[Any]:
        """Ids of DNA, RNA or a protein; of a protein, one token for each residue.

        See :func:`genoseq.tokenizers.genetic.back_translate` for ``rule`` and ``usage``. A degenerate codon is NNN.

        Raises:
            InputError: a character that does not belong in a sequence of that kind.
            UsageError: a protein and a frame or strand other than 0 and +.

        >>> GenoseqCodonTokenizer().encode_as_codons("MW", "protein").tolist()
        [19, 63]
        """
        if kind == "protein" and (self.frame, self.strand) != (0, "+"):
            raise UsageError(
                f"a protein has no frame {self.frame} of strand {self.strand}; use a tokenizer of frame 0, strand '+'"
            )
        return self.encode_array(to_nucleotides(sequence, kind, code=self.code, rule=rule, usage=usage))

    def translate(self, ids: NDArray[Any]) -> str:
        """Amino acids of the codons among ids ``(T,)``: ``*`` for stops, X for NNN, [UNK] and [MASK].

        Other tokens are left out.

        >>> tokenizer = GenoseqCodonTokenizer()
        >>> tokenizer.translate(tokenizer.encode_array("ATGGCNTGA"))
        'MX*'
        """
        numbers = np.asarray(ids)
        unclear = np.isin(numbers, [AMBIGUOUS, self._index["[UNK]"], self._index["[MASK]"]])
        codons = (numbers >= FIRST) & (numbers < FIRST + 64)
        letters = np.frombuffer((genetic_code(self.code).amino_acids + "X").encode(), np.uint8)
        which = np.where(codons, numbers.astype(np.int64) - FIRST, 64)
        return letters[which[codons | unclear]].tobytes().decode("ascii")

    def six_frames(self, sequence: AnySequence) -> dict[tuple[Strand, Frame], str]:
        """The protein in each frame of each strand.

        >>> GenoseqCodonTokenizer().six_frames("ATGTGA")["+", 0]
        'M*'
        """
        strands: tuple[Strand, ...] = ("+", "-")
        frames: tuple[Frame, ...] = (0, 1, 2)
        return {
            (strand, frame): translate(sequence, code=self.code, frame=frame, strand=strand)
            for strand in strands
            for frame in frames
        }
