"""Where state space layers start: HiPPO matrices, their diagonal-plus-low-rank form, and diagonal approximations.

Sources: Gu et al. 2020, "HiPPO" (https://arxiv.org/abs/2008.07669); Gu et al. 2022, "Efficiently Modeling Long Sequences with
Structured State Spaces" (S4, https://arxiv.org/abs/2111.00396), appendix C; Gu et al. 2022, "On the Parameterization and
Initialization of Diagonal State Space Models" (S4D, https://arxiv.org/abs/2206.11893), section 4. Names are those of the public
code of S4 (https://github.com/state-spaces/s4).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from genoseq.errors import UsageError

__all__ = ["DIAGONAL", "HIPPO", "StateSpace", "diagonal_start", "hippo", "low_rank_start", "starts"]

HIPPO = ("legs", "legt", "fourier")
DIAGONAL = ("diag-lin", "diag-inv", "diag-quad", "diag-real", "diag-legs")
_MIXTURES = {"hippo": ("legs", "fourier"), "diag": ("diag-inv", "diag-lin")}


class StateSpace(NamedTuple):
    """State spaces ``x' = (diag(a) - p p^*) x + b u``, half of each conjugate pair, complex128.

    Attributes:
        a: ``(S, N / 2)``, negative real parts and not positive imaginary parts.
        p: ``(R, S, N / 2)``.
        b: ``(S, N / 2)``.
    """

    a: Tensor
    p: Tensor
    b: Tensor


def hippo(name: str, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """A HiPPO matrix ``A`` ``(N, N)``, its input vector ``B`` ``(N,)``, and rows ``P`` ``(R, N)`` that make ``A + P^T P`` normal.

    Args:
        name: ``"legs"`` (scaled Legendre, rank 1), ``"legt"`` (translated Legendre, rank 2) or ``"fourier"`` (rank 1).
        size: ``N``.

    Raises:
        UsageError: another name.
    """
    n = torch.arange(size, dtype=torch.float64)
    if name == "legs":
        root = (2 * n + 1).sqrt()
        a = -(root[:, None] * root).tril(-1) - torch.diag(n + 1)
        return a, root, (n + 0.5).sqrt()[None]
    if name == "legt":
        root = (2 * n + 1).sqrt()
        signs = torch.where(n[:, None] < n, (-1.0) ** (n[:, None] - n), torch.ones(()).double())
        a = -0.5 * root[:, None] * signs * root
        even = (torch.arange(size) % 2 == 0).double()
        return a, 0.5 * root, torch.stack([root * (1 - even), root * even]) * 0.5**0.5
    if name == "fourier":
        b = torch.zeros(size, dtype=torch.float64)
        b[0::2] = 2**0.5
        b[0] = 1
        off = torch.zeros(size - 1, dtype=torch.float64)
        off[0::2] = math.pi * n[: off[0::2].numel()]
        a = torch.diag(off, -1) - torch.diag(off, 1) - b[:, None] * b
        return a, b, b[None]
    raise UsageError(f"no HiPPO matrix {name!r}; known are {', '.join(HIPPO)}")


def low_rank_start(name: str, size: int, *, rank: int = 1, clip: float = 2.0) -> StateSpace:
    """A HiPPO matrix in the basis in which its normal part is diagonal, as one state space (``S`` is 1).

    Args:
        name: see `hippo`.
        size: ``N``, even, at least 4.
        rank: rows of ``p``, at least as many as the matrix needs.
        clip: bound of the imaginary parts of ``b``, which grow with ``N`` otherwise.

    Raises:
        UsageError: sizes or ranks that do not do.
    """
    if size < 4 or size % 2:
        raise UsageError(f"a state of {size} values: expected an even number of at least 4")
    matrix, b, p = hippo(name, size)
    if rank < p.shape[0]:
        raise UsageError(f"a low-rank part of rank {rank}: {name} needs {p.shape[0]}")
    normal = matrix + p.T @ p
    # normal = constant times identity + skew-symmetric, so that i times the latter is Hermitian
    real = normal.diagonal().mean()
    imag, basis = torch.linalg.eigh(normal.to(torch.complex128) * -1j)
    imag, basis = imag[: size // 2], basis[:, : size // 2].clone()
    if imag[-1].abs() < 1e-4:  # the pair of zero eigenvalues that the Fourier matrix has; its vectors are known
        basis[:, -1] = 0
        basis[:2, -1] = torch.tensor([1, 1j], dtype=torch.complex128) * 0.5**0.5
    back = basis.conj().T
    b_in = back @ b.to(torch.complex128)
    b_in = torch.complex(b_in.real, b_in.imag.clamp(-clip, clip))
    p_in = torch.zeros(rank, size // 2, dtype=torch.complex128)
    p_in[: p.shape[0]] = (back @ p.to(torch.complex128).T).T
    return StateSpace(torch.complex(real.expand_as(imag), imag)[None], p_in[:, None], b_in[None])


def diagonal_start(name: str, size: int) -> StateSpace:
    """A diagonal approximation of HiPPO, as one state space with ``p`` of rank 1 and zero.

    Args:
        name: one of `DIAGONAL` (S4D-Lin, S4D-Inv, S4D-Quad, S4D-Real, S4D-LegS).
        size: ``N``, even.

    Raises:
        UsageError: another name.
    """
    half = size // 2
    n = torch.arange(half, dtype=torch.float64)
    ones = torch.ones(half, dtype=torch.float64)
    real, b = 0.5 * ones, torch.complex(ones, 0 * ones)
    if name == "diag-lin":
        imag = math.pi * n
    elif name == "diag-inv":
        imag = size / math.pi * (size / (1 + 2 * n) - 1)
    elif name == "diag-quad":
        imag = (1 + 2 * n) ** 2 / math.pi
    elif name == "diag-real":
        real, imag = 1 + n, 0 * n
    elif name == "diag-legs":
        legs = low_rank_start("legs", size)
        imag, b = -legs.a[0].imag, legs.b[0]
    else:
        raise UsageError(f"no diagonal start {name!r}; known are {', '.join(DIAGONAL)}")
    return StateSpace(torch.complex(-real, -imag)[None], torch.zeros(1, 1, half, dtype=torch.complex128), b[None])


def starts(name: str, size: int, copies: int, *, rank: int = 1) -> StateSpace:
    """``copies`` state spaces of one kind, or of a mixture of kinds (``"hippo"``: legs and fourier, ``"diag"``: inv and lin).

    Args:
        name: of `HIPPO`, `DIAGONAL` or a mixture.
        size: ``N``.
        copies: ``S``, a multiple of the number of kinds.
        rank: ``R``.

    Raises:
        UsageError: names or numbers that do not do.
    """
    kinds = _MIXTURES.get(name, (name,))
    if unknown := [kind for kind in kinds if kind not in (*HIPPO, *DIAGONAL)]:
        raise UsageError(f"no start {unknown[0]!r}; known are {', '.join([*HIPPO, *DIAGONAL, *_MIXTURES])}")
    if copies % len(kinds):
        raise UsageError(f"{copies} state spaces cannot be shared among the {len(kinds)} kinds of {name!r}")
    each = copies // len(kinds)
    parts = [low_rank_start(kind, size, rank=rank) if kind in HIPPO else diagonal_start(kind, size) for kind in kinds]
    padded = [F.pad(part.p, (0, 0, 0, 0, 0, rank - part.p.shape[0])) for part in parts]
    return StateSpace(
        torch.cat([part.a.expand(each, -1) for part in parts]),
        torch.cat([p.expand(-1, each, -1) for p in padded], dim=1),
        torch.cat([part.b.expand(each, -1) for part in parts]),
    )
