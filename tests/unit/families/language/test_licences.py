"""Licences by name, by what a folder says, and in the log."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from genoseq.families.language.licences import licence_of, tell_licence


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("facebook/esm2_t33_650M_UR50D", "MIT"),
        ("biohub/ESMC-300M", "MIT"),
        ("EvolutionaryScale/esmc-600m-2024-12", "Cambrian Non-Commercial License"),
        ("biohub/esmc-600m-2024-12", "not verified"),
        ("ChatterjeeLab/PepMLM-650M", "not verified"),
        ("TianlaiChen/PepMLM-650M", "not verified"),
        ("nferruz/ProtGPT2", "Apache 2.0"),
        ("AI4PD/ZymCTRL", "Apache 2.0"),
        ("GreatCaptainNemo/ProLLaMA_Stage_1", "Apache 2.0 and Llama 2 Community License"),
        ("OpenProteinAI/PoET", "CC BY-NC-SA 4.0"),
        ("nferruz/ProtGPT2-mine", "unknown"),
    ],
)
def test_public_names(name: str, short: str) -> None:
    assert licence_of(name).name == short


@pytest.mark.parametrize(
    ("front", "name", "note"),
    [
        ("license: apache-2.0", "apache-2.0", "see the model's page"),
        ("tags: [a]\nlicense: cc-by-nc-4.0\nlanguage: en", "cc-by-nc-4.0", "non-commercial use only"),
        ("license:\n- mit\n- other\nlibrary_name: x", "mit, other", "see the model's page"),
        ("license: 'mit'", "mit", "see the model's page"),
    ],
)
def test_a_folder_speaks_for_itself(tmp_path: Path, front: str, name: str, note: str) -> None:
    (tmp_path / "README.md").write_text(f"---\n{front}\n---\n# Model\nlicense: none\n")
    assert licence_of(tmp_path) == (name, note, "README.md")


@pytest.mark.parametrize("text", ["# Model\nlicense: mit\n", "---\ntags: x\n---\n", "---\nlicense: mit\n"])
def test_a_readme_that_says_nothing_is_no_licence(tmp_path: Path, text: str) -> None:
    (tmp_path / "README.md").write_text(text)
    assert licence_of(tmp_path).name == "unknown"


def test_loading_says_the_licence(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "genoseq"):
        tell_licence("ChatterjeeLab/PepMLM-650M")
        tell_licence("EvolutionaryScale/esmc-600m-2024-12")
    assert "ChatterjeeLab/PepMLM-650M: licence not verified (its pages say MIT, CC BY-NC-ND 4.0 and CC BY-NC-SA" in caplog.text
    assert "esmc-600m-2024-12: licence Cambrian Non-Commercial License (non-commercial use only)" in caplog.text
