"""The base of genoseq's tokenizers: Hugging Face tokenizers that work on arrays.

A tokenizer of this kind has two faces. As a Hugging Face tokenizer it is called with texts, pads batches, saves itself and
is found by ``AutoTokenizer``. As an encoder it turns a sequence into an array of ids (``encode_array``), says which bases each
token covers (``token_spans``), and turns ids back into letters (``decode_array``). Both faces go through the same
vectorised code, so that a sequence of a million bases is never a Python list of characters.

A new tokenizer derives from :class:`SequenceTokenizer` and writes ``_encode_letters`` and ``_spans_of_letters``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import InputError
from genoseq.tokenizers.calling import ArrayTokenizer
from genoseq.tokenizers.letters import AnySequence, smallest_unsigned

__all__ = ["SequenceEncoder", "SequenceTokenizer"]

FORMAT = 1  # raised when an older genoseq would read a saved tokenizer wrongly


@runtime_checkable
class SequenceEncoder(Protocol):
    """What every tokenizer of genoseq can do besides what Hugging Face asks of it."""

    @property
    def vocab_size(self) -> int: ...

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of everything that decides which ids a sequence gets."""
        ...

    def encode_array(self, sequence: AnySequence, *, add_special_tokens: bool = False) -> NDArray[Any]:
        """Ids of a sequence, ``(T,)``, in the smallest unsigned type that holds them."""
        ...

    def decode_array(self, ids: NDArray[Any], *, skip_special_tokens: bool = False) -> str:
        """The letters of ids ``(T,)``."""
        ...

    def token_spans(self, sequence: AnySequence) -> NDArray[np.int64]:
        """What each token of ``encode_array(sequence)`` covers, ``(T, 2)``, 0-based half-open."""
        ...

    def token_starts(self, sequence: AnySequence) -> NDArray[np.int64]:
        """First base of each token of ``encode_array(sequence)``, ``(T,)``, 0-based."""
        ...


