"""The objective of the Potts fit on a device of torch: two dense products for each block of rows.

On a GPU dense products outrun sparse sums. Never more than one block of rows stands as one-hot numbers. Results agree with
those of the CPU to float32 rounding, not to the bit.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genoseq.errors import UsageError
from genoseq.families.models.potts_objective import Floats, Objective, Penalties, Value, penalised

__all__ = ["TorchObjective"]

BLOCK = 2048  # rows at once


class TorchObjective(Objective):
    """Like its parent, evaluated by torch.

    Raises:
        UsageError: torch does not have the device.
    """

    def __init__(
        self,
        matrix: NDArray[np.uint8],
        weights: NDArray[np.float64],
        penalties: Penalties,
        *,
        states: int,
        device: str,
        prior: NDArray[np.float64] | None = None,
    ) -> None:
        try:
            self.device = torch.device(device)
            torch.empty(1, device=self.device)
        except (RuntimeError, AssertionError) as error:
            raise UsageError(
                f"torch has no device {device!r} here ({str(error).splitlines()[0]}); leave it out for the CPU"
            ) from error
        super().__init__(matrix, weights, penalties, states=states, prior=prior)

    def _prepare(self, matrix: NDArray[np.uint8], weights: NDArray[np.float64]) -> None:
        self._codes = torch.from_numpy(np.minimum(matrix, self.states)).to(self.device)
        self._weights = torch.from_numpy(weights.astype(np.float32)).to(self.device)
        self._means = torch.from_numpy(self.means.astype(np.float32)).to(self.device).reshape(-1)

    @torch.no_grad()
    def __call__(self, fields: NDArray[np.float64], couplings: Floats, gradient: Floats) -> Value:
        """The value at ``fields`` and ``couplings``; the gradient of the couplings goes to ``gradient``."""
        length, states = self.length, self.states
        full = self._dense(couplings)
        offset = torch.from_numpy(fields.astype(np.float32)).to(self.device).reshape(-1) - self._means @ full
        slope = torch.zeros_like(full)
        sums = torch.zeros(length * states, dtype=torch.float64, device=self.device)
        likelihood = 0.0
        for at in range(0, self.rows, BLOCK):
            codes, weights = self._codes[at : at + BLOCK].long(), self._weights[at : at + BLOCK]
            hot = torch.nn.functional.one_hot(codes, states + 1)[:, :, :states].to(torch.float32)
            flat = hot.reshape(len(codes), -1)
            logs = (flat @ full + offset).reshape(hot.shape).log_softmax(dim=2)
            known = hot.sum(dim=2, keepdim=True)
            likelihood -= float(((hot * logs).sum(dim=(1, 2)).double() * weights.double()).sum())
            residuals = ((logs.exp() * known - hot) * weights[:, None, None]).reshape(len(codes), -1)
            sums += residuals.double().sum(dim=0)
            slope += flat.T @ residuals
        slope -= torch.outer(self._means, sums.float())
        self._pack(slope + slope.T, gradient)
        return penalised(
            likelihood, sums.cpu().numpy().reshape(length, states), fields, couplings, gradient, self.penalties, self.prior
        )

    def _dense(self, couplings: Floats) -> Tensor:
        """(L * q, L * q) couplings on the device, of packed ones."""
        length, states = self.length, self.states
        packed = torch.from_numpy(couplings).to(self.device)
        full = torch.zeros(length, states, length, states, device=self.device)
        at = 0
        for site in range(1, length):
            size = site * states * states
            strip = packed[at : at + size].reshape(site, states, states)
            full[:site, :, site] = strip
            full[site, :, :site] = strip.permute(2, 0, 1)
            at += size
        return full.reshape(length * states, -1)

    def _pack(self, full: Tensor, out: Floats) -> None:
        """The packed form of a symmetric (L * q, L * q) matrix."""
        length, states = self.length, self.states
        blocks = full.reshape(length, states, length, states)
        at = 0
        for site in range(1, length):
            size = site * states * states
            out[at : at + size] = blocks[:site, :, site].reshape(-1).cpu().numpy()
            at += size
