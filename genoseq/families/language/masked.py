"""Scores of variants by a masked language model of proteins: ESM-2, ESM C, and what is saved like them.

Three methods, all as differences to the wild type in nats, higher is fitter (Meier et al. 2021, Salazar et al. 2020):

- ``masked-marginal``: the sum over substitutions of ``log p(new) - log p(old)`` at the residue, which alone is masked in the wild
  type. One pass a residue; additive over substitutions.
- ``wild-type-marginal``: the same with nothing masked. One pass in all; additive.
- ``pseudo-likelihood``: the sum over residues of ``log p(residue | all others)`` of the variant, less that of the wild type. One
  pass a residue of every variant; sees interactions, and scores insertions and deletions.

Probabilities are over the whole vocabulary. A protein longer than the model's context is read in windows: for a masked residue,
that in which it is in the middle as far as there are residues on both sides; with nothing masked, that one of windows half
overlapping in which the residue is furthest from an end. Only windows of one length share a batch, so nothing is ever padded and
the size of a batch changes results by rounding only.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import InputError, Pathlike, UsageError
from genoseq.families.alphabet import AMINO_ACIDS, encode
from genoseq.families.language.licences import tell_licence
from genoseq.families.language.sources import check_source, explain
from genoseq.families.variants.notation import Variant, check_variants

if TYPE_CHECKING:
    import torch

__all__ = ["METHODS", "MaskedModel", "MaskedScorer", "Method", "load_masked", "without_progress_bars"]

Method = Literal["masked-marginal", "wild-type-marginal", "pseudo-likelihood"]
METHODS: tuple[Method, ...] = get_args(Method)
BATCH_TOKENS = 16_384
EXPECTED = "a masked language model of proteins, such as facebook/esm2_t12_35M_UR50D, or its folder"
SPECIAL = 2  # tokens in front of and behind a protein
WINDOW = 1022
"""Residues that a model reads whose configuration names no limit: that of ESM-2."""

Floats = NDArray[np.float64]


class MaskedModel:
    """A masked language model and its tokens, one a residue.

    Args:
        net: ``net(input_ids=...).logits`` is (B, L, V).
        tokenizer: of transformers; has one token a residue, a mask, and one token each in front and behind.
        window: residues it reads at a time.
        name: what the user called it.
        batch_tokens: tokens of a batch.

    Raises:
        UsageError: the tokenizer has no mask or not the 20 amino acids.
    """

    def __init__(
        self, net: Any, tokenizer: Any, *, window: int = WINDOW, name: str = "", batch_tokens: int = BATCH_TOKENS
    ) -> None:
        vocabulary = tokenizer.get_vocab()
        absent = [letter for letter in AMINO_ACIDS if letter not in vocabulary]
        if tokenizer.mask_token_id is None or absent:
            lacks = "no mask" if tokenizer.mask_token_id is None else f"no token for {', '.join(absent)}"
            raise UsageError(f"{name or 'the model'} has {lacks}: expected a masked language model of proteins such as ESM-2")
        self.net, self.tokenizer, self.window, self.name = net, tokenizer, window, name
        self.batch_tokens = batch_tokens
        self.mask = int(tokenizer.mask_token_id)
        self.letters = np.array([vocabulary[letter] for letter in AMINO_ACIDS], np.int64)

    def ids(self, sequence: str) -> NDArray[np.int64]:
        """(L + 2,) tokens of a protein, the special ones included.

        Raises:
            InputError: the tokenizer does not make one token of every residue.
        """
        found = np.array(self.tokenizer(sequence)["input_ids"], np.int64)
        if len(found) != len(sequence) + SPECIAL:
            raise InputError(
                f"{self.name}: {len(found)} tokens for {len(sequence)} residues, expected one each and {SPECIAL} more"
            )
        return found

    def log_probabilities(self, rows: NDArray[np.int64], places: NDArray[np.intp] | None = None) -> Floats:
        """Log-probabilities over the vocabulary, nats.

        Args:
            rows: (n, T) tokens of one length.
            places: (n,) the one token of each row that is asked for; all of them unless given.

        Returns:
            (n, V), or (n, T, V) without ``places``.

        Raises:
            InputError: the model gives NaN.
        """
        import torch

        step = max(1, self.batch_tokens // max(1, rows.shape[1]))
        found = []
        with _evaluating(self.net) as device, torch.inference_mode():
            for begin in range(0, len(rows), step):
                batch = torch.from_numpy(rows[begin : begin + step]).to(device)
                logits = self.net(input_ids=batch).logits
                if places is not None:
                    chosen = torch.from_numpy(places[begin : begin + step].astype(np.int64)).to(device)
                    logits = logits[torch.arange(len(batch), device=device), chosen]
                found.append(torch.log_softmax(logits.double(), dim=-1).cpu().numpy())
        whole: Floats = np.concatenate(found)
        if np.isnan(whole).any():
            raise InputError(f"{self.name}: the model gives NaN; are its weights whole?")
        return whole

    def masked_log_probabilities(self, sequence: str, places: Sequence[int]) -> Floats:
        """(n, V) log-probabilities at residues of a protein (numbers from 0), each masked alone."""
        ids = self.ids(sequence)
        inner = ids[1:-1]
        size = min(self.window, len(sequence))
        rows = np.empty((len(places), size + SPECIAL), np.int64)
        rows[:, 0], rows[:, -1] = ids[0], ids[-1]
        at = np.empty(len(places), np.intp)
        for number, place in enumerate(places):
            begin = min(max(0, place - size // 2), len(sequence) - size)
            rows[number, 1:-1] = inner[begin : begin + size]
            at[number] = place - begin + 1
            rows[number, at[number]] = self.mask
        return self.log_probabilities(rows, at) if len(rows) else np.empty((0, len(self.tokenizer)))

    def open_log_probabilities(self, sequence: str) -> Floats:
        """(L, V) log-probabilities at every residue, none masked."""
        rows, window, place = self._windows(sequence)
        found: Floats = self.log_probabilities(rows)[window, place]
        return found

    def residue_embeddings(self, sequence: str) -> NDArray[np.float32]:
        """(L, D) states of every residue behind the last layer and its norm; long proteins in windows, as above."""
        import torch

        rows, window, place = self._windows(sequence)
        step = max(1, self.batch_tokens // rows.shape[1])
        backbone = getattr(self.net, self.net.base_model_prefix)
        found = []
        with _evaluating(self.net) as device, torch.inference_mode():
            for begin in range(0, len(rows), step):
                ids = torch.from_numpy(rows[begin : begin + step]).to(device)
                found.append(backbone(input_ids=ids).last_hidden_state.float().cpu().numpy())
        states: NDArray[np.float32] = np.concatenate(found)[window, place]
        return states

    def embeddings(self, sequences: Sequence[str]) -> NDArray[np.float32]:
        """(n, D) means of :meth:`residue_embeddings`."""
        return np.stack([self.residue_embeddings(one).mean(axis=0) for one in sequences])

    def _windows(self, sequence: str) -> tuple[NDArray[np.int64], NDArray[np.intp], NDArray[np.intp]]:
        """Tokens of windows that overlap by half; for each residue, the window and place in it that is furthest from an end."""
        ids = self.ids(sequence)
        inner, length = ids[1:-1], len(sequence)
        size = min(self.window, length)
        begins = sorted({*range(0, length - size, max(1, size // 2)), length - size})
        rows = np.stack([np.concatenate([ids[:1], inner[begin : begin + size], ids[-1:]]) for begin in begins])
        starts, places = np.array(begins)[:, None], np.arange(length)[None]
        margin = np.minimum(places - starts, starts + size - 1 - places)  # negative outside a window
        window = margin.argmax(axis=0)
        return rows, window, np.arange(length) - np.array(begins)[window] + 1

    def pseudo_likelihood(self, sequence: str) -> float:
        """The sum over residues of ``log p(residue | all others)``, nats."""
        found = self.masked_log_probabilities(sequence, range(len(sequence)))
        return float(found[np.arange(len(sequence)), self.ids(sequence)[1:-1]].sum())

    def digest(self) -> str:
        """SHA-256 of the weights, as :func:`genoseq.infer.provenance.model_hash` gives it."""
        from genoseq.infer.provenance import model_hash

        return model_hash(self.net)


class MaskedScorer:
    """A masked language model as a model of one protein: the same questions as to a model of a family.

    Args:
        model: the language model.
        wild_type: the protein.
        method: one of :data:`METHODS`.

    Raises:
        UsageError: no such method.
        InputError: the wild type is no protein, or empty.
    """

    def __init__(self, model: MaskedModel, wild_type: str, *, method: Method = "masked-marginal") -> None:
        if method not in METHODS:
            raise UsageError(f"{method!r} is no method: expected one of {', '.join(METHODS)}")
        try:
            encode(wild_type)
        except ValueError as error:
            raise InputError(f"the wild type is no protein: {error}") from error
        if not wild_type:
            raise InputError("the wild type is empty")
        self.model, self.wild_type, self.method = model, wild_type.upper(), method
        self._known: dict[int, Floats] = {}
        self._own: float | None = None

    @property
    def kind(self) -> str:
        """The method."""
        return self.method

    def _letters(self, positions: Sequence[int]) -> None:
        """Fill in (20,) log-probabilities of these residues of the wild type."""
        if self.method == "masked-marginal":
            wanted = sorted(set(positions) - self._known.keys())
            found = self.model.masked_log_probabilities(self.wild_type, wanted)
            self._known.update(zip(wanted, found[:, self.model.letters], strict=True))
        elif not self._known:
            self._known = dict(enumerate(self.model.open_log_probabilities(self.wild_type)[:, self.model.letters]))

    def score_variants(self, variants: Sequence[Variant]) -> Floats:
        """(n,) scores of substitutions of any order; NaN where the wild type's residue is none of the 20.

        Raises:
            VariantsError: some disagree with the wild type.
        """
        check_variants(self.wild_type, variants)
        if self.method == "pseudo-likelihood":
            return self.score_sequences([_applied(self.wild_type, one) for one in variants])
        self._letters([position for variant in variants for position, _, _ in variant])
        scores = np.zeros(len(variants))
        for number, variant in enumerate(variants):
            for position, old, new in variant:
                if old not in AMINO_ACIDS:
                    scores[number] = np.nan
                elif new != old:
                    at = self._known[position]
                    scores[number] += at[AMINO_ACIDS.index(new)] - at[AMINO_ACIDS.index(old)]
        return scores

    def score_sequences(self, sequences: Sequence[str]) -> Floats:
        """(n,) scores of whole sequences; by marginals, NaN where the length is not the wild type's."""
        if self.method == "pseudo-likelihood":
            if self._own is None:
                self._own = self.model.pseudo_likelihood(self.wild_type)
            return np.array([self.model.pseudo_likelihood(one) for one in sequences]) - self._own
        scores = np.full(len(sequences), np.nan)
        changed: dict[int, list[int]] = {}
        for number, one in enumerate(sequences):
            if len(one) == len(self.wild_type):
                places = [at for at, (new, old) in enumerate(zip(one, self.wild_type, strict=True)) if new != old]
                if all(one[at] in AMINO_ACIDS and self.wild_type[at] in AMINO_ACIDS for at in places):
                    changed[number] = places
        self._letters([at for places in changed.values() for at in places])  # of all sequences, so that batches are full
        for number, places in changed.items():
            letters = [(self._known[at], sequences[number][at], self.wild_type[at]) for at in places]
            scores[number] = sum((row[AMINO_ACIDS.index(new)] - row[AMINO_ACIDS.index(old)] for row, new, old in letters), 0.0)
        return scores

    def single_scores(self) -> Floats:
        """(L, 20) scores of all single variants by marginals; NaN where the wild type's residue is none of the 20.

        Raises:
            UsageError: the method is pseudo-likelihood, which has no table.
        """
        if self.method == "pseudo-likelihood":
            raise UsageError("a table of all single variants needs a marginal method")
        self._letters(range(len(self.wild_type)))
        table = np.stack([self._known[at] for at in range(len(self.wild_type))])
        own = np.array([AMINO_ACIDS.find(letter) for letter in self.wild_type])
        table = table - np.take_along_axis(table, np.maximum(own, 0)[:, None], axis=1)
        table[own < 0] = np.nan
        return table