class SequenceTokenizer(ArrayTokenizer):
    """A tokenizer with a fixed vocabulary that encodes by table look-ups.

    Args:
        tokens: the vocabulary; the id of a token is its place.
        before: special tokens put before each text.
        after: special tokens put after each text.
        strict: refuse an empty sequence and characters that the tokenizer does not know, with their position, instead
            of giving the latter the unknown token.
        genoseq_format: the version that a saved tokenizer was written in.
        kwargs: options of Hugging Face tokenizers: ``pad_token``, ``padding_side``, ``model_max_length`` and so on.

    Raises:
        InputError: saved by a newer genoseq.
    """

    def __init__(
        self,
        *,
        tokens: Sequence[str],
        before: Sequence[str] = (),
        after: Sequence[str] = (),
        strict: bool = False,
        genoseq_format: int = FORMAT,
        **kwargs: Any,
    ) -> None:
        if genoseq_format > FORMAT:
            raise InputError(
                f"tokenizer saved in format {genoseq_format}; this genoseq reads up to {FORMAT}",
                path=kwargs.get("name_or_path"),
                remedy="update genoseq",
            )
        self._tokens = tuple(tokens)
        self._index = {token: number for number, token in enumerate(self._tokens)}
        self._before = np.array([self._index[token] for token in before], np.int64)
        self._after = np.array([self._index[token] for token in after], np.int64)
        self._dtype = smallest_unsigned(len(self._tokens))
        self._spelling: tuple[NDArray[np.uint8], NDArray[np.int64]] | None = None
        self.strict = strict
        self.genoseq_format = genoseq_format
        super().__init__(strict=strict, genoseq_format=genoseq_format, **kwargs)

    # What a tokenizer defines

    def _spell(self, ids: NDArray[np.int64]) -> bytes:
        """The letters of valid ids, special tokens as their names."""
        spellings, lengths = self._spellings()
        sizes = lengths[ids]
        if not len(ids):
            return b""
        width = int(sizes.max())
        if width == 1 and int(sizes.min()) == 1:
            return bytes(spellings[ids, 0])
        return bytes(spellings[ids, :width][np.arange(width) < sizes[:, None]])

    def _text(self, letters: bytes) -> str:
        return letters.decode("utf-8")

    def _identity(self) -> dict[str, Any]:
        """What decides the ids besides class and vocabulary: part of the digest."""
        return {"strict": self.strict}

    # As an encoder

    def encode_array(self, sequence: AnySequence, *, add_special_tokens: bool = False) -> NDArray[Any]:
        """Ids of a sequence, ``(T,)``, in the smallest unsigned type that holds the vocabulary.

        Every character stands for itself: names of special tokens are looked for only by ``tokenizer(text)``.

        Raises:
            InputError: a character that is not ASCII; with ``strict``, an empty sequence or an unknown character.
        """
        ids = self._encode_letters(self._letters(sequence))
        if add_special_tokens and len(self._before) + len(self._after):
            return np.concatenate([self._before.astype(ids.dtype), ids, self._after.astype(ids.dtype)])
        return ids if ids.flags.writeable else ids.copy()

    def token_spans(self, sequence: AnySequence) -> NDArray[np.int64]:
        """What each token of ``encode_array(sequence)`` covers, ``(T, 2)``, 0-based half-open."""
        return self._spans_of_letters(self._letters(sequence))

    def token_starts(self, sequence: AnySequence) -> NDArray[np.int64]:
        """First base of each token of ``encode_array(sequence)``, ``(T,)``, 0-based."""
        return self.token_spans(sequence)[:, 0]

    def decode_array(self, ids: NDArray[Any], *, skip_special_tokens: bool = False) -> str:
        """The letters of ids ``(T,)``; special tokens as their names, or left out.

        Raises:
            InputError: an id is outside the vocabulary; the message gives its position.
        """
        numbers = np.asarray(ids).reshape(-1).astype(np.int64, copy=False)
        wrong = (numbers < 0) | (numbers >= len(self))
        if wrong.any():
            position = int(wrong.argmax())
            raise InputError(f"id {numbers[position]} at position {position} is outside the vocabulary (0 to {len(self) - 1})")
        if skip_special_tokens:
            numbers = numbers[~np.isin(numbers, self.all_special_ids)]
        return self._text(self._spell(numbers))

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of everything that decides which ids a sequence gets."""
        content = {
            "class": type(self).__name__,
            "tokens": self._tokens,
            "added": {number: str(token) for number, token in self.added_tokens_decoder.items()},
            "before": self._before.tolist(),
            "after": self._after.tolist(),
            **self._identity(),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def _spellings(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Bytes of each token ``(V, W)``, zeros after its end, and its length ``(V,)``; made on first use."""
        if self._spelling is None:
            texts = [self._bytes_of(number, token) for number, token in enumerate(self._tokens)]
            texts += [b""] * (len(self) - len(texts))
            for number, token in self.added_tokens_decoder.items():
                if number >= len(self._tokens):
                    texts[number] = str(token).encode()
            lengths = np.array([len(text) for text in texts], np.int64)
            table = np.array(texts, dtype=f"S{max(int(lengths.max()), 1)}")
            self._spelling = table.view(np.uint8).reshape(len(texts), -1), lengths
        return self._spelling

    def _bytes_of(self, number: int, token: str) -> bytes:
        """How token ``number`` is spelt in decoded text."""
        return token.encode()

    # As a Hugging Face tokenizer

    @property
    def vocab_size(self) -> int:
        """Number of ids, without tokens added later."""
        return len(self._tokens)

    def get_vocab(self) -> dict[str, int]:
        """Id of each token, those added later included."""
        return {**self._index, **self.added_tokens_encoder}

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Nothing: the options in ``tokenizer_config.json`` decide the vocabulary."""
        return ()

    def tokenize(self, text: str, pair: str | None = None, add_special_tokens: bool = False, **kwargs: Any) -> list[str]:
        """The tokens of a text; special tokens named in it are kept whole."""
        ids = self(text, pair, add_special_tokens=add_special_tokens, **kwargs)["input_ids"]
        return cast("list[str]", self.convert_ids_to_tokens(ids))

    def _tokenize(self, text: str, **kwargs: Any) -> list[str]:
        return [self._tokens[number] for number in self.encode_array(text).tolist()]

    def _convert_token_to_id(self, token: str) -> int | None:
        found = self._index.get(token)
        return self._index.get(str(self.unk_token)) if found is None else found

    def _convert_id_to_token(self, index: int) -> str:
        if not 0 <= index < len(self._tokens):
            raise InputError(f"id {index} is outside the vocabulary (0 to {len(self) - 1})")
        return self._tokens[index]

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """The text of tokens, end to end."""
        return self.decode_array(np.array(self.convert_tokens_to_ids(tokens), np.int64))

    def build_inputs_with_special_tokens(self, token_ids_0: list[int], token_ids_1: list[int] | None = None) -> list[int]:
        """Ids with the special tokens around them."""
        before, after = self._before.tolist(), self._after.tolist()
        row: list[int] = [*before, *token_ids_0, *after]
        return row if token_ids_1 is None else [*row, *token_ids_1, *after]

    def get_special_tokens_mask(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None, already_has_special_tokens: bool = False
    ) -> list[int]:
        """1 at special tokens, 0 elsewhere."""
        if already_has_special_tokens:
            if token_ids_1 is not None:
                raise ValueError("a second sequence is given with ids that already have their special tokens")
            return [int(special) for special in np.isin(np.asarray(token_ids_0), self.all_special_ids)]
        before, after = [1] * len(self._before), [1] * len(self._after)
        mask = [*before, *[0] * len(token_ids_0), *after]
        return mask if token_ids_1 is None else [*mask, *[0] * len(token_ids_1), *after]

    def decode(self, token_ids: Any, skip_special_tokens: bool = False, **kwargs: Any) -> Any:
        """The text of ids, or a list of texts for a batch; ids outside the vocabulary become the unknown token."""
        if hasattr(token_ids, "detach"):  # a tensor
            token_ids = token_ids.detach().cpu().numpy()
        if isinstance(token_ids, np.ndarray) and token_ids.ndim == 2:
            return [self._decode(row, skip_special_tokens) for row in token_ids]
        if isinstance(token_ids, (list, tuple)) and len(token_ids) and not isinstance(token_ids[0], (int, np.integer)):
            return [self.decode(row, skip_special_tokens) for row in token_ids]
        return self._decode(token_ids, skip_special_tokens)

    def _decode(self, token_ids: Any, skip_special_tokens: bool = False, *args: Any, **kwargs: Any) -> str:
        ids = np.atleast_1d(np.asarray(token_ids, np.int64))
        unknown = self.unk_token_id
        if unknown is not None:
            ids = np.where((ids < 0) | (ids >= len(self)), unknown, ids)
        return self.decode_array(ids, skip_special_tokens=skip_special_tokens)

    def _update_trie(self, *args: Any, **kwargs: Any) -> None:
        """Called by Hugging Face whenever tokens are added."""
        super()._update_trie(*args, **kwargs)
        self._spelling = None
