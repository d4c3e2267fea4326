"""Scores of variants against the definition, and that length, batches, order and the way of writing do not change them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_nets import KmerTokens, LetterTokens, PieceTokens, TinyForCausalLM, TinyForMaskedLM, causal, drawn, masked

from genoseq.errors import UsageError
from genoseq.infer.likelihood import score
from genoseq.infer.reference import Reference
from genoseq.infer.variants import NOTES, AltScore, Variant, compare_reference, score_variants
from genoseq.seqs.alphabet import reverse_complement

Model = TinyForCausalLM | TinyForMaskedLM
Tokenizer = LetterTokens | KmerTokens | PieceTokens
CHROMOSOME = drawn(300, seed=4) + "N" * 20 + drawn(100, seed=5) + "N" + drawn(79, seed=6)
CONTIGS = {"chr1": CHROMOSOME, "short": "ACGTTGCAACG"}


def variant(start: int, *alts: str, size: int = 1, contig: str = "chr1") -> Variant:
    return Variant(contig, start, CONTIGS[contig][start : start + size], alts)


def others(start: int) -> tuple[str, ...]:
    return tuple(base for base in "ACGT" if base != CHROMOSOME[start])


VARIANTS = [
    variant(100, *others(100)),
    variant(50, CHROMOSOME[50], size=4),
    variant(60, CHROMOSOME[60] + "ACGAC", "<DEL>", "*", others(60)[0]),
    variant(0, others(0)[0]),
    variant(499, others(499)[0]),
    variant(297, CHROMOSOME[297], size=3),
    variant(419, CHROMOSOME[419] + "TT"),
    variant(150, "TTG" if CHROMOSOME[150] != "T" else "AAG", size=3),
    variant(5, contig="short", size=2),
    variant(5, "T", "GCGCG", contig="short"),
]


def opposite(text: str) -> str:
    return reverse_complement(text.encode()).decode()


def total(model: Model, tokenizer: Tokenizer, text: str) -> float:
    return next(score(model, tokenizer, [text])).log_likelihood


def first(model: Model, tokenizer: Tokenizer, given: Variant, **options: object) -> AltScore:
    return next(score_variants(model, tokenizer, CONTIGS, [given], **options)).alts[0]  # type: ignore[arg-type]


@pytest.mark.parametrize("strand", ["forward", "reverse", "both"])
def test_a_substitution_is_the_difference_of_two_windows(model: Model, tokenizer: Tokenizer, strand: str) -> None:
    given = VARIANTS[0]
    start, end = (85, 115) if isinstance(tokenizer, KmerTokens) else (85, 116)
    ref = CHROMOSOME[start:end]
    alt = CHROMOSOME[start:100] + given.alts[0] + CHROMOSOME[101:end]
    if isinstance(tokenizer, KmerTokens):  # 31 bases are no whole number of tokens: 30 of them, 14 before the variant
        start, end = 86, 116
        ref, alt = CHROMOSOME[86:116], CHROMOSOME[86:100] + given.alts[0] + CHROMOSOME[101:116]
    found = first(model, tokenizer, given, context=31, strand=strand)
    lls = [
        np.mean([total(model, tokenizer, opposite(text) if reverse else text) for reverse in strands])
        for text in (ref, alt)
        for strands in [{"forward": [False], "reverse": [True], "both": [False, True]}[strand]]
    ]
    assert (found.ref, found.alt) == (pytest.approx(lls[0], rel=1e-5), pytest.approx(lls[1], rel=1e-5))
    assert found.llr == pytest.approx(lls[1] - lls[0], abs=1e-4)
    assert found.note is None


def test_alleles_of_other_lengths_have_windows_of_one_length() -> None:
    net, tokenizer = causal(), LetterTokens()
    found = first(net, tokenizer, VARIANTS[1], context=21, strand="forward")  # three bases are deleted
    gone = 51
    while CHROMOSOME[gone - 1] == CHROMOSOME[gone + 2]:  # shifted left as far as it goes
        gone -= 1
    ref = CHROMOSOME[gone - 9 : gone + 12]
    alt = CHROMOSOME[gone - 10 : gone] + CHROMOSOME[gone + 3 : gone + 14]
    assert len(ref) == len(alt) == 21
    assert found.ref == pytest.approx(total(net, tokenizer, ref), rel=1e-5)
    assert found.alt == pytest.approx(total(net, tokenizer, alt), rel=1e-5)
    assert found.tokens == 20


def test_a_net_that_finds_all_sequences_alike_finds_no_effect_of_any_length() -> None:
    for net in (causal(), masked()):
        with torch.no_grad():
            net.lm_head.weight.zero_()
        for scored in score_variants(net, LetterTokens(), CONTIGS, VARIANTS, context=41):
            for alt in scored.alts:
                assert alt.llr is None or abs(alt.llr) < 1e-4


@pytest.mark.parametrize("batch_tokens", [1, 200])
def test_batches_and_order_change_nothing(model: Model, tokenizer: Tokenizer, batch_tokens: int) -> None:
    together = list(score_variants(model, tokenizer, CONTIGS, VARIANTS, context=33))
    other = list(score_variants(model, tokenizer, CONTIGS, VARIANTS[::-1], context=33, batch_tokens=batch_tokens))[::-1]
    assert [scored.variant for scored in together] == VARIANTS
    for one, two in zip(together, other, strict=True):
        for a, b in zip(one.alts, two.alts, strict=True):
            assert (a.note, a.tokens) == (b.note, b.tokens)
            if a.llr is not None and a.ref is not None:
                assert b.llr == pytest.approx(a.llr, abs=1e-5 * max(10.0, abs(a.ref)))


def test_all_alternatives_of_a_site_share_the_reference_window() -> None:
    net = causal()
    scored = next(score_variants(net, LetterTokens(), CONTIGS, [VARIANTS[0]], context=21, strand="forward"))
    assert len({alt.ref for alt in scored.alts}) == 1
    assert sum(rows for rows, _ in net.tiny.calls) == 4  # the reference and three alternatives


def test_ways_of_writing_a_variant_give_one_score() -> None:
    net, tokenizer = masked(), LetterTokens()
    contigs = {"chr1": CHROMOSOME[:40] + "CACACACA" + CHROMOSOME[48:100]}
    ways = [Variant("chr1", 40, "CACAC", ["CAC"]), Variant("chr1", 43, "ACA", ("A",)), Variant("chr1", 43, "aca", ("a",))]
    values = [
        next(score_variants(net, tokenizer, contigs, [Variant(*way[:3], tuple(way.alts))], context=21)).alts[0] for way in ways
    ]
    assert len({value.llr for value in values}) == 1
    whole = Variant("chr1", 98 - 60, contigs["chr1"][38:41], (contigs["chr1"][38] + "T" + contigs["chr1"][40],))
    short = Variant("chr1", 39, contigs["chr1"][39], ("T",))
    assert len({next(score_variants(net, tokenizer, contigs, [way], context=21)).alts[0].llr for way in (whole, short)}) == 1


def test_left_and_right_context() -> None:
    net, tokenizer = causal(), LetterTokens()
    found = first(net, tokenizer, VARIANTS[0], left=12, right=3, strand="forward")
    assert found.ref == pytest.approx(total(net, tokenizer, CHROMOSOME[88:104]), rel=1e-5)
    even = first(net, tokenizer, VARIANTS[0], left=10, right=10)
    assert even == first(net, tokenizer, VARIANTS[0], context=21)
    assert first(net, tokenizer, VARIANTS[0], context=41).ref != even.ref


def test_context_that_is_not_given_is_what_the_net_takes() -> None:
    tokenizer = LetterTokens()
    limited = causal(limit=21)
    assert first(limited, tokenizer, VARIANTS[0]) == first(limited, tokenizer, VARIANTS[0], context=21)  # no [SEP] behind
    with pytest.raises(UsageError, match=r"takes \(21 tokens, 0 of them special\): give --context 21"):
        first(limited, tokenizer, VARIANTS[0], context=22)
    with pytest.raises(UsageError, match="give --context 20"):
        first(limited, tokenizer, VARIANTS[0], context=21, begin=True)
    three = causal(limit=11, vocab_size=96)
    assert first(three, KmerTokens(), VARIANTS[0]).tokens == 10


def test_notes_on_what_has_no_score() -> None:
    given = [
        Variant("chr2", 5, "A", ("C",)),
        Variant("chr1", 10, "ACGTACGTACGTACGT", ("C", "<DEL>")),
        Variant("chr1", 499, CHROMOSOME[499] + "A", ("C",)),
        Variant("chr1", -1, "N", ("C",)),
        variant(5, "<DUP>", "*", "A[chr1:9[", "N", "A" * 60),
        variant(305, "A", size=1),
        variant(5),
    ]
    found = [[alt.note for alt in scored.alts] for scored in score_variants(causal(), LetterTokens(), CONTIGS, given, context=33)]
    assert found == [
        ["no_contig"],
        ["ref_mismatch", "ref_mismatch"],
        ["ref_mismatch"],
        ["ref_mismatch"],
        ["symbolic", "spanning_deletion", "breakend", "ambiguous", "too_long"],
        ["ambiguous"],
        [],
    ]
    assert {note for notes in found for note in notes} <= set(NOTES)


def test_an_allele_that_changes_nothing_has_no_effect() -> None:
    assert first(causal(), LetterTokens(), variant(70, CHROMOSOME[70:73], size=3), context=21).llr == 0


def test_marginal_scores_of_substitutions() -> None:
    net, tokenizer = masked(), LetterTokens(front=("[CLS]",))
    given = variant(100, "".join("C" if base != "C" else "G" for base in CHROMOSOME[100:102]), size=2)
    found = first(net, tokenizer, given, context=22, method="marginal", strand="forward")
    ids = tokenizer(CHROMOSOME[91:113])["input_ids"]
    hidden = [3 if place in (10, 11) else number for place, number in enumerate(ids)]
    with torch.no_grad():
        values = net.eval()(torch.tensor([hidden])).logits[0].log_softmax(1).numpy()
    letters = tokenizer.convert_tokens_to_ids
    expected = [
        sum(values[10 + i, letters(base)] for i, base in enumerate(allele)) for allele in (CHROMOSOME[100:102], given.alts[0])
    ]
    assert (found.ref, found.alt, found.tokens) == (pytest.approx(expected[0], rel=1e-5), pytest.approx(expected[1], rel=1e-5), 2)
    reverse = first(net, tokenizer, given, context=22, method="marginal", strand="reverse")
    assert reverse.ref != pytest.approx(found.ref, abs=1e-3)
    both = first(net, tokenizer, given, context=22, method="marginal")
    assert both.llr == pytest.approx(((found.llr or 0) + (reverse.llr or 0)) / 2, abs=1e-5)
    assert first(net, tokenizer, VARIANTS[1], context=21, method="marginal").note == "no_substitution"
    for other in (causal(), masked(vocab_size=96)):
        words = LetterTokens() if isinstance(other, TinyForCausalLM) else KmerTokens()
        with pytest.raises(UsageError, match="marginal scores are for masked models with one token per base"):
            first(other, words, VARIANTS[0], method="marginal")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"strand": "up"}, "unknown strand 'up': known are both, forward, reverse"),
        ({"method": "x"}, "unknown method 'x'"),
        ({"left": 3}, "give --left and --right together"),
        ({"left": 3, "right": 3, "context": 7}, "give one or the other"),
        ({"left": -1, "right": 3}, "give 0 or more"),
        ({"context": 0}, "give at least 1"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, object], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        first(causal(), LetterTokens(), VARIANTS[0], **options)


def test_windows_smaller_than_a_token() -> None:
    with pytest.raises(UsageError, match="tokens of this model have 3 bases: give a --context of 3 or more"):
        first(causal(vocab_size=96), KmerTokens(), VARIANTS[0], context=2)


def test_the_reference_allele_is_compared_with_the_genome() -> None:
    reference = Reference.of({"chr1": "acgRTu", "2": "A"})
    assert compare_reference(Variant("chr1", 0, "ACG", ()), reference) is None
    assert compare_reference(Variant("chr1", 2, "GNTT", ()), reference) is None
    assert compare_reference(Variant("chr1", 3, "M", ()), reference) is None
    wrong = {
        Variant("chr1", 0, "C", ()): ("ref_mismatch", "REF is C, the FASTA file has A"),
        Variant("chr1", 5, "TT", ()): ("ref_mismatch", "the position is outside the contig of 6 bp"),
        Variant("chr2", 0, "A", ()): (
            "no_contig",
            "the FASTA file has no contig 'chr2' (it has 2: bcftools annotate --rename-chrs)",
        ),
        Variant("1", 0, "A", ()): (
            "no_contig",
            "the FASTA file has no contig '1' (it has chr1: bcftools annotate --rename-chrs)",
        ),
        Variant("x", 0, "A", ()): ("no_contig", "the FASTA file has no contig 'x'"),
    }
    assert {given: compare_reference(given, reference) for given in wrong} == wrong
    long = compare_reference(Variant("a", 0, "A" * 40, ()), Reference.of({"a": "C" * 50}))
    assert long is not None
    assert "REF is AAAAAAAAAAAAAAAAA... (40 bp)" in long[1]
