"""Proteins from causal language models that are told what to make: ProtGPT2, ZymCTRL, ProLLaMA, behind one ``generate``.

| format | what the user gives | what the model reads | what ends a protein |
|---|---|---|---|
| ``protgpt2`` | nothing | `<|endoftext|>`, then residues with a line break every 60 | `<|endoftext|>` |
| ``zymctrl`` | an EC number | `1.1.1.1<sep><start>`, then residues | `<end>` |
| ``prollama`` | a superfamily | `[Generate by superfamily] Superfamily=<...> Seq=<`, then residues | `>` |

Only tokens of the 20 amino acids (of line breaks, too, for ProtGPT2) and of the end can be drawn, so that nothing has to be
thrown away afterwards. A protein that the model did not end within its tokens is given and marked as incomplete. Sampling is
transformers' ``generate`` with the draws made here: each protein's random numbers come from the seed and its own number alone,
whatever the size of a batch.

Ferruz et al. (2022) Nat. Commun. 13:4348; Munsamy et al. (2024) bioRxiv 2024.05.03.592223; Lv et al. (2024) arXiv:2402.16445.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import InputError, Pathlike, UsageError
from genoseq.families.alphabet import AMINO_ACIDS
from genoseq.families.language.licences import tell_licence
from genoseq.families.language.masked import without_progress_bars
from genoseq.families.language.sources import check_source, explain
from genoseq.infer.generation import Sampling, draw

__all__ = [
    "FORMATS", "Prompted", "PromptedModel", "PromptFormat", "clean", "generate", "load_prompted", "perplexity",
]  # fmt: skip

BATCH = 8
LINE = 60
EC_NUMBER = re.compile(r"[1-7](\.([0-9]{1,4}|-|n[0-9]+)){1,3}")


EXPECTED = "nferruz/ProtGPT2, AI4PD/ZymCTRL, GreatCaptainNemo/ProLLaMA, or the folder of such a model"


@dataclass(frozen=True)
class PromptFormat:
    """How one family of models is asked.

    Attributes:
        name: of the format.
        before: what the model reads first; ``{prompt}`` is the user's.
        after: texts that end a protein; the first is what a finished one ends with.
        needs: what the prompt is, empty if there is none.
        pattern: what a prompt must look like.
        line: residues a line, 0 for no line breaks.
        top_k, repetition_penalty: what the authors used, taken unless the user says otherwise.
    """

    name: str
    before: str
    after: tuple[str, ...]
    needs: str
    pattern: re.Pattern[str]
    line: int = 0
    top_k: int = 0
    repetition_penalty: float = 1.2
    temperature: float = 1.0
    top_p: float = 1.0

    def text(self, prompt: str, start: str = "") -> str:
        """What the model reads before it goes on.

        Raises:
            UsageError: the prompt does not look like one, or ``start`` is no protein.
        """
        if not self.pattern.fullmatch(prompt):
            wanted = self.needs or "no prompt: it makes proteins of any kind"
            raise UsageError(f"{prompt!r} is no prompt for {self.name}: expected {wanted}")
        if set(start) - set(AMINO_ACIDS):
            raise UsageError(f"{start!r} is no beginning of a protein: expected some of {AMINO_ACIDS}")
        return self.before.format(prompt=prompt) + self.lines(start)

    def lines(self, sequence: str) -> str:
        """Residues with this format's line breaks."""
        size = self.line or max(1, len(sequence))
        return "\n".join(sequence[at : at + size] for at in range(0, len(sequence), size))


FORMATS: dict[str, PromptFormat] = {
    "protgpt2": PromptFormat(
        "protgpt2", "<|endoftext|>", ("<|endoftext|>",), "", re.compile(""), line=LINE, top_k=950
    ),
    "zymctrl": PromptFormat(
        "zymctrl", "{prompt}<sep><start>", ("<end>", "<|endoftext|>"), "an EC number such as 1.1.1.1", EC_NUMBER, top_k=9
    ),
    "prollama": PromptFormat(
        "prollama", "[Generate by superfamily] Superfamily=<{prompt}> Seq=<", (">", "</s>"),
        "the name of a superfamily such as Ankyrin repeat-containing domain superfamily", re.compile(r"[^<>\n]+"),
        top_k=40, top_p=0.9, temperature=0.2,
    ),
}  # fmt: skip
"""The formats by name."""


