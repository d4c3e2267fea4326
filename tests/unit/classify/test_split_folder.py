"""A folder of sequences by label: what replaces it, and what does not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from genoseq.classify.calling import SplitFolder
from genoseq.errors import OutputError


def test_a_split_by_other_labels_is_replaced_and_the_users_files_are_not(tmp_path: Path) -> None:
    folder = tmp_path / "split"
    folder.mkdir()
    (folder / "labels.tsv").write_text("label\tfile\trecords\nold one\told_one.fa\t2\nolder\tolder.fa\t1\n")
    for name in ("old_one.fa", "older.fa", "mine.fa"):
        (folder / name).write_text(">a\nACGT\n")
    with pytest.raises(OutputError, match=r"split: holds 'mine\.fa' beside what genoseq wrote"), SplitFolder(str(folder)):
        pass
    assert (folder / "mine.fa").exists()
    (folder / "mine.fa").unlink()
    with SplitFolder(str(folder)):
        pass
    assert os.listdir(folder) == ["labels.tsv"]
