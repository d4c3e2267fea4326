"""Byte-pair encoding: DNABERT-2's, read from its folder, and one trained on your own sequences.

| | lower case | U | N | other IUPAC codes, `*`, `-`, anything else |
|---|---|---|---|---|
| trained by genoseq | as upper case | as T | N, by itself | [UNK], one for each character |
| DNABERT-2 | [UNK] | [UNK] | [UNK], unless its vocabulary has N | [UNK] |

``upper`` and ``u_as_t`` change the first two columns. Ids in both: [UNK] 0, [CLS] 1, [SEP] 2, [PAD] 3, [MASK] 4, then letters and
merges; [CLS] x [SEP]. Encoding is the ``tokenizers`` library's, in Rust. Source: Zhou et al. 2023 (DNABERT-2).
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import math
import random
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast
from transformers.tokenization_utils_base import BatchEncoding

from genoseq.errors import InputError, Pathlike, UsageError
from genoseq.tokenizers.letters import AnySequence, check_known, letters_of, smallest_unsigned

__all__ = ["GenoseqBpeTokenizer", "load_bpe", "train_bpe"]

SPECIAL = ("[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]")
_NAMES = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "mask_token": "[MASK]"}
_STRETCH = re.compile(rb"[ACGT]+")


class GenoseqBpeTokenizer(PreTrainedTokenizerFast):
    """Tokens learned by byte-pair encoding; made by :func:`train_bpe`, :func:`load_bpe` or ``from_pretrained``.

    Options, kept in ``tokenizer_config.json``: ``upper`` (read lower case as upper case), ``u_as_t`` (read ``U`` as ``T``),
    ``strict`` (refuse an empty sequence and what would become [UNK]); all False unless given.
    """

    # No __init__: with one of its own, Hugging Face would rebuild the tokenizer without its pre-tokenizer.

    @property
    def upper(self) -> bool:
        """Whether lower case is read as upper case."""
        return bool(self.init_kwargs.get("upper", False))

    @property
    def u_as_t(self) -> bool:
        """Whether ``U`` is read as ``T``."""
        return bool(self.init_kwargs.get("u_as_t", False))

    @property
    def strict(self) -> bool:
        """Whether what would become [UNK] is refused."""
        return bool(self.init_kwargs.get("strict", False))

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of everything that decides which ids a sequence gets."""
        options = f"{self.upper} {self.u_as_t} {self.strict} {self.split_special_tokens}\n"
        return hashlib.sha256((options + self.backend_tokenizer.to_str()).encode()).hexdigest()

    def encode_array(self, sequence: AnySequence, *, add_special_tokens: bool = False) -> NDArray[Any]:
        """Ids of a sequence, ``(T,)``, in the smallest unsigned type that holds the vocabulary.

        Raises:
            InputError: a character that is not ASCII; with ``strict``, an empty sequence or an unknown character.
        """
        encoding = self.backend_tokenizer.encode(self._read(sequence), add_special_tokens=add_special_tokens)
        return np.array(encoding.ids, smallest_unsigned(len(self)))

    def token_spans(self, sequence: AnySequence) -> NDArray[np.int64]:
        """What each token of ``encode_array(sequence)`` covers, ``(T, 2)``, 0-based half-open."""
        encoding = self.backend_tokenizer.encode(self._read(sequence), add_special_tokens=False)
        return np.array(encoding.offsets, np.int64).reshape(-1, 2)

    def token_starts(self, sequence: AnySequence) -> NDArray[np.int64]:
        """First base of each token of ``encode_array(sequence)``, ``(T,)``, 0-based."""
        return self.token_spans(sequence)[:, 0]

    def decode_array(self, ids: NDArray[Any], *, skip_special_tokens: bool = False) -> str:
        """The letters of ids ``(T,)``; special tokens as their names, or left out.

        Raises:
            InputError: an id is outside the vocabulary; the message gives its position.
        """
        numbers = np.asarray(ids).reshape(-1).astype(np.int64)
        wrong = (numbers < 0) | (numbers >= len(self))
        if wrong.any():
            position = int(wrong.argmax())
            raise InputError(f"id {numbers[position]} at position {position} is outside the vocabulary (0 to {len(self) - 1})")
        return self._decode(numbers.tolist(), skip_special_tokens=skip_special_tokens)

    def _decode(self, token_ids: Any, skip_special_tokens: bool = False, *args: Any, **kwargs: Any) -> str:
        """Tokens end to end, where a tokenizer without a decoder would put spaces between them."""
        ids = [token_ids] if isinstance(token_ids, int) else list(token_ids)
        tokens = cast("list[str | None]", self.convert_ids_to_tokens(ids, skip_special_tokens=skip_special_tokens))
        return "".join(str(self.unk_token) if token is None else token for token in tokens)

    def _read(self, sequence: AnySequence) -> str:
        """The text that is encoded."""
        letters = letters_of(sequence)
        if self.upper:
            letters = letters.upper()
        if self.u_as_t:
            letters = letters.replace(b"U", b"T").replace(b"u", b"t")
        if self.strict:
            check_known(letters, "".join(self._alphabet).encode(), alphabet="DNA", shown=self._alphabet)
        return letters.decode("ascii")

    @functools.cached_property
    def _alphabet(self) -> list[str]:
        """The letters that are tokens."""
        return sorted(token for token in self.get_vocab() if len(token) == 1)

    def _encode_plus(self, text: Any, text_pair: Any = None, *args: Any, **kwargs: Any) -> BatchEncoding:
        return super()._encode_plus(self._read_all(text), self._read_all(text_pair), *args, **kwargs)

    def _read_all(self, texts: Any) -> Any:
        """Texts as they are encoded, in lists as deep as given; special tokens named in them stay."""
        if isinstance(texts, (list, tuple)):
            return type(texts)(self._read_all(text) for text in texts)
        if not isinstance(texts, (str, bytes, bytearray, memoryview)):
            return texts
        named = [token for token in self.added_tokens_encoder if isinstance(texts, str) and token in texts]
        if not named or not isinstance(texts, str):
            return self._read(texts)
        read, end = [], 0
        for part in re.split(f"({'|'.join(map(re.escape, sorted(named, key=len, reverse=True)))})", texts):
            try:
                read.append(part if part in named or not part else self._read(part))
            except InputError as error:
                where = f"{error.message} (in the part of the text that starts at {end})"
                raise InputError(where, remedy=error.remedy) from None
            end += len(part)
        return "".join(read)


