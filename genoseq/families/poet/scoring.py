"""Log-likelihoods of sequences by PoET after prompts of their family, with nothing read twice.

The protocol (Truong and Bepler 2023, arXiv:2306.06156): for each prompt the log-probability of residues and stop, the mean of
reading from the first residue and from the last, and of that the mean over the prompts. Unknown residues (X) count in no sum.

A prompt's keys and values are made once and shared by all sequences. Of those also the beginning that they have in common with a
reference, the wild type, is read once: a variant whose first substitution is at residue ``p`` costs its residues from ``p`` on.
`log_likelihoods_plainly` reads prompt and whole sequence every time, and is what the tests hold the fast way against.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genoseq.errors import UsageError
from genoseq.families.poet.prompt import Prompt, clean_protein, set_ids
from genoseq.families.variants.notation import Variant, apply_variant, check_variants
from genoseq.infer.running import check_finite, evaluating
from genoseq.nets.models.poet import PoETCache, PoETForCausalLM

__all__ = [
    "BATCH_TOKENS",
    "PoETFamily",
    "Scores",
    "check_poet",
    "log_likelihoods",
    "log_likelihoods_plainly",
    "read_prompt",
]

BATCH_TOKENS = 4096
"""Tokens of variants that are read at a time, padding included, unless the user says otherwise."""
WASTE = 1.15
"""A batch may cost so many times as much as its sequences, each from its own first difference."""
FEW = 256
"""Tokens up to which a batch may grow whatever it wastes: smaller ones leave the machine idle."""


class Scores(NamedTuple):
    """What `PoETFamily.score` gives, in nats.

    Attributes:
        mean: (n,) log-likelihood of each sequence, mean over prompts and directions.
        each: (n, prompts, 2) by prompt, forward and reversed.
    """

    mean: NDArray[np.float64]
    each: NDArray[np.float64]


def check_poet(model: Any) -> PoETForCausalLM:
    """The model, if it is PoET that predicts tokens.

    Raises:
        UsageError: it is another net.
    """
    if not isinstance(model, PoETForCausalLM):
        raise UsageError(f"{type(model).__name__} is not PoET (PoETForCausalLM): only that reads families of sequences")
    return model


@torch.no_grad()
def read_prompt(
    model: PoETForCausalLM, tokenizer: Any, prompt: Prompt | Sequence[str], *, reverse: bool = False
) -> PoETCache | None:
    """Keys and values of a prompt, read once; None for one without sequences.

    Args:
        model: PoET in evaluation mode.
        tokenizer: its tokenizer.
        prompt: sequences in the order in which they are read.
        reverse: read each from its last residue.
    """
    sequences = prompt.sequences if isinstance(prompt, Prompt) else prompt
    ids = set_ids(tokenizer, sequences, reverse=reverse)
    if not len(ids):
        return None
    sizes = torch.tensor([[len(tokenizer.encode_array(sequence, add_special_tokens=True)) for sequence in sequences]])
    device = next(model.parameters()).device
    out = model.backbone_net(input_ids=torch.from_numpy(ids)[None].to(device), segment_sizes=sizes.to(device), use_cache=True)
    cache: PoETCache = out.cache
    return cache


@torch.no_grad()
def log_likelihoods(
    model: PoETForCausalLM,
    tokenizer: Any,
    memory: PoETCache | None,
    sequences: Sequence[str],
    *,
    reference: str | None = None,
    reverse: bool = False,
    batch_tokens: int = BATCH_TOKENS,
    report: Callable[[int], None] = lambda done: None,
) -> NDArray[np.float64]:
    """(n,) log-likelihood of sequences after a prompt, in nats.

    Args:
        model: PoET in evaluation mode.
        tokenizer: its tokenizer.
        memory: of the prompt, see `read_prompt`; None for none.
        sequences: n, without gaps.
        reference: a sequence that most begin like: the wild type. None for none.
        reverse: they are read from their last residues, as the prompt was.
        batch_tokens: tokens read at a time; changes speed and memory, not results beyond rounding.
        report: is told how many sequences were scored since it was last told.
    """
    device = next(model.parameters()).device
    ids = [set_ids(tokenizer, [sequence], reverse=reverse) for sequence in sequences]
    found = np.zeros(len(ids))
    begin, memories = np.zeros(len(ids), np.int64), memory
    if reference is not None and len(ids) > 1:
        known = set_ids(tokenizer, [reference], reverse=reverse)
        logits, memories = _read(model, known[None, :-1], memory, device)
        by_token = logits[0].double().log_softmax(-1).cpu().numpy()
        so_far = np.concatenate([[0.0], np.cumsum(_chosen(by_token, known[1:], tokenizer))])
        for number, row in enumerate(ids):
            # the first token that is another's; the one before it, which both have, predicts it
            first = _first_difference(known, row)
            begin[number] = first
            place = min(first, len(row) - 1)
            found[number] = so_far[place - 1] + _chosen(by_token[place - 1 : place], row[place : place + 1], tokenizer)[0]
        memories = memories.shared()
    rest = [number for number, row in enumerate(ids) if begin[number] < len(row) - 1]
    report(len(ids) - len(rest))
    for group, start in _batches(rest, begin, np.array([len(row) for row in ids]), batch_tokens):
        length = max(len(ids[number]) for number in group) - start
        block = np.full((len(group), length), tokenizer.pad_token_id, np.int64)
        for place, number in enumerate(group):
            block[place, : len(ids[number]) - start] = ids[number][start:]
        before = memories if not start else memories.first(start) if memories is not None else None
        logits, _ = _read(model, block[:, :-1], before, device)
        by_token = logits.double().log_softmax(-1).cpu().numpy()
        chosen = _chosen(by_token, block[:, 1:], tokenizer)
        for place, number in enumerate(group):
            # from the reference come the tokens up to and with the first difference
            found[number] += chosen[place, max(0, int(begin[number]) - start) :].sum()
        report(len(group))
    check_finite(found, "log-likelihoods")
    return found


@torch.no_grad()
def log_likelihoods_plainly(
    model: PoETForCausalLM, tokenizer: Any, prompt: Prompt | Sequence[str], sequences: Sequence[str], *, reverse: bool = False
) -> NDArray[np.float64]:
    """`log_likelihoods` with prompt and sequence read as one set, for each sequence anew."""
    before = prompt.sequences if isinstance(prompt, Prompt) else tuple(prompt)
    device = next(model.parameters()).device
    found = []
    for sequence in sequences:
        ids = set_ids(tokenizer, [*before, sequence], reverse=reverse)
        own = len(set_ids(tokenizer, [sequence]))
        sizes = torch.tensor([[*(len(set_ids(tokenizer, [other])) for other in before), own - 1]], device=device)
        logits = model(input_ids=torch.from_numpy(ids[None, :-1]).to(device), segment_sizes=sizes).logits[0, 1 - own :]
        found.append(_chosen(logits.double().log_softmax(-1).cpu().numpy(), ids[1 - own :], tokenizer).sum())
    return np.array(found)


def _read(
    model: PoETForCausalLM, ids: NDArray[np.int64], memory: PoETCache | None, device: torch.device
) -> tuple[Tensor, PoETCache]:
    """Logits (B, L, V) of ids (B, L) of one sequence a row, and the memory with them."""
    out = model(input_ids=torch.from_numpy(np.ascontiguousarray(ids)).to(device), cache=memory, use_cache=True)
    return out.logits, out.cache


def _chosen(by_token: NDArray[np.float64], ids: NDArray[np.int64], tokenizer: Any) -> NDArray[np.float64]:
    """Log-probabilities (..., L) of ids (..., L) out of all tokens' (..., L, V); 0 at unknown residues and padding."""
    values: NDArray[np.float64] = np.take_along_axis(by_token, ids[..., None], axis=-1)[..., 0]
    return np.where(ids == tokenizer.pad_token_id, 0.0, values)