class Prompted(NamedTuple):
    """A generated protein.

    Attributes:
        number: of the attempt, from 0; with the seed it decides the sequence.
        sequence: of the 20 amino acids, what it was to begin with included.
        complete: whether the model ended it.
        perplexity: ``exp(-mean log p)`` over the tokens behind the prompt, the end included, over the whole vocabulary and
            without the changes that sampling makes.
        tokens: how many those are.
    """

    number: int
    sequence: str
    complete: bool
    perplexity: float
    tokens: int


class PromptedModel:
    """A causal language model of transformers with its tokenizer and format.

    Args:
        net: in any mode, on any device.
        tokenizer: its tokenizer.
        form: how it is asked.
        name: what the user called it.

    Raises:
        UsageError: its tokens do not fit the format.
    """

    def __init__(self, net: Any, tokenizer: Any, form: PromptFormat, *, name: str = "") -> None:
        self.net, self.tokenizer, self.form, self.name = net, tokenizer, form, name
        if not len(self.residue_tokens) or not self.end_tokens:
            lacks = "residues" if not len(self.residue_tokens) else " or ".join(form.after)
            raise UsageError(f"{name or 'the model'}: no tokens for {lacks}, which the format {form.name} needs")

    @functools.cached_property
    def texts(self) -> list[str]:
        """The text of every token."""
        count = int(self.net.config.vocab_size)
        known = min(count, len(self.tokenizer))
        pieces = self.tokenizer.convert_ids_to_tokens(list(range(known)))
        decoded = [self.tokenizer.convert_tokens_to_string([one]) if one is not None else "\0" for one in pieces]
        # sentencepiece marks a blank in front of a word: such a token would put a blank into a protein
        return ["\0" if str(piece).startswith("▁") else text for piece, text in zip(pieces, decoded, strict=True)] + ["\0"] * (
            count - known
        )

    @functools.cached_property
    def residue_tokens(self) -> NDArray[np.int64]:
        """Tokens of nothing but the 20 amino acids, and line breaks where the format has them."""
        allowed = set(AMINO_ACIDS) | ({"\n"} if self.form.line else set())
        return np.array([number for number, text in enumerate(self.texts) if text and not set(text) - allowed], np.int64)

    @functools.cached_property
    def end_tokens(self) -> list[int]:
        """Tokens that end a protein, the format's first one first."""
        vocabulary = self.tokenizer.get_vocab()
        found = [vocabulary[text] for text in self.form.after if text in vocabulary]
        own = self.tokenizer.eos_token_id
        return list(dict.fromkeys([*found, *([own] if own is not None else [])]))

    @property
    def limit(self) -> int:
        """Tokens that the model reads."""
        config = self.net.config
        return int(getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None) or 1024)

    def ids(self, text: str) -> NDArray[np.int64]:
        """Tokens of a prompt; the beginning that the tokenizer itself puts in front is kept, an end is not."""
        found = list(self.tokenizer(text)["input_ids"])
        if found and found[-1] == self.tokenizer.eos_token_id and not text.endswith(self.tokenizer.eos_token or "\0"):
            found.pop()
        return np.array(found, np.int64)


def load_prompted(source: Pathlike, *, form: str | None = None, device: str = "cpu", dtype: str = "float32") -> PromptedModel:
    """A model from a folder or by its name on the hub; its licence goes to the log. No code from a checkpoint is run.

    Args:
        source: folder or ``organisation/name``.
        form: one of :data:`FORMATS`; told from the name and the tokens unless given.
        device: where it goes.
        dtype: of its weights.

    Raises:
        UsageError: no such format, or it cannot be told.
        InputError: files are missing, damaged or of another kind of model.
    """
    if form is not None and form not in FORMATS:
        raise UsageError(f"{form!r} is no prompt format: expected one of {', '.join(FORMATS)}")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    check_source(source, EXPECTED)
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(source), trust_remote_code=False)
        with without_progress_bars():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                str(source), dtype=getattr(torch, dtype), trust_remote_code=False, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise explain(error, source, "a causal language model") from error
    tell_licence(source)
    net, told = loaded
    if told["missing_keys"]:
        raise InputError(f"holds no weights {', '.join(sorted(told['missing_keys'])[:3])}, ...", path=source)
    chosen = form or _told_format(str(source), tokenizer, net)
    return PromptedModel(net.eval().to(device), tokenizer, FORMATS[chosen], name=str(source))


