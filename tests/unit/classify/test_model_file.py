from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from genoseq.classify.estimator import ContextMixtureClassifier
from genoseq.classify.model_file import load_classifier, save_classifier
from genoseq.errors import IndexFormatError, InputError

RNG = np.random.default_rng(1)


def family(number: int) -> list[str]:
    origin = RNG.integers(0, 4, 200)
    codes = [np.where(RNG.random(200) < 0.1, RNG.integers(0, 4, 200), origin) for _ in range(number)]
    return ["".join("ACGT"[code] for code in one) for one in codes]


X, Y = family(12) + family(12), ["a"] * 12 + ["b"] * 12


@pytest.fixture(scope="module")
def model() -> ContextMixtureClassifier:
    return ContextMixtureClassifier(reject_margin=1.5, random_state=4).fit(X[:20], Y[:20])


@pytest.fixture
def saved(model: ContextMixtureClassifier, tmp_path: Path) -> Path:
    save_classifier(model, tmp_path / "model.gsc")
    return tmp_path / "model.gsc"


def edited(path: Path, **changes: str) -> Path:
    """The file with other metadata."""
    with safe_open(path, "np") as file:
        metadata = file.metadata()
    save_file(load_file(path), path, metadata={**metadata, **changes})
    return path


@pytest.mark.parametrize("check", [True, False])
def test_what_was_saved_comes_back(model: ContextMixtureClassifier, saved: Path, check: bool) -> None:
    back = load_classifier(saved, check=check, n_jobs=2)
    assert back.get_params() == {**model.get_params(), "n_jobs": 2}
    np.testing.assert_array_equal(back.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(back.novelty(X), model.novelty(X))
    assert back.predict(X).tolist() == model.predict(X).tolist()


def test_buckets_of_the_hash_tables_are_cache_lines_in_memory_too(saved: Path) -> None:
    tables = [channel.mixture.arrays["table"] for channel in load_classifier(saved).channels_]
    assert [table.ctypes.data % 64 for table in tables] == [0] * len(tables)


@pytest.mark.parametrize("labels", [np.repeat([3, -1], 12), np.repeat(["longer", "x"], 12), np.repeat([True, False], 12)])
def test_labels_of_any_type_come_back(labels: np.ndarray, tmp_path: Path) -> None:
    model = ContextMixtureClassifier(mode="nucleotide", calibration_folds=0).fit(X, labels)
    save_classifier(model, tmp_path / "m")
    back = load_classifier(tmp_path / "m")
    assert back.predict(X).dtype == labels.dtype and back.predict(X).tolist() == model.predict(X).tolist()


def test_learning_goes_on_and_never_reaches_the_file(model: ContextMixtureClassifier, saved: Path, tmp_path: Path) -> None:
    before = saved.read_bytes()
    back = load_classifier(saved).partial_fit(X[20:], Y[20:])
    assert saved.read_bytes() == before
    assert back.class_counts_.tolist() == [12, 12] and back.calibration_.rows > model.calibration_.rows
    save_classifier(back, tmp_path / "more")
    np.testing.assert_array_equal(load_classifier(tmp_path / "more").code_length(X), back.code_length(X))


def test_the_same_model_gives_the_same_file(model: ContextMixtureClassifier, saved: Path, tmp_path: Path) -> None:
    again = ContextMixtureClassifier(reject_margin=1.5, random_state=4, n_jobs=2).fit(X[:20], Y[:20])
    assert save_classifier(again, tmp_path / "again") == load_classifier(saved).digest_
    assert (tmp_path / "again").stat().st_size == saved.stat().st_size


def test_a_truncated_file_is_refused_wherever_it_ends(saved: Path) -> None:
    whole = saved.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    for length in (0, 5, 8, header // 2, header, header + 100, len(whole) - 1):
        saved.write_bytes(whole[:length])
        with pytest.raises(IndexFormatError, match=r"cut short|damaged"):
            load_classifier(saved, check=False)


def test_a_changed_number_is_found(saved: Path) -> None:
    content = bytearray(saved.read_bytes())
    content[-5] ^= 1
    saved.write_bytes(content)
    with pytest.raises(IndexFormatError, match="SHA-256"):
        load_classifier(saved)


def test_another_version_and_another_format_are_refused(saved: Path) -> None:
    with pytest.raises(
        IndexFormatError, match=r"has version 1 of the format, this genoseq .* reads version 3.*fit the model again"
    ):
        load_classifier(edited(saved, version="1"))
    with pytest.raises(IndexFormatError, match="is no classifier"):
        load_classifier(edited(saved, format="other"))


def test_damaged_contents_are_refused(saved: Path) -> None:
    with safe_open(saved, "np") as file:
        content = json.loads(file.metadata()["classifier"])
    del content["classes"]
    for broken in ("{", json.dumps(content), json.dumps({**content, "classes": {"kind": "?", "labels": []}})):
        with pytest.raises(IndexFormatError, match="damaged"):
            load_classifier(edited(saved, classifier=broken), check=False)


def test_files_that_are_no_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_classifier(tmp_path / "absent")
    for content in (b"", b">fasta\nACGT\n" * 20, b"\x02\0\0\0\0\0\0\0[]", b"\x02\0\0\0\0\0\0\0{}"):
        (tmp_path / "other").write_bytes(content)
        with pytest.raises(IndexFormatError):
            load_classifier(tmp_path / "other")
