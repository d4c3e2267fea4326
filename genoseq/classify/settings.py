"""The settings in which classifiers are compared: which sequences train, which are tested, how alike they are.

Most data are the coding sequences of seven gene families of human, chimpanzee and dog that many publications use. Split at
random, most of a test set has a copy or a splice form of itself in training; so a method is tested in several settings:

=================== =============================================================================================================
A                   human, 80 / 20 at random, stratified
B                   the same after exact copies are removed
C                   human, the first of five folds that no homology group is divided between (`genoseq.classify.homology`)
C5                  the same, all five folds together: every sequence is tested once, so chance weighs less
S5                  five folds again, by the strictest rule: groups joined by any 21-mer that is not repetitive
T5                  five folds again, groups joined by twenty 21-mers, repetitive ones too
O                   human, chimpanzee and dog, with the very test set of Ozan, arXiv 2401.14025
B-chimp, C5-chimp   as B and C5, of the chimpanzee's sequences alone; B-dog, C5-dog: of the dog's
H-chimp, H-dog      learned from human, tested on the other species' sequences that human does not have letter for letter
B-reversed          B with every test sequence reversed and complemented
B-half, C5-half     B and C5 with a random half of the test sequences reversed and complemented
exons and others    other kinds of data: see `genoseq.classify.other_data`
=================== =============================================================================================================
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from genoseq.classify.homology import HomologyGroupKFold
from genoseq.classify.other_data import OTHER_DATA
from genoseq.errors import InputError, UsageError
from genoseq.seqs.alphabet import reverse_complement
from genoseq.seqs.stream import open_bytes

__all__ = ["RULES", "SETTINGS", "Fold", "Setting", "find_file", "load_setting", "read_labelled"]

SPECIES = ("chimp", "dog")
TURNED = {"reversed": 1.0, "half": 0.5}
"""Share of the test sequences that are reversed and complemented."""
RULES: Mapping[str, Mapping[str, Any]] = {
    "any 21-mer": {"shared": 1, "share": None, "complexity": None},
    "any that is not repetitive": {"shared": 1, "share": None},
    "ten, or 5 % (default)": {},
    "twenty, or 5 %": {"shared": 20},
    "twenty, repetitive ones too": {"shared": 20, "share": None, "complexity": None},
}
"""Rules for homology groups by what they are called, as options of `homology_groups` and of `HomologyGroupKFold`."""
GROUPED = {
    "C": "ten, or 5 % (default)",
    "C5": "ten, or 5 % (default)",
    "S5": "any that is not repetitive",
    "T5": "twenty, repetitive ones too",
}
"""Settings that no homology group is divided in, and the rule of each."""
SETTINGS = (
    *("A", "B", *GROUPED, "O"),
    *(f"{kind}-{species}" for species in SPECIES for kind in ("B", "C5", "H")),
    *("B-reversed", "B-half", "C5-half"),
    *OTHER_DATA,
)
"""Names of the settings."""
FOLDS = 5
BLOCK = 1 << 20

Places = NDArray[np.intp]


class Fold(NamedTuple):
    """Places of the training and of the test sequences."""

    train: Places
    test: Places


class Setting(NamedTuple):
    """Sequences with labels, and the folds to test on.

    Attributes:
        name: one of :data:`SETTINGS`.
        sequences: ``(N,)`` texts.
        labels: ``(N,)`` texts.
        folds: one or more.
    """

    name: str
    sequences: list[str]
    labels: NDArray[np.str_]
    folds: list[Fold]


def read_labelled(path: Path) -> tuple[list[str], list[str]]:
    """Sequences and labels of a table with the columns ``sequence`` and ``class`` (tab or comma; plain, gzip or zstd).

    Raises:
        InputError: no such columns, a line with too few of them, or no lines.
    """
    with open_bytes(path) as stream:
        parts = []
        while block := stream.read(BLOCK):
            parts.append(block)
    lines = io.StringIO(b"".join(parts).decode("utf-8", "replace"), newline="")
    head = lines.readline()
    delimiter = "\t" if "\t" in head else ","
    columns = head.strip().split(delimiter)
    if "sequence" not in columns or "class" not in columns:
        raise InputError(f"expected the columns 'sequence' and 'class', found {', '.join(columns)[:80]!r}", path=path, line=1)
    at_sequence, at_class = columns.index("sequence"), columns.index("class")
    sequences, labels = [], []
    for number, row in enumerate(csv.reader(lines, delimiter=delimiter), start=2):
        if not row:
            continue
        if len(row) <= max(at_sequence, at_class):
            raise InputError(f"expected {len(columns)} columns, found {len(row)}", path=path, line=number)
        sequences.append(row[at_sequence].strip())
        labels.append(row[at_class].strip())
    if not sequences:
        raise InputError("holds no sequences", path=path)
    return sequences, labels


def find_file(folder: Path, stem: str) -> Path:
    """The file of this name in a folder or in a folder of it, compressed (``.gz``, ``.zst``) or not.

    Raises:
        InputError: there is none, or several that do not hold the same.
    """
    names = (stem, f"{stem}.gz", f"{stem}.zst")
    inside = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    found = [place / name for place in (folder, *inside) for name in names if (place / name).exists()]
    if not found:
        raise InputError(
            f"{folder}: has no file {stem} (or {stem}.gz)", remedy="say where the data are (data: in the configuration)"
        )
    if len(found) > 1:
        first = _content(found[0])
        for other in found[1:]:
            if _content(other) != first:
                raise InputError(f"{found[0]} and {other} differ: which of them is meant is unclear", remedy="remove one of them")
    return found[0]


def _content(path: Path) -> bytes:
    """A digest of what a file holds, unpacked."""
    digest = hashlib.sha256()
    with open_bytes(path) as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.digest()


def load_setting(folder: Path, name: str, *, seed: int = 0, threads: int = 1) -> Setting:
    """A setting from the files of a folder: ``human_data.txt``, for some settings others too, in it or in a folder of it.

    Files may be compressed (``.gz``).

    Raises:
        UsageError: an unknown setting.
        InputError: a file is missing or cannot be used.
    """
    if name not in SETTINGS:
        raise UsageError(f"setting {name!r} is unknown; known settings: {', '.join(SETTINGS)}")
    if name in OTHER_DATA:
        sequences, texts, train, test = OTHER_DATA[name](partial(find_file, folder), seed)
        return Setting(name, sequences, np.array(texts), [Fold(train, test)])
    kind, _, what = name.partition("-")
    if what in TURNED:
        return _turned(load_setting(folder, kind, seed=seed, threads=threads), name, TURNED[what], seed)
    sequences, texts = read_labelled(find_file(folder, f"{what if what and kind != 'H' else 'human'}_data.txt"))
    if kind == "O":
        return _published(folder, sequences, texts)
    if kind == "H":
        return _other_species(name, sequences, texts, read_labelled(find_file(folder, f"{what}_data.txt")))
    if kind == "B":
        first = sorted({sequence: place for place, sequence in reversed(list(enumerate(sequences)))}.values())
        sequences, texts = [sequences[at] for at in first], [texts[at] for at in first]
    labels = np.array(texts)
    if kind in ("A", "B"):
        train, test = train_test_split(np.arange(len(labels)), test_size=0.2, stratify=labels, random_state=seed)
        return Setting(name, sequences, labels, [Fold(train, test)])
    splitter = HomologyGroupKFold(FOLDS, seed=seed, threads=threads, **RULES[GROUPED[kind]])
    folds = [Fold(train, test) for train, test in splitter.split(sequences, labels)]
    return Setting(name, sequences, labels, folds[:1] if kind == "C" else folds)


def _turned(setting: Setting, name: str, share: float, seed: int) -> Setting:
    """The setting with this share of the test sequences of each fold reversed and complemented; training stays as it is."""
    rng = np.random.default_rng(seed)
    sequences, labels, folds = list(setting.sequences), list(setting.labels), []
    for train, test in setting.folds:
        moved = test.copy()
        for place in np.flatnonzero(rng.random(len(test)) < share):
            moved[place] = len(sequences)
            sequences.append(reverse_complement(setting.sequences[test[place]].encode()).decode())
            labels.append(setting.labels[test[place]])
        folds.append(Fold(train, moved))
    return Setting(name, sequences, np.array(labels), folds)


def _other_species(name: str, sequences: list[str], texts: list[str], others: tuple[list[str], list[str]]) -> Setting:
    """Training by one species, test by those sequences of another that the first does not have."""
    known = set(sequences)
    tested = [row for row in zip(*others, strict=True) if row[0] not in known]
    everything = [*zip(sequences, texts, strict=True), *tested]
    return _divided(name, everything, len(sequences))


def _divided(name: str, rows: list[tuple[str, str]], train: int) -> Setting:
    """A setting whose first rows of sequence and label train, and whose others are tested."""
    places = np.arange(len(rows))
    labels = np.array([label for _, label in rows])
    return Setting(name, [sequence for sequence, _ in rows], labels, [Fold(places[:train], places[train:])])


def _published(folder: Path, human: list[str], labels: list[str]) -> Setting:
    """The published split: the test table, and for training every row that is not in it (copies counted)."""
    rows = list(zip(human, labels, strict=True))
    for species in ("chimp", "dog"):
        rows += zip(*read_labelled(find_file(folder, f"{species}_data.txt")), strict=True)
    path = find_file(folder, "ozan_test.csv")
    test = list(zip(*read_labelled(path), strict=True))
    left = Counter(test)
    train = []
    for row in rows:
        if left[row] > 0:
            left[row] -= 1
        else:
            train.append(row)
    if missing := sum(left.values()):
        raise InputError(f"{missing} of its {len(test)} rows are in none of the data files", path=path)
    return _divided("O", train + test, len(train))
