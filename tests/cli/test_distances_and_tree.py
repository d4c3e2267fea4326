from __future__ import annotations

import io
import random
from pathlib import Path

import pytest
from Bio import Phylo
from runs import Runner
from sequence_families import mutated, random_sequence

NAMES = ["a", "b", "c", "d"]


@pytest.fixture(scope="module")
def relatives() -> list[tuple[str, str]]:
    """Two pairs of sequences: ((a, b), (c, d))."""
    draw = random.Random(2)
    ancestor = random_sequence(draw, 1500)
    sides = [mutated(draw, ancestor, 0.1) for _ in range(2)]
    return [(name, mutated(draw, sides[at // 2], 0.03)) for at, name in enumerate(NAMES)]


@pytest.fixture
def fasta(relatives: list[tuple[str, str]], tmp_path: Path) -> Path:
    path = tmp_path / "all.fa"
    path.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in relatives))
    return path


@pytest.fixture
def files(relatives: list[tuple[str, str]], tmp_path: Path) -> list[Path]:
    paths = []
    for name, sequence in relatives:
        paths.append(tmp_path / f"{name}.fna")
        paths[-1].write_text(f">one\n{sequence[:700]}\n>two\n{sequence[700:]}\n")
    return paths


def rows(text: str) -> list[list[str]]:
    return [line.split("\t") for line in text.splitlines() if not line.startswith("#")]


def test_records_of_one_file_and_files_are_items(genoseq: Runner, fasta: Path, files: list[Path]) -> None:
    done = genoseq("distances", fasta, "-k", 15)
    assert done.status == 0 and rows(done.out.decode())[0] == ["", *NAMES]
    table = rows(done.out.decode())
    assert float(table[1][2]) < float(table[1][3]) and table[1][1] == "0"
    several = genoseq("distances", *files, "-k", 15)
    assert rows(several.out.decode())[0] == ["", *NAMES]
    records = genoseq("distances", files[0], "--per", "record")
    assert rows(records.out.decode())[0] == ["", "one", "two"]
    doubled = genoseq("distances", *files, "--per", "record")
    assert doubled.status == 1 and "'one' stands for more than one item" in doubled.err
    single = genoseq("distances", files[0], "--per", "file")
    assert single.status == 1 and "there is 1 item" in single.err


@pytest.mark.parametrize(
    ("options", "method"),
    [
        ([], "mash k=21 scaled=1"),
        (["--method", "ani"], "ani k=21 scaled=1"),
        (["--method", "jaccard", "-k", 11], "jaccard k=11 scaled=1"),
        (["--method", "containment", "--scaled", 3], "containment k=21 scaled=3"),
        (["--words", "translated"], "mash k=8 translated genetic_code=1 open_run=0 scaled=1"),
        (
            ["--words", "translated", "-k", 4, "--genetic-code", 4, "--open-run", 20],
            "mash k=4 translated genetic_code=4 open_run=20 scaled=1",
        ),
        (["--method", "ncd"], "ncd lzma-6"),
        (["--method", "ncd", "--compressor", "zstd", "--level", 19], "ncd zstd-19"),
        (["--method", "conditional"], "conditional zstd-19"),
        (["--method", "conditional", "--level", 3], "conditional zstd-3"),
    ],
    ids=str,
)
def test_methods_and_their_options(genoseq: Runner, fasta: Path, options: list[object], method: str) -> None:
    done = genoseq("distances", fasta, *options)
    assert done.status == 0
    assert done.out.decode().splitlines()[0] == f"# genoseq.distances 1 {method}"
    threaded = genoseq("distances", fasta, *options, "-t", 2)
    assert threaded.out == done.out


def test_output_formats_and_errors_go_to_files(genoseq: Runner, fasta: Path, tmp_path: Path) -> None:
    out, errors = tmp_path / "m.phy", tmp_path / "e.tsv"
    done = genoseq("distances", fasta, "--format", "phylip", "-o", out, "--scaled", 2, "-k", 15, "--errors", errors)
    assert done.status == 0 and done.out == b""
    assert out.read_text().split()[0] == "4"
    assert float(rows(errors.read_text())[1][2]) > 0
    none = genoseq("distances", fasta, "--errors", errors)
    assert none.status == 2 and "there are none" in none.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--method", "ncd", "-k", 5], "-k has no effect with --method ncd"),
        (["--method", "mash", "--compressor", "gzip"], "--compressor has no effect with --method mash"),
        (["--method", "conditional", "--compressor", "gzip"], "--compressor has no effect with --method conditional"),
        (["--genetic-code", 2], "--genetic-code has no effect with --method mash --words nucleotide"),
        (["--level", 3], "--level has no effect"),
        (["--method", "best"], "Invalid value for '--method'"),
        (["--scaled", 0], "Invalid value for '--scaled'"),
    ],
    ids=str,
)
def test_options_without_effect_are_refused(genoseq: Runner, fasta: Path, options: list[object], message: str) -> None:
    done = genoseq("distances", fasta, *options)
    assert done.status == 2 and message in done.err


