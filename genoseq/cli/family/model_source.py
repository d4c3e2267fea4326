"""A model of a family by its file, or a masked language model by its folder or name."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from genoseq.families.language.masked import MaskedModel
    from genoseq.families.models.model import FamilyModel

__all__ = [
    "METHODS",
    "is_family_model",
    "method_option",
    "open_source",
    "source_sha256",
    "torch_threads",
    "wild_type_of",
]

METHODS = ("masked-marginal", "wild-type-marginal", "pseudo-likelihood")
method_option = click.option(
    "--method", type=click.Choice(METHODS),
    help="Of a masked language model: each residue masked, none masked, or whole sequences. Default: masked-marginal.",
)  # fmt: skip


def is_family_model(source: str) -> bool:
    """Whether a file begins as safetensors do: eight bytes of a length, then JSON."""
    path = Path(source)
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(9)
    return len(head) == 9 and head[8:] == b"{" and int.from_bytes(head[:8], "little") < 1 << 40


def open_source(source: str, *, device: str, dtype: str, batch_tokens: int = 16_384) -> FamilyModel | MaskedModel:
    """The model of a file that `genoseq family fit` wrote, or of a folder or name of a masked language model."""
    if is_family_model(source):
        from genoseq.families.models.model_file import load_model

        return load_model(source)
    from genoseq.families.language.masked import load_masked
    from genoseq.infer.running import choose_device

    return load_masked(source, device=str(choose_device(device)), dtype=dtype, batch_tokens=batch_tokens)


def source_sha256(model: Any) -> str:
    """SHA-256 of either kind of model."""
    from genoseq.families.language.masked import MaskedModel
    from genoseq.families.models.model_file import model_sha256

    return model.digest() if isinstance(model, MaskedModel) else model_sha256(model)


@contextlib.contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """For the length of the block, PyTorch uses so many threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def wild_type_of(path: str) -> tuple[str, str, int]:
    """Name, sequence and offset of the one record of a FASTA file.

    Raises:
        InputError: none or several.
    """
    from genoseq.errors import InputError
    from genoseq.families.alignments.protein_records import read_proteins
    from genoseq.families.alignments.query import name_range

    records = list(read_proteins(path))
    if len(records) != 1:
        raise InputError(f"holds {len(records)} sequences, expected one", path=path)
    name, sequence = records[0]
    place = name_range(name)
    return name, sequence, place[0] if place is not None and place[1] - place[0] == len(sequence) else 0
