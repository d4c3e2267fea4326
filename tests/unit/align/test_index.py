"""Building and opening indexes: whole or not at all, and refused where they do not fit."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from small_genome import make_genome, write_fasta

from genoseq.align import index as index_module
from genoseq.align.aligner import Aligner
from genoseq.align.candidates import MINOR, minor_cell
from genoseq.align.index import FILES, FORMAT, MANIFEST, VERSION, Index, build_index, choose_parameters, is_index
from genoseq.embed.anchors import MAX_K, anchor_cells
from genoseq.embed.window import WindowEncoder
from genoseq.embed.window_reference import encode_reference
from genoseq.errors import IndexFormatError, InputError, OutputError, UsageError
from genoseq.seqs.alphabet import encode
from genoseq.store import AnchorIVFStore


@pytest.fixture
def copied(index: Index, tmp_path: Path) -> Path:
    """A copy of the index that a test may damage."""
    return Path(shutil.copytree(index.folder, tmp_path / "copy"))


def change_manifest(folder: Path, **changes: object) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest.update(changes)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def test_index_tells_of_its_reference(index: Index, genome: dict[str, str]) -> None:
    assert index.names == list(genome)
    assert index.lengths == [len(bases) for bases in genome.values()]
    assert index.md5 == [hashlib.md5(bases.encode(), usedforsecurity=False).hexdigest() for bases in genome.values()]
    assert index.bases == sum(index.lengths)
    assert (index.arrays.codes == encode("".join(genome.values()).encode())).all()
    assert index.arrays.offsets.tolist() == [0, 60_000, 90_000, 90_300]
    assert index.manifest["format"] == FORMAT and index.manifest["version"] == VERSION
    assert index.manifest["encoder"] == WindowEncoder.shipped().digest
    assert set(index.manifest["files"]) == set(FILES)
    assert index.bytes_on_disk == sum(path.stat().st_size for path in index.folder.iterdir())
    assert {path.name for path in index.folder.iterdir()} == {*FILES, MANIFEST}


def test_every_anchor_is_filed_with_the_code_of_its_window(index: Index, genome: dict[str, str]) -> None:
    arrays = index.arrays
    rng = np.random.default_rng(0)
    filed = {}
    for number in range(index.manifest["lists"]):
        first, last = int(arrays.bounds[number * MINOR]), int(arrays.bounds[(number + 1) * MINOR])
        size = last - first
        raw = arrays.data[24 * first : 24 * last]
        ids = raw[16 * size :].copy().view("<i8")
        for c in range(size):
            cell = int(np.searchsorted(arrays.bounds, first + c, side="right")) - 1
            filed[int(ids[c])] = (cell, raw[16 * c : 16 * c + 16].tobytes())
    assert len(filed) == index.manifest["codes"] == len(arrays.data) // 24
    expected = {}
    for contig, name in enumerate(genome):
        start = int(arrays.offsets[contig])
        codes = encode(genome[name].encode())
        for at in range(len(codes) - arrays.k + 1):
            kmer = codes[at : at + arrays.k]
            if (kmer > 3).any():
                continue
            entry = int(arrays.cells[int("".join(map(str, kmer.tolist())), 4)])
            if entry >= 0:
                minor = max(0, minor_cell(codes, 0, len(codes), at, arrays.k, entry & 1))
                expected[(start + at) << 1 | (entry & 1)] = (entry >> 1) * MINOR + minor, contig, at
    assert {name: cell for name, (cell, _) in filed.items()} == {name: row[0] for name, row in expected.items()}
    some = sorted(expected)
    table = WindowEncoder.shipped().table
    for name in [*some[:5], *some[-5:], *rng.choice(some, 40).tolist()]:
        _, contig, at = expected[name]
        codes = encode(genome[index.names[contig]].encode())
        assert encode_reference(codes, [at], arrays.k, table).codes[0].tobytes() == filed[name][1]


def test_opened_index_is_the_one_built(index: Index) -> None:
    again = Index.open(str(index.folder))
    assert (again.names, again.lengths, again.md5, again.manifest) == (index.names, index.lengths, index.md5, index.manifest)
    assert (again.arrays.data == index.arrays.data).all() and (again.arrays.bounds == index.arrays.bounds).all()
    assert is_index(index.folder)


@pytest.mark.parametrize("threads", [1, 3])
def test_same_reference_gives_the_same_files(index: Index, fasta: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    monkeypatch.setattr(index_module, "CHUNK", 7000)
    built = build_index(fasta, tmp_path / "again", threads=threads)
    for name in (*FILES, MANIFEST):
        assert (built.folder / name).read_bytes() == (index.folder / name).read_bytes(), name


def test_parameters_are_chosen_by_size_and_memory() -> None:
    previous = 0
    for bases in (1_000, 100_000, 5_000_000, 150_000_000, 3_000_000_000):
        k, density = choose_parameters(bases)
        assert previous <= k <= MAX_K and density == 0.5
        previous = k
    assert choose_parameters(10**9, memory=None)[1] == 0.5
    densities = [choose_parameters(10**9, memory=memory << 30)[1] for memory in (1, 8, 16, 32, 64)]
    assert densities == sorted(densities) and densities[0] == 1 / 16 and densities[-1] == 0.5
    for memory in (8 << 30, 16 << 30):
        _, density = choose_parameters(10**9, memory=memory)
        assert density == 1 / 16 or 10**9 * (24 * density + 1) <= memory / 2


@pytest.mark.parametrize(("k", "density"), [(6, 1.0), (9, 0.25), (None, 0.125), (8, None)])
def test_k_and_density_may_be_given(fasta: Path, genome: dict[str, str], tmp_path: Path, k: int | None, density: float | None) -> None:
    index = build_index(fasta, tmp_path / "index", k=k, density=density)
    chosen = choose_parameters(index.bases)
    assert index.manifest["k"] == (k or chosen[0]) == index.arrays.k
    assert index.manifest["density"] == (density or 0.5)
    share = index.manifest["codes"] / index.bases
    assert abs(share - index.manifest["density"]) < 0.1
    (hit,) = Aligner(index).map([("r", genome["two"][3_000:3_200])])
    assert (hit.contig, hit.start, hit.mapq) == ("two", 3_000, 60)


@pytest.mark.parametrize("options", [{"k": 3}, {"k": 14}, {"density": 0.0}, {"density": 1.5}, {"density": -1.0}])
def test_parameters_out_of_range_are_refused(fasta: Path, tmp_path: Path, options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="expected"):
        build_index(fasta, tmp_path / "index", **options)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_progress_is_told(fasta: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "CHUNK", 10_000)
    told: list[tuple[int, int]] = []
    index = build_index(fasta, tmp_path / "index", progress=lambda done, total: told.append((done, total)))
    codes = index.manifest["codes"]
    assert [done for done, _ in told] == [*range(10_000, codes, 10_000), codes]
    assert {total for _, total in told} == {codes}


def test_other_encoder_makes_another_index(fasta: Path, genome: dict[str, str], tmp_path: Path) -> None:
    encoder = WindowEncoder.random()
    index = build_index(fasta, tmp_path / "index", encoder=encoder)
    (hit,) = Aligner(index).map([("r", genome["two"][3_000:3_200])])
    assert (hit.contig, hit.start) == ("two", 3_000)
    assert index.manifest["encoder"] == encoder.digest
    assert (index.arrays.rows == encoder.rows).all()
    assert (Index.open(index.folder).arrays.rows == encoder.rows).all()  # the index holds its own encoder


def test_encoder_that_is_not_the_one_it_was_made_with_is_refused(copied: Path, fasta: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = WindowEncoder.random()
    with monkeypatch.context() as patched:  # another genoseq, that ships another encoder
        patched.setattr(WindowEncoder, "shipped", classmethod(lambda cls: other))
        with pytest.raises(IndexFormatError, match=r"made with window encoder .*build it again"):
            Index.open(copied)
    folder = build_index(fasta, tmp_path / "index", encoder=other).folder
    np.save(folder / "encoder.npy", WindowEncoder.random(seed=1).table)
    with pytest.raises(IndexFormatError, match=r"made with window encoder .*its folder has .*build it again"):
        Index.open(folder)


def test_reference_without_anchors_can_be_opened(tmp_path: Path) -> None:
    (tmp_path / "g.fa").write_text(">short\nACG\n>n\nNNNNNNNNNNNN\n")
    index = build_index(tmp_path / "g.fa", tmp_path / "index")
    assert index.manifest["codes"] == 0
    (hit,) = Aligner(index).map([("r", "ACGTTGCATGCATGCAACGTACGATCGAT" * 3)])
    assert not hit.is_mapped


def test_density_that_leaves_no_anchor_is_refused(fasta: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="density"):
        build_index(fasta, tmp_path / "index", k=4, density=1e-9)
    assert not (tmp_path / "index").exists()


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_missing_file_is_named(copied: Path, name: str) -> None:
    (copied / name).unlink()
    with pytest.raises(IndexFormatError, match=f"copy.*{name}.*genoseq index"):
        Index.open(copied)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kept", [0, 1, -1])
def test_truncated_file_is_named_with_its_size(copied: Path, name: str, kept: int) -> None:
    path = copied / name
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(IndexFormatError, match=f"{name} has {path.stat().st_size} bytes, expected"):
        Index.open(copied)


def test_bounds_out_of_order_are_refused(copied: Path) -> None:
    bounds = np.load(copied / "bounds.npy")
    for place, value in ((0, 1), (len(bounds) // 2, 1 << 40), (len(bounds) // 2, -1)):
        wrong = bounds.copy()
        wrong[place] = value
        np.save(copied / "bounds.npy", wrong)
        with pytest.raises(IndexFormatError, match="do not fit"):
            Index.open(copied)


def test_an_index_replaced_while_it_is_opened_is_opened_anew(
    copied: Path, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest is of the old one, the files are of the new one."""
    shorter = build_index(write_fasta({"other": "ACGTTGCATTGACCAG" * 40}, tmp_path / "o.fa"), tmp_path / "other")
    opened = Index._opened.__func__  # type: ignore[attr-defined]
    calls = []

    def replaced(cls: type[Index], folder: Path, manifest: dict[str, object], rebuild: str) -> Index:
        calls.append(manifest["bases"])
        if len(calls) == 1:
            shutil.rmtree(copied)
            shutil.copytree(shorter.folder, copied)
        found: Index = opened(cls, folder, manifest, rebuild)
        return found

    monkeypatch.setattr(Index, "_opened", classmethod(replaced))
    assert Index.open(copied).bases == shorter.bases
    assert calls == [index.bases, shorter.bases]


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"format": "other"}', '{"format": null}', "\x00\xff"])
def test_damaged_manifest_is_refused(copied: Path, text: str) -> None:
    (copied / MANIFEST).write_text(text, encoding="latin-1")
    with pytest.raises(IndexFormatError, match=r"manifest.json.*build it again"):
        Index.open(copied)


