"""A table of assays against scorers: each metric with its bootstrap interval, and ProteinGym's means over them.

ProteinGym (Notin et al. 2023) takes the mean of the assays of one protein (UniProt) within a selection type, then the mean of
the proteins within the type, then the mean of the types. :func:`aggregate` does so over the assays that are there, and says how
many assays, proteins and types went in. A value that is missing (NaN) leaves its assay out of that mean, which the counts show.

The interval of an assay is over its variants; that of a mean is over proteins, drawn again within their selection type, and
absent where no type has more than one. Everything comes from the seed, and nothing depends on the order of assays or scorers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import InputError, Pathlike, UsageError
from genoseq.families.alignments.alignment import Alignment
from genoseq.families.alignments.files import read_alignment
from genoseq.families.assays.metrics import METRICS, interval, paired
from genoseq.families.assays.tables import Assay, Reference, assay_name, read_assay
from genoseq.families.language.joined import joined_sequences, joined_variants, rank_variants
from genoseq.families.language.masked import MaskedModel, MaskedScorer, Method
from genoseq.families.language.read_once import LanguageScorer, ReadOnce, sequences_to_read
from genoseq.families.models.fitting import FitSettings, Kind, fit_model
from genoseq.families.models.model import FamilyModel
from genoseq.families.models.scoring import place_wild_type, score_sequences, score_variants
from genoseq.families.variants.notation import Variant

__all__ = [
    "COLUMNS", "AssayScorer", "Case", "ColumnScorer", "FittedScorer", "JoinedAssayScorer", "LanguageAssayScorer",
    "MaskedAssayScorer", "ModelScorer", "Result", "aggregate", "benchmark", "find_cases", "result_fields",
]  # fmt: skip

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]
Made = TypeVar("Made")
COLUMNS = (
    "level", "assay", "uniprot", "selection_type", "scorer", "metric", "value", "low", "high", "variants", "missing", "assays",
    "proteins", "types",
)  # fmt: skip
ENDINGS = (".csv", ".tsv", ".txt")
COMPRESSED = (".gz", ".bgz", ".zst")
UNNAMED = "unknown"
"""Selection type of assays that do not say theirs."""


@dataclass(frozen=True)
class Case:
    """One assay and the alignment of its family; None where there is none."""

    assay: Assay
    alignment: Path | None = None

    def read_alignment(self) -> Alignment:
        """The alignment, its first sequence the query.

        Raises:
            InputError: there is none, or it cannot be read.
        """
        if self.alignment is None:
            raise InputError(f"the assay {self.assay.name} has no alignment", remedy="name the folder or file of alignments")
        return read_alignment(self.alignment, query="first")


class AssayScorer(Protocol):
    """What gives every variant of an assay a number, higher is fitter."""

    @property
    def name(self) -> str:
        """What it is called in the table."""
        ...

    def scores(self, case: Case) -> Floats:
        """(n,) scores of the assay's variants; NaN where there is none."""
        ...


@dataclass(frozen=True)
class ColumnScorer:
    """Scores that stand in the assay's file already. ``sign`` -1 is for a column in which lower is fitter."""

    column: str
    sign: int = 1

    @property
    def name(self) -> str:
        return self.column

    def scores(self, case: Case) -> Floats:
        columns = case.assay.columns
        if self.column not in columns:
            raise InputError(
                f"the assay {case.assay.name} has no column {self.column!r} of numbers", remedy=f"those are {', '.join(columns)}"
            )
        return self.sign * columns[self.column]


class _Latest(Generic[Made]):
    """What was made for the assay asked for last: scorers that share it make it once, and those of one assay are kept."""

    def __init__(self) -> None:
        self._case: Case | None = None
        self._made: Made | None = None

    def of(self, case: Case, make: Callable[[], Made]) -> Made:
        if self._made is None or self._case is not case:
            self._made = None  # what the last assay needed is free before this one is begun
            self._made, self._case = make(), case
        return self._made


@dataclass(frozen=True, eq=False)
class FittedScorer:
    """A model of a kind of :func:`~genoseq.families.models.fitting.fit_model`, fitted to each assay's alignment."""

    kind: Kind
    settings: FitSettings | None = None
    device: str = "cpu"
    threads: int = 1
    _latest: _Latest[FamilyModel] = field(default_factory=_Latest, init=False, repr=False)

    @property
    def name(self) -> str:
        return self.kind

    def model(self, case: Case) -> FamilyModel:
        """The model of the assay's alignment; fitted once for all who ask before the next assay."""
        return self._latest.of(
            case,
            lambda: fit_model(case.read_alignment(), self.kind, settings=self.settings, device=self.device, threads=self.threads),
        )

    def scores(self, case: Case) -> Floats:
        return _by_model(self.model(case), case.assay)


