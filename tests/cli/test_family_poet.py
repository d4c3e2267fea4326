"""``genoseq family poet``: every option has its effect, and bad input is told."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from tiny_poet import TOKENIZER, member, protein, tiny_poet

import genoseq
from genoseq.cli.main import cli, main
from genoseq.errors import GenoseqError
from genoseq.families.alignments.files import read_alignment
from genoseq.families.poet.generation import repeated_share
from genoseq.families.poet.prompt import Homologues, draw_prompts, prompt_grid
from genoseq.families.poet.scoring import PoETFamily
from genoseq.families.variants.notation import all_single_variants, parse_variant

WILD = protein(22, 7)
FAMILY = [WILD, *(member(WILD, seed, 0.4) for seed in range(6))]

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("poet") / "model"
    genoseq.save(tiny_poet(), TOKENIZER, folder)
    return str(folder)


@pytest.fixture
def folder(write: Callable[[str, bytes], Path]) -> Path:
    rows = "".join(f">s{number}\n{row}\n" for number, row in enumerate(FAMILY))
    write("wt.fa", f">wt\n{WILD}\n".encode())
    write("variants.csv", f"mutant\n{WILD[2]}3W\n{WILD[0]}1C:{WILD[4]}5C\n".encode())
    write("indels.fa", f">del\n{WILD[:5]}{WILD[8:]}\n>ins\n{WILD[:5]}GG{WILD[5:]}\n".encode())
    return write("family.a3m", rows.encode()).parent


@pytest.fixture
def run(folder: Path, model: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(folder)

    def go(command: str, *arguments: str, code: int = 0) -> Result:
        given = [*arguments] if command == "train" else ["-m", model, "--msa", "family.a3m", "-t", "1", *arguments]
        result = CliRunner().invoke(cli, ["family", "poet", command, *given])
        if code == 0 and result.exception is not None:
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    return go


def table(result: Result) -> dict[str, float]:
    lines = [line.split("\t") for line in result.stdout.splitlines() if not line.startswith("#")]
    assert lines[0] == ["variant", "score", "log_likelihood"]
    return {name: float(score) for name, score, _ in lines[1:]}


def test_scores_are_those_of_the_api(run: Run) -> None:
    result = run("score", "wt.fa", "variants.csv", "--context", "80")
    prompts = draw_prompts(Homologues.of(read_alignment("family.a3m")), prompt_grid(contexts=[80]))
    family = PoETFamily(tiny_poet(), TOKENIZER, prompts, wild_type=WILD)
    expected = family.score_variants([parse_variant(f"{WILD[2]}3W"), parse_variant(f"{WILD[0]}1C:{WILD[4]}5C")])
    np.testing.assert_allclose([*table(result).values()], expected, atol=2e-4)
    told = json.loads(result.stdout.splitlines()[0].removeprefix("#"))
    assert told["format"] == "genoseq.poet-scores" and len(told["model_sha256"]) == 64
    assert [prompt["identity"] for prompt in told["options"]["prompts"]] == [prompt.identity for prompt in prompts]


def test_all_single_mutants_without_a_list(run: Run, tmp_path: Path) -> None:
    found = table(run("score", "wt.fa", "--context", "60", "--identity", "1"))
    assert len(found) == len(all_single_variants(WILD)) == 22 * 19 and f"{WILD[0]}1{'A' if WILD[0] != 'A' else 'C'}" in found
    shifted = table(run("score", "wt.fa", "--context", "60", "--identity", "1", "--offset", "100", "--batch-tokens", "40"))
    assert next(iter(shifted)).startswith(f"{WILD[0]}101")
    np.testing.assert_allclose([*shifted.values()], [*found.values()], atol=2e-4)


def test_insertions_and_deletions(run: Run, tmp_path: Path) -> None:
    run("score", "wt.fa", "indels.fa", "--context", "60", "--identity", "1", "-o", "scores.tsv")
    lines = Path("scores.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines[2:]] == ["del", "ins"]


GRID = ["--context", "50", "--identity", "1", "--identity", "0.9", "--identity", "0.8"]


@pytest.mark.parametrize(
    ("plain", "other"),
    [
        (["--context", "50"], ["--context", "70"]),
        ([*GRID], [*GRID, "--seed", "4"]),
        (["--context", "50", "--identity", "0.95"], ["--context", "50", "--identity", "0.6"]),
        ([*GRID, "--prompts", "2"], [*GRID, "--prompts", "3"]),
        ([*GRID], [*GRID, "--dtype", "bfloat16"]),
    ],
)
def test_options_have_an_effect(plain: list[str], other: list[str], run: Run) -> None:
    found = [table(run("score", "wt.fa", "variants.csv", *options)) for options in (plain, other)]
    assert found[0].keys() == found[1].keys() and found[0] != found[1]


def test_what_the_family_is_read_as(run: Run, folder: Path) -> None:
    """Lower case is an insertion in a3m, and a residue as any other in FASTA."""
    (folder / "family.a3m").write_text(f">s0\n{WILD}\n>s1\n{WILD[:-1].lower()}C\n")
    wanted = ["score", "wt.fa", "variants.csv", "--context", "24", "--identity", "0.99"]
    assert run(*wanted, "--alignment-format", "fasta", "--wild-type", "first").exit_code == 0
    run(*wanted, "--alignment-format", "stockholm", code=1)


def test_variants_from_standard_input(folder: Path, model: str) -> None:
    def scored(name: str, content: bytes | None = None, msa: str = "family.a3m") -> Result:
        given = ["score", str(folder / "wt.fa"), name, "-m", model, "--msa", msa, "--context", "60", "--identity", "1", "-t", "1"]
        return CliRunner().invoke(cli, ["family", "poet", *given], input=content)

    msa = str(folder / "family.a3m")
    for name in ("variants.csv", "indels.fa"):
        by_name = scored(str(folder / name), msa=msa)
        assert table(by_name) == table(scored("-", (folder / name).read_bytes(), msa))
    assert "standard input is read once" in scored("-", b"", "-").output


def test_unaligned_families_have_weights_alike(run: Run, folder: Path) -> None:
    rows = [WILD] * 30 + [protein(22, 50)]
    (folder / "family.a3m").write_text("".join(f">s{number}\n{row}\n" for number, row in enumerate(rows)))
    wanted = ["score", "wt.fa", "variants.csv", "--context", "24", "--identity", "1"]
    seeds = range(12)
    aligned = [table(run(*wanted, "--seed", str(seed))) for seed in seeds]
    unaligned = [table(run(*wanted, "--seed", str(seed), "--unaligned")) for seed in seeds]
    kinds = [len({tuple(found.values()) for found in kind}) for kind in (aligned, unaligned)]
    assert kinds[0] == 2  # the wild type's copies count as one, so both are drawn
    far = [sum(tuple(found.values()) != tuple(unaligned[0].values()) for found in kind) for kind in (aligned, unaligned)]
    assert far[0] > far[1]


def test_another_wild_type_moves_the_identities(run: Run, folder: Path) -> None:
    """Without a wild type of its own the alignment is compared with the one that is scored."""
    close = ["score", "wt.fa", "variants.csv", "--context", "24", "--identity", "0.95"]
    (folder / "family.a3m").write_text(f">a\n{FAMILY[3]}\n>b\n{WILD}\n")
    first = table(run(*close))  # the first row is the query: it is left out, the wild type's copy is not
    second = table(run(*close, "--wild-type", "b"))
    third = table(run(*close, "--wild-type", "none"))
    assert first != second and second == third


def test_an_alignment_of_another_family_is_told(run: Run, folder: Path) -> None:
    def told(*options: str) -> bool:
        log = run("score", "wt.fa", "variants.csv", "--context", "24", *options).stderr
        return "family.a3m: the wild type is neither its query nor a part of it, nor holds it: is this the family?" in log

    other = "".join(reversed(WILD))
    assert not told() and not told("--wild-type", "none")
    (folder / "family.a3m").write_text(f">part\n{WILD[3:]}\n>b\n{FAMILY[3][3:]}\n")
    assert not told()
    (folder / "family.a3m").write_text(f">a\n{other}\n>b\n{other[:-1]}W\n")
    assert told() and told("--wild-type", "none")
    assert not told("--unaligned", "--wild-type", "none")


def test_generation(run: Run, folder: Path) -> None:
    base = ["--context", "60", "--identity", "1"]
    result = run("generate", *base, "-n", "4")
    names = [line for line in result.stdout.splitlines() if line.startswith(">")]
    assert len(names) == 4 and names[0].startswith(">generated_1 ended=") and " seed=0 model=" in names[0]
    alone = run("generate", *base, "-n", "4", "--batch-size", "1").stdout
    number = re.compile(r"(?<=[ _a-z]=)-?\d+\.\d+")  # log-likelihoods are sums in another order: equal to rounding
    assert number.sub("", alone) == number.sub("", result.stdout)
    assert [float(one) for one in number.findall(alone)] == pytest.approx([float(one) for one in number.findall(result.stdout)])
    for options in (["--seed", "1"], ["--temperature", "0.1"], ["--top-k", "1"], ["--top-p", "0.1"], ["--context", "120"]):
        assert run("generate", *base, "-n", "4", *options).stdout != result.stdout, options
    run(
        "generate",
        *base,
        "-n",
        "3",
        "-o",
        "new.fa",
        "--fixed",
        "M1",
        "--fixed",
        "[KR]3",
        "--motif",
        "WxW@5",
        "--min-length",
        "9",
        "--max-length",
        "12",
    )
    texts = [line for line in (folder / "new.fa").read_text().splitlines() if not line.startswith(">")]
    assert all(t[0] == "M" and t[2] in "KR" and t[4] == t[6] == "W" and 9 <= len(t) <= 12 for t in texts) and len(texts) == 3
    rare = run("generate", *base, "-n", "3", "--motif", "WWWWWW", "--tries", "1", "--max-length", "20")
    assert rare.stdout == "" and "broke a rule each time (1)" in rare.stderr
    long = ["generate", *base, "-n", "12", "--top-k", "4", "--max-length", "30", "--min-length", "30"]
    loose, strict = (run(*long, *extra).stdout.splitlines()[1::2] for extra in ([], ["--max-repeats", "0", "--tries", "1"]))
    assert strict == [text for text in loose if repeated_share(text) == 0] and 0 < len(strict) < len(loose) == 12


def test_training(run: Run, folder: Path) -> None:
    (folder / "recipe.yaml").write_text(
        "model: poet\nnet: {hidden_dim: 16, num_layers: 1, nhead: 2}\nsteps: 3\nbatch_tokens: 100\n"
        "data: {train: [family.a3m], validation: [wt.fa], context: 50, sets: 1}\n"
    )
    result = run("train", "recipe.yaml", "-o", "net", "--device", "cpu")
    header, row = (line.split("\t") for line in result.stdout.splitlines())
    assert header[0] == "parameters" and int(row[0]) > 1000 and float(row[4]) == 1.0  # the wild type is in training, too
    weights = (folder / "net" / "model.safetensors").read_bytes()
    assert "is there already" not in run("train", "recipe.yaml", "-o", "other", "--device", "cpu").stderr
    told = run("train", "recipe.yaml", "-o", "other", "--seed", "5", "--device", "cpu").stderr
    assert "other is there already: what this run makes will replace it" in told
    (folder / "other" / "notes.txt").write_text("dear")
    with pytest.raises(GenoseqError, match=r"other: holds 'notes\.txt' beside what genoseq wrote"):
        run("train", "recipe.yaml", "-o", "other", "--device", "cpu")
    (folder / "other" / "notes.txt").unlink()
    assert (folder / "other" / "model.safetensors").read_bytes() != weights
    assert "seed: 5" in (folder / "other" / "recipe.yaml").read_text()
    assert genoseq.load(folder / "net").model.config.hidden_dim == 16


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["score", "family.a3m", "variants.csv"], "expected the wild type alone"),
        (["score", "wt.fa", "variants.csv", "--offset", "1"], "variants.csv"),
        (["score", "wt.fa", "--context", "10"], "no prompt can be made"),
        (["generate", "--fixed", "70S"], "fixed position '70S'"),
        (["generate", "--fixed", "S3", "--fixed", "K3"], "position 3 twice"),
        (["generate", "--min-length", "9", "--max-length", "3"], "has 9 residues"),
    ],
)
def test_bad_input(
    arguments: list[str],
    message: str,
    folder: Path,
    model: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    command, *rest = arguments
    code = main(["family", "poet", command, "-m", model, "--msa", "family.a3m", *rest])
    captured = capsys.readouterr()
    assert code in (1, 2) and message in captured.err and captured.out == ""
