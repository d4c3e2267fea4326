"""Nets made from weights: first the net without numbers, then every parameter the checkpoint's own tensor.

Nothing is in memory twice. The net is made on torch's ``meta`` device, where parameters have shapes only. Names and shapes are
compared with the checkpoint's before anything is read, so that a wrong file fails at once and says all that is wrong. What no
file holds (tables of positions, a new head) the layers' own ``reset_parameters`` makes.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from genoseq.checkpoints.reader import Weights
from genoseq.errors import InputError

__all__ = ["Plan", "different_aliases", "fill", "plan"]

SHOWN = 8
"""Names of each kind that an error lists; the rest are counted."""


@dataclass
class Plan:
    """Which tensor of a checkpoint goes where.

    Attributes:
        net: the net, whose parameters have no numbers yet.
        sources: the checkpoint's names for each parameter, by the net's first name for it.
        aliases: all names of the net for that parameter.
        fresh: parameters that the checkpoint need not hold and does not: those of a new head.
    """

    net: nn.Module
    sources: dict[str, list[str]]
    aliases: dict[str, list[str]]
    fresh: list[str] = field(default_factory=list)


def plan(
    make: Callable[[], nn.Module],
    weights: Weights,
    own: Mapping[str, str | None],
    *,
    may_lack: Callable[[str], bool] = lambda _: False,
    spare: Collection[str] = (),
    title: str,
) -> Plan:
    """Make the net without numbers, and find a tensor for each of its parameters.

    Args:
        make: makes the net.
        weights: the checkpoint.
        own: the net's name for each name of the checkpoint; None for what is left out.
        may_lack: whether a parameter may be missing, because it belongs to a head that is new.
        spare: names of the checkpoint that a net may have no place for, because only some heads use them.
        title: the net, for messages.

    Raises:
        InputError: names are missing, unexpected or of another shape; the message lists all of them.
    """
    net = _without_numbers(make)
    shapes: dict[str, tuple[int, ...]] = {}
    first: dict[str, str] = {}
    aliases: dict[str, list[str]] = {}
    seen: dict[int, str] = {}
    for name, tensor in _persistent(net):
        key = seen.setdefault(id(tensor), name)
        first[name] = key
        aliases.setdefault(key, []).append(name)
        shapes[name] = tuple(tensor.shape)
    sources: dict[str, list[str]] = {}
    unexpected, wrong = [], []
    useless = [re.compile(pattern) for pattern in getattr(net, "_keys_to_ignore_on_load_unexpected", None) or ()]
    for theirs, ours in own.items():
        if ours is None:
            continue
        if ours not in shapes or theirs in weights.others:
            if theirs not in spare and not any(pattern.search(ours) for pattern in useless):
                unexpected.append((theirs, ours))
        elif weights.shape(theirs) != shapes[ours]:
            wrong.append(f"{theirs} is {list(weights.shape(theirs))}, expected {list(shapes[ours])}")
        else:
            sources.setdefault(first[ours], []).append(theirs)
    known = {ours for ours in own.values() if ours is not None}
    missing = [key for key, names in aliases.items() if not known.intersection(names)]
    fresh = [name for name in missing if may_lack(name)]
    missing = [name for name in missing if name not in fresh]
    if missing or unexpected or wrong:
        raise _misfit(title, weights, missing, unexpected, wrong, list(shapes))
    return Plan(net, sources, aliases, fresh)


def fill(
    made: Plan,
    weights: Weights,
    *,
    convert: Callable[[str, Tensor], Tensor] = lambda _, tensor: tensor,
    dtype_of: Callable[[str, torch.dtype], torch.dtype] = lambda _, dtype: dtype,
    device: torch.device | None = None,
) -> nn.Module:
    """Give the net its weights, one tensor at a time.

    Args:
        made: what goes where.
        weights: the checkpoint.
        convert: changes a tensor into what the net keeps under that name.
        dtype_of: the type that a parameter gets, given its name and the type it has in the file.
        device: where the net goes; the CPU if not given.

    Raises:
        InputError: a tensor holds NaN or infinity.
    """
    net = made.net
    target = device or torch.device("cpu")
    _compute_the_rest(net, made.fresh, target)
    stored: Counter[torch.dtype] = Counter()
    for key, theirs in made.sources.items():
        tensor = convert(key, weights.read(theirs[0]))
        if tensor.is_floating_point():
            stored[tensor.dtype] += tensor.numel()
        tensor = tensor.to(device=target, dtype=dtype_of(key, tensor.dtype))
        old = _get(net, key)
        value = _parameter(tensor, old) if isinstance(old, nn.Parameter) else tensor
        for name in made.aliases[key]:
            _set(net, name, value)
    usual = stored.most_common(1)[0][0] if stored else None
    for key in made.fresh:
        value = _get(net, key)
        if isinstance(value, nn.Parameter) and value.is_floating_point():
            value = _parameter(value.data.to(dtype_of(key, usual or value.dtype)), value)
        for name in made.aliases[key]:
            _set(net, name, value)
    for name, buffer in list(net.named_buffers()):
        if not buffer.is_meta and buffer.device != target:  # made with its numbers, on the CPU
            _set(net, name, buffer.to(target))
    left = [name for name, tensor in (*net.named_parameters(), *net.named_buffers()) if tensor.is_meta]
    if left:
        raise RuntimeError(f"{type(net).__name__}: no value for {', '.join(left[:SHOWN])}")
    return net


def _without_numbers(make: Callable[[], nn.Module]) -> nn.Module:
    """The net on the ``meta`` device, or with numbers where a layer needs some to be made."""
    try:
        with torch.device("meta"):
            return make()
    except NotImplementedError:  # torch's word for what cannot be done without numbers
        with torch.random.fork_rng(devices=[]):
            net = make()
    blank: dict[int, nn.Parameter] = {}
    for module in net.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                empty = blank.setdefault(id(parameter), _parameter(torch.empty_like(parameter, device="meta"), parameter))
                module._parameters[name] = empty
    return net


def different_aliases(made: Plan, weights: Weights) -> list[tuple[str, str]]:
    """Pairs of the checkpoint's names for what is one parameter in the net, where their numbers are not the same."""
    pairs = []
    for theirs in made.sources.values():
        if len(theirs) > 1:
            tensor = weights.read(theirs[0])
            pairs += [(theirs[0], other) for other in theirs[1:] if not torch.equal(tensor, weights.read(other))]
    return pairs


