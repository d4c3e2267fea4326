"""In-silico mutagenesis: the scores are those of the variants, and the figure shows them."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from tiny_nets import SPECIALS, KmerTokens, LetterTokens, _Tokens, causal, drawn, masked

from genoseq.errors import InputError, UsageError
from genoseq.infer import mutagenesis_figure
from genoseq.infer.mutagenesis import Mutagenesis, mutagenesis_rows, mutate, parse_region, pick_record
from genoseq.infer.mutagenesis_figure import check_figure_name, draw_mutagenesis
from genoseq.infer.tokens import AMINO_ACIDS
from genoseq.infer.variants import Variant, score_variants
from genoseq.seqs.record import Record

TEXT = drawn(120, seed=9)


@pytest.mark.parametrize("options", [{}, {"strand": "reverse"}, {"left": 3, "right": 9}, {"context": 15}])
def test_effects_are_the_scores_of_the_variants(options: dict[str, object]) -> None:
    for net, tokenizer in ((causal(), LetterTokens()), (masked(vocab_size=96), KmerTokens())):
        given = {"context": 21} | options if "left" not in options else options
        found = mutate(net, tokenizer, Record("chr1", "", TEXT), start=50, end=56, **given)  # type: ignore[arg-type]
        assert (found.name, found.start, found.reference, found.letters) == ("chr1", 50, TEXT[50:56], "ACGT")
        for place in range(6):
            for row, letter in enumerate("ACGT"):
                one = Variant("chr1", 50 + place, TEXT[50 + place], (letter,))
                expected = next(score_variants(net, tokenizer, {"chr1": TEXT}, [one], **given)).alts[0].llr  # type: ignore[arg-type]
                assert found.effects[row, place] == pytest.approx(expected, abs=1e-4)


def test_marginal_effects() -> None:
    net = masked()
    found = mutate(net, LetterTokens(), TEXT, start=50, end=53, method="marginal", context=21)
    one = Variant("1", 50, TEXT[50], ("A" if TEXT[50] != "A" else "C",))
    expected = next(score_variants(net, LetterTokens(), {"1": TEXT}, [one], method="marginal", context=21)).alts[0].llr
    assert found.effects["ACGT".index(one.alts[0]), 0] == pytest.approx(expected, abs=1e-5)


def test_batches_change_nothing_and_the_whole_sequence_is_the_default() -> None:
    net = causal()
    one, two = (mutate(net, LetterTokens(), TEXT[:9], batch_tokens=size) for size in (1, 10_000))
    assert one.effects.shape == (4, 9)
    np.testing.assert_allclose(one.effects, two.effects, atol=5e-4)
    assert net.training


def test_ambiguity_codes_have_no_effects() -> None:
    found = mutate(causal(), LetterTokens(), "acgNtRu", context=5)
    assert found.reference == "ACGNTNT"
    assert np.isnan(found.effects).all(axis=0).tolist() == [False, False, False, True, False, True, False]
    assert np.isfinite(found.effects[:, [0, 1, 2, 4, 6]]).all()
    assert found.effects[3, 4] == found.effects[3, 6] == 0


def test_importance_is_minus_the_mean_of_the_others() -> None:
    effects = np.array([[0, -3], [-1, 0], [-2, 3], [-3, 0]], np.float32)
    assert Mutagenesis("s", 0, "AC", "ACGT", effects).importance.tolist() == [2, 0]


class ProteinTokens(_Tokens):
    """One token per amino acid."""

    alphabet: ClassVar[str] = "protein"

    def __init__(self) -> None:
        super().__init__([*SPECIALS, *AMINO_ACIDS, "X"], ("[CLS]",), ("[EOS]",))

    def _tokenize(self, text: str, **options: object) -> list[str]:
        return list(text)


def test_proteins() -> None:
    net, tokenizer, text = masked(vocab_size=32), ProteinTokens(), "MKNVLXAAEFNNRYW"
    found = mutate(net, tokenizer, text, start=2, end=7, context=9)
    assert found.effects.shape == (20, 5)
    assert np.isnan(found.effects).all(axis=0).tolist() == [False, False, False, True, False]
    one = mutate(net, tokenizer, text, start=2, end=3, context=9, strand="forward")
    np.testing.assert_allclose(one.effects, found.effects[:, :1], atol=1e-4)
    with pytest.raises(UsageError, match="proteins, which have no reverse strand"):
        mutate(net, tokenizer, text, strand="reverse")


@pytest.mark.parametrize(("start", "end"), [(-1, 3), (5, 5), (3, 11), (10, None)])
def test_stretches_outside_the_sequence(start: int, end: int | None) -> None:
    with pytest.raises(UsageError, match="is not within '1', which has 10 letters"):
        mutate(causal(), LetterTokens(), TEXT[:10], start=start, end=end)


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ("chr1:1-10", ("chr1", 0, 10)),
        ("chr1:1,001-1,010", ("chr1", 1000, 1010)),
        ("HLA:01:5-6", ("HLA:01", 4, 6)),
        ("7-9", (None, 6, 9)),
        ("7", (None, 6, 7)),
        ("chr1", ("chr1", 0, None)),
        ("chr1:5", ("chr1", 4, 5)),
        ("a-b", ("a-b", 0, None)),
    ],
)
def test_regions(region: str, expected: tuple[str | None, int, int | None]) -> None:
    assert parse_region(region) == expected


@pytest.mark.parametrize("region", ["chr1:x-9", "chr1:9-3", "0-5", "chr1:-3", "3-"])
def test_regions_that_make_no_sense(region: str) -> None:
    with pytest.raises(UsageError, match="region"):
        parse_region(region)


def test_the_record_is_picked_by_name() -> None:
    records = [Record("a", "", "A"), Record("b", "", "C")]
    assert pick_record(records, None, path="x").name == "a"
    assert pick_record(records, "b", path="x").name == "b"
    with pytest.raises(InputError, match=r"x.fa: has no sequence 'c'; it has a, b"):
        pick_record(records, "c", path="x.fa")
    with pytest.raises(InputError, match=r"x.fa: holds no sequence"):
        pick_record([], None, path="x.fa")


def test_rows_of_the_table() -> None:
    effects = np.array([[0, np.nan], [-1, np.nan]], np.float32)
    assert list(mutagenesis_rows(Mutagenesis("s", 9, "AN", "AC", effects))) == [
        "s\t10\tA\tC\t-1\n",
        "s\t11\tN\tA\tNA\n",
        "s\t11\tN\tC\tNA\n",
    ]


def effects(count: int, letters: int = 4) -> Mutagenesis:
    values = np.random.default_rng(0).normal(size=(letters, count)).astype(np.float32)
    return Mutagenesis("chr$1$", 99, drawn(count), AMINO_ACIDS if letters == 20 else "ACGT", values)


@pytest.mark.parametrize("form", ["png", "pdf", "svg"])
def test_figures(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"figure.{form}"
    assert check_figure_name(str(path)) == form
    draw_mutagenesis(effects(30), path, title="a $ title $", form=form)
    assert path.read_bytes()[:5] == {"png": b"\x89PNG\r", "pdf": b"%PDF-", "svg": b"<?xml"}[form]
    with pytest.raises(UsageError, match=r"end the name in .png, .pdf or .svg"):
        check_figure_name("figure.bmp")


def drawn_figure(result: Mutagenesis, path: Path, monkeypatch: pytest.MonkeyPatch) -> Figure:
    made: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *given, **options: made.append(self) or save(self, *given, **options))  # type: ignore[func-returns-value]
    draw_mutagenesis(result, path, title="t")
    return made[0]


def test_the_figure_shows_the_effects_and_the_letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = effects(100)
    result.effects[:, 5] = np.nan
    result.effects[1, 6] = -2.5
    figure = drawn_figure(result, tmp_path / "f.png", monkeypatch)
    tracks, heats = figure.axes[0:4:2], figure.axes[1:4:2]
    shown = np.concatenate([heat.images[0].get_array().filled(np.nan) for heat in heats], axis=1)  # type: ignore[union-attr]
    np.testing.assert_array_equal(shown, result.effects)
    assert [len(track.patches) for track in tracks] == [79, 20]  # a letter for each position that has effects
    tops = np.asarray(tracks[0].patches[0].get_path().vertices)[:, 1]
    height = result.importance[0]
    assert (tops.max() if height > 0 else tops.min()) == pytest.approx(height, abs=0.02)
    assert [label.get_text() for label in heats[0].get_yticklabels()] == list("ACGT")
    assert heats[0].get_xticklabels()[0].get_text() == "100"
    limits = heats[0].images[0].get_clim()
    assert limits[0] == -limits[1]
    assert imread(tmp_path / "f.png").shape[1] > 900


def test_long_stretches_have_bars_for_letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = drawn_figure(effects(2000), tmp_path / "f.png", monkeypatch)
    assert len(figure.axes) == 2 * mutagenesis_figure.MOST_ROWS + 1
    assert [len(track.patches) for track in figure.axes[0:-1:2]] == [250] * 8


def test_a_figure_without_any_effect(tmp_path: Path) -> None:
    draw_mutagenesis(Mutagenesis("s", 0, "NN", "ACGT", np.full((4, 2), np.nan, np.float32)), tmp_path / "f.png", title="none")
    draw_mutagenesis(effects(10, letters=20), tmp_path / "g.png", title="protein")
    assert imread(tmp_path / "f.png").any()
