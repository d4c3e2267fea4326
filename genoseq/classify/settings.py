"""The settings in which classifiers of gene families are compared: which sequences train, which are tested, how alike they are.

The data are the coding sequences of seven gene families of human, chimpanzee and dog that many publications use. Split at random,
most of a test set has a copy or a splice form of itself in training; so a method is tested in several settings:

====== ==========================================================================================================================
A      human, 80 / 20 at random, stratified
B      the same after exact copies are removed
C      human, the first of five folds that no homology group is divided between (`genoseq.classify.homology`)
C5     the same, all five folds together: every sequence is tested once, so chance weighs less
S5     five folds again, by the strictest rule: groups joined by any 21-mer that is not repetitive
O      human, chimpanzee and dog, with the very test set of Ozan, arXiv 2401.14025
====== ==========================================================================================================================
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from genoseq.classify.homology import HomologyGroupKFold
from genoseq.errors import InputError, UsageError
from genoseq.seqs.stream import open_bytes

__all__ = ["SETTINGS", "Fold", "Setting", "load_setting", "read_labelled"]

SETTINGS = ("A", "B", "C", "C5", "S5", "O")
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


def _file(folder: Path, stem: str) -> Path:
    """The file of this name, compressed or not."""
    for name in (stem, f"{stem}.gz", f"{stem}.zst"):
        if (folder / name).exists():
            return folder / name
    raise InputError(f"{folder}: has no file {stem} (or {stem}.gz)", remedy="say where the data are (data: in the configuration)")


def load_setting(folder: Path, name: str, *, seed: int = 0, threads: int = 1) -> Setting:
    """A setting from the files ``human_data.txt``, ``chimp_data.txt``, ``dog_data.txt`` and ``ozan_test.csv`` of a folder.

    Only the setting O needs others than the first. Files may be compressed (``.gz``).

    Raises:
        UsageError: an unknown setting.
        InputError: a file is missing or cannot be used.
    """
    if name not in SETTINGS:
        raise UsageError(f"setting {name!r} is unknown; known settings: {', '.join(SETTINGS)}")
    sequences, texts = read_labelled(_file(folder, "human_data.txt"))
    if name == "O":
        return _published(folder, sequences, texts)
    if name == "B":
        first = sorted({sequence: place for place, sequence in reversed(list(enumerate(sequences)))}.values())
        sequences, texts = [sequences[at] for at in first], [texts[at] for at in first]
    labels = np.array(texts)
    if name in ("A", "B"):
        train, test = train_test_split(np.arange(len(labels)), test_size=0.2, stratify=labels, random_state=seed)
        return Setting(name, sequences, labels, [Fold(train, test)])
    strict = name == "S5"
    splitter = HomologyGroupKFold(FOLDS, shared=1 if strict else 10, share=None if strict else 0.05, seed=seed, threads=threads)
    folds = [Fold(train, test) for train, test in splitter.split(sequences, labels)]
    return Setting(name, sequences, labels, folds[:1] if name == "C" else folds)


def _published(folder: Path, human: list[str], labels: list[str]) -> Setting:
    """The published split: the test table, and for training every row that is not in it (copies counted)."""
    rows = list(zip(human, labels, strict=True))
    for species in ("chimp", "dog"):
        rows += zip(*read_labelled(_file(folder, f"{species}_data.txt")), strict=True)
    path = _file(folder, "ozan_test.csv")
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
    everything = train + test
    return Setting(
        "O",
        [sequence for sequence, _ in everything],
        np.array([label for _, label in everything]),
        [Fold(np.arange(len(train)), np.arange(len(train), len(everything)))],
    )
