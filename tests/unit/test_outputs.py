from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

import pytest

from genoseq.errors import OutputError
from genoseq.outputs import check_writable, describe_os_error, whole_file, whole_folder

not_root = pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")


class Stop(Exception):
    """Something that goes wrong while an output is written."""


def test_a_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    with whole_file(target) as temporary:
        temporary.write_text("new")
        assert not target.exists()
        assert temporary.parent == tmp_path
    assert target.read_text() == "new"
    assert os.listdir(tmp_path) == ["out.txt"]


@pytest.mark.parametrize("error", [Stop, KeyboardInterrupt])
def test_a_failure_leaves_the_file_that_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "out.txt"
    target.write_text("old")
    with pytest.raises(error), whole_file(target) as temporary:
        temporary.write_text("half")
        raise error
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.txt"]


def test_a_replaced_file_keeps_its_permissions_and_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "out.txt", tmp_path / "link.txt"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    with whole_file(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o640


def test_a_device_is_written_directly() -> None:
    with whole_file("/dev/null") as temporary:
        assert temporary == Path("/dev/null")
    assert not Path("/dev/null").is_file()


def test_a_full_disk_is_told_with_the_name_of_the_output(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    with (
        pytest.raises(OutputError, match=r"out\.txt: no space left on the device; free some space"),
        whole_file(target),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert os.listdir(tmp_path) == []


def test_other_errors_of_the_system_pass(tmp_path: Path) -> None:
    with pytest.raises(BrokenPipeError), whole_file(tmp_path / "out.txt"):
        raise BrokenPipeError(errno.EPIPE, "pipe")


def test_a_missing_folder_is_told_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"the folder .*nowhere does not exist; make it \(mkdir -p\)"):
        check_writable(tmp_path / "nowhere" / "out.txt")


def test_a_file_in_place_of_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    with pytest.raises(OutputError, match="plain is not a folder"):
        check_writable(tmp_path / "plain" / "out.txt")


def test_a_folder_in_place_of_a_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder, expected a file"), whole_file(tmp_path):
        pass


@not_root
def test_a_read_only_folder_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="no permission to write"):
            check_writable(tmp_path / "out.txt")
    finally:
        tmp_path.chmod(0o700)


def test_permission_is_asked_of_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(OutputError, match=r"no permission to write to .*; change that or choose another place"):
        check_writable(tmp_path / "out.txt")


def test_a_folder_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "index"
    with whole_folder(target, marker="kind.json") as temporary:
        (temporary / "kind.json").write_text("{}")
        (temporary / "inner").mkdir()
        (temporary / "inner" / "part").write_text("1")
        assert not target.exists()
    assert (target / "inner" / "part").read_text() == "1"
    assert os.listdir(tmp_path) == ["index"]


def test_a_failure_leaves_the_folder_that_was_there(tmp_path: Path) -> None:
    target = tmp_path / "index"
    with whole_folder(target, marker="kind.json") as temporary:
        (temporary / "kind.json").write_text("old")
    with pytest.raises(Stop), whole_folder(target, marker="kind.json") as temporary:
        (temporary / "kind.json").write_text("new")
        raise Stop
    assert (target / "kind.json").read_text() == "old"
    assert os.listdir(tmp_path) == ["index"]


def test_a_folder_of_the_same_kind_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "index"
    for name in ("first", "second"):
        with whole_folder(target, marker="kind.json") as temporary:
            (temporary / "kind.json").write_text(name)
            (temporary / name).write_text("")
    assert sorted(os.listdir(target)) == ["kind.json", "second"]
    assert os.listdir(tmp_path) == ["index"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    target = tmp_path / "index"
    target.mkdir()
    with whole_folder(target) as temporary:
        (temporary / "a").write_text("")
    assert os.listdir(target) == ["a"]


@pytest.mark.parametrize("marker", [None, "kind.json"])
def test_a_folder_of_something_else_is_never_replaced(tmp_path: Path, marker: str | None) -> None:
    target = tmp_path / "thesis"
    target.mkdir()
    (target / "chapter1.tex").write_text("dear")
    with (
        pytest.raises(OutputError, match="holds files that genoseq did not write"),
        whole_folder(target, marker=marker),
    ):
        pass
    assert (target / "chapter1.tex").read_text() == "dear"


def test_a_file_is_never_replaced_by_a_folder(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("dear")
    with pytest.raises(OutputError, match="is a file, expected a folder"), whole_folder(tmp_path / "plain"):
        pass
    assert (tmp_path / "plain").read_text() == "dear"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.ENOSPC, "f: no space left on the device; free some space or choose another place"),
        (errno.EROFS, "f: the file system is read-only; choose another place"),
        (errno.ENOENT, "f: no such file or folder; check the name, and the folder you are in"),
        (errno.ENOTTY, f"f: {os.strerror(errno.ENOTTY)}"),
    ],
)
def test_errors_of_the_system_in_words(number: int, text: str) -> None:
    assert describe_os_error(OSError(number, os.strerror(number)), "f") == text
    assert describe_os_error(OSError(number, os.strerror(number), "f")) == text


def test_new_files_have_the_permissions_that_the_umask_leaves(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with whole_file(tmp_path / "new") as temporary:
            temporary.touch(0o600)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    (tmp_path / "new").chmod(0o604)
    with whole_file(tmp_path / "new") as temporary:
        temporary.touch(0o600)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o604


def test_what_others_put_into_a_folder_is_named_and_kept(tmp_path: Path) -> None:
    target = tmp_path / "made"
    with whole_folder(target, marker="kind.json", known=lambda old: ["a"]) as temporary:
        (temporary / "kind.json").write_text("first")
        (temporary / "a").write_text("")
    (target / "notes.txt").write_text("dear")
    with (
        pytest.raises(
            OutputError, match=r"made: holds 'notes.txt' beside what genoseq wrote, so it is not replaced; move that away"
        ),
        whole_folder(target, marker="kind.json", known=lambda old: ["a"]),
    ):
        raise AssertionError("the work was begun")
    assert (target / "notes.txt").read_text() == "dear" and (target / "kind.json").read_text() == "first"
    (target / "notes.txt").unlink()
    with whole_folder(target, marker="kind.json", known=lambda old: (old / "kind.json").read_text() and ["a"]) as temporary:
        (temporary / "kind.json").write_text("second")
        (temporary / "b").write_text("")
    assert sorted(os.listdir(target)) == ["b", "kind.json"]


def test_a_file_that_appears_meanwhile_is_kept_too(tmp_path: Path) -> None:
    target = tmp_path / "made"
    for name in ("first", "second"):
        refused = pytest.raises(OutputError, match="holds 'late'") if name == "second" else contextlib.nullcontext()
        with refused, whole_folder(target, marker="kind.json", known=lambda old: ()) as temporary:
            (temporary / "kind.json").write_text(name)
            if name == "second":
                (target / "late").write_text("dear")
    assert (target / "kind.json").read_text() == "first" and sorted(os.listdir(tmp_path)) == ["made"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc")
def test_a_place_without_files_is_told_by_the_name_of_the_output() -> None:
    with pytest.raises(OutputError) as caught, whole_file("/proc/a.png") as temporary:
        temporary.write_text("")
    assert str(caught.value) == "/proc/a.png: no file can be made there; choose another place"
