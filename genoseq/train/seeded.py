"""The random numbers and threads of PyTorch, set for a training run and set back behind it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["seeded"]


@contextmanager
def seeded(seed: int, *, threads: int) -> Iterator[None]:
    """Within the block, PyTorch begins at ``seed`` and uses so many threads; afterwards it is as it was.

    >>> with seeded(1, threads=1):
    ...     first = torch.rand(3)
    >>> with seeded(1, threads=1):
    ...     bool((torch.rand(3) == first).all())
    True
    """
    before, state = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        torch.set_rng_state(state)