def _first_difference(one: NDArray[np.int64], other: NDArray[np.int64]) -> int:
    """The first place at which they differ; the length of the shorter if it is the beginning of the longer."""
    shorter = min(len(one), len(other))
    different = np.flatnonzero(one[:shorter] != other[:shorter])
    return int(different[0]) if different.size else shorter


def _batches(
    numbers: Sequence[int], begin: NDArray[np.int64], lengths: NDArray[np.int64], batch_tokens: int
) -> Iterator[tuple[list[int], int]]:
    """Sequences side by side, with the place where all of a batch are read from: the earliest of their first differences."""
    order = sorted(numbers, key=lambda number: (begin[number], lengths[number], number))
    group: list[int] = []
    needed = longest = 0
    for number in order:
        own = int(lengths[number] - begin[number])
        start = int(begin[group[0]]) if group else int(begin[number])
        reach = max(longest, int(lengths[number])) - start
        cost = reach * (len(group) + 1)
        if group and (cost > batch_tokens or (cost > FEW and cost > WASTE * (needed + own))):
            yield group, start
            group, needed, longest = [], 0, 0
        group.append(number)
        needed += own
        longest = max(longest, int(lengths[number]))
    if group:
        yield group, int(begin[group[0]])


def _cleaned(sequences: Sequence[str]) -> list[str]:
    return [clean_protein(sequence, f"sequence {number}") for number, sequence in enumerate(sequences, 1)]


