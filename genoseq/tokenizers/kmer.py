"""One token per k-mer: overlapping as in DNABERT, and side by side as in the Nucleotide Transformer.

k-mers are numbered in the order A, T, C, G, the last letter fastest, as both families do.

| | lower case | U | N | other IUPAC codes, `*`, `-`, anything else |
|---|---|---|---|---|
| overlapping | as upper case | as T | every k-mer that holds it is [UNK] | likewise |
| Nucleotide Transformer | error | error | N, by itself | error; `<unk>`, by itself, with ``strict=False`` |

``upper`` and ``u_as_t`` change the first two columns. Sources: DNATokenizer of jerryji1993/DNABERT (Ji et al. 2021), which cuts
texts of over 510 tokens besides; NucleotidesKmersTokenizer of instadeepai/nucleotide-transformer (Dalla-Torre et al. 2023).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import InputError, UsageError
from genoseq.tokenizers.base import SequenceTokenizer
from genoseq.tokenizers.letters import check_known, code_table, known_letters, smallest_unsigned

__all__ = ["GenoseqKmerTokenizer", "NucleotideTransformerTokenizer"]

LETTERS = "ATCG"
LONGEST = 10  # 4^10 tokens are a million strings; no published model goes beyond 6
_BLOCK = 1 << 16  # bases whose k-mers are computed at a time: they stay in the cache
_N, _UNKNOWN = 4, 5  # codes after those of the letters


def _kmers(k: int) -> list[str]:
    if not 1 <= k <= LONGEST:
        raise UsageError(f"k is {k}; expected 1 to {LONGEST}")
    return ["".join(letters) for letters in itertools.product(LETTERS, repeat=k)]


def _rolling(codes: NDArray[np.uint8], k: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Number of the k-mer that starts at each base, ``(L - k + 1,)``, by joining numbers of 1, 2, 4 ... letters."""
    powers = codes.astype(dtype)  # numbers of `width` letters
    width, done, numbers = 1, 0, np.zeros(len(codes) + 1, dtype)
    while True:
        if k & width:  # the lowest bits of k first: these letters go in front of those that are done
            numbers = (powers[: len(numbers) - width] << dtype.type(2 * done)) + numbers[width:]
            done += width
        if done == k:
            return numbers
        powers = (powers[:-width] << dtype.type(2 * width)) + powers[width:]
        width *= 2


class GenoseqKmerTokenizer(SequenceTokenizer):
    """Overlapping k-mers: one token for each position that a whole k-mer fits at, as in DNABERT.

    Ids: [PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3, [MASK] 4, then the k-mers from 5 on. A sequence shorter than k has no tokens.
    Decoding writes each base that some known k-mer covers, and N for the others.

    Args:
        k: letters of a token, 1 to 10.
        upper: read lower case as upper case.
        u_as_t: read ``U`` as ``T``.
        strict: refuse anything but A, C, G, T (after the two above), and sequences shorter than k.

    >>> tokenizer = GenoseqKmerTokenizer(k=3)
    >>> tokenizer.tokenize("ACGTNA")
    ['ACG', 'CGT', '[UNK]', '[UNK]']
    >>> tokenizer.token_spans("ACGT").tolist()
    [[0, 3], [1, 4]]
    """

    def __init__(self, *, k: int = 6, upper: bool = True, u_as_t: bool = True, strict: bool = False, **kwargs: Any) -> None:
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        tokens = [*special, *_kmers(k)]
        self._first = len(special)
        codes = {letter: code for code, letter in enumerate(LETTERS)}
        self._table = code_table(codes, unknown=_UNKNOWN, upper=upper, u_as_t=u_as_t)
        self._known = known_letters(self._table, _UNKNOWN)
        self.k, self.upper, self.u_as_t = k, upper, u_as_t
        names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
        kwargs = {**names, **kwargs, "k": k, "upper": upper, "u_as_t": u_as_t}
        super().__init__(tokens=tokens, before=["[CLS]"], after=["[SEP]"], strict=strict, **kwargs)

    def _encode_letters(self, letters: bytes) -> NDArray[Any]:
        k = self.k
        if self.strict:
            check_known(letters, self._known, alphabet="DNA", shown="ACGT")
            if len(letters) < k:
                remedy = "leave it out, or pass strict=False to encode it as no tokens"
                raise InputError(f"the sequence has {len(letters)} letters, fewer than k = {k}", remedy=remedy)
        count = max(len(letters) - k + 1, 0)
        codes = np.frombuffer(letters.translate(self._table), np.uint8)
        ids = np.empty(count, self._dtype)
        clean = not letters.translate(None, self._known)
        for start in range(0, count, _BLOCK):
            end = min(start + _BLOCK, count)
            block = codes[start : end + k - 1]
            if clean:
                np.add(_rolling(block, k, self._dtype), self._dtype.type(self._first), out=ids[start:end])
                continue
            bad = block > 3
            touched = np.concatenate([[0], np.cumsum(bad, dtype=np.int32)])
            numbers = _rolling(np.where(bad, 0, block), k, self._dtype) + self._dtype.type(self._first)
            ids[start:end] = np.where(touched[k:] > touched[:-k], self._index["[UNK]"], numbers)
        return ids

    def _spans_of_letters(self, letters: bytes) -> NDArray[np.int64]:
        starts = np.arange(max(len(letters) - self.k + 1, 0), dtype=np.int64)
        return np.stack([starts, starts + self.k], axis=1)

    def _spell(self, ids: NDArray[np.int64]) -> bytes:
        """Runs of k-mers overlap again; [UNK] and [MASK] stand for a k-mer, other special tokens end a run."""
        holes = np.isin(ids, [self._index["[UNK]"], self._index["[MASK]"]])
        kmer = (ids >= self._first) & (ids < len(self._tokens))
        edges = np.flatnonzero(np.diff((kmer | holes).astype(np.int8), prepend=0, append=0))
        parts, end = [], 0
        for start, stop in edges.reshape(-1, 2).tolist():
            parts += [super()._spell(ids[end:start]), self._overlay(ids[start:stop], kmer[start:stop])]
            end = stop
        return b"".join([*parts, super()._spell(ids[end:])])

    def _overlay(self, ids: NDArray[np.int64], known: NDArray[np.bool_]) -> bytes:
        spellings, _ = self._spellings()
        out = np.full(len(ids) + self.k - 1, ord("N"), np.uint8)
        for letter in range(self.k):
            np.copyto(out[letter : letter + len(ids)], spellings[ids, letter], where=known)
        return bytes(out)

    def _identity(self) -> dict[str, Any]:
        return {"strict": self.strict, "table": self._table.hex()}


