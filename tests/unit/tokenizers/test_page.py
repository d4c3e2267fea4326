"""The page on tokenizers says what is so: its examples run, and every tokenizer and letter it speaks of is as it says."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

from genoseq import tokenizers
from genoseq.errors import InputError

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "tokenizers.md"


def rows_of(heading: str) -> list[list[str]]:
    """The rows of the table after a heading, without its head."""
    section = PAGE.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")]
    return rows[2:]


def test_examples_run_and_print_what_the_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").symlink_to(ROOT / "data")
    monkeypatch.chdir(tmp_path)
    text = PAGE.read_text()
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, str(PAGE), "exec"), {})
    shown = [line for block in re.findall(r"^```text\n(.*?)^```", text, re.MULTILINE | re.DOTALL) for line in block.splitlines()]
    for line, expected in zip(printed.getvalue().splitlines(), shown, strict=True):
        assert re.fullmatch(re.escape(expected).replace(re.escape("..."), ".*"), line)
    assert (tmp_path / "tokens.bed").read_text().splitlines()[1] == "chr1\t2\t5\tGTT\t900\t."


def test_every_name_is_on_the_page_with_what_it_puts_around_and_where_it_pads() -> None:
    listed: dict[str, list[str]] = {}
    for cells in rows_of("Which one"):
        for name in re.findall(r"`([^`]+)`", cells[0]):
            listed["nucleotide-transformer-v2" if name == "-v2" else name] = cells
    assert set(listed) == set(tokenizers.names()[: len(listed)])
    for name, cells in listed.items():
        if name in ("bpe", "dnabert2"):
            continue
        tokenizer = tokenizers.make(name)
        assert tokenizer.padding_side == cells[4]
        around = tokenizer.build_inputs_with_special_tokens([99])
        shown = [99 if part == "x" else tokenizer.convert_tokens_to_ids(part) for part in cells[3].replace("`", "").split()]
        assert around == shown


DNA_ROWS = [row for row in rows_of("What becomes of each letter") if row[0].startswith(("`nucleotide", "`hyenadna", "`caduceus"))]


@pytest.mark.parametrize("row", DNA_ROWS, ids=lambda row: row[0])
def test_letters_of_dna_become_what_the_page_says(row: list[str]) -> None:
    spelt = {"as upper": "A", "as T": "T", "N, by itself": "N"}
    for name in re.findall(r"`([^`]+)`", row[0]):
        tokenizer = tokenizers.make("nucleotide-transformer-v2" if name == "nucleotide-transformer" else name)
        for letter, said in zip(("a", "U", "N", "R", "*", "-", "@"), row[1:], strict=True):
            if said == "error":
                with pytest.raises(InputError, match=r"position 0 \(counted from 0\)"):
                    tokenizer.tokenize(letter)
            else:
                assert tokenizer.tokenize(letter) == [spelt.get(said, said)]


def test_the_table_of_letters_has_the_rows_it_should() -> None:
    assert len(DNA_ROWS) == 4
    named = {name for row in rows_of("What becomes of each letter") for name in re.findall(r"`([^`]+)`", row[0])}
    assert {name.removesuffix("-v1").removesuffix("-v2") for name in tokenizers.names()} <= named