@pytest.mark.parametrize("key", ["encoder", "files", "k", "density", "lists", "minor"])
@pytest.mark.parametrize("value", [None, "x", -3])
def test_manifest_that_is_no_manifest_is_refused(copied: Path, key: str, value: object) -> None:
    change_manifest(copied, **{key: value})
    with pytest.raises(IndexFormatError, match="build it again"):
        Index.open(copied)
    manifest = json.loads((copied / MANIFEST).read_text())
    del manifest[key]
    (copied / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(IndexFormatError, match="build it again"):
        Index.open(copied)


@pytest.mark.parametrize("key", ["k", "density"])
def test_parameters_that_do_not_fit_the_lists_are_refused(copied: Path, key: str) -> None:
    value = {"k": json.loads((copied / MANIFEST).read_text())["k"] + 1, "density": 0.25}[key]
    change_manifest(copied, **{key: value})
    with pytest.raises(IndexFormatError, match="do not fit"):
        Index.open(copied)


@pytest.mark.parametrize("version", [VERSION + 1, 0, None, str(VERSION)])
def test_other_version_is_refused(copied: Path, version: object) -> None:
    change_manifest(copied, version=version)
    with pytest.raises(IndexFormatError, match=f"format version {version}, this genoseq reads version {VERSION}"):
        Index.open(copied)


def test_folders_that_are_no_index_are_refused(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nothing"):
        assert not is_index(place)
        with pytest.raises(IndexFormatError, match="no index: it has no manifest"):
            Index.open(place)
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(IndexFormatError, match="file"):
        Index.open(file)


def test_build_that_fails_leaves_nothing(fasta: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: AnchorIVFStore, folder: Path) -> None:
        (folder / "codes.faiss").write_bytes(b"half")
        raise RuntimeError("the disk is on fire")

    monkeypatch.setattr(AnchorIVFStore, "save", fail)
    with pytest.raises(RuntimeError, match="on fire"):
        build_index(fasta, tmp_path / "index")
    assert list(tmp_path.iterdir()) == []


def test_build_that_fails_keeps_the_index_before_it(copied: Path, fasta: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name: path.read_bytes() for path in copied.iterdir()}
    with monkeypatch.context() as patched:
        patched.setattr(AnchorIVFStore, "save", lambda self, folder: (_ for _ in ()).throw(RuntimeError("no")))
        with pytest.raises(RuntimeError, match="no"):
            build_index(fasta, copied, k=8)
    assert {path.name: path.read_bytes() for path in copied.iterdir()} == before
    assert [path.name for path in copied.parent.iterdir()] == ["copy"]
    assert build_index(fasta, copied, k=8).manifest["k"] == 8  # while a whole one takes its place


def test_foreign_folder_is_not_overwritten(fasta: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputError, match="did not write"):
        build_index(fasta, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years of work"


def test_bad_reference_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "bad.fa").write_text("no fasta\n")
    with pytest.raises(InputError, match=r"bad\.fa"):
        build_index(tmp_path / "bad.fa", tmp_path / "index")
    with pytest.raises(InputError, match=r"none\.fa"):
        build_index(tmp_path / "none.fa", tmp_path / "index")
    assert not (tmp_path / "index").exists()


def test_index_outlives_the_variables_that_opened_it(index: Index, genome: dict[str, str]) -> None:
    arrays = Aligner(Index.open(index.folder))
    assert next(arrays.map([("r", genome["one"][100:300])])).start == 100


def test_genome_is_the_same_each_time(tmp_path: Path) -> None:
    one, other = write_fasta(make_genome(), tmp_path / "a.fa"), write_fasta(make_genome(), tmp_path / "b.fa")
    assert one.read_bytes() == other.read_bytes()
    assert anchor_cells(6, 0.5).shape == (4**6,)
