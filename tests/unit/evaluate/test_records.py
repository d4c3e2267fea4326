from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from genoseq.errors import InputError
from genoseq.evaluate.judge import CurvePoint, Judgement
from genoseq.evaluate.measure import Cost
from genoseq.evaluate.peers import IndexRun, MapRun
from genoseq.evaluate.records import load_record, save_record

RUN = MapRun("bwa", "bwa mem", 2, 100, Cost(1.5, 2.5, 10**9), (1.5, 1.75))


def test_what_is_saved_comes_back_with_its_types(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    save_record(path, RUN)
    assert load_record(path, MapRun) == RUN
    judged = Judgement(3, 1, 1, 1, 0, 0, correct_by_quality=np.arange(256), wrong_by_quality=np.zeros(256, np.int64))
    save_record(path, judged)
    back = load_record(path, Judgement)
    assert back.correct_by_quality.dtype == np.int64
    assert back.curve() == judged.curve()
    assert isinstance(back.curve()[0], CurvePoint)


def test_another_kind_version_or_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    save_record(path, RUN)
    with pytest.raises(InputError, match=r"is genoseq\.benchmark 1 MapRun, expected genoseq\.benchmark 1 IndexRun"):
        load_record(path, IndexRun)
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"version": "2"}))
    with pytest.raises(InputError, match=r"genoseq\.benchmark 2 MapRun"):
        load_record(path, MapRun)
    path.write_text(json.dumps(content | {"record": {"tool": "bwa"}}))
    with pytest.raises(InputError, match="does not fit MapRun"):
        load_record(path, MapRun)
    path.write_text("[]")
    with pytest.raises(InputError, match="cannot be read as a benchmark record"):
        load_record(path, MapRun)