def load_bpe(
    folder: Pathlike, *, upper: bool = False, u_as_t: bool = False, strict: bool = False, **options: Any
) -> GenoseqBpeTokenizer:
    """The tokenizer in a folder (or file) ``tokenizer.json``, such as DNABERT-2's.

    Args:
        folder: the folder, or the file itself.
        upper: read lower case as upper case.
        u_as_t: read ``U`` as ``T``.
        strict: refuse what would become [UNK].
        options: of Hugging Face tokenizers, such as ``model_max_length``.

    Raises:
        InputError: there is no such file, it is no tokenizer, or its model is not BPE.
    """
    path = Path(folder)
    if path.is_dir():
        path = path / "tokenizer.json"
    if not path.is_file():
        raise InputError("no such file", path=path, remedy="give a folder with the tokenizer.json of a BPE tokenizer")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise InputError(f"cannot be read as a tokenizer: {error}", path=path) from error
    if not isinstance(tokenizer.model, models.BPE):
        kind = type(tokenizer.model).__name__
        raise InputError(f"holds a {kind} model, expected BPE", path=path, remedy="open it with AutoTokenizer")
    names = {name: token for name, token in _NAMES.items() if tokenizer.token_to_id(token) is not None}
    settings = {**names, **options, "upper": upper, "u_as_t": u_as_t, "strict": strict}
    return GenoseqBpeTokenizer(tokenizer_object=tokenizer, **settings)