def _persistent(net: nn.Module) -> list[tuple[str, Tensor]]:
    """All that a state holds, under every name it has."""
    kept = net.state_dict(keep_vars=True)
    return list(kept.items())


def _compute_the_rest(net: nn.Module, fresh: list[str], device: torch.device) -> None:
    """Make what comes from no file, by the layers' own initialisation, while all other parameters are still without numbers.

    A layer's ``reset_parameters`` fills its buffers and parameters; filling one on the ``meta`` device does nothing.
    """
    wanted: dict[str, Tensor] = {name: _get(net, name) for name in fresh}
    kept = {name for name, _ in _persistent(net)}
    wanted |= {name: buffer for name, buffer in net.named_buffers() if name not in kept and buffer.is_meta}
    if not wanted:
        return
    owners: dict[str, list[str]] = {}
    for name, tensor in wanted.items():
        blank = torch.empty_like(tensor, device=device)
        if blank.is_floating_point() or blank.is_complex():
            blank.fill_(torch.nan)
        value = _parameter(blank, tensor) if isinstance(tensor, nn.Parameter) else blank
        _set(net, name, value)
        owners.setdefault(name.rpartition(".")[0], []).append(name)
    initialise = getattr(net, "_init_weights", None)
    with torch.no_grad():
        for owner in owners:
            module = net.get_submodule(owner)
            if initialise is not None:
                initialise(module)
            else:
                module.reset_parameters()  # type: ignore[operator]
    blank_yet = [name for name in wanted if bool(_get(net, name).isnan().any())]
    if blank_yet:
        raise RuntimeError(f"{type(net).__name__}: reset_parameters leaves out {', '.join(blank_yet[:SHOWN])}")


def _parameter(tensor: Tensor, old: nn.Parameter) -> nn.Parameter:
    """A tensor in a parameter's place, with what its layer has noted on it (that its weight does not decay, for example)."""
    new = nn.Parameter(tensor, requires_grad=old.requires_grad)
    new.__dict__.update(old.__dict__)
    return new


def _get(net: nn.Module, name: str) -> Tensor:
    owner, _, leaf = name.rpartition(".")
    value: Tensor = getattr(net.get_submodule(owner), leaf)
    return value


def _set(net: nn.Module, name: str, value: Tensor) -> None:
    owner, _, leaf = name.rpartition(".")
    module = net.get_submodule(owner)
    if isinstance(value, nn.Parameter):
        module._parameters[leaf] = value
    else:
        module._buffers[leaf] = value


def _misfit(
    title: str,
    weights: Weights,
    missing: list[str],
    unexpected: list[tuple[str, str]],
    wrong: list[str],
    known: list[str],
) -> InputError:
    """One error that says all that does not fit."""
    parts = []
    if missing:
        parts.append(f"{len(missing)} missing: {_some(missing)}")
    if unexpected:
        shown = []
        for theirs, ours in unexpected[:SHOWN]:
            near = difflib.get_close_matches(ours, missing or known, n=1, cutoff=0.8)
            shown.append(f"{theirs} (near {near[0]})" if near else theirs)
        parts.append(f"{len(unexpected)} unexpected: {_some(shown, len(unexpected))}")
    if wrong:
        parts.append(f"{len(wrong)} of another shape: {_some(wrong)}")
    return InputError(
        f"these weights do not fit {title}: {'; '.join(parts)}",
        path=weights.path,
        remedy="either the file is not whole, or its configuration belongs to another net",
    )


def _some(names: list[str], count: int | None = None) -> str:
    total = len(names) if count is None else count
    rest = total - min(total, SHOWN)
    return ", ".join(names[:SHOWN]) + (f" and {rest} more" if rest else "")
