"""The table of scores: the input's columns as they stood, in its order, and the scores behind them.

The first line is ``#`` and JSON (format, version, model); then comes a header. Tabs separate the columns unless the file's name
ends in .csv.
"""

from __future__ import annotations

import csv
import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import Pathlike
from genoseq.outputs import whole_file

__all__ = ["FORMAT", "VERSION", "RawTable", "write_scores"]

log = logging.getLogger(__name__)

FORMAT, VERSION = "genoseq.family-scores", 1


class RawTable(NamedTuple):
    """Names of columns and n records of text."""

    columns: tuple[str, ...]
    records: Sequence[tuple[str, ...]]


def write_scores(
    path: Pathlike | None, table: RawTable, scores: Mapping[str, NDArray[np.float64]], metadata: Mapping[str, Any]
) -> None:
    """Write the table, whole or not at all; None is standard output. NaN stands as an empty field.

    A score whose name the input has already gets a suffix, and the log says so.

    Raises:
        OutputError: it cannot be written.
    """
    names = []
    for name in scores:
        free = name
        while free in table.columns:
            free += "_2"
        if free != name:
            log.warning("the input has a column %s: the new one is %s", name, free)
        names.append(free)
    delimiter = "," if path is not None and os.fspath(path).lower().endswith(".csv") else "\t"
    values = np.stack([np.asarray(one) for one in scores.values()], axis=1)

    def write(file: Any) -> None:
        file.write(f"#{json.dumps({'format': FORMAT, 'version': VERSION, **metadata}, sort_keys=True)}\n")
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        writer.writerow([*table.columns, *names])
        for record, row in zip(table.records, values.tolist(), strict=True):
            writer.writerow([*record, *("" if np.isnan(value) else f"{value:.6g}" for value in row)])

    if path is None:
        write(sys.stdout)
        sys.stdout.flush()
        return
    with whole_file(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        write(file)
