"""The fit of the autoregressive model: one regression for each column on the columns before it, all at once.

The loss is the weighted mean of the rows' negative log-likelihoods plus ``penalty`` times the squares of the couplings
(Trinquier, J. et al. (2021), Nature Communications 12:5800). It is minimised with minibatches and
Adam (Kingma & Ba 2015), with a step that falls to zero; the number of passes is part of the regularisation.
Columns are done in blocks, so that the half of the couplings that points backwards costs neither time nor memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import UsageError
from genoseq.families.models.autoregressive_kernels import STATES, packed_size, run_start

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["WEIGHT_IDENTITIES", "AutoregressiveSettings", "Regressions", "fit_regressions"]

WEIGHT_IDENTITIES = (0.6, 0.7, 0.8)
BLOCK = 26  # columns
MEAN, SPREAD, LITTLE = 0.9, 0.99, 1e-6  # of Adam
LEAST_STEPS = 6  # a pass; small families need them as much as large ones
FIELD_STEP = 0.2  # steps of the fields, in those of the couplings: they begin near their place


@dataclass(frozen=True)
class AutoregressiveSettings:
    """How the model is fitted.

    Attributes:
        weight_identity: rows of at least this identity share one weight. Low, so that every cluster of the family counts,
            not the largest alone. None: the first of :data:`WEIGHT_IDENTITIES` at which the rows are worth as many sequences
            as there are columns, or the last: a small family weighted like a large one would have hardly any left.
        penalty: on the squares of the couplings.
        power: by what the fitted logits are multiplied; below 1 evens out the preferences.
        pulls: nats added to the ancestor's letter; each value has the same share. Several make near and far descendants.
            Empty: four values in the proportions of 1 to 4 that give samples with a median identity of ``nearest``.
        nearest: that identity, to the nearest row.
        passes: over the rows.
        batch: rows a step, at most; fewer where a pass would have less than :data:`LEAST_STEPS` steps.
        step: of Adam, at its largest.
        seed: of the order of the rows.
    """

    weight_identity: float | None = None
    penalty: float = 0.02
    power: float = 0.85
    pulls: tuple[float, ...] = ()
    nearest: float = 0.63
    passes: int = 10
    batch: int = 500
    step: float = 0.01
    seed: int = 0

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UsageError: names the setting.
        """
        chosen = WEIGHT_IDENTITIES[0] if self.weight_identity is None else self.weight_identity
        for name, value, fits in (
            ("weight_identity", chosen, 0 < chosen <= 1),
            ("penalty", self.penalty, self.penalty >= 0),
            ("power", self.power, self.power > 0),
            (
                "pulls",
                min(self.pulls, default=0.0),
                all(0 <= pull < math.inf for pull in self.pulls),
            ),
            ("nearest", self.nearest, 0 < self.nearest < 1),
            ("passes", self.passes, self.passes >= 1),
            ("batch", self.batch, self.batch >= 1),
            ("step", self.step, self.step > 0),
        ):
            if not fits or not math.isfinite(value):
                raise UsageError(f"{name} of an autoregressive model cannot be {value}")


class Regressions(NamedTuple):
    """What was fitted.

    Attributes:
        fields: (L, 21) float32 logits.
        couplings: packed float32, see :mod:`genoseq.families.models.autoregressive_kernels`.
        losses: mean negative log-likelihood of a row in nats, without penalty, in each pass.
    """

    fields: NDArray[np.float32]
    couplings: NDArray[np.float32]
    losses: tuple[float, ...]


def fit_regressions(
    matrix: NDArray[np.uint8],
    weights: NDArray[np.float64],
    settings: AutoregressiveSettings,
    *,
    device: str = "cpu",
    threads: int = 1,
    report: Callable[[int], None] = lambda rows: None,
) -> Regressions:
    """Fit to the rows of ``matrix`` (N, L) with ``weights`` (N,); unknown residues count nothing.

    Products are taken in bfloat16 where the CPU has instructions for it (rows are zeros and ones, which it holds exactly),
    in float32 elsewhere; sums are in float32 always. Calls ``report`` with the number of rows after each step.
    """
    import torch

    settings.check()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return _fit(matrix, weights, settings, device, report)
    finally:
        torch.set_num_threads(before)