@dataclass(frozen=True, eq=False)
class ModelScorer:
    """A model of one family that is there already; only for assays of its protein."""

    model: FamilyModel
    name: str

    def scores(self, case: Case) -> Floats:
        return _by_model(self.model, case.assay)


@dataclass(frozen=True, eq=False)
class MaskedAssayScorer:
    """A masked language model, by one of its methods."""

    model: MaskedModel
    method: Method = "masked-marginal"

    @property
    def name(self) -> str:
        return f"{Path(self.model.name).name or 'masked'} {self.method}"

    def scores(self, case: Case) -> Floats:
        assay = case.assay
        if not assay.wild_type:
            raise _no_wild_type(assay)
        scorer = MaskedScorer(self.model, assay.wild_type, method=self.method)
        if assay.variants is not None:
            return scorer.score_variants(assay.variants)
        return scorer.score_sequences(_sequences(assay))


@dataclass(frozen=True, eq=False)
class LanguageAssayScorer:
    """A language model that is made ready for each protein: PoET after prompts of its alignment.

    Attributes:
        name: what it is called in the table.
        made: ``made(case, count)`` gives the scorer; ``count`` sequences are asked of it, the wild type among them.
        joined: the models of families that it joins (:class:`JoinedAssayScorer`); what their ranks are taken among is read along
            with the assay, so that each sequence is read once whatever the number of kinds.
    """

    name: str
    made: Callable[[Case, int], LanguageScorer]
    joined: tuple[FittedScorer, ...] = ()
    _latest: _Latest[ReadOnce] = field(default_factory=_Latest, init=False, repr=False)

    def ready(self, case: Case) -> ReadOnce:
        """The scorer of the assay's protein; one for all who ask before the next assay."""
        return self._latest.of(case, lambda: self._ready(case))

    def _ready(self, case: Case) -> ReadOnce:
        assay = case.assay
        if not assay.wild_type:
            raise _no_wild_type(assay)
        references: list[Variant] = []
        for one in self.joined:
            model = one.model(case)
            references += rank_variants(model, assay.wild_type, begin=place_wild_type(assay.wild_type, model))
        asked = sequences_to_read(assay.wild_type, (*(assay.variants or ()), *references), assay.sequences or ())
        return ReadOnce(self.made(case, len(asked)), assay.wild_type, planned=asked)

    def scores(self, case: Case) -> Floats:
        scorer = self.ready(case)
        if case.assay.variants is not None:
            return scorer.score_variants(case.assay.variants)
        return scorer.score_sequences(_sequences(case.assay))


@dataclass(frozen=True, eq=False)
class JoinedAssayScorer:
    """A model fitted to each assay's alignment, and language models that join it by mean rank."""

    fitted: FittedScorer
    others: tuple[LanguageAssayScorer, ...]

    @property
    def name(self) -> str:
        return "+".join([self.fitted.name, *(one.name for one in self.others)])

    def scores(self, case: Case) -> Floats:
        assay = case.assay
        ready = {one.name: one.ready(case) for one in self.others}
        model = self.fitted.model(case)
        begin = place_wild_type(assay.wild_type, model)
        if assay.variants is not None:
            return joined_variants(model, ready, assay.wild_type, assay.variants, begin=begin).score
        return joined_sequences(model, ready, assay.wild_type, _sequences(assay), begin=begin).score


class Result(NamedTuple):
    """A value of the table.

    Attributes:
        level: ``assay``, ``protein`` (mean of the assays of a protein and selection type), ``selection type``, or ``all``.
        assay, uniprot, selection_type: what it is about; empty where it is a mean over them.
        scorer: name of the scorer.
        metric: name of the metric.
        value: NaN where there is none.
        low, high: of its 95 % interval; NaN where there is none.
        variants: that went in (for a mean, of all its assays).
        missing: variants without a score or measurement.
        assays, proteins, types: that went into a mean; 1 each for an assay.
    """

    level: str
    assay: str
    uniprot: str
    selection_type: str
    scorer: str
    metric: str
    value: float
    low: float
    high: float
    variants: int
    missing: int
    assays: int
    proteins: int
    types: int


