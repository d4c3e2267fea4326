from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from genoseq.evaluate.measure import CommandError, folder_bytes, run_measured, warm


def test_time_and_memory_are_those_of_the_command_and_not_of_this_process(tmp_path: Path) -> None:
    ballast = bytearray(os.urandom(1 << 20)) * 200  # a large parent must not show in the figures
    small = run_measured([sys.executable, "-I", "-S", "-c", "pass"])
    assert small.peak_bytes < 60e6
    del ballast
    code = "x = b'a' * 150_000_000\nimport time; time.sleep(0.3)"
    large = run_measured([sys.executable, "-I", "-S", "-c", code])
    assert 150e6 < large.peak_bytes < 200e6
    assert large.wall_s >= 0.3
    busy = "import time\nwhile time.process_time() < 0.3: pass"
    assert run_measured([sys.executable, "-I", "-S", "-c", busy]).cpu_s >= 0.3


def test_memory_and_time_of_a_child_of_the_command_count() -> None:
    code = "x = b'a' * 150_000_000\nimport time\nwhile time.process_time() < 0.3: pass"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', {code!r}], check=True)"
    cost = run_measured([sys.executable, "-I", "-c", parent])
    assert cost.peak_bytes > 150e6
    assert cost.cpu_s >= 0.3


def test_output_goes_to_the_files_given(tmp_path: Path) -> None:
    out, err = tmp_path / "out", tmp_path / "err"
    run_measured(["sh", "-c", "echo data; echo note >&2"], stdout=out, stderr=err)
    assert (out.read_text(), err.read_text()) == ("data\n", "note\n")


def test_a_failing_command_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"exit status 3 from sh -c .*: it broke"):
        run_measured(["sh", "-c", "echo it broke >&2; exit 3"], stderr=tmp_path / "err")
    with pytest.raises(CommandError, match="cannot run no-such-program"):
        run_measured(["no-such-program"])


def test_a_killed_command_is_an_error() -> None:
    with pytest.raises(CommandError, match="exit status -9"):
        run_measured(["sh", "-c", "kill -9 $$"])


def test_a_command_that_runs_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    begin = time.monotonic()
    with pytest.raises(CommandError, match="still running"):
        run_measured(["sh", "-c", f"(sleep 2; touch {mark}) & wait"], timeout_s=0.5)
    assert time.monotonic() - begin < 2
    time.sleep(2.2)
    assert not mark.exists()


def test_the_size_of_a_folder_counts_files_below_and_no_links(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "a").write_bytes(b"x" * 10)
    (tmp_path / "deep" / "b").write_bytes(b"x" * 5)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert folder_bytes(tmp_path) == 15
    warm([tmp_path, tmp_path / "a"])


def test_variables_are_set_for_the_command_only(tmp_path: Path) -> None:
    run_measured(["sh", "-c", "echo $GENOSEQ_X"], stdout=tmp_path / "out", environment={"GENOSEQ_X": "5"})
    assert (tmp_path / "out").read_text() == "5\n"
    assert "GENOSEQ_X" not in os.environ
