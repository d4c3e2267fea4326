"""Nets that have no public family, single layers, and the table of all classes."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import genoseq
from genoseq.checkpoints.adapter import ADAPTERS, Found, find_adapter
from genoseq.checkpoints.source import find_checkpoint
from genoseq.checkpoints.state_space import StateSpaceLayer
from genoseq.errors import InputError, UsageError
from genoseq.nets.architectures import ARCHITECTURES, find_class

Writer = Callable[..., Path]
IDS = torch.tensor([[7, 8, 9, 10, 7, 7, 9, 8] * 4])

BLOCKS = [
    {"mixer": "mamba", "options": {"d_state": 4}},
    {"mixer": "hyena", "options": {"l_max": 32, "filter_order": 8}},
    {"mixer": "attention", "options": {"n_heads": 2, "rotary_dim": 4}},
    {"mixer": "s4d", "options": {"d_state": 8}},
    {"mixer": "mamba2", "options": {"d_state": 8, "headdim": 8}},
]
COMPLEMENTS = {str(i): {7: 10, 8: 9, 9: 8, 10: 7}.get(i, i) for i in range(16)}


def hybrid(head: str = "causal_lm", **changes: Any) -> Any:
    torch.manual_seed(0)
    kind = ARCHITECTURES["genoseq_hybrid"]
    return kind.net_class(head)(kind.config_class(**{"vocab_size": 16, "d_model": 16, "blocks": BLOCKS, **changes})).eval()


def merging(head: str) -> Any:
    torch.manual_seed(0)
    kind = ARCHITECTURES["mergedna"]
    sizes = {"d_model": 16, "n_heads": 2, "latent_encoder": 1, "latent_decoder": 1, "local_decoder": 1, "d_group": 8}
    return kind.net_class(head)(kind.config_class(local_encoder=1, max_position_embeddings=64, **sizes)).eval()


NETS = {
    "MergeDNA": lambda: merging("masked_lm"),
    "MergeDNA, labels": lambda: merging("sequence"),
    "hybrid": hybrid,
    "hybrid, strands shared": lambda: hybrid("masked_lm", strands="shared", complement_map=COMPLEMENTS),
    "hybrid, labels": lambda: hybrid("sequence", num_labels=3),
}


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("by_genoseq", [True, False])
def test_nets_of_recipes_come_back(name: str, by_genoseq: bool, tmp_path: Path) -> None:
    net = NETS[name]()
    if by_genoseq:
        genoseq.save(net, None, tmp_path / "net")
    else:
        net.save_pretrained(tmp_path / "net")
    model, tokenizer = genoseq.load(tmp_path / "net")
    assert type(model) is type(net) and tokenizer is None
    with torch.no_grad():
        assert torch.equal(model(IDS).logits, net(IDS).logits)


def test_tokenizer_of_a_recipes_net(tmp_path: Path) -> None:
    from genoseq.tokenizers.nucleotide import GenoseqNucleotideTokenizer

    tokenizer = GenoseqNucleotideTokenizer(add_cls=True)
    genoseq.save(hybrid(), tokenizer, tmp_path / "net")
    loaded = genoseq.load(tmp_path / "net").tokenizer
    assert type(loaded) is GenoseqNucleotideTokenizer and loaded.digest == tokenizer.digest


def test_configuration_of_no_net(tmp_path: Path) -> None:
    hybrid().save_pretrained(tmp_path / "net")
    path = tmp_path / "net" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"architectures": ["Something"]}))
    with pytest.raises(InputError, match=r"does not say what class of net was saved: architectures is \['Something'\]"):
        genoseq.load(tmp_path / "net")


def test_unknown_mixer_in_a_configuration(tmp_path: Path) -> None:
    hybrid().save_pretrained(tmp_path / "net")
    path = tmp_path / "net" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"blocks": [{"mixer": "blender"}]}))
    with pytest.raises(InputError, match="blender"):
        genoseq.load(tmp_path / "net")


# Single layers


def layer(kind: str, **settings: Any) -> nn.Module:
    from genoseq.nets.layers import s4, s4d, s5

    torch.manual_seed(0)
    made: nn.Module = {"S4": s4.S4, "S4D": s4d.S4D, "S5": s5.S5, "S5Block": s5.S5Block}[kind](**settings)
    return made.eval()


LAYERS: list[tuple[str, dict[str, Any]]] = [
    ("S4", {"d_model": 6, "d_state": 8, "mode": "dplr"}),
    ("S4", {"d_model": 6, "d_state": 8, "mode": "dplr", "rank": 2, "n_ssm": 2, "channels": 2, "bidirectional": True}),
    ("S4", {"d_model": 6, "d_state": 8, "mode": "diag"}),
    ("S4", {"d_model": 6, "d_state": 8, "mode": "diag", "final_act": None, "dt_tie": False, "init": "diag-lin"}),
    ("S4D", {"d_model": 6, "d_state": 8}),
    ("S5", {"width": 6, "state_width": 8}),
    ("S5", {"width": 6, "state_width": 6, "bidir": True}),
    ("S5Block", {"dim": 6, "state_dim": 8, "ff_mult": 2.0}),
    ("S5Block", {"dim": 6, "state_dim": 8, "glu": False}),
]


@pytest.mark.parametrize(("kind", "settings"), LAYERS)
@pytest.mark.parametrize("with_config", [True, False])
def test_layers(tmp_path: Path, write_checkpoint: Writer, kind: str, settings: dict[str, Any], with_config: bool) -> None:
    made = layer(kind, **settings)
    told = {"transposed": False} if kind.startswith("S4") else {}
    place = write_checkpoint(tmp_path, made.state_dict(), {**settings, **told, "lr": 0.001} if with_config else None)
    loaded = genoseq.load(place)
    assert type(loaded.model) is type(made) and loaded.tokenizer is None
    x = torch.randn(2, 20, 6)
    with torch.no_grad():
        torch.testing.assert_close(loaded.model(x)[0], made(x)[0], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("kind", ["S4", "S4D"])
@pytest.mark.parametrize("told", [{"transposed": True}, {}], ids=str)
def test_layers_with_channels_first(tmp_path: Path, write_checkpoint: Writer, kind: str, told: dict[str, Any]) -> None:
    """As the authors' programs take them unless their configuration says otherwise."""
    made = layer(kind, d_model=6, d_state=8)
    place = write_checkpoint(tmp_path, made.state_dict(), {"d_model": 6, "d_state": 8, **told})
    x = torch.randn(2, 20, 6)
    with torch.no_grad():
        found: Tensor = genoseq.load(place).model(x.transpose(1, 2))[0]
        torch.testing.assert_close(found.transpose(1, 2), made(x)[0], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({"activation": "glu", "bidirectional": True}, {"activation": "glu", "bidirectional": True}),
        ({"activation": "glu", "channels": 2}, {"activation": "glu", "channels": 2}),
        ({"final_act": None, "postact": "glu", "measure": "legs", "init": None, "backend": "naive"}, {}),
        ({"mode": None, "kernel": "s4d", "real_scale": 2.0, "gate": None}, {"mode": "diag"}),
        (
            {"mode": "diag", "dt_fast": True, "dt_transform": "softplus"},
            {"mode": "diag", "dt_fast": True, "dt_transform": "softplus"},
        ),
    ],
    ids=str,
)
def test_what_the_authors_call_arguments_of_s4(
    tmp_path: Path, write_checkpoint: Writer, theirs: dict[str, Any], ours: dict[str, Any]
) -> None:
    made = layer("S4", d_model=6, d_state=8, **ours)
    place = write_checkpoint(tmp_path, made.state_dict(), {"d_model": 6, "d_state": 8, "transposed": False, **theirs})
    x = torch.randn(2, 20, 6)
    with torch.no_grad():
        torch.testing.assert_close(genoseq.load(place).model(x)[0], made(x)[0], atol=1e-6, rtol=1e-6)