def load_masked(
    source: Pathlike, *, device: str = "cpu", dtype: str = "float32", batch_tokens: int = BATCH_TOKENS
) -> MaskedModel:
    """A masked language model from a folder or by its name on the hub; its licence goes to the log.

    ESM-2 and PepMLM come through :func:`genoseq.load`, ESM C (``model_type: esmc``) through transformers' ``EsmcForMaskedLM``.
    No code from a checkpoint is run.

    Raises:
        InputError: files are missing, damaged, or of another model.
        UsageError: not a masked language model of proteins.
    """
    check_source(source, EXPECTED)
    if _model_type(source) == "esmc":
        net, tokenizer = _load_esmc(source, device, dtype)
    else:
        from genoseq.checkpoints.loading import load
        from genoseq.infer.running import language_model

        net, tokenizer = load(source, device=device, dtype=dtype)
        if language_model(net).predicts_next:
            raise UsageError(f"{source}: predicts from the left; expected a masked language model such as ESM-2")
        if tokenizer is None:
            raise UsageError(f"{source}: this model has no tokenizer, so it cannot read proteins")
    tell_licence(source)
    return MaskedModel(net, tokenizer, window=_window(net.config), name=str(source), batch_tokens=batch_tokens)


def _window(config: Any) -> int:
    """Residues that fit: ESM-2 counts positions from behind its padding token, ESM C turns them and has no table."""
    limit = getattr(config, "max_position_embeddings", None)
    if not limit:
        return WINDOW
    used = SPECIAL if getattr(config, "model_type", "") == "esmc" else SPECIAL + 2
    return max(1, int(limit) - used)


