"""Sequences as the token ids a net wants, each token with the bases it stands for, whatever the tokenizer.

Inside, a sequence is upper case; of nucleotides, `U` is `T` and every ambiguity code is `N`. Special tokens are kept apart:
`TokenReader.front` are the ids that the tokenizer puts before a sequence, `TokenReader.back` those that it puts behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import InputError, UsageError
from genoseq.seqs.alphabet import UPPER
from genoseq.seqs.record import Record

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = [
    "AMINO_ACIDS",
    "NUCLEOTIDES",
    "STRANDS",
    "Strand",
    "TokenReader",
    "Tokens",
    "as_records",
    "plain_nucleotides",
    "strands_of",
]

Strand = Literal["both", "forward", "reverse"]
STRANDS: tuple[str, ...] = get_args(Strand)

NUCLEOTIDES = "ACGT"
AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"
RARE_SHARE = 0.4
"""More ambiguity codes other than N than this among its letters, and a sequence is taken for a protein."""
DNA_LENGTH = 30
"""A sequence of at least so many letters that are all those of nucleotides is taken for no protein."""
_CODES = "RYSWKMBDHV"
_RARE = np.zeros(256, bool)
_RARE[list(_CODES.encode())] = True
_PLAIN = str.maketrans("U" + _CODES + "X.", "T" + "N" * (len(_CODES) + 2))
PROTEIN_LETTERS = frozenset("ABCDEFGHIKLMNPQRSTVWXYZUOJ*-.")


class Tokens(NamedTuple):
    """A sequence in tokens, special ones left out.

    Attributes:
        ids: int64 ``(n,)``.
        starts: int64 ``(n,)``, first base of each token, 0-based.
        ends: int64 ``(n,)``, base after the last one of each token.
    """

    ids: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    def __len__(self) -> int:
        """Number of tokens."""
        return len(self.ids)

    def part(self, first: int, last: int) -> Tokens:
        """Tokens ``[first, last)``, their bases counted as in the whole."""
        return Tokens(self.ids[first:last], self.starts[first:last], self.ends[first:last])


class TokenReader:
    """Turns sequences into tokens by a Hugging Face tokenizer.

    Attributes:
        tokenizer: the tokenizer.
        front: ids that it puts before a sequence.
        back: ids that it puts behind a sequence.
        pad: the id for padding; its value never matters, since padding is masked.
        protein: whether the letters are amino acids.
        letters: the letters that are no ambiguity codes.

    Raises:
        UsageError: there is no tokenizer.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase | None) -> None:
        self.tokenizer: Any = tokenizer
        if tokenizer is None or not hasattr(tokenizer, "get_vocab"):
            given = "None (no tokenizer lies beside the model)" if tokenizer is None else f"a {type(tokenizer).__name__}"
            raise UsageError(
                f"the tokenizer is {given}: give the one that the model was trained with, such as "
                "genoseq.tokenizers.make('nucleotide'); genoseq.tokenizers.names() lists them"
            )
        self._is_encoder = hasattr(tokenizer, "encode_array") and hasattr(tokenizer, "token_spans")
        alphabet = getattr(tokenizer, "alphabet", None)
        self.protein = alphabet == "protein" if isinstance(alphabet, str) else _knows_proteins(tokenizer)
        self.letters = AMINO_ACIDS if self.protein else NUCLEOTIDES
        self._clear = np.zeros(256, bool)
        self._clear[list(self.letters.encode())] = True
        probe = self.letters[:4] * 4
        bare = _ids(self.tokenizer, probe, special=False)
        whole = _ids(self.tokenizer, probe, special=True)
        at = next((i for i in range(len(whole) - len(bare) + 1) if whole[i : i + len(bare)] == bare), None)
        if at is None:
            raise UsageError(f"{type(tokenizer).__name__} changes the tokens of a sequence when it adds special ones")
        self.front = np.asarray(whole[:at], np.int64)
        self.back = np.asarray(whole[at + len(bare) :], np.int64)
        pads = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
        self.pad = int(next(found for found in pads if found is not None))

    @property
    def mask_id(self) -> int:
        """Id of the mask token.

        Raises:
            UsageError: the tokenizer has none.
        """
        found = self.tokenizer.mask_token_id
        if found is None:
            raise UsageError(f"{type(self.tokenizer).__name__} has no mask token, which a masked language model needs")
        return int(found)

    @property
    def begin_id(self) -> int:
        """Id of the token for the beginning of a sequence.

        Raises:
            UsageError: the tokenizer has none.
        """
        found = self.tokenizer.bos_token_id
        if found is None:
            raise UsageError(f"{type(self.tokenizer).__name__} has no token for the beginning of a sequence: leave --bos out")
        return int(found)

    @cached_property
    def words(self) -> dict[int, str]:
        """The letters that each token stands for, special tokens left out."""
        special = set(self.tokenizer.all_special_ids)
        found = {}
        for token, number in self.tokenizer.get_vocab().items():
            word = self.tokenizer.decode_array(np.array([number])) if self._is_encoder else _word(token)
            if number not in special and word and word.isascii() and all(c.isalpha() or c in "*-." for c in word):
                found[int(number)] = word
        return found

    @cached_property
    def plain(self) -> dict[int, str]:
        """As `words`, only the tokens of unambiguous upper-case letters: bases, or the 20 amino acids."""
        return {number: word for number, word in self.words.items() if set(word) <= set(self.letters)}

    @cached_property
    def step(self) -> int | None:
        """Letters from one token to the next where that is the same for all (rests at the ends apart); None where it is not."""
        if self.overlapping:
            steps = np.diff(self._probe.starts)
            return int(steps[0]) if (steps == steps[0]).all() else None
        whole = np.flatnonzero(self._probe.ends - self._probe.starts == self.longest)
        rests = int(whole[0]), len(self._probe) - 1 - int(whole[-1])
        return self.longest if whole[-1] - whole[0] == len(whole) - 1 and max(rests) < self.longest else None

    @property
    def longest(self) -> int:
        """Letters of the longest token of a sequence that has every pair of letters."""
        return int((self._probe.ends - self._probe.starts).max())

    @cached_property
    def overlapping(self) -> bool:
        """Whether a letter belongs to more than one token."""
        return bool((self._probe.starts[1:] < self._probe.ends[:-1]).any())

    @cached_property
    def from_end(self) -> bool:
        """Whether tokens are read from the end of a sequence to its beginning, as codons of the other strand are."""
        starts = self.read(self.letters[:4] * 8).starts
        return len(starts) > 1 and bool(starts[0] > starts[-1])

    @cached_property
    def _probe(self) -> Tokens:
        """Tokens, in the order of their letters, of a sequence in which every pair of letters follows every other."""
        words = ["".join(pair) for pair in product(self.letters[:4], repeat=2)]
        found = self.read("".join(first + second for first, second in product(words, repeat=2))[:240])
        order = np.argsort(found.starts, kind="stable")
        return Tokens(found.ids[order], found.starts[order], found.ends[order])

    def clean(self, sequence: str) -> str:
        """The sequence in upper case; of nucleotides, ``U`` as ``T`` and every ambiguity code as ``N``."""
        return sequence.upper() if self.protein else plain_nucleotides(sequence)

    def clear(self, sequence: str) -> NDArray[np.bool_]:
        """Which letters of a clean sequence are no ambiguity codes, ``(len(sequence),)``."""
        return self._clear[np.frombuffer(sequence.encode("ascii"), np.uint8)]

    def check(self, record: Record, number: int) -> str:
        """The clean sequence of a record, if it is one for this tokenizer.

        Args:
            record: the record.
            number: its number, from 1, for the message.

        Raises:
            InputError: it is empty, or its letters are those of another kind of sequence.
        """
        where = f"sequence {number} ({record.name!r})"
        if not record.sequence:
            raise InputError(f"{where} is empty", remedy="leave empty sequences out")
        if self.protein:
            text = self.clean(record.sequence)
            illegal = set(text) - PROTEIN_LETTERS
            if illegal:
                raise InputError(f"{where} has the character {min(illegal)!r}, which stands for no amino acid")
            if len(text) >= DNA_LENGTH and set(text) <= set("ACGTUN"):
                raise InputError(
                    f"{where} is made of A, C, G, T, U and N only",
                    remedy="this seems to be DNA or RNA; this model reads proteins: translate it (genoseq.tokenizers.translate)",
                )
            return text
        codes = np.frombuffer(record.sequence.upper().encode("ascii", "replace"), np.uint8)
        known = UPPER[codes] != 0
        if not known.all():
            at = int(np.argmin(known))
            raise InputError(
                f"{where} has the character {record.sequence[at]!r} at position {at + 1}, which is no nucleotide",
                remedy="this model reads DNA; for proteins use one that was trained on proteins",
            )
        other = int(np.count_nonzero(_RARE[codes]))
        if other > RARE_SHARE * len(codes) and len(codes) > 10:
            raise InputError(
                f"{where} is made of ambiguity codes ({other:,} of {len(codes):,} letters)",
                remedy="this may be a protein; this model reads DNA",
            )
        return self.clean(record.sequence)

    def read(self, sequence: str, *, name: str = "") -> Tokens:
        """Tokens of a clean sequence; ``name`` is for messages.

        Raises:
            InputError: the tokenizer makes no tokens of it.
            UsageError: it cannot be told which bases a token stands for.
        """
        if self._is_encoder:
            ids = self.tokenizer.encode_array(sequence)
            bounds = self.tokenizer.token_spans(sequence)
            starts, ends = bounds[:, 0], bounds[:, 1]
        elif self.tokenizer.is_fast:
            given = self.tokenizer(sequence, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
            ids = given["input_ids"]
            bounds = np.asarray(given["offset_mapping"], np.int64).reshape(-1, 2)
            starts, ends = bounds[:, 0], bounds[:, 1]
        else:
            words = self.tokenizer.tokenize(sequence)
            ids = self.tokenizer.convert_tokens_to_ids(words)
            starts, ends = _placed([len(word) for word in words], len(sequence), type(self.tokenizer).__name__)
        found = Tokens(np.asarray(ids, np.int64), np.asarray(starts, np.int64), np.asarray(ends, np.int64))
        if not len(found):
            what = f"sequence {name!r}" if name else "a sequence"
            raise InputError(f"{what} has {len(sequence)} letters, too few for a token of this model", remedy="leave it out")
        return found

    def clear_tokens(self, sequence: str, tokens: Tokens) -> NDArray[np.bool_]:
        """Which tokens hold no ambiguity code, ``(n,)``."""
        before = np.concatenate([[0], np.cumsum(~self.clear(sequence))])
        unclear: NDArray[np.bool_] = before[tokens.ends] == before[tokens.starts]
        return unclear


def plain_nucleotides(sequence: str) -> str:
    """The sequence in upper case, ``U`` as ``T`` and every ambiguity code as ``N``.

    >>> plain_nucleotides("acguRx-")
    'ACGTNN-'
    """
    return sequence.upper().translate(_PLAIN)


def as_records(sequences: Iterable[Record | str]) -> Iterator[Record]:
    """Records of anything a caller may pass: records as they are, plain strings under the names 1, 2, ...

    >>> [record.name for record in as_records(["ACGT", Record("r", "", "A")])]
    ['1', 'r']
    """
    if isinstance(sequences, (str, Record)):
        sequences = [sequences]
    for number, given in enumerate(sequences, 1):
        yield Record(str(number), "", given) if isinstance(given, str) else given


def strands_of(strand: str, reader: TokenReader) -> tuple[bool, ...]:
    """Which strands a word of ``STRANDS`` stands for: False the forward, True the reverse one.

    Raises:
        UsageError: another word, or a reverse strand of proteins.
    """
    if strand not in STRANDS:
        raise UsageError(f"unknown strand {strand!r}: known are {', '.join(STRANDS)}")
    if reader.protein and strand == "reverse":
        raise UsageError("this model reads proteins, which have no reverse strand")
    return {"both": (False, True), "forward": (False,), "reverse": (True,)}[strand]


def _ids(tokenizer: Any, text: str, *, special: bool) -> list[int]:
    return [int(number) for number in tokenizer(text, add_special_tokens=special)["input_ids"]]


def _word(token: str) -> str:
    """A vocabulary entry without the marks of a word's beginning that some tokenizers put in it."""
    return token.removeprefix("##").lstrip("Ġ▁")


def _placed(lengths: list[int], total: int, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Bounds of tokens of these lengths in a sequence of ``total`` letters: side by side, or a new one at every letter."""
    sizes = np.asarray(lengths, np.int64)
    if int(sizes.sum()) <= total and (not len(sizes) or total - int(sizes.sum()) < max(3, int(sizes.max()))):
        ends = np.cumsum(sizes)
        return ends - sizes, ends
    if len(sizes) and (sizes == sizes[0]).all() and len(sizes) == total - int(sizes[0]) + 1:
        starts = np.arange(len(sizes))
        return starts, starts + sizes
    raise UsageError(f"it cannot be told which letters the tokens of {name} stand for")


def _knows_proteins(tokenizer: PreTrainedTokenizerBase) -> bool:
    vocabulary = tokenizer.get_vocab()
    return all(letter in vocabulary for letter in AMINO_ACIDS) and not all(c in vocabulary for c in "acgt")
