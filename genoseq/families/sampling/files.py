"""Samples as FASTA: each record says how it came about."""

from __future__ import annotations

import math

from genoseq.families.alphabet import GAP, decode
from genoseq.families.sampling.members import Samples

__all__ = ["sample_record"]

LINE = 60


def sample_record(
    samples: Samples,
    at: int,
    *,
    aligned: bool,
    seed: int,
    temperature: float,
    model_sha256: str,
    log_likelihood: float | None = None,
) -> str:
    """Sample ``at`` as a FASTA record.

    Its comment has the seed, the attempt (both together say which one it is), the temperature, the identity to the nearest train
    sequence, the log-likelihood in nats where the model has one, and the first 12 digits of the model's SHA-256.
    """
    row = samples.rows[at]
    letters = decode(row if aligned else row[row != GAP])
    parts = [f"seed={seed}", f"attempt={samples.attempt[at]}", f"temperature={temperature:g}"]
    if not math.isnan(samples.identity[at]):
        parts.append(f"identity={samples.identity[at]:.4f}")
    if log_likelihood is not None:
        parts.append(f"log_likelihood={log_likelihood:.4f}")
    parts.append(f"model={model_sha256[:12]}")
    lines = "\n".join(letters[first : first + LINE] for first in range(0, len(letters), LINE))
    return f">sample_{at + 1} {' '.join(parts)}\n{lines}\n"