class PoETFamily:
    """PoET with the prompts of a family: scores variants and sequences.

    Args:
        model: PoET, as `genoseq.load` gives it.
        tokenizer: its tokenizer.
        prompts: of the family, see `genoseq.families.poet.prompt`.
        wild_type: the protein that variants are of; needed for variants only.
        batch_tokens: see `log_likelihoods`.
        device: where to run; where the model is unless given.
        report: is told how many sequences were scored, once per prompt and direction.

    Raises:
        UsageError: another net, or no prompt.
    """

    kind = "poet"

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        prompts: Sequence[Prompt],
        *,
        wild_type: str | None = None,
        batch_tokens: int = BATCH_TOKENS,
        device: str | torch.device | None = None,
        report: Callable[[int], None] = lambda done: None,
    ) -> None:
        if not prompts:
            raise UsageError("PoET scores after prompts; give one at least (Prompt(()) for none of the family)")
        self.model, self.tokenizer = check_poet(model), tokenizer
        self.prompts = tuple(prompts)
        self.wild_type = None if wild_type is None else clean_protein(wild_type, "the wild type")
        self.batch_tokens, self.device, self.report = batch_tokens, device, report

    def score(self, sequences: Sequence[str]) -> Scores:
        """Log-likelihoods of whole sequences by prompt and direction, and their mean.

        Equal sequences are read once. Results do not depend on what else is scored, but for rounding.
        """
        cleaned = _cleaned(sequences)
        unique = list(dict.fromkeys(cleaned))
        each = np.zeros((len(unique), len(self.prompts), 2))
        with evaluating(self.model, self.device):
            for number, prompt in enumerate(self.prompts):
                for direction in range(2):
                    memory = read_prompt(self.model, self.tokenizer, prompt, reverse=bool(direction))
                    each[:, number, direction] = log_likelihoods(
                        self.model,
                        self.tokenizer,
                        memory,
                        unique,
                        reference=self.wild_type,
                        reverse=bool(direction),
                        batch_tokens=self.batch_tokens,
                        report=self.report,
                    )
        places = {sequence: number for number, sequence in enumerate(unique)}
        spread = each[[places[sequence] for sequence in cleaned]]
        return Scores(spread.mean(axis=(1, 2)), spread)

    def log_likelihoods(self, sequences: Sequence[str]) -> NDArray[np.float64]:
        """(n,) log-likelihood of each sequence in nats, mean over prompts and directions."""
        return self.score(sequences).mean

    def score_sequences(self, sequences: Sequence[str]) -> NDArray[np.float64]:
        """(n,) log-likelihood ratio of each sequence to the wild type in nats, of any length; as they are without one."""
        if self.wild_type is None:
            return self.log_likelihoods(sequences)
        found = self.log_likelihoods([self.wild_type, *_cleaned(sequences)])
        ratios: NDArray[np.float64] = found[1:] - found[0]
        return ratios

    def score_variants(self, variants: Sequence[Variant]) -> NDArray[np.float64]:
        """(n,) log-likelihood ratio of variants to the wild type in nats: higher is fitter, the wild type has 0.

        Raises:
            UsageError: the wild type is not known.
            VariantsError: variants that do not fit it.
        """
        if self.wild_type is None:
            raise UsageError("variants are of a wild type: give it to PoETFamily")
        check_variants(self.wild_type, variants)
        return self.score_sequences([apply_variant(self.wild_type, variant) for variant in variants])
