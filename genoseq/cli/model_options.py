"""What the commands that use a model have in common: which model, where it runs, how much of the input at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from genoseq.cli.options import threads_option

if TYPE_CHECKING:
    from genoseq.infer.provenance import Provenance

__all__ = [
    "Opened",
    "Stride",
    "batch_tokens_option",
    "begin_option",
    "device_options",
    "model_options",
    "opened_model",
    "scoring_options",
    "strand_option",
    "stride_of",
    "stride_option",
    "told_stride",
    "tokenizer_option",
    "window_options",
]

F = TypeVar("F", bound=Callable[..., Any])


def _all(*options: Callable[[Any], Any]) -> Callable[[F], F]:
    """Several options as one decorator, in this order."""

    def add(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return add


class Stride(click.ParamType[int | str]):
    """A number, or the word ``exact``."""

    name = "N|exact"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """The number, or ``exact``."""
        if value == "exact":
            return "exact"
        try:
            number = int(value)
        except ValueError:
            number = 0
        if number < 1:
            self.fail(f"{value!r} is neither a number from 1 on nor the word exact", param, ctx)
        return number


model_options = _all(
    click.option(
        "-m", "--model", "model_name", required=True, metavar="NAME|DIR|FILE", help="The model, as genoseq.load takes it."
    ),
)
tokenizer_option = click.option(
    "--tokenizer", "tokenizer_name", metavar="NAME",
    help="Read sequences by this tokenizer of genoseq, such as nucleotide, instead of the one beside the model.",
)  # fmt: skip
device_options = _all(
    click.option(
        "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True,
        help="Where to run; auto is a GPU if there is one.",
    ),
    click.option(
        "--dtype", type=click.Choice(["float32", "bfloat16"]), default="float32", show_default=True,
        help="Type of the weights; bfloat16 takes half the memory and has three digits.",
    ),
    threads_option,
)  # fmt: skip
batch_tokens_option = click.option(
    "--batch-tokens", type=click.IntRange(min=1), default=16_384, show_default=True, metavar="N",
    help="Tokens of a batch, padding included. Changes speed and memory, not results.",
)  # fmt: skip
window_options = _all(
    click.option("--window", type=click.IntRange(min=1), metavar="N", help="Cut longer sequences into windows of N letters."),
    click.option(
        "--overlap", type=click.IntRange(min=0), default=0, show_default=True, metavar="N",
        help="Letters that neighbouring windows share.",
    ),
)  # fmt: skip
begin_option = click.option("--bos", "begin", is_flag=True, help="Put the token for the beginning in front of sequences.")
stride_option = click.option(
    "--stride", type=Stride(), metavar="N|exact",
    help="Masked models: every Nth token is masked at a time, in N passes; exact: one at a time. Default: 8.",
)  # fmt: skip


def strand_option(default: str) -> Callable[[F], F]:
    """Which strands of DNA a command reads, by default these."""
    return click.option(
        "--strand", type=click.Choice(["both", "forward", "reverse"]), default=default, show_default=True,
        help="Strands to average over.",
    )  # fmt: skip


scoring_options = _all(
    click.option(
        "--context", type=click.IntRange(min=1), metavar="N",
        help="Bases of a window. Default: 1024, or what the model takes.",
    ),
    click.option("--left", type=click.IntRange(min=0), metavar="N", help="Instead of --context: bases before a variant."),
    click.option("--right", type=click.IntRange(min=0), metavar="N", help="Instead of --context: bases after a variant."),
    strand_option("both"),
    click.option(
        "--method", type=click.Choice(["likelihood", "marginal"]), default="likelihood", show_default=True,
        help="marginal: of masked models, only the substituted bases, masked at once.",
    ),
    stride_option,
    begin_option,
    batch_tokens_option,
)  # fmt: skip


class Opened(NamedTuple):
    """A model that is ready to use.

    Attributes:
        name: as the user gave it.
        model: the net, on its device.
        tokenizer: its tokenizer.
        device: where it is.
    """

    name: str
    model: Any
    tokenizer: Any
    device: Any

    def provenance(self, **options: Any) -> Provenance:
        """Where results come from; ``options`` are those that they depend on."""
        from genoseq.infer.provenance import provenance_of

        return provenance_of(self.model, self.tokenizer, name=self.name, options=options)


@contextlib.contextmanager
def opened_model(name: str, *, device: str, dtype: str, threads: int, tokenizer_name: str | None = None) -> Iterator[Opened]:
    """Load a model; for the length of the block, PyTorch uses so many threads.

    Args:
        name: as `genoseq.load` takes it.
        device: ``auto``, ``cpu`` or ``cuda``.
        dtype: of the weights.
        threads: of PyTorch.
        tokenizer_name: one of ``genoseq.tokenizers.names()``, instead of the model's own.

    Raises:
        UsageError: no such device, or a model without a tokenizer.
        InputError: see `genoseq.load`.
    """
    import torch

    from genoseq import tokenizers
    from genoseq.checkpoints.loading import load
    from genoseq.errors import UsageError
    from genoseq.infer.running import check_vocabulary, choose_device

    place = choose_device(device)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        chosen = tokenizers.make(tokenizer_name) if tokenizer_name is not None else None
        model, tokenizer = load(name, dtype=dtype, device=place)
        if chosen is not None:
            check_vocabulary(model, chosen, name)
            tokenizer = chosen
        if tokenizer is None:
            raise UsageError(
                f"{name}: no tokenizer lies beside this model, so it cannot read sequences; name the one that it was trained "
                "with by --tokenizer, or save it into the folder (genoseq.tokenizers.make(NAME).save_pretrained(FOLDER))"
            )
        yield Opened(name, model, tokenizer, place)
    finally:
        torch.set_num_threads(before)


def stride_of(given: int | str | None, model: Any) -> int | None:
    """The stride for a model: None is exact.

    Raises:
        UsageError: it was given for a causal model.
    """
    from genoseq.errors import UsageError
    from genoseq.infer.likelihood import STRIDE

    if given is not None and getattr(model, "predicts_next", False):
        raise UsageError("--stride is for masked models; a causal one scores all tokens in one pass")
    return STRIDE if given is None else None if given == "exact" else int(given)


def told_stride(stride: int | None, model: Any) -> int | str | None:
    """The stride as files say it; None for a causal model, which has none."""
    return None if getattr(model, "predicts_next", False) else stride or "exact"
