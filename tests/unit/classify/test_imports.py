from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import genoseq.classify


def test_no_module_of_classification_imports_torch_or_transformers() -> None:
    code = """
import importlib, pkgutil, sys
import genoseq.classify
for module in pkgutil.iter_modules(genoseq.classify.__path__):
    importlib.import_module(f"genoseq.classify.{module.name}")
print([name for name in ("torch", "transformers", "faiss", "pysam") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_the_public_names_are_listed_and_loaded_on_first_use() -> None:
    code = """
import sys
import genoseq.classify
print([name for name in ("numpy", "scipy", "sklearn", "torch") if name in sys.modules])
missing = [name for name in dir(genoseq.classify) if not callable(getattr(genoseq.classify, name))]
print(missing, set(genoseq.classify._PUBLIC) == set(genoseq.classify.__all__) == set(dir(genoseq.classify)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["[]", "[] True"]


def test_the_names_that_users_look_for_are_those_of_the_modules() -> None:
    from genoseq.classify.estimator import ContextMixtureClassifier
    from genoseq.classify.homology import HomologyGroupKFold, homology_groups
    from genoseq.classify.kmer import KmerNeighbors
    from genoseq.classify.leakage import leakage_report
    from genoseq.classify.ncd import NCDClassifier

    for named in (ContextMixtureClassifier, HomologyGroupKFold, KmerNeighbors, NCDClassifier, homology_groups, leakage_report):
        assert getattr(genoseq.classify, named.__name__) is named


def test_a_name_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'Classifier'; it has .*ContextMixtureClassifier"):
        _ = genoseq.classify.Classifier


def test_every_public_name_stands_in_the_page_of_the_python_api() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "python-api.md").read_text()
    section = page.partition("`genoseq.classify`\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"`(\w+)`", section)) == set(genoseq.classify.__all__)
