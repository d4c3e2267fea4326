"""Nets from weights: all that does not fit is said at once, what no file holds is made, nothing is there twice."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import initialization as init

from genoseq.checkpoints.fill import different_aliases, fill, plan
from genoseq.checkpoints.reader import Weights, open_weights
from genoseq.errors import InputError


class Table(nn.Module):
    """Has a table that files do not hold, and one that they do."""

    def __init__(self, *, forgetful: bool = False) -> None:
        super().__init__()
        self.forgetful = forgetful
        self.scale = nn.Parameter(torch.ones(3))
        self.register_buffer("angles", torch.arange(3.0), persistent=False)
        self.register_buffer("count", torch.zeros((), dtype=torch.int64), persistent=False)
        self.register_buffer("map", torch.zeros(3, dtype=torch.int64))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        init.ones_(self.scale)
        if not self.forgetful:
            init.copy_(self.angles, torch.arange(3.0, device=self.angles.device))
        init.constant_(self.count, 5)


class Net(nn.Module):
    """Two layers, a table and a map to the vocabulary that is the first layer's."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4, bias=False)
        self.table = Table(**options)
        self.head = nn.Linear(3, 4, bias=False)
        self.head.weight = self.first.weight


STATE = {"first.weight": torch.arange(12.0).reshape(4, 3), "table.scale": torch.rand(3), "table.map": torch.tensor([2, 0, 1])}


def weights_of(folder: Path, state: Mapping[str, Tensor]) -> Weights:
    save_file(dict(state), folder / "model.safetensors")
    return open_weights(folder)


def same(weights: Weights) -> dict[str, str | None]:
    return dict.fromkeys(weights) | {name: name for name in weights}


def test_every_parameter_is_the_files(tmp_path: Path) -> None:
    weights = weights_of(tmp_path, STATE)
    made = plan(Net, weights, same(weights), title="Net")
    assert all(parameter.is_meta for parameter in made.net.parameters())
    net = fill(made, weights)
    assert isinstance(net, Net)
    assert torch.equal(net.first.weight, STATE["first.weight"]) and net.first.weight is net.head.weight
    assert net.table.map.tolist() == [2, 0, 1] and net.table.angles.tolist() == [0, 1, 2] and net.table.count.item() == 5
    assert torch.equal(net.table.scale, STATE["table.scale"]), "the layer's initialisation must not touch what was read"
    assert net.first.weight.requires_grad and "table.angles" not in net.state_dict()


def test_an_alias_may_be_what_the_file_holds(tmp_path: Path) -> None:
    state = {("head.weight" if name == "first.weight" else name): tensor for name, tensor in STATE.items()}
    weights = weights_of(tmp_path, state)
    net = fill(plan(Net, weights, same(weights), title="Net"), weights)
    assert torch.equal(net.first.weight, STATE["first.weight"])  # type: ignore[union-attr]


def test_aliases_that_differ_are_found(tmp_path: Path) -> None:
    weights = weights_of(tmp_path, {**STATE, "head.weight": STATE["first.weight"] + 1})
    made = plan(Net, weights, same(weights), title="Net")
    assert different_aliases(made, weights) == [("first.weight", "head.weight")]
    weights = weights_of(tmp_path, {**STATE, "head.weight": STATE["first.weight"].clone()})
    assert different_aliases(plan(Net, weights, same(weights), title="Net"), weights) == []


def test_one_error_lists_all_that_does_not_fit(tmp_path: Path) -> None:
    state = {"frist.weight": torch.zeros(4, 3), "table.scale": torch.zeros(5), "other": torch.zeros(1)}
    weights = weights_of(tmp_path, state)
    with pytest.raises(InputError) as caught:
        plan(Net, weights, same(weights), title="Net")
    text = str(caught.value)
    assert text.startswith(f"{tmp_path / 'model.safetensors'}: these weights do not fit Net: ")
    assert "2 missing: first.weight, table.map" in text
    assert "2 unexpected: frist.weight (near first.weight), other" in text
    assert "1 of another shape: table.scale is [5], expected [3]" in text


