"""What a user names: folders, files, short names, repositories; nothing here goes to the network."""

from __future__ import annotations

import json
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import huggingface_hub.constants
import pytest
import torch
from huggingface_hub import errors as hub_errors

from genoseq.checkpoints.catalogue import CATALOGUE, entry_of_file, find_published
from genoseq.checkpoints.source import files_to_fetch, find_checkpoint, read_config
from genoseq.errors import InputError, UsageError

Writer = Callable[..., Path]

STATE = {"a.weight": torch.ones(2)}


def test_folder(tmp_path: Path, write_checkpoint: Writer) -> None:
    write_checkpoint(tmp_path, STATE, {"model_type": "x"})
    found = find_checkpoint(tmp_path)
    assert found.config == {"model_type": "x"} and found.config_path == tmp_path / "config.json" and found.folder == tmp_path


def test_file_with_its_configuration_beside_it(tmp_path: Path, write_checkpoint: Writer) -> None:
    write_checkpoint(tmp_path, STATE, {"model_type": "x"}, file="net.pt")
    assert find_checkpoint(tmp_path / "net.pt").config == {"model_type": "x"}


def test_configuration_of_the_same_name_goes_first(tmp_path: Path, write_checkpoint: Writer) -> None:
    write_checkpoint(tmp_path, STATE, {"model_type": "other"}, file="net.pt")
    (tmp_path / "net.yml").write_text("model_type: own\nlayers: [1, 2]\n")
    assert find_checkpoint(tmp_path / "net.pt").config == {"model_type": "own", "layers": [1, 2]}
    assert find_checkpoint(tmp_path).config == {"model_type": "other"}


def test_file_without_configuration(tmp_path: Path, write_checkpoint: Writer) -> None:
    write_checkpoint(tmp_path, STATE, None, file="net.pt")
    found = find_checkpoint(tmp_path / "net.pt")
    assert found.config == {} and found.config_path is None


def test_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_checkpoint: Writer) -> None:
    write_checkpoint(tmp_path / "net", STATE, {"model_type": "x"})
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_checkpoint("~/net").folder == tmp_path / "net"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hyenadna-small", r"no folder, file or model is called 'hyenadna-small'; near are hyenadna-small-32k"),
        ("caduceus-131k", "near are caduceus-p[hs]-131k"),
        ("zzzz", "known are bacteria-small, hyenadna-tiny-1k"),
    ],
)
def test_unknown_names_list_near_ones(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find_checkpoint(name)


@pytest.mark.parametrize("name", ["./nothing", "/no/such/folder", "no/such/folder", "gone.safetensors", "gone.pt", "~/no-such"])
def test_paths_that_are_not_there(name: str) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        find_checkpoint(name)


def test_a_path_object_is_never_a_name() -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        find_checkpoint(Path("hyenadna-small-32k"))


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", b"{", "not valid JSON"),
        ("config.json", b"[1]", "holds a list, expected keys and values"),
        ("config.json", b"\xff\xfe", "is no text"),
        ("config.yml", b"a: [1", "not valid YAML"),
        ("config.yml", b"!!python/object/apply:os.system [ls]", "not valid YAML"),
        ("config.yml", b"just text", "holds a str"),
    ],
)
def test_damaged_configurations(tmp_path: Path, write_checkpoint: Writer, file: str, content: bytes, message: str) -> None:
    write_checkpoint(tmp_path, STATE, None)
    (tmp_path / file).write_bytes(content)
    with pytest.raises(InputError, match=message):
        find_checkpoint(tmp_path)


def test_configuration_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_config(tmp_path / "config.json")


def test_published_configuration_by_the_name_of_the_file(tmp_path: Path, write_checkpoint: Writer) -> None:
    write_checkpoint(tmp_path, STATE, None, file="evo2_7b.pt")
    assert find_checkpoint(tmp_path / "evo2_7b.pt").config["rotary_emb_scaling_factor"] == 128


def test_published_configuration_where_the_file_only_names_the_model(tmp_path: Path, write_checkpoint: Writer) -> None:
    """As in the repositories of Evo 2."""
    config = {"name": "Evo 2 1B", "architecture": ["StripedHyena2"], "_name_or_path": "evo2_1b_base.pt"}
    write_checkpoint(tmp_path, STATE, config, file="renamed.pt")
    assert find_checkpoint(tmp_path).config["num_layers"] == 25