def test_how_an_s5_was_drawn_does_not_matter(tmp_path: Path, write_checkpoint: Writer) -> None:
    made = layer("S5", width=6, state_width=8)
    place = write_checkpoint(tmp_path, made.state_dict(), {"width": 6, "state_width": 8, "bcInit": "dense", "factor_rank": None})
    x = torch.randn(2, 20, 6)
    with torch.no_grad():
        torch.testing.assert_close(genoseq.load(place).model(x)[0], made(x)[0])


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("S4", {"weight_norm": True}, "weight_norm is True: genoseq reads layers without that part"),
        ("S4", {"bottleneck": 2}, "bottleneck is 2"),
        ("S4", {"kernel": "shift"}, "the kernel is 'shift': known are diag, dplr"),
        ("S4", {"mode": "diag", "disc": "dss"}, "discretisation 'dss'"),
        ("S4", {"bandlimit": 0.5}, "take the diagonal kernel"),
        ("S5", {"bcInit": "factorized"}, "whole matrices B and C"),
    ],
)
def test_layers_with_parts_that_genoseq_does_not_have(
    tmp_path: Path, write_checkpoint: Writer, kind: str, change: dict[str, Any], message: str
) -> None:
    settings = {"width": 6, "state_width": 8} if kind == "S5" else {"d_model": 6, "d_state": 8}
    place = write_checkpoint(tmp_path, layer(kind, **settings).state_dict(), settings | change)
    with pytest.raises(InputError, match=message):
        genoseq.load(place)