def train_bpe(
    sequences: Iterable[AnySequence],
    *,
    vocab_size: int = 4096,
    piece: int = 128,
    max_bases: int = 10_000_000,
    min_frequency: int = 2,
    max_token_length: int | None = 16,
    seed: int = 0,
    **options: Any,
) -> GenoseqBpeTokenizer:
    """A BPE tokenizer trained on sequences; the same sequences and seed give the same tokenizer.

    Sequences are upper-cased, U is read as T, and they are cut at everything else than A, C, G, T and then into pieces, so
    that a chromosome is not one huge word. If they hold more bases than ``max_bases``, pieces are drawn from all of them
    with equal chance. Memory grows with ``max_bases`` (about 100 bytes for each), not with the genome.

    Args:
        sequences: any iterable; read once.
        vocab_size: tokens in all, the five special ones and A, C, G, T, N included. Fewer if merges run out.
        piece: bases of a piece; no token spans two.
        max_bases: how much is learned from.
        min_frequency: pairs seen less often are not merged.
        max_token_length: longest token in bases; None for no limit, which lets repeats make very long ones.
        seed: of the draw.
        options: of Hugging Face tokenizers, such as ``model_max_length``, and ``strict``.

    Raises:
        UsageError: numbers out of range.
        InputError: the sequences hold no A, C, G, T, or a character that is not ASCII.

    >>> tokenizer = train_bpe(["GATTACA" * 50], vocab_size=16)
    >>> tokenizer.decode_array(tokenizer.encode_array("gattaca"))
    'GATTACA'
    """
    smallest = len(SPECIAL) + len("ACGTN")
    for name, value, least in (
        ("vocab_size", vocab_size, smallest),
        ("piece", piece, 2),
        ("max_bases", max_bases, piece),
        ("min_frequency", min_frequency, 1),
        ("max_token_length", 2 if max_token_length is None else max_token_length, 2),
    ):
        if value < least:
            raise UsageError(f"{name} is {value}; expected at least {least}")
    pieces = _draw(_pieces(sequences, piece), count=max_bases // piece, seed=seed)
    if not pieces:
        raise InputError("the sequences hold no A, C, G or T", remedy="give nucleotide sequences")
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=list(SPECIAL),
        initial_alphabet=list("ACGTN"),
        limit_alphabet=5,
        max_token_length=max_token_length,
        show_progress=False,
    )
    tokenizer.train_from_iterator((text.decode("ascii") for text in pieces), trainer)
    ends = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    settings = {**_NAMES, "upper": True, "u_as_t": True, "strict": False, **options}
    return GenoseqBpeTokenizer(tokenizer_object=tokenizer, **settings)


def _pieces(sequences: Iterable[AnySequence], size: int) -> Iterator[bytes]:
    """Stretches of A, C, G, T cut into pieces; those of fewer than two bases teach nothing and are left out."""
    for sequence in sequences:
        letters = letters_of(sequence).upper().replace(b"U", b"T")
        for stretch in _STRETCH.finditer(letters):
            for start in range(stretch.start(), stretch.end() - 1, size):
                yield letters[start : min(start + size, stretch.end())]


def _draw(items: Iterable[bytes], *, count: int, seed: int) -> list[bytes]:
    """``count`` of the items, each with equal chance, in their order; all of them if there are no more.

    Reservoir sampling that skips ahead (algorithm L of Li, ACM TOMS 20:481, 1994).
    """
    source = random.Random(seed)
    stream = enumerate(items)
    kept = list(itertools.islice(stream, count))
    weight = 1.0
    while True:
        weight *= math.exp(math.log(1.0 - source.random()) / count)
        skipped = math.floor(math.log(1.0 - source.random()) / math.log1p(-weight))
        found = next(itertools.islice(stream, skipped, None), None)
        if found is None:
            return [item for _, item in sorted(kept)]
        kept[source.randrange(count)] = found