def test_a_full_configuration_beside_a_published_file_wins(tmp_path: Path, write_checkpoint: Writer) -> None:
    write_checkpoint(tmp_path, STATE, {"num_layers": 3, "hcl_layer_idxs": [0]}, file="evo2_7b.pt")
    assert find_checkpoint(tmp_path).config["num_layers"] == 3


class Hub:
    """Stands for the hub: repositories by name, and what was asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.folder = folder
        self.files = ["config.json", "model.safetensors", "modeling_x.py", "pytorch_model.bin", "README.md", "vocab.txt"]
        self.fetched: dict[str, Any] = {}
        self.error: Exception | None = None
        monkeypatch.setattr(huggingface_hub.HfApi, "model_info", self.listed)
        monkeypatch.setattr(huggingface_hub, "snapshot_download", self.download)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)

    def listed(self, repository: str, *, revision: str | None, timeout: float) -> Any:
        if self.error:
            raise self.error
        return types.SimpleNamespace(siblings=[types.SimpleNamespace(rfilename=name) for name in self.files])

    def download(self, repository: str, **options: Any) -> str:
        if self.error:
            raise self.error
        self.fetched = {"repository": repository, **options}
        return str(self.folder)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, write_checkpoint: Writer) -> Hub:
    write_checkpoint(tmp_path / "snapshot", STATE, {"model_type": "x"})
    return Hub(monkeypatch, tmp_path / "snapshot")


def test_short_names_are_fetched_without_programs(hub: Hub, tmp_path: Path) -> None:
    found = find_checkpoint("hyenadna-small-32k", cache_dir=tmp_path / "cache")
    assert hub.fetched["repository"] == "LongSafari/hyenadna-small-32k-seqlen-hf"
    assert hub.fetched["allow_patterns"] == ["config.json", "model.safetensors", "vocab.txt"]
    assert hub.fetched["ignore_patterns"] == "*.py"
    assert hub.fetched["cache_dir"] == str(tmp_path / "cache")
    assert found.name == "hyenadna-small-32k" and found.folder == hub.folder


def test_case_of_short_names_does_not_matter(hub: Hub) -> None:
    find_checkpoint("ESM2-8M")
    assert hub.fetched["repository"] == "facebook/esm2_t6_8M_UR50D"


def test_revision_is_the_catalogues_unless_given(hub: Hub) -> None:
    find_checkpoint("evo-1-131k")
    assert hub.fetched["revision"] == "1.1_fix"
    find_checkpoint("evo-1-131k", revision="main")
    assert hub.fetched["revision"] == "main"


def test_what_the_authors_program_sets_goes_before_the_file(hub: Hub) -> None:
    (hub.folder / "config.json").write_text(json.dumps({"num_layers": 3, "rotary_emb_scaling_factor": 1}))
    config = find_checkpoint("evo-1-131k").config
    assert config == {"num_layers": 3, "rotary_emb_scaling_factor": 16, "use_interpolated_rotary_pos_emb": True}


def test_repository_by_its_own_name(hub: Hub) -> None:
    find_checkpoint("someone/some_net.v2")
    assert hub.fetched["repository"] == "someone/some_net.v2" and hub.fetched["revision"] is None


def test_repository_of_the_catalogue_by_its_own_name_gets_its_configuration(hub: Hub) -> None:
    (hub.folder / "config.json").unlink()
    assert find_checkpoint("arcinstitute/evo2_7b").config["num_layers"] == 32


def test_nothing_is_asked_where_only_local_files_are_wanted(hub: Hub) -> None:
    find_checkpoint("esm2-8m", local_files_only=True)
    assert hub.fetched["local_files_only"] is True


def test_nothing_is_asked_offline(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    find_checkpoint("esm2-8m")
    assert hub.fetched["local_files_only"] is True


def _http(kind: type[Exception], text: str) -> Exception:
    error = kind.__new__(kind)
    Exception.__init__(error, text)
    return error


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ConnectionError("no route to host"), r"cannot be fetched .*no route to host.*`hf download .* --local-dir FOLDER`"),
        (OSError("disk"), "cannot be fetched .*disk"),
        (_http(hub_errors.RepositoryNotFoundError, "404"), "has no repository someone/net, or it is private"),
        (_http(hub_errors.RevisionNotFoundError, "404"), "has no revision 'v9'"),
        (_http(hub_errors.GatedRepoError, "403"), "not open to everyone; ask for access"),
        (_http(hub_errors.HfHubHTTPError, "500 Server Error"), "cannot be fetched .*500 Server Error"),
        (hub_errors.HFValidationError("bad name"), "is no name of a repository"),
    ],
)
def test_what_the_hub_refuses(hub: Hub, error: Exception, message: str) -> None:
    hub.error = error
    with pytest.raises(InputError, match=message):
        find_checkpoint("someone/net", revision="v9")


def test_without_a_network_the_cache_will_do(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", unreachable)
    assert find_checkpoint("esm2-8m").folder == hub.folder
    assert hub.fetched["local_files_only"] is True


def test_without_a_network_and_without_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the real library, and nobody listening."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(InputError, match=r"esm2_t6_8M_UR50D is not in the cache, and the Hugging Face hub cannot be reached \("):
        find_checkpoint("esm2-8m", cache_dir=tmp_path)


def test_repository_without_weights(hub: Hub) -> None:
    hub.files = ["README.md", "data.csv"]
    with pytest.raises(InputError, match="holds no weights that genoseq reads"):
        find_checkpoint("someone/net")


def test_empty_cache_says_how_to_get_the_files(tmp_path: Path) -> None:
    """With the real library: an empty cache, and nothing may be fetched."""
    with pytest.raises(InputError) as caught:
        find_checkpoint("evo-1-8k", cache_dir=tmp_path, local_files_only=True)
    text = str(caught.value)
    assert "togethercomputer/evo-1-8k-base is not in the cache" in text
    assert "hf download togethercomputer/evo-1-8k-base --revision 1.1_fix --local-dir FOLDER" in text


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["model.safetensors", "pytorch_model.bin"], ["model.safetensors"]),
        (
            ["model.safetensors.index.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "x.pt"],
            ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"],
        ),
        (["pytorch_model.bin", "tf_model.h5", "flax_model.msgpack"], ["pytorch_model.bin"]),
        (["weights.ckpt", "config.json", "README.md"], ["config.json", "weights.ckpt"]),
        (["evo2_40b.pt.part0", "evo2_40b.pt.part1", "config.json"], ["config.json", "evo2_40b.pt.part0", "evo2_40b.pt.part1"]),
        (["net.pt", "optimizer.pt", "sub/other.pt"], ["net.pt"]),
    ],
)
def test_one_form_of_the_weights_is_fetched(names: list[str], wanted: list[str]) -> None:
    assert files_to_fetch(names) == wanted


def test_catalogue_is_consistent() -> None:
    from genoseq.checkpoints.adapter import ADAPTERS

    repositories = [entry.repository for entry in CATALOGUE.values()]
    assert len(set(repositories)) == len(repositories)
    for name, entry in CATALOGUE.items():
        assert name == entry.name == name.lower() and entry.family in ADAPTERS
        assert find_published(name) is entry and find_published(entry.repository.upper()) is entry
        assert bool(entry.config) == (entry.family in ("evo2", "hnet"))


@pytest.mark.parametrize("name", [name for name, entry in CATALOGUE.items() if entry.family == "evo2"])
def test_published_evo2_blocks_add_up(name: str) -> None:
    config = CATALOGUE[name].config
    listed = [i for kind in ("attn", "hcs", "hcm", "hcl") for i in config[f"{kind}_layer_idxs"]]
    assert sorted(listed) == list(range(config["num_layers"]))
    assert config["hidden_size"] % config["num_attention_heads"] == 0


def test_entry_of_a_file() -> None:
    assert entry_of_file("hnet_2stage_XL.pt") is CATALOGUE["hnet-2stage-xl"]
    assert entry_of_file("evo2_40b.pt.part0") is CATALOGUE["evo2-40b"]
    assert entry_of_file("model.safetensors") is None
    assert json.dumps(dict(CATALOGUE["hnet-1stage-l"].config))