def test_bare_state_space_of_s5(tmp_path: Path, write_checkpoint: Writer) -> None:
    made = layer("S5", width=6, state_width=8)
    state = {name.removeprefix("seq."): tensor for name, tensor in made.state_dict().items()}
    x = torch.randn(2, 20, 6)
    with torch.no_grad():
        torch.testing.assert_close(genoseq.load(write_checkpoint(tmp_path, state, None)).model(x)[0], made(x)[0])


def test_layers_have_no_heads_and_are_not_saved(tmp_path: Path, write_checkpoint: Writer) -> None:
    place = write_checkpoint(tmp_path, layer("S4D", d_model=6, d_state=8).state_dict(), None)
    with pytest.raises(UsageError, match="a single S4D layer has no head 'causal_lm'"):
        genoseq.load(place, head="causal_lm")
    with pytest.raises(UsageError, match=r"genoseq\.save writes the nets of genoseq, not a S4D"):
        genoseq.save(genoseq.load(place).model, None, tmp_path / "x")


def test_layer_with_an_argument_that_it_does_not_have(tmp_path: Path, write_checkpoint: Writer) -> None:
    place = write_checkpoint(tmp_path, layer("S4D", d_model=6, d_state=8).state_dict(), {"d_model": 6, "colour": "red"})
    with pytest.raises(InputError, match=r"config\.json: no S4D can be made of this configuration: .*colour"):
        genoseq.load(place)


def test_half_precision_keeps_state_spaces(tmp_path: Path, write_checkpoint: Writer) -> None:
    place = write_checkpoint(tmp_path, layer("S5", width=6, state_width=8).state_dict(), None)
    half = genoseq.load(place, dtype="bfloat16").model
    assert half.seq.Lambda.dtype == torch.complex64 and half.seq.log_step.dtype == torch.float32
    double = genoseq.load(place, dtype="float64").model
    assert double.seq.Lambda.dtype == torch.complex128 and double.seq.B.dtype == torch.float64


# What all nets share


@pytest.mark.parametrize("kind", ARCHITECTURES.values(), ids=lambda kind: kind.model_type)
def test_every_class_of_the_table_exists(kind: Any) -> None:
    assert kind.config_class.model_type == kind.model_type
    for head in kind.heads:
        net_class = kind.net_class(head)
        assert net_class.config_class is kind.config_class
        assert find_class(net_class.__name__) == (kind, head)
    with pytest.raises(UsageError, match="has no head 'tail'"):
        kind.net_class("tail")


def test_no_two_nets_have_a_class_of_the_same_name() -> None:
    names = [kind.class_name(head) for kind in ARCHITECTURES.values() for head in kind.heads]
    assert len(set(names)) == len(names) and find_class("Nothing") is None


def test_notes_on_parameters_stay(tmp_path: Path) -> None:
    """Mamba marks what must not decay in training."""
    net = hybrid()
    marked = {name for name, parameter in net.named_parameters() if getattr(parameter, "_no_weight_decay", False)}
    genoseq.save(net, None, tmp_path / "net")
    model = genoseq.load(tmp_path / "net").model
    assert marked and marked == {n for n, p in model.named_parameters() if getattr(p, "_no_weight_decay", False)}


def test_nets_that_compute_while_they_are_made_leave_the_caller_alone(tmp_path: Path) -> None:
    net = NETS["hybrid, strands shared"]()
    genoseq.save(net, None, tmp_path / "net")
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    model = genoseq.load(tmp_path / "net").model
    assert torch.equal(torch.rand(3), wanted)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), net.state_dict().values(), strict=True))


class Other(StateSpaceLayer):
    """A family that another package declares."""

    def recognises(self, found: Found) -> bool:
        return bool(found.config.get("of_another_package"))


def test_other_packages_add_families(tmp_path: Path, write_checkpoint: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint(name="other", value=f"{__name__}:Other", group="genoseq.checkpoints")
    monkeypatch.setitem(ADAPTERS._plugins, "other", point)
    place = write_checkpoint(tmp_path, {"x": torch.zeros(1)}, {"of_another_package": True})
    assert type(find_adapter(find_checkpoint(place))) is Other


def test_a_tokenizer_outside_the_vocabulary_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A small net of a family of bytes, as one makes for a test: the family's tokenizer has ids up to 84 for letters."""
    from genoseq.nets.models.stripedhyena import StripedHyenaConfig, StripedHyenaForCausalLM

    for rows, told in ((16, True), (512, False)):
        config = StripedHyenaConfig(
            vocab_size=rows, hidden_size=16, num_filters=16, num_layers=1, num_attention_heads=2, attn_layer_idxs=[],
            state_size=2, inner_mlp_size=16,
        )  # fmt: skip
        StripedHyenaForCausalLM(config).save_pretrained(tmp_path / str(rows))
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="genoseq"):
            genoseq.load(tmp_path / str(rows))
        assert ("EvoTokenizer gives letters ids up to 84, but the net has a vocabulary of 16" in caplog.text) is told
