"""``genoseq family align``: every option shows its effect; wrong input is told in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from aligned_families import family_rows
from runs import Runner

ROWS = family_rows()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A family, and members that are not aligned."""
    made = tmp_path_factory.mktemp("align")
    (made / "family.a3m").write_text("".join(f">r{i}{'/3-62' if not i else ''}\n{row}\n" for i, row in enumerate(ROWS[:9])))
    (made / "family.fa").write_text((made / "family.a3m").read_text())
    (made / "new.fa").write_text(f">a\n{ROWS[9][:20]}wgw{ROWS[9][20:]}\n>b\n{ROWS[4][:50]}\n>odd\nMKWVTFISLLFLFSSAYSRGVFRRDAHK\n")
    return made


def rows(text: str) -> dict[str, str]:
    lines = text.splitlines()
    return {name[1:]: row for name, row in zip(lines[::2], lines[1::2], strict=True)}


def test_rows(genoseq: Runner, folder: Path, tmp_path: Path) -> None:
    done = genoseq("family", "align", folder / "new.fa", "--to", folder / "family.a3m", "-o", tmp_path / "x.a3m")
    assert done.status == 0 and done.out == b"", done.err
    found = rows((tmp_path / "x.a3m").read_text())
    assert list(found) == ["r0/3-62", "a", "b", "odd"]
    assert found["r0/3-62"] == ROWS[0]
    assert found["a"] == ROWS[9][:20] + "wgw" + ROWS[9][20:]
    assert found["b"] == ROWS[4][:50] + "-" * 10
    assert "1 sequence without likeness to the family (E-value above 0.001): odd" in done.err


def test_no_wild_type_is_told_where_the_first_row_would_be_taken_for_it(genoseq: Runner, folder: Path) -> None:
    def told(*options: object) -> bool:
        done = genoseq("family", "align", folder / "new.fa", "--to", folder / "family.a3m", *options)
        assert done.status == 0, done.err
        return "standard output: there is no wild type, the first row is none: read it with --wild-type none" in done.err

    assert told("--wild-type", "none") and told("--wild-type", "none", "--layout", "a2m")
    assert not told() and not told("--wild-type", "none", "--layout", "fasta")


def test_options(genoseq: Runner, folder: Path) -> None:
    def found(*options: object, to: str = "family.a3m") -> dict[str, str]:
        done = genoseq("family", "align", folder / "new.fa", "--to", folder / to, *options)
        assert done.status == 0, done.err
        return rows(done.out.decode())

    assert list(found("--keep"))[:9] == ["r0/3-62", *(f"r{i}" for i in range(1, 9))]
    assert found("--layout", "fasta")["a"] == ROWS[9]
    masked = ROWS[0][:4].lower() + ROWS[0][4:]
    (folder / "masked.a2m").write_text(f">r0\n{masked}\n>r1\n....{ROWS[1][4:]}\n>r2\n{ROWS[2][:4].lower()}{ROWS[2][4:]}\n")
    assert found("--layout", "a2m", to="masked.a2m")["r0"] == masked
    assert found("--layout", "a3m", to="masked.a2m")["r0"] == ROWS[0]
    assert found("--threads", 2) == found()
    assert "r0/3-62" not in found("--wild-type", "none")
    assert next(iter(found("--wild-type", "r4"))) == "r4"
    assert "r0/3-62" not in found(to="family.fa")
    assert "r0/3-62" in found("--alignment-format", "a3m", to="family.fa")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["new.fa"], 2, "--to"),
        (["absent.fa", "--to", "family.a3m"], 1, "no such file"),
        (["new.fa", "--to", "new.fa"], 1, "sequences of different lengths and no gaps"),
        (["family.a3m", "--to", "family.a3m", "-o", "family.a3m"], 2, "is an input"),
        (["empty.fa", "--to", "family.a3m"], 1, "no sequences to align"),
        (["genes.fa", "--to", "family.a3m"], 1, "genes.fa: holds nucleotides, expected proteins; translate the sequences first"),
        (["-", "--to", "-"], 2, "only one of SEQUENCES and --to"),
    ],
)
def test_bad_input(
    genoseq: Runner, folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], status: int, message: str
) -> None:
    (folder / "empty.fa").write_text("")
    (folder / "genes.fa").write_text(f">gene\n{'ATGGCACGTTAA' * 20}\n")
    monkeypatch.chdir(folder)
    done = genoseq("family", "align", *arguments)
    assert done.status == status and message in done.err and "Traceback" not in done.err