def test_bad_input_is_told(genoseq: Runner, fasta: Path, tmp_path: Path) -> None:
    for text, message in (
        ("", "holds no sequence"),
        (">a\n\n", "holds no sequence"),
        (">a\nACGT\n>b\nACGTT\n", "'a' has no word of 21 bases"),
        (">a\nACGT\n>a\nACGT\n", "'a' stands for more than one item"),
        (">a\nNNNNNNNNNNNNNNNNNNNNNNNN\n>b\nACGT\n", "'a' has no word"),
        (">p\nMKVLE\n", "this may be protein"),
    ):
        path = tmp_path / "bad.fa"
        path.write_text(text)
        done = genoseq("distances", path)
        assert done.status == 1 and message in done.err
    for options, message in (
        (["-k", 40], "k is 40, expected 1 to 31"),
        (["--method", "ncd", "--level", 12], "level is 12"),
        (["--words", "translated", "--genetic-code", 99], "99"),
    ):
        done = genoseq("distances", fasta, *options)
        assert done.status in (1, 2) and message in done.err
    assert genoseq("distances").status == 2
    assert "no such file" in genoseq("distances", tmp_path / "none.fa").err


def leaves(text: str) -> set[str]:
    return {leaf.name for leaf in Phylo.read(io.StringIO(text), "newick").get_terminals()}


@pytest.fixture
def matrix(genoseq: Runner, fasta: Path, tmp_path: Path) -> Path:
    path = tmp_path / "m.tsv"
    assert genoseq("distances", fasta, "-k", 15, "-o", path).status == 0
    return path


def test_trees_and_their_options(genoseq: Runner, matrix: Path, tmp_path: Path) -> None:
    plain = genoseq("tree", matrix)
    assert plain.status == 0 and leaves(plain.out.decode()) == set(NAMES)
    assert len(Phylo.read(io.StringIO(plain.out.decode()), "newick").root.clades) == 3
    rooted = genoseq("tree", matrix, "--root", "midpoint")
    assert len(Phylo.read(io.StringIO(rooted.out.decode()), "newick").root.clades) == 2
    upgma = genoseq("tree", matrix, "--method", "upgma")
    assert upgma.out.decode() not in (plain.out.decode(), rooted.out.decode()) and "(a:" in upgma.out.decode().replace(
        "(b:", "(a:"
    )
    out = tmp_path / "t.nwk"
    assert genoseq("tree", matrix, "-o", out).out == b""
    assert out.read_text() == plain.out.decode()


def test_negative_branches_are_kept_if_asked(genoseq: Runner, write: object, tmp_path: Path) -> None:
    path = tmp_path / "n.phy"
    path.write_text("4\na 0 1 5 9\nb 1 0 9 5\nc 5 9 0 1\nd 9 5 1 0\n".replace("a 0 1 5 9", "a 0 1 5 2").replace("d 9", "d 2"))
    assert ":-" not in genoseq("tree", path).out.decode()
    assert ":-" in genoseq("tree", path, "--negative").out.decode()


