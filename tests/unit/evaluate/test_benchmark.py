from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from genoseq.errors import UsageError
from genoseq.evaluate.benchmark import Benchmark, CrossSet, ReadSet, RealSet, count_reads, parse_benchmark, tools_for
from genoseq.recipes import RecipeError

WORKFLOW = Path(__file__).parents[3] / "pipelines" / "benchmark-align"


@pytest.mark.parametrize("name", ["config.yaml", "test.yaml"])
def test_the_configurations_are_valid(name: str) -> None:
    config = yaml.safe_load((WORKFLOW / "config" / name).read_text())
    assert parse_benchmark(config | {"genomes": "folder"}).genomes == "folder"
    with pytest.raises(RecipeError, match="lacks the key 'genomes'"):
        parse_benchmark(config)


def test_the_schema_knows_the_same_keys_as_the_package() -> None:
    schema = yaml.safe_load((WORKFLOW / "schemas" / "config.schema.yaml").read_text())["properties"]
    sections = {
        Benchmark: schema,
        ReadSet: schema["read_sets"]["items"]["properties"],
        CrossSet: schema["cross"]["properties"],
        RealSet: schema["real"]["properties"],
    }
    for kind, properties in sections.items():
        assert set(properties) == {field.name for field in dataclasses.fields(kind)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"read_sets": []}, "read_sets"),
        ({"read_sets": [{"name": "a", "reads": 1}, {"name": "a", "reads": 2}]}, "different names"),
        ({"read_sets": [{"name": "a/b", "reads": 1}]}, "name 'a/b'"),
        ({"read_sets": [{"name": "a", "reads": 0}]}, "reads 0"),
        ({"threads": 0}, "threads 0"),
        ({"speed": 1}, "unknown key 'speed'"),
    ],
)
def test_a_wrong_configuration_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse_benchmark({"genomes": "g", "read_sets": [{"name": "a", "reads": 1}], **change})


def test_tools_have_to_be_known_and_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"genomes": "g", "read_sets": [{"name": "a", "reads": 1}]}
    with pytest.raises(UsageError, match="unknown tool 'novoalign'"):
        parse_benchmark(config | {"tools": ["novoalign"]})
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="none of the tools is installed: bwa"):
        tools_for(parse_benchmark(config | {"tools": ["bwa"]}))


def test_reads_of_all_files_are_counted(tmp_path: Path) -> None:
    for name in ("1.fq", "2.fq"):
        (tmp_path / name).write_text("@a\nACGT\n+\nIIII\n@b\nACGT\n+\nIIII\n")
    assert count_reads([tmp_path / "1.fq", tmp_path / "2.fq"]) == 4