def _fit(
    matrix: NDArray[np.uint8],
    weights: NDArray[np.float64],
    settings: AutoregressiveSettings,
    device: str,
    report: Callable[[int], None],
) -> Regressions:
    import torch

    number, length = matrix.shape
    spots = torch.from_numpy((matrix[:, :, None] == np.arange(STATES, dtype=np.uint8)).reshape(number, -1)).to(device)
    share = torch.from_numpy((weights / weights.mean()).astype(np.float32)).to(device)
    kind = torch.bfloat16 if _has_bfloat16(device) else torch.float32
    counts = (spots.float() * share[:, None]).sum(dim=0).view(length, STATES) + 1 / STATES
    start = torch.log(counts / counts.sum(dim=1, keepdim=True))
    fields = (start - start.mean(dim=1, keepdim=True)).reshape(-1)
    blocks = [(begin, min(length, begin + BLOCK)) for begin in range(0, length, BLOCK)]
    tables = [torch.zeros(end * STATES, (end - begin) * STATES, device=device) for begin, end in blocks]
    masks = []
    for begin, end in blocks:
        column = torch.arange(end - begin, device=device).repeat_interleave(STATES)
        masks.append((column[:, None] < column[None]).float())
    adam = _Adam([fields, *tables])
    generator = np.random.default_rng(settings.seed)
    batch = min(settings.batch, math.ceil(number / LEAST_STEPS))
    steps = settings.passes * math.ceil(number / batch)
    losses = []
    for _ in range(settings.passes):
        order = torch.from_numpy(generator.permutation(number)).to(device)
        loss = 0.0
        for first in range(0, number, batch):
            chosen = order[first : first + batch]
            rows, weight = spots[chosen], share[chosen]
            exact, rounded = rows.float(), rows.to(kind)
            adam.count += 1
            rate = settings.step * min(1, adam.count / 10) * (0.5 * (1 + math.cos(math.pi * adam.count / steps)) + 0.01)
            of_fields = torch.zeros_like(fields)
            for at, (begin, end) in enumerate(blocks):
                here = slice(begin * STATES, end * STATES)
                logits = fields[here] + (rounded[:, : end * STATES] @ tables[at].to(kind)).float()
                log_p = torch.log_softmax(logits.view(len(rows), -1, STATES), dim=2)
                target = exact[:, here].view(len(rows), -1, STATES)
                loss -= float(((log_p * target).sum(dim=(1, 2)) * weight).sum())
                error = (log_p.exp() * target.sum(dim=2, keepdim=True) - target) * (weight / len(rows))[:, None, None]
                flat = error.view(len(rows), -1)
                of_fields[here] = flat.sum(dim=0)
                gradient = (rounded[:, : end * STATES].T @ flat.to(kind)).float()
                gradient.add_(tables[at], alpha=2 * settings.penalty)
                gradient[begin * STATES :].mul_(masks[at])
                adam.step(at + 1, gradient, rate)
            adam.step(0, of_fields, rate * FIELD_STEP)
            report(len(rows))
        losses.append(loss / number)
    return Regressions(fields.view(length, STATES).cpu().numpy().copy(), _pack(tables, blocks, length), tuple(losses))


class _Adam:
    """Adam over a list of tensors that are changed in place."""

    def __init__(self, values: list[Tensor]) -> None:
        import torch

        self.values = values
        self.means = [torch.zeros_like(value) for value in values]
        self.squares = [torch.zeros_like(value) for value in values]
        self.count = 0

    def step(self, at: int, gradient: Tensor, rate: float) -> None:
        """Move value ``at`` by its gradient."""
        mean, square = self.means[at], self.squares[at]
        mean.mul_(MEAN).add_(gradient, alpha=1 - MEAN)
        square.mul_(SPREAD).addcmul_(gradient, gradient, value=1 - SPREAD)
        size = (square / (1 - SPREAD**self.count)).sqrt_().add_(LITTLE)
        self.values[at].addcdiv_(mean, size, value=-rate / (1 - MEAN**self.count))


def _has_bfloat16(device: str) -> bool:
    """Whether products in bfloat16 are faster than in float32."""
    import torch

    if device != "cpu":
        return False
    capability = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(capability.get("avx512_bf16") or capability.get("amx_bf16"))


def _pack(tables: list[Tensor], blocks: list[tuple[int, int]], length: int) -> NDArray[np.float32]:
    """The couplings of all blocks in the order of the kernels."""
    packed = np.zeros(packed_size(length), np.float32)
    for (begin, end), table in zip(blocks, tables, strict=True):
        values = table.cpu().numpy().reshape(end, STATES, end - begin, STATES)
        for column in range(end - 1):
            later = max(begin, column + 1)
            for letter in range(STATES):
                at = run_start(length, column, letter) + (later - column - 1) * STATES
                run = values[column, letter, later - begin :].ravel()
                packed[at : at + run.size] = run
    return packed