def _model_type(source: Pathlike) -> str:
    file = Path(source) / "config.json"
    if not file.is_file():
        return "esmc" if "/esmc-" in str(source).lower() else ""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise InputError(f"cannot be read as a configuration ({error})", path=file) from error
    return str(values.get("model_type", "")) if isinstance(values, dict) else ""


def _load_esmc(source: Pathlike, device: str, dtype: str) -> tuple[Any, Any]:
    import torch
    import transformers

    try:
        with without_progress_bars():
            loaded: Any = transformers.EsmcForMaskedLM.from_pretrained(
                source, dtype=getattr(torch, dtype), output_loading_info=True, trust_remote_code=False
            )
        tokenizer = transformers.EsmcTokenizer.from_pretrained(source)
    except (OSError, ValueError, RuntimeError) as error:
        raise explain(error, source, "ESM C") from error
    net, told = loaded
    if told["missing_keys"]:
        raise InputError(f"holds no weights {', '.join(sorted(told['missing_keys'])[:3])}, ...", path=source)
    return net.eval().to(device), tokenizer


@contextlib.contextmanager
def without_progress_bars() -> Iterator[None]:
    """Load by transformers without its progress bars, for the length of the block."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


@contextlib.contextmanager
def _evaluating(net: Any) -> Iterator[torch.device]:
    """Evaluation mode for the length of a block; afterwards the net is as it was."""
    modes = {module: module.training for module in net.modules()}
    net.eval()
    try:
        yield next(iter(net.parameters())).device
    finally:
        for module, mode in modes.items():
            module.training = mode


def _applied(wild_type: str, variant: Variant) -> str:
    letters = list(wild_type)
    for position, _, new in variant:
        letters[position] = new
    return "".join(letters)