def find_cases(
    source: Pathlike,
    *,
    reference: Sequence[Reference] | None = None,
    alignments: Pathlike | None = None,
    wild_type: str | None = None,
    offset: int = 0,
    measured: str | None = None,
) -> list[Case]:
    """The assays of a file or folder with their alignments, by name.

    Args:
        source: a table of one assay, or a folder of them (``*.csv``, ``*.tsv``, ``*.txt``, also compressed).
        reference: ProteinGym's table of assays: of a folder, those that it names and that are there; files it does not name are
            left out. Gives wild types, proteins and selection types.
        alignments: a file for one assay, or a folder in which the alignment has the name that the table gives, or begins with
            the assay's name and a full stop.
        wild_type: of one assay.
        offset: residues before the wild type's first, of one assay.
        measured: column of the measurement.

    An assay that knows no wild type takes its alignment's query, and numbers as that counts.

    Raises:
        InputError: no assays, or one that cannot be read.
        UsageError: a wild type for several assays.
    """
    folder = Path(source)
    several = folder.is_dir()
    if several and (wild_type is not None or offset):
        raise UsageError("a wild type or offset is that of one assay: name its file instead of a folder")
    files = _tables(folder) if several else [Path(source)]
    entries: list[tuple[Path, Reference | None]] = [(file, None) for file in files]
    if reference is not None:
        by_name = {one.name: one for one in reference} | {assay_name(one.file): one for one in reference}
        entries = [(file, by_name[assay_name(file)]) for file in files if assay_name(file) in by_name]
        if several and len(entries) < len(reference):
            log.info("%d of the %d assays of the table are in %s", len(entries), len(reference), source)
    if not entries:
        raise InputError("holds no assays" + ("" if reference is None else " that the table of assays names"), path=source)
    cases = []
    for file, entry in sorted(entries, key=lambda pair: assay_name(pair[0])):
        alignment = _alignment_of(assay_name(file), entry, alignments)
        assay = read_assay(file, wild_type=wild_type, offset=offset, measured=measured, reference=entry)
        if not assay.wild_type and alignment is not None:
            first = read_alignment(alignment, query="first")
            assay = read_assay(file, wild_type=first.query, offset=offset or first.start, measured=measured)
        cases.append(Case(assay, alignment))
    return cases


def benchmark(
    cases: Sequence[Case],
    scorers: Sequence[AssayScorer],
    *,
    metrics: Sequence[str] = tuple(METRICS),
    resamples: int = 200,
    seed: int = 0,
    report: Callable[[int], None] = lambda assays: None,
) -> list[Result]:
    """Every metric of every scorer on every assay, then the means.

    Args:
        cases: the assays.
        scorers: with different names.
        metrics: names of :data:`~genoseq.families.assays.metrics.METRICS`.
        resamples: of the bootstrap; 0 for no intervals.
        seed: of the bootstrap.
        report: is told of assays as they are scored.

    Raises:
        UsageError: no scorers or metrics, a name that is none, or that comes twice.
        InputError: a scorer cannot score an assay.
    """
    unknown = [name for name in metrics if name not in METRICS]
    if unknown or not metrics or not scorers:
        what = f"{unknown[0]!r} is no metric" if unknown else "there is nothing to compare"
        raise UsageError(f"{what}: expected at least one scorer, and metrics of {', '.join(METRICS)}")
    for names, what in (([one.name for one in scorers], "scorers"), ([one.assay.name for one in cases], "assays")):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise UsageError(f"two {what} are called {twice[0]}")
    results = []
    for case in sorted(cases, key=lambda one: one.assay.name):
        assay = case.assay
        for scorer in scorers:
            pairs = paired(scorer.scores(case), assay.measured, assay.bins)
            if pairs.missing:
                log.warning(
                    "%s: %d of %d variants have no score by %s or no measurement",
                    assay.name,
                    pairs.missing,
                    len(assay),
                    scorer.name,
                )
            for metric in metrics:
                found = interval(metric, pairs, resamples=resamples, seed=seed)
                results.append(
                    Result(
                        "assay", assay.name, assay.uniprot, assay.selection_type or UNNAMED, scorer.name, metric, *found,
                        len(pairs.scores), pairs.missing, 1, 1, 1,
                    )
                )  # fmt: skip
        report(1)
    return results + aggregate(results, resamples=resamples, seed=seed)