def test_pairs_without_a_common_word_are_warned_of_by_both(
    genoseq: Runner, relatives: list[tuple[str, str]], tmp_path: Path
) -> None:
    source, tsv, phylip = tmp_path / "s.fa", tmp_path / "s.tsv", tmp_path / "s.phy"
    alone = random_sequence(random.Random(9), 1000)
    source.write_text("".join(f">{name}\n{text}\n" for name, text in [*relatives[:2], ("alone", alone)]))
    assert "2 of 3 pairs share no word: their distance is set to 1" in genoseq("distances", source, "-k", 15, "-o", tsv).err
    genoseq("distances", source, "-k", 15, "-o", phylip, "--format", "phylip")
    for path in (tsv, phylip):
        for method in ("nj", "upgma"):
            done = genoseq("tree", path, "--method", method)
            assert done.status == 0 and leaves(done.out.decode()) == {"a", "b", "alone"}
            assert "warning: 2 of 3 pairs are at distance 1, which mash" in done.err
    source.write_text(f">a\n{relatives[0][1]}\n>alone\n{alone}\n")
    assert "1 of 1 pair shares no word: its distance is set to 1" in genoseq("distances", source, "-k", 15, "-o", tsv).err
    assert "1 of 1 pair is at distance 1" in genoseq("tree", tsv).err


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        ("# genoseq.distances 1 jaccard k=15 scaled=1\n\ta\tb\na\t0\t1\nb\t1\t0\n", True),
        ("# genoseq.distances 1 ncd lzma-6\n\ta\tb\na\t0\t1\nb\t1\t0\n", False),
        ("# genoseq.distances 1 mash k=15 scaled=1\n\ta\tb\na\t0\t0.9\nb\t0.9\t0\n", False),
        ("3\na 0 1 2\nb 1 0 2\nc 2 2 0\n", False),
    ],
    ids=["words", "compression", "below 1", "steps of another program"],
)
def test_a_distance_of_1_is_warned_of_only_where_it_is_the_end_of_the_scale(
    genoseq: Runner, tmp_path: Path, text: str, warned: bool
) -> None:
    (tmp_path / "m").write_text(text)
    done = genoseq("tree", tmp_path / "m")
    assert done.status == 0 and ("at distance 1" in done.err) == warned


def test_figures_are_drawn(genoseq: Runner, matrix: Path, tmp_path: Path) -> None:
    figure, other = tmp_path / "t.png", tmp_path / "u.png"
    assert genoseq("tree", matrix, "--figure", figure).status == 0
    assert genoseq("tree", matrix, "--figure", other, "--title", "Four").status == 0
    assert figure.stat().st_size > 5000 and figure.read_bytes() != other.read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--method", "upgma", "--root", "midpoint"], "a UPGMA tree has a root"),
        (["--method", "upgma", "--negative"], "a UPGMA tree has a root"),
        (["--title", "x"], "--title has no effect without --figure"),
        (["--figure", "t.jpg"], "expected a name that ends in .png, .svg, .pdf"),
    ],
    ids=str,
)
def test_tree_options_that_make_no_sense_are_refused(genoseq: Runner, matrix: Path, options: list[str], message: str) -> None:
    done = genoseq("tree", matrix, *options)
    assert done.status == 2 and message in done.err


def test_what_is_no_matrix_is_told(genoseq: Runner, fasta: Path, tmp_path: Path) -> None:
    done = genoseq("tree", fasta)
    assert done.status == 1 and "neither a TSV of distances" in done.err
    path = tmp_path / "m.tsv"
    path.write_text("# genoseq.distances 9 x\n\ta\tb\n")
    assert "expected 1" in genoseq("tree", path).err
    assert "does not exist" in genoseq("tree", path, "-o", tmp_path / "none" / "t.nwk").err