def test_long_lists_are_cut_and_counted(tmp_path: Path) -> None:
    state = {**STATE, **{f"extra.{number}": torch.zeros(1) for number in range(30)}}
    weights = weights_of(tmp_path, state)
    with pytest.raises(InputError, match=r"30 unexpected: .*extra\.15 and 22 more"):
        plan(Net, weights, same(weights), title="Net")


def test_names_are_given_by_the_adapter(tmp_path: Path) -> None:
    weights = weights_of(tmp_path, {f"net.{name}": tensor for name, tensor in STATE.items()} | {"net.junk": torch.zeros(1)})
    own = {name: name.removeprefix("net.") if name != "net.junk" else None for name in weights}
    net = fill(plan(Net, weights, own, title="Net"), weights)
    assert torch.equal(net.first.weight, STATE["first.weight"])  # type: ignore[union-attr]


def test_a_new_head_is_initialised_by_its_layer(tmp_path: Path) -> None:
    class WithNew(Net):
        def __init__(self) -> None:
            super().__init__()
            self.score = nn.Linear(4, 2)

    weights = weights_of(tmp_path, STATE)
    torch.manual_seed(1)
    made = plan(WithNew, weights, same(weights), may_lack=lambda name: name.startswith("score."), title="Net")
    assert made.fresh == ["score.weight", "score.bias"]
    net = fill(made, weights)
    torch.manual_seed(1)
    like = nn.Linear(4, 2)
    assert torch.equal(net.score.weight, like.weight) and torch.equal(net.score.bias, like.bias)  # type: ignore[union-attr]


def test_a_layer_that_forgets_its_table_is_a_defect(tmp_path: Path) -> None:
    weights = weights_of(tmp_path, STATE)
    with pytest.raises(RuntimeError, match=r"leaves out table\.angles"):
        fill(plan(lambda: Net(forgetful=True), weights, same(weights), title="Net"), weights)


def test_conversion_and_types(tmp_path: Path) -> None:
    weights = weights_of(tmp_path, STATE)
    net = fill(
        plan(Net, weights, same(weights), title="Net"),
        weights,
        convert=lambda name, tensor: tensor * 2 if name == "table.scale" else tensor,
        dtype_of=lambda name, stored: torch.bfloat16 if name == "first.weight" else stored,
    )
    assert net.first.weight.dtype == torch.bfloat16 and net.table.map.dtype == torch.int64  # type: ignore[union-attr]
    assert torch.equal(net.table.scale, STATE["table.scale"] * 2)  # type: ignore[union-attr]


def test_a_table_made_with_its_numbers_keeps_them(tmp_path: Path) -> None:
    """A layer may make a table on the CPU, whatever the device in force."""

    class WithFixed(Net):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("fixed", torch.arange(4, device="cpu"), persistent=False)

    weights = weights_of(tmp_path, STATE)
    made = plan(WithFixed, weights, same(weights), title="Net")
    assert torch.equal(fill(made, weights).fixed, torch.arange(4))  # type: ignore[arg-type]


def test_nothing_is_read_before_all_fits(tmp_path: Path) -> None:
    """A net of another shape is refused although the weights hold NaN, which only reading shows."""
    weights = weights_of(tmp_path, {**STATE, "table.scale": torch.full((5,), torch.nan)})
    with pytest.raises(InputError, match="of another shape"):
        plan(Net, weights, same(weights), title="Net")


def test_the_net_holds_one_copy(tmp_path: Path) -> None:
    """Peak memory while a net of 128 MiB is loaded stays under 1.3 of it (measured in a process of its own)."""
    file = tmp_path / "model.safetensors"
    save_file({f"{number}.weight": torch.zeros(2048, 2048) for number in range(8)}, file)
    script = f"""
from pathlib import Path
import torch
from torch import nn
from genoseq.checkpoints.reader import open_weights
from genoseq.checkpoints.fill import fill, plan

def memory(what):
    return int(next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what)).split()[1])

weights = open_weights({str(file)!r})
make = lambda: nn.Sequential(*(nn.Linear(2048, 2048, bias=False) for _ in range(8)))
made = plan(make, weights, {{name: name for name in weights}}, title="x")
Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
before = memory("VmRSS")
net = fill(made, weights)
print((memory("VmHWM") - before) / 1024)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert 120 < float(done.stdout) < 1.3 * 128, "MiB over what the process had before"