def _told_format(source: str, tokenizer: Any, net: Any) -> str:
    vocabulary = tokenizer.get_vocab()
    named = [name for name in FORMATS if name in source.lower()]
    if len(named) == 1:
        return named[0]
    if "<sep>" in vocabulary and "<start>" in vocabulary:
        return "zymctrl"
    if net.config.model_type == "llama":
        return "prollama"
    if net.config.model_type == "gpt2" and "<|endoftext|>" in vocabulary:
        return "protgpt2"
    raise UsageError(f"{source}: no telling how it wants to be asked: say which of {', '.join(FORMATS)} it is (--format)")


def clean(text: str) -> tuple[str, int]:
    """The residues in a text that a model wrote, up to the first mark of an end, and how many other letters were left out.

    >>> clean("MKT\\nAXY<|endoftext|>MK")
    ('MKTAY', 1)
    """
    inner = re.split(r"<|>", text, maxsplit=1)[0]
    letters = "".join(inner.split()).upper()
    kept = "".join(letter for letter in letters if letter in AMINO_ACIDS)
    return kept, len(letters) - len(kept)


def generate(
    model: PromptedModel,
    prompt: str = "",
    number: int = 1,
    *,
    start: str = "",
    max_tokens: int | None = None,
    sampling: Sampling | None = None,
    repetition_penalty: float | None = None,
    seed: int = 0,
    batch: int = BATCH,
    report: Callable[[int], None] = lambda proteins: None,
) -> list[Prompted]:
    """New proteins, in the order of their numbers.

    Args:
        model: from :func:`load_prompted`.
        prompt: what the format asks for: nothing, an EC number, a superfamily.
        number: how many.
        start: residues to begin with.
        max_tokens: new tokens of a protein, at most; what the model still reads unless given.
        sampling: temperature, top_k and top_p; the authors' unless given.
        repetition_penalty: logits of tokens drawn before are divided (above 0) or multiplied (below) by it, as in
            Keskar et al. 2019; the authors' unless given, 1 for none.
        seed: of the random numbers.
        batch: proteins drawn side by side.
        report: is told of proteins as they are finished.

    Raises:
        UsageError: a prompt that is none, a beginning that is no protein, or no room for new tokens.
    """
    form = model.form
    ids = model.ids(form.text(prompt, start))
    if number < 1 or batch < 1:
        raise UsageError(f"{number} proteins in batches of {batch}: expected at least 1 of each")
    room = model.limit - len(ids)
    new = room if max_tokens is None else min(max_tokens, room)
    if new < 1:
        raise UsageError(f"no room for new tokens: the prompt has {len(ids)}, the model reads {model.limit}")
    sampling = sampling or Sampling(form.temperature, form.top_k, form.top_p)
    sampling.check()
    penalty = form.repetition_penalty if repetition_penalty is None else repetition_penalty
    if penalty <= 0:
        raise UsageError(f"the repetition penalty is {penalty:g}, expected a number above 0")
    found = []
    for begin in range(0, number, batch):
        numbers = range(begin, min(begin + batch, number))
        for one, row in zip(numbers, _continued(model, ids, numbers, new, sampling, penalty, seed), strict=True):
            complete = bool(len(row)) and int(row[-1]) in model.end_tokens
            inner = row[:-1] if complete else row
            sequence, _ = clean(start + "".join(model.texts[token] for token in inner))
            found.append(Prompted(one, sequence, complete, _perplexity(model, ids, row), len(row)))
            report(1)
    return found


