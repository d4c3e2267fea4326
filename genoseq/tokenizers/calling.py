"""Calling a tokenizer with texts, on arrays: the part of a Hugging Face tokenizer that makes batches.

Hugging Face's own code for tokenizers written in Python goes through lists of tokens and of numbers. This one keeps arrays from
the text to the tensor, and answers every option of ``tokenizer(...)``, offsets included.
"""

from __future__ import annotations

import re
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizer
from transformers.tokenization_utils_base import BatchEncoding, TruncationStrategy
from transformers.utils.generic import PaddingStrategy

from genoseq.errors import InputError, UsageError
from genoseq.tokenizers.batching import Column, Piece, Row, Side, cut, join, pad_columns, samples_of, to_lists, to_tensors
from genoseq.tokenizers.letters import AnySequence, letters_of

__all__ = ["ArrayTokenizer"]

_PADDED = {"input_ids", "attention_mask", "token_type_ids", "special_tokens_mask"}


class ArrayTokenizer(PreTrainedTokenizer):
    """A Hugging Face tokenizer whose calls work on arrays.

    A class derived from it sets ``_before`` and ``_after``, the ids int64 of the special tokens around each text, before it
    calls ``super().__init__``, and writes ``_encode_letters`` and ``_spans_of_letters``.
    """

    _before: NDArray[np.int64]
    _after: NDArray[np.int64]

    def __init__(self, **kwargs: Any) -> None:
        self._added: re.Pattern[str] | None = None
        self._heads: list[str] = []
        super().__init__(**kwargs)

    def _letters(self, sequence: AnySequence) -> bytes:
        """The bytes of a sequence that are encoded."""
        return letters_of(sequence)

    def _encode_letters(self, letters: bytes) -> NDArray[Any]:
        """Ids ``(T,)`` of a sequence, without special tokens."""
        raise NotImplementedError

    def _spans_of_letters(self, letters: bytes) -> NDArray[np.int64]:
        """What each token covers, ``(T, 2)``, 0-based half-open."""
        raise NotImplementedError

    def _update_trie(self, *args: Any, **kwargs: Any) -> None:
        """Called by Hugging Face whenever tokens are added."""
        super()._update_trie(*args, **kwargs)
        self._added = None

    def _stands_for_itself(self, token: str) -> bool:
        """Whether the table gives the text of an added token its id anyway."""
        if len(token) != 1:
            return False
        try:
            return bool(np.array_equal([self._added_tokens_encoder[token]], self._encode_letters(self._letters(token))))
        except InputError:
            return False

    def _piece(self, text: Any, *, spans: bool = False, split_special_tokens: bool = False) -> Piece:
        """Tokens of one text; of ids or tokens given as a list, those."""
        if isinstance(text, (list, tuple)):
            if text and isinstance(text[0], str):
                text = self.convert_tokens_to_ids(list(text))
            ids = np.array(text, np.int64)
            if spans and len(ids):
                raise UsageError("offsets need text, and were asked for with ids or tokens")
            return Piece(ids, np.zeros((0, 2), np.int64) if spans else None)
        if isinstance(text, str) and not split_special_tokens:
            found = self._special_in(text)
            if found:
                return self._mixed_piece(text, found, spans=spans)
        letters = self._letters(text)
        covered = self._spans_of_letters(letters) if spans else None
        return Piece(self._encode_letters(letters).astype(np.int64), covered)

    def _special_in(self, text: str) -> list[re.Match[str]]:
        """Added tokens that are named in the text."""
        if self._added is None:
            named = [token for token in self._added_tokens_encoder if not self._stands_for_itself(token)]
            longest_first = sorted(named, key=len, reverse=True)
            self._added = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
            self._heads = sorted({token[0] for token in named})
        if not any(head in text for head in self._heads):
            return []
        return list(self._added.finditer(text))

    def _mixed_piece(self, text: str, found: list[re.Match[str]], *, spans: bool) -> Piece:
        """Tokens of a text that names special tokens."""
        ids: list[NDArray[np.int64]] = []
        covered: list[NDArray[np.int64]] = []
        end = 0
        for match in [*found, None]:
            stretch = text[end : match.start() if match else len(text)]
            if stretch:
                try:
                    letters = self._letters(stretch)
                    ids.append(self._encode_letters(letters).astype(np.int64))
                except InputError as error:
                    where = f"{error.message} (in the part of the text that starts at {end})"
                    raise InputError(where, remedy=error.remedy) from None
                if spans:
                    covered.append(self._spans_of_letters(letters) + end)
            if match:
                ids.append(np.array([self._added_tokens_encoder[match[0]]], np.int64))
                covered.append(np.array([match.span()], np.int64))
                end = match.end()
        return Piece(np.concatenate(ids), np.concatenate(covered) if spans else None)

    def _encode_plus(  # type: ignore[override]
        self,
        text: Any,
        text_pair: Any = None,
        add_special_tokens: bool = True,
        padding_strategy: PaddingStrategy = PaddingStrategy.DO_NOT_PAD,
        truncation_strategy: TruncationStrategy = TruncationStrategy.DO_NOT_TRUNCATE,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: Side | None = None,
        return_tensors: Any = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        split_special_tokens: bool | None = None,
        **kwargs: Any,
    ) -> BatchEncoding:
        """What ``tokenizer(...)`` and ``tokenizer.encode(...)`` do, once padding and truncation are settled."""
        if kwargs:
            raise TypeError(f"{type(self).__name__} does not take {', '.join(kwargs)}")
        split = self.split_special_tokens if split_special_tokens is None else split_special_tokens
        batched, samples = samples_of(text, text_pair, words=is_split_into_words)
        none = np.zeros(0, np.int64)
        before, after = (self._before, self._after) if add_special_tokens else (none, none)
        limit = max_length if truncation_strategy != TruncationStrategy.DO_NOT_TRUNCATE else None
        rows: list[Row] = []
        overflows: list[list[int]] = []
        removed: list[int] = []
        for one, other in samples:
            first = self._piece(one, spans=return_offsets_mapping, split_special_tokens=split)
            second = self._piece(other, spans=return_offsets_mapping, split_special_tokens=split) if other is not None else None
            total = len(before) + len(first) + len(after) + (len(second) + len(after) if second is not None else 0)
            removed.append(0 if limit is None else max(total - limit, 0))
            side = cast("Side", self.truncation_side)
            first, second, rest = cut(first, second, removed[-1], strategy=truncation_strategy.value, side=side, stride=stride)
            overflows.append(rest.tolist())
            rows.append(join(first, second, before=before, after=after))
            self._eventual_warn_about_too_long_sequence(cast(Any, rows[-1].ids), max_length, verbose)

        def wanted(name: str, asked: bool | None) -> bool:
            return name in self.model_input_names if asked is None else asked

        columns = {"input_ids": Column([row.ids for row in rows], self._padding_of("input_ids"))}
        if wanted("token_type_ids", return_token_type_ids):
            columns["token_type_ids"] = Column([row.types for row in rows], self._padding_of("token_type_ids"))
        if wanted("attention_mask", return_attention_mask):
            columns["attention_mask"] = Column([np.ones(len(row.ids), np.int64) for row in rows], 0)
        if return_special_tokens_mask:
            columns["special_tokens_mask"] = Column([row.special for row in rows], 1)
        if return_offsets_mapping:
            columns["offset_mapping"] = Column([cast("NDArray[Any]", row.spans) for row in rows], 0)
        content = pad_columns(
            columns,
            padding_strategy.value,
            max_length=max_length,
            multiple=pad_to_multiple_of,
            side=padding_side or cast("Side", self.padding_side),
        )
        if return_length:
            content["length"] = np.array([len(row.ids) for row in rows], np.int64)
        if return_tensors is not None:
            return BatchEncoding(to_tensors(content, return_tensors))
        if return_overflowing_tokens and any(removed):
            content |= {"overflowing_tokens": overflows, "num_truncated_tokens": removed}
        lists = {name: to_lists(values) for name, values in content.items()}
        return BatchEncoding(lists if batched else {name: values[0] for name, values in lists.items()})

    def _padding_of(self, name: str) -> int:
        """What stands at padded places of an entry of a batch."""
        pad = 0 if self.pad_token_id is None else int(self.pad_token_id)
        return {"input_ids": pad, "token_type_ids": self.pad_token_type_id, "special_tokens_mask": 1}.get(name, 0)

    def pad(  # type: ignore[override]
        self,
        encoded_inputs: Any,
        padding: Any = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: Side | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: Any = None,
        verbose: bool = True,
    ) -> BatchEncoding:
        """Pad what several calls gave, as data collators do; as arrays all the way where tensors are asked for."""
        rows = _rows_to_pad(encoded_inputs) if return_tensors is not None else None
        if rows is None:
            return super().pad(
                encoded_inputs,
                padding=padding,
                max_length=max_length,
                pad_to_multiple_of=pad_to_multiple_of,
                padding_side=padding_side,
                return_attention_mask=return_attention_mask,
                return_tensors=return_tensors,
                verbose=verbose,
            )
        strategy, _, max_length, _ = self._get_padding_truncation_strategies(
            padding=padding, max_length=max_length, pad_to_multiple_of=pad_to_multiple_of, verbose=verbose
        )
        asked = "attention_mask" in self.model_input_names if return_attention_mask is None else return_attention_mask
        if asked and "attention_mask" not in rows:
            rows["attention_mask"] = [np.ones(len(row), np.int64) for row in rows["input_ids"]]
        columns = {name: Column(values, self._padding_of(name)) for name, values in rows.items()}
        side = padding_side or cast("Side", self.padding_side)
        padded = pad_columns(columns, strategy.value, max_length=max_length, multiple=pad_to_multiple_of, side=side)
        return BatchEncoding(to_tensors(padded, return_tensors))


def _rows_to_pad(given: Any) -> dict[str, list[NDArray[np.int64]]] | None:
    """The rows of each entry, as arrays; None if there is anything that only the slow way of Hugging Face understands."""
    if isinstance(given, (list, tuple)):
        if not given or any(sample.keys() != given[0].keys() for sample in given):
            return None
        given = {name: [sample[name] for sample in given] for name in given[0]}
    if "input_ids" not in given or not given.keys() <= _PADDED or not len(given["input_ids"]):
        return None
    if any(hasattr(row, "detach") for values in given.values() for row in values):  # tensors, perhaps not on the CPU
        return None
    rows = {name: [np.asarray(row) for row in values] for name, values in given.items()}
    if any(row.ndim != 1 or row.dtype.kind not in "iu" for values in rows.values() for row in values):
        return None
    return {name: [row.astype(np.int64, copy=False) for row in values] for name, values in rows.items()}