class NucleotideTransformerTokenizer(SequenceTokenizer):
    """k-mers side by side, as the Nucleotide Transformer has them; ``<cls>`` x.

    A sequence is cut at each N; each stretch gives whole k-mers from its start and single letters for what is left over.

    Args:
        layout: ``v1`` (special tokens 0 to 3, k-mers from 4, ``<eos>`` and ``<bos>`` last) or ``v2`` (special tokens 0 to 5,
            k-mers from 6). A saved ``vocab.txt`` wins over it.
        k: letters of a token, 1 to 10.
        upper: read lower case as upper case.
        u_as_t: read ``U`` as ``T``.
        strict: refuse an empty sequence and anything but A, C, G, T and N, as the original does (it says ``KeyError``); else
            such a character is ``<unk>`` by itself, and ends a stretch as N does.
        vocab_file: one token a line; given by ``from_pretrained``.

    Raises:
        InputError: ``vocab_file`` is no vocabulary of this kind.

    >>> NucleotideTransformerTokenizer(layout="v2").tokenize("ACGTACG")
    ['ACGTAC', 'G']
    """

    vocab_files_names: ClassVar[dict[str, str]] = {"vocab_file": "vocab.txt"}  # type: ignore[misc]

    def __init__(
        self,
        *,
        layout: Literal["v1", "v2"] = "v2",
        k: int = 6,
        upper: bool = False,
        u_as_t: bool = False,
        strict: bool = True,
        vocab_file: str | None = None,
        **kwargs: Any,
    ) -> None:
        if layout not in ("v1", "v2"):
            raise UsageError(f"layout is {layout!r}; expected 'v1' or 'v2'")
        tokens = _layout_of(layout, k) if vocab_file is None else _read_vocabulary(Path(vocab_file))
        k = max(len(token) for token in tokens if not token.startswith("<"))
        self._first = tokens.index(LETTERS[0] * k)
        codes = {letter: code for code, letter in enumerate(LETTERS)} | {"N": _N}
        self._table = code_table(codes, unknown=_UNKNOWN, upper=upper, u_as_t=u_as_t)
        self._known = known_letters(self._table, _UNKNOWN)
        self._whole = known_letters(bytes(min(code, _N) for code in self._table), _N)  # letters of k-mers
        places = {letter: tokens.index(letter) for letter in (*LETTERS, "N")}
        self._letter_ids = np.array([*(places[letter] for letter in (*LETTERS, "N")), tokens.index("<unk>")], np.int64)
        self.layout, self.k, self.upper, self.u_as_t = layout, k, upper, u_as_t
        names = {"unk": "<unk>", "pad": "<pad>", "mask": "<mask>", "cls": "<cls>", "eos": "<eos>", "bos": "<bos>"}
        special = {f"{name}_token": token for name, token in names.items() if token in tokens}
        kwargs = {**special, **kwargs, "layout": layout, "k": k, "upper": upper, "u_as_t": u_as_t}
        super().__init__(tokens=tokens, before=["<cls>"], strict=strict, **kwargs)

    def _encode_letters(self, letters: bytes) -> NDArray[Any]:
        if self.strict:
            check_known(letters, self._known, alphabet="DNA", shown=(*LETTERS, "N"))
        codes = np.frombuffer(letters.translate(self._table), np.uint8)
        if not letters.translate(None, self._whole):  # nothing to cut at: k-mers lie side by side
            end = len(codes) // self.k * self.k
            columns = codes[:end].reshape(-1, self.k).T
            kmers, rest = self._numbers(columns), self._letter_ids[codes[end:]]
            return np.concatenate([kmers, rest.astype(self._dtype)])
        starts, whole = self._cut(codes)
        ids = np.empty(len(starts), self._dtype)
        ids[~whole] = self._letter_ids[codes[starts[~whole]]]
        first = starts[whole]
        ids[whole] = self._numbers(codes[first + letter] for letter in range(self.k))
        return ids

    def _numbers(self, columns: Iterable[NDArray[np.uint8]]) -> NDArray[Any]:
        """Ids of k-mers, ``(T,)``, from the codes of their first letters, their second letters and so on, each ``(T,)``."""
        dtype = smallest_unsigned(4**self.k)
        numbers = np.zeros(1, dtype)
        for column in columns:
            numbers = (numbers << dtype.type(2)) + column
        ids: NDArray[Any] = numbers.astype(self._dtype, copy=False) + self._dtype.type(self._first)
        return ids

    def _cut(self, codes: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """First base of each token, and whether it is a whole k-mer."""
        if not len(codes):
            return np.zeros(0, np.int64), np.zeros(0, np.bool_)
        single = codes >= _N
        edges = np.flatnonzero(single[1:] != single[:-1]) + 1
        starts = np.concatenate([[0], edges])  # of runs of letters, and of runs of N and unknown
        lengths = np.diff(starts, append=len(codes))
        whole = np.where(single[starts], 0, lengths // self.k)
        counts = whole + lengths - whole * self.k
        run = np.repeat(np.arange(len(starts)), counts)
        place = np.arange(len(run)) - (np.cumsum(counts) - counts)[run]  # of the token in its run
        in_kmers = whole[run]
        is_kmer = place < in_kmers
        return starts[run] + np.where(is_kmer, place * self.k, place + in_kmers * (self.k - 1)), is_kmer

    def _spans_of_letters(self, letters: bytes) -> NDArray[np.int64]:
        starts, whole = self._cut(np.frombuffer(letters.translate(self._table), np.uint8))
        return np.stack([starts, starts + np.where(whole, self.k, 1)], axis=1)

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Write ``vocab.txt``, one token a line."""
        name = self.vocab_files_names["vocab_file"]
        path = Path(save_directory) / (f"{filename_prefix}-{name}" if filename_prefix else name)
        path.write_text("\n".join(self._tokens) + "\n")
        return (str(path),)

    def _identity(self) -> dict[str, Any]:
        return {"strict": self.strict, "table": self._table.hex()}


def _layout_of(layout: str, k: int) -> list[str]:
    kmers = _kmers(k)
    letters = [*kmers, *LETTERS, "N"] if k > 1 else [*LETTERS, "N"]
    special = ["<unk>", "<pad>", "<mask>", "<cls>"]
    return [*special, *letters, "<eos>", "<bos>"] if layout == "v1" else [*special, "<eos>", "<bos>", *letters]


def _read_vocabulary(path: Path) -> list[str]:
    """The tokens of a ``vocab.txt``: special tokens, all k-mers of one k in order, and the letters.

    Raises:
        InputError: it holds anything else.
    """
    try:
        tokens = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read as a vocabulary: {error}", path=path) from error
    kmers = [token for token in tokens if not token.startswith("<") and len(token) > 1]
    k = len(kmers[0]) if kmers else 1
    expected = _kmers(k) if kmers else []
    letters = {token for token in tokens if len(token) == 1}
    needed = {"<unk>", "<pad>", "<mask>", "<cls>"} - set(tokens)
    start = tokens.index(kmers[0]) if kmers else 0
    if letters != {*LETTERS, "N"} or needed or tokens[start : start + len(expected)] != expected or len(kmers) != len(expected):
        raise InputError(
            f"holds {len(tokens)} tokens that are no vocabulary of the Nucleotide Transformer; expected all k-mers in the order "
            "A, T, C, G, the letters A, T, C, G, N, and <unk>, <pad>, <mask>, <cls>",
            path=path,
        )
    return tokens