def perplexity(model: PromptedModel, sequence: str, prompt: str = "") -> float:
    """Perplexity of a protein as the model would have to write it: residues with the format's line breaks, and the end.

    Raises:
        UsageError: the prompt is none.
        InputError: the protein holds other letters than the 20, is empty, or is longer than the model reads.
    """
    if not sequence or set(sequence) - set(AMINO_ACIDS):
        raise InputError(f"{sequence[:20]!r} is no protein of the 20 amino acids")
    before = model.ids(model.form.text(prompt))
    whole = model.ids(model.form.text(prompt, sequence))
    if not np.array_equal(whole[: len(before)], before):
        raise InputError(f"{model.name}: its tokens join the prompt and the protein's first residues")
    row = np.append(whole[len(before) :], model.end_tokens[0])
    if len(before) + len(row) > model.limit:
        raise InputError(f"the protein has {len(row)} tokens with its end, the model reads {model.limit}")
    return _perplexity(model, before, row)


def _perplexity(model: PromptedModel, before: NDArray[np.int64], row: NDArray[np.int64]) -> float:
    import torch

    if not len(row):
        return float("nan")
    whole = torch.from_numpy(np.concatenate([before, row])[None]).to(next(iter(model.net.parameters())).device)
    with torch.inference_mode():
        logits = model.net(input_ids=whole).logits[0, len(before) - 1 : -1]
        found = torch.log_softmax(logits.double(), dim=-1).gather(1, whole[0, len(before) :, None])
    return float(torch.exp(-found.mean()))


def _continued(
    model: PromptedModel, ids: NDArray[np.int64], numbers: Sequence[int], new: int, sampling: Sampling, penalty: float, seed: int
) -> list[NDArray[np.int64]]:
    """The new tokens of each attempt, its end included if it was drawn."""
    import torch
    from transformers import GenerationConfig, LogitsProcessorList

    device = next(iter(model.net.parameters())).device
    given = torch.from_numpy(np.tile(ids, (len(numbers), 1))).to(device)
    pad = model.tokenizer.pad_token_id if model.tokenizer.pad_token_id is not None else model.end_tokens[0]
    settings = GenerationConfig(
        max_new_tokens=new, do_sample=False, use_cache=True, eos_token_id=model.end_tokens, pad_token_id=pad,
        bos_token_id=model.tokenizer.bos_token_id,
    )  # fmt: skip
    chooser = _Chooser(model, len(ids), numbers, sampling, penalty, seed)
    with torch.inference_mode():
        out = model.net.generate(
            input_ids=given, attention_mask=torch.ones_like(given), generation_config=settings,
            logits_processor=LogitsProcessorList([chooser]),
        )  # fmt: skip
    rows = out[:, len(ids) :].cpu().numpy()
    ends = [np.flatnonzero(np.isin(row, model.end_tokens)) for row in rows]
    return [row[: at[0] + 1] if at.size else row for row, at in zip(rows, ends, strict=True)]


class _Chooser:
    """Draws the next token of each protein, and leaves it as the only one that transformers can take."""

    def __init__(
        self, model: PromptedModel, before: int, numbers: Sequence[int], sampling: Sampling, penalty: float, seed: int
    ) -> None:
        self.allowed = np.concatenate([model.residue_tokens, np.array(model.end_tokens, np.int64)])
        self.before, self.sampling, self.penalty = before, sampling, penalty
        self.chances = [np.random.default_rng([seed, number]) for number in numbers]

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        import torch

        logits = scores[:, torch.from_numpy(self.allowed).to(scores.device)].double().cpu().numpy()
        drawn = input_ids[:, self.before :].cpu().numpy()
        chosen = np.empty(len(logits), np.int64)
        for row, chance in enumerate(self.chances):
            values = logits[row]
            if self.penalty != 1:
                values = np.where(
                    np.isin(self.allowed, drawn[row]), np.where(values > 0, values / self.penalty, values * self.penalty), values
                )
            chosen[row] = self.allowed[draw(values - values.max(), self.sampling, chance)]
        left = torch.full_like(scores, -torch.inf)
        left[torch.arange(len(left)), torch.from_numpy(chosen).to(scores.device)] = 0.0
        return left
