"""Which index a user means: folders, names, the default, the environment, and references to build from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from small_genome import write_fasta

from genoseq.align import registry as registry_module
from genoseq.align.aligner import Aligner
from genoseq.align.index import MANIFEST, Index, is_index
from genoseq.align.registry import Registry, data_folder, find_index, index_folder, remove_index
from genoseq.errors import IndexFormatError, InputError


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A registry and a cache of each test's own; compiled kernels have been loaded by then or are made anew."""
    monkeypatch.setenv("GENOSEQ_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("GENOSEQ_INDEX", raising=False)
    monkeypatch.setattr(registry_module, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "home"


def registered(*names: str, folder: Path) -> Registry:
    for name in names:
        changed = Registry.change(lambda registry, name=name: registry.register(name, folder))
    return changed


def test_nobody_has_registered_anything_at_first() -> None:
    assert Registry.load() == Registry({}, None)
    assert not Registry.file().exists()


def test_registered_names_are_kept_and_the_first_is_the_default(index: Index) -> None:
    registered("ecoli", "yeast", folder=index.folder)
    loaded = Registry.load()
    assert loaded == Registry({"ecoli": str(index.folder), "yeast": str(index.folder)}, "ecoli")
    stored = json.loads(Registry.file().read_text())
    assert (stored["format"], stored["version"]) == ("genoseq.index-registry", 1)
    Registry.change(lambda registry: registry.with_default("yeast"))
    assert Registry.load().default == "yeast"


def test_paths_are_kept_absolute(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(index.folder.parent)
    registry = Registry({}, None).register("here", Path(index.folder.name))
    assert registry.paths["here"] == str(index.folder)


def test_unknown_default_lists_the_names(index: Index) -> None:
    registry = Registry({}, None)
    with pytest.raises(InputError, match="'x'; registered: none"):
        registry.with_default("x")
    with pytest.raises(InputError, match="'x'; registered: a, b"):
        registry.register("a", index.folder).register("b", index.folder).with_default("x")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"indexes": []}', '{"indexes": {}}', '{"indexes": null, "default": null}'])
def test_damaged_registry_is_named(own_home: Path, text: str) -> None:
    own_home.mkdir()
    Registry.file().write_text(text)
    with pytest.raises(InputError, match=r"indexes\.json.*delete it"):
        Registry.load()


def test_data_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert data_folder() == tmp_path / "home"
    monkeypatch.delenv("GENOSEQ_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    assert data_folder() == tmp_path / "xdg" / "genoseq"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    assert data_folder() == tmp_path / "user" / ".local" / "share" / "genoseq"


def test_index_is_found_by_folder_name_default_and_variable(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Path(shutil.copytree(index.folder, tmp_path / "other"))
    Registry.change(lambda registry: registry.register("first", index.folder).register("second", other))
    assert find_index(str(other)) == other
    assert find_index("second") == other
    assert find_index(None) == index.folder
    Registry.change(lambda registry: registry.with_default("second"))
    assert find_index(None) == other
    monkeypatch.setenv("GENOSEQ_INDEX", "first")
    assert find_index(None) == index.folder
    assert find_index("second") == other  # what is given goes before the variable
    monkeypatch.setenv("GENOSEQ_INDEX", str(other))
    assert find_index(None) == other
    assert Aligner.open("first").index.folder == index.folder


def test_no_index_is_an_error_that_says_how_to_make_one(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"no index was given.*genoseq index REF"):
        find_index(None)
    with pytest.raises(InputError, match=r"no index 'ecoli'.*registered: none.*genoseq index REF"):
        find_index("ecoli")
    registered("yeast", folder=index.folder)
    with pytest.raises(InputError, match=r"registered: yeast"):
        Aligner.open("ecoli")
    monkeypatch.setenv("GENOSEQ_INDEX", "gone")
    with pytest.raises(InputError, match=r"no index 'gone'"):
        find_index(None)
    (tmp_path / "folder").mkdir()
    with pytest.raises(IndexFormatError, match="no genoseq index"):
        find_index(str(tmp_path / "folder"))


def test_registered_index_that_is_gone_is_named(index: Index, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(index.folder, tmp_path / "soon gone"))
    registered("lost", folder=folder)
    shutil.rmtree(folder)
    with pytest.raises(IndexFormatError, match=r"soon gone.*'lost' is no longer there"):
        find_index("lost")


def test_reference_is_indexed_once_and_again_when_it_changes(genome: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"c": genome["two"][:8000]}
    fasta = write_fasta(small, tmp_path / "ref.fa")
    folder = find_index(str(fasta))
    assert is_index(folder) and folder.is_relative_to(tmp_path / "cache")
    before = (folder / MANIFEST).stat().st_mtime_ns
    assert find_index(str(fasta)) == folder
    monkeypatch.chdir(tmp_path)
    assert find_index("ref.fa") == folder
    assert (folder / MANIFEST).stat().st_mtime_ns == before
    write_fasta({"c": genome["two"][:9000]}, fasta)
    changed = find_index(str(fasta))
    assert changed != folder and Index.open(changed).lengths == [9000]
    assert next(Aligner.open(fasta).map([("r", genome["two"][8500:8600])])).start == 8500


@pytest.mark.parametrize("damage", ["truncated", "missing", "manifest"])
def test_damaged_index_in_the_cache_is_built_again(genome: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str) -> None:
    fasta = write_fasta({"c": genome["two"][:8000]}, tmp_path / "ref.fa")
    folder = find_index(str(fasta))
    if damage == "truncated":
        (folder / "codes.faiss").write_bytes((folder / "codes.faiss").read_bytes()[:-9])
    elif damage == "missing":
        (folder / "bounds.npy").unlink()
    else:
        (folder / MANIFEST).write_text('{"format": "genoseq.align-index", "version": 1}')
    with caplog.at_level("WARNING", logger="genoseq"):
        assert find_index(str(fasta)) == folder
    assert "building it again" in caplog.text
    assert Index.open(folder).lengths == [8000]


def test_index_in_a_folder_goes_before_a_name(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Path(shutil.copytree(index.folder, tmp_path / "same"))
    registered("same", folder=index.folder)
    assert find_index("same") == index.folder
    monkeypatch.chdir(tmp_path)
    assert find_index("same").resolve() == other
    shutil.rmtree(other)
    other.mkdir()
    assert find_index("same") == index.folder  # a folder that is no index does not hide it


def test_change_that_is_refused_leaves_the_registry_as_it_was(index: Index) -> None:
    registered("a", folder=index.folder)
    before = Registry.file().read_bytes()
    with pytest.raises(InputError, match="no index is registered as 'b'"):
        Registry.change(lambda registry: registry.with_default("b"))
    assert Registry.file().read_bytes() == before


def test_a_default_whose_index_is_gone_gives_way_to_the_next_one_built(index: Index, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(index.folder, tmp_path / "soon gone"))
    registered("lost", folder=folder)
    assert registered("kept", folder=index.folder).default == "lost"
    shutil.rmtree(folder)
    with pytest.raises(IndexFormatError, match=r"'lost' \(the default\) is no longer there.*--default NAME` \(kept\).*--remove lost` forgets"):
        find_index(None)
    assert registered("new", folder=index.folder).default == "new"
    assert registered("newer", folder=index.folder).default == "new"


def test_the_default_is_named_when_it_is_taken_and_only_then(index: Index, caplog: pytest.LogCaptureFixture) -> None:
    registered("usual", "other", folder=index.folder)
    with caplog.at_level("INFO", logger="genoseq"):
        find_index("other")
        assert caplog.messages == []
        find_index(None)
    assert caplog.messages == ["index: usual, the default (-x chooses another)"]


def own_index(name: str, index: Index) -> Path:
    """An index where `genoseq index` puts it, registered."""
    folder = index_folder(name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(index.folder, folder)
    registered(name, folder=folder)
    return folder


def test_removed_index_is_forgotten_and_deleted_if_it_is_genoseqs_own(index: Index, tmp_path: Path) -> None:
    own = own_index("own", index)
    theirs = Path(shutil.copytree(index.folder, tmp_path / "theirs"))
    registered("theirs", folder=theirs)
    assert remove_index("theirs") == (theirs, False)
    assert is_index(theirs)
    assert Registry.load() == Registry({"own": str(own)}, "own")
    assert remove_index("own") == (own, True)
    assert not own.exists()
    assert Registry.load() == Registry({}, None)
    with pytest.raises(InputError, match="no index is registered as 'own'; registered: none"):
        remove_index("own")


def test_no_folder_is_deleted_that_another_name_means_or_that_holds_more(index: Index) -> None:
    folder = own_index("one", index)
    registered("two", folder=folder)
    assert remove_index("one") == (folder, False)
    (folder / "notes.txt").write_text("mine")
    assert remove_index("two") == (folder, False)
    assert (folder / "notes.txt").exists() and is_index(folder)
    gone = own_index("gone", index)
    shutil.rmtree(gone)
    assert remove_index("gone") == (gone, False)


def test_without_its_default_the_registry_has_none_until_one_is_chosen(index: Index) -> None:
    registered("a", "b", folder=index.folder)
    remove_index("a")
    assert Registry.load().default is None
    with pytest.raises(InputError, match=r"none is the default; registered: b; give `-x NAME`, or choose a default with"):
        find_index(None)
    assert registered("c", folder=index.folder).default == "c"