def aggregate(results: Sequence[Result], *, resamples: int = 200, seed: int = 0) -> list[Result]:
    """ProteinGym's means of the results of assays; see the top of the module."""
    found = []
    keys = list(dict.fromkeys((one.scorer, one.metric) for one in results if one.level == "assay"))
    for scorer, metric in keys:
        rows = [
            one for one in results if (one.level, one.scorer, one.metric) == ("assay", scorer, metric) and not np.isnan(one.value)
        ]
        proteins: dict[str, dict[str, list[Result]]] = {}
        for one in rows:
            proteins.setdefault(one.selection_type, {}).setdefault(one.uniprot, []).append(one)
        means = {
            kind: {name: float(np.mean([one.value for one in group])) for name, group in sorted(members.items())}
            for kind, members in sorted(proteins.items())
        }
        for kind, members in means.items():
            for name, value in members.items():
                group = proteins[kind][name]
                found.append(_mean("protein", name, kind, scorer, metric, value, (), group))
        for kind, members in means.items():
            group = [one for rows in proteins[kind].values() for one in rows]
            ends = _spread({kind: members}, resamples, seed)
            value = float(np.mean(list(members.values())))
            found.append(_mean("selection type", "", kind, scorer, metric, value, ends, group))
        if means:
            value = float(np.mean([np.mean(list(members.values())) for members in means.values()]))
            found.append(_mean("all", "", "", scorer, metric, value, _spread(means, resamples, seed), rows))
    return found


def result_fields(result: Result) -> list[str]:
    """A result as the fields of :data:`COLUMNS`; NaN stands as an empty field."""
    return [
        "" if isinstance(one, float) and np.isnan(one) else f"{one:.4f}" if isinstance(one, float) else str(one) for one in result
    ]


def _mean(
    level: str, protein: str, kind: str, scorer: str, metric: str, value: float, ends: tuple[float, ...], group: Sequence[Result]
) -> Result:
    low, high = ends or (float("nan"), float("nan"))
    return Result(
        level, "", protein, kind, scorer, metric, value, low, high, sum(one.variants for one in group),
        sum(one.missing for one in group), len(group), len({one.uniprot for one in group}),
        len({one.selection_type for one in group}),
    )  # fmt: skip


def _spread(means: dict[str, dict[str, float]], resamples: int, seed: int) -> tuple[float, ...]:
    """The 95 % interval of the mean over types of the mean over proteins, proteins drawn again within their type."""
    values = [np.array(list(members.values())) for members in means.values()]
    if not resamples or all(len(one) < 2 for one in values):
        return ()
    random = np.random.default_rng([seed, *map(len, values)])
    total = np.zeros(resamples)
    for one in values:
        total += one[random.integers(0, len(one), (resamples, len(one)))].mean(axis=1)
    return tuple(float(one) for one in np.quantile(total / len(values), [0.025, 0.975]))


def _by_model(model: FamilyModel, assay: Assay) -> Floats:
    if not assay.wild_type:
        raise _no_wild_type(assay)
    begin = place_wild_type(assay.wild_type, model)
    if assay.variants is not None:
        return score_variants(model, assay.variants, begin=begin).score
    return score_sequences(model, assay.wild_type, _sequences(assay), begin=begin).score


def _sequences(assay: Assay) -> tuple[str, ...]:
    if assay.sequences is None:
        raise InputError(f"the assay {assay.name} holds neither variants nor sequences")
    return assay.sequences


def _no_wild_type(assay: Assay) -> InputError:
    return InputError(
        f"the wild type of the assay {assay.name} is not known",
        remedy="give it (--wild-type), a table of assays (--reference), or an alignment that begins with it (--alignments)",
    )


def _tables(folder: Path) -> list[Path]:
    found = []
    for file in sorted(folder.iterdir()):
        name = file.name.lower()
        for ending in COMPRESSED:
            name = name.removesuffix(ending)
        if file.is_file() and name.endswith(ENDINGS) and not name.startswith("."):
            found.append(file)
    return found


def _alignment_of(name: str, entry: Reference | None, place: Pathlike | None) -> Path | None:
    """The alignment of an assay: the file given, or the one of its name in the folder given."""
    if place is None:
        return None
    folder = Path(place)
    if not folder.is_dir():
        return folder
    wanted = [entry.alignment] if entry is not None and entry.alignment else []
    for candidate in wanted:
        for ending in ("", *COMPRESSED):
            if (folder / f"{candidate}{ending}").is_file():
                return folder / f"{candidate}{ending}"
    found = sorted(file for file in folder.iterdir() if file.is_file() and file.name.startswith(f"{name}."))
    if len(found) > 1:
        raise InputError(f"holds several alignments for {name}: {', '.join(file.name for file in found)}", path=place)
    if not found:
        log.warning("%s: no alignment for %s", place, name)
    return found[0] if found else None
