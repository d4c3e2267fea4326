"""The documentation says what is so: links resolve, options exist and all are described, and what can run does run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from genoseq.cli.main import cli

ROOT = Path(__file__).resolve().parents[2]
SKIPPED = {"tests", "build", "dist", "demo"}
PAGES = sorted(
    page
    for page in ROOT.rglob("*.md")
    if not any(part.startswith(".") or part in SKIPPED for part in page.relative_to(ROOT).parts)
)
RUNNABLE = [
    ROOT / "docs" / name for name in ("map-reads.md", "python-api.md", "tutorial-embeddings.md", "classify.md", "distances.md")
]
IN_TURN = [ROOT / "docs" / "tutorial-embeddings.md"]
"""Pages whose commands need what the Python before them made; elsewhere Python comes last."""
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
RATE = re.compile(r"; [\d,]+ reads/s$")
BREAK = re.compile(r"\s*(?:\||;|&&|\d?>)\s*")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, *languages: str) -> list[str]:
    """Code blocks of these languages."""
    return [body for language, body in FENCE.findall(page.read_text()) if language in languages]


def without_code(text: str) -> str:
    return INLINE.sub("", FENCE.sub("", text))


def heading_ids(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    found = re.findall(r"^#+ +(.*)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in found}


def options_of(command: click.Command) -> dict[str, click.Option]:
    """Every spelling of every option."""
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    named = {name: option for option in options for name in (*option.opts, *option.secondary_opts)}
    return named | dict.fromkeys(("-h", "--help"), click.Option(["--help"], is_flag=True))


def command_named(name: str, group: click.Command = cli) -> click.Command | None:
    """The command of a group; None if it has none of this name, or is no group."""
    return group.get_command(click.Context(group), name) if isinstance(group, click.Group) else None


def all_commands(group: click.Group = cli) -> list[list[str]]:
    """The words of every command, groups and what is in them."""
    found = []
    for name in group.list_commands(click.Context(group)):
        command = command_named(name, group)
        inner = all_commands(command) if isinstance(command, click.Group) else []
        found += [[name], *([name, *words] for words in inner)]
    return found


def commands_in(page: Path) -> list[list[str]]:
    """The words of every ``genoseq ...`` in a page, from code blocks and from inline code."""
    text = page.read_text()
    lines = [line for body in blocks(page, "sh", "bash", "console", "snakemake", "") for line in joined_lines(body)]
    inline = INLINE.findall(FENCE.sub("", text))
    lines += [code for code in inline if code.startswith("genoseq ") or "| genoseq " in code]
    found = []
    for line in lines:
        for part in re.split(r"(?<![\w./-])(?=genoseq )", line.replace('"', " ").replace("...", " ")):
            if part.startswith("genoseq "):
                found.append(shlex.split(BREAK.split(part)[0].replace("\\|", " ").replace("'", " "), comments=True))
    return found


def joined_lines(body: str) -> list[str]:
    """The lines of a block, those that go on joined; in a Snakefile, a string goes on with the next string."""
    body = re.sub(r"\\\n\s*", "", body)
    return re.sub(r'"\n\s*"', "", body).splitlines()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_relative_links_resolve(page: Path) -> None:
    broken = []
    for target in LINK.findall(without_code(page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in heading_ids(file)):
            broken.append(target)
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_options_in_the_pages_exist(page: Path) -> None:
    wrong = []
    for words in commands_in(page):
        command: click.Command = cli
        known = options_of(cli)
        for word in words[1:]:
            inner = command_named(word, command)
            if inner is not None:
                command = inner
                known = options_of(command)
            elif re.fullmatch(r"--?[a-zA-Z][\w-]*(=.*)?", word) and word.partition("=")[0] not in known:
                wrong.append(f"{' '.join(words)}: {word}")
    assert not wrong


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_in_the_pages_exist(page: Path) -> None:
    for words in commands_in(page):
        command: click.Command = cli
        for word in (word for word in words[1:] if not word.startswith("-")):
            inner = command_named(word, command)
            if inner is None:
                assert not isinstance(command, click.Group) or word.isupper(), " ".join(words)
                break
            command = inner


def test_the_pages_hold_commands_to_check() -> None:
    found = [words for page in PAGES for words in commands_in(page)]
    assert len(found) > 40
    absent = [words for words in all_commands() if words not in [one[1 : 1 + len(words)] for one in found]]
    assert absent == []


def test_an_option_that_does_not_exist_would_be_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```sh\ncat a | genoseq align --no-such - > b   # genoseq\n```\nand `genoseq judge --curve`\n")
    assert commands_in(page) == [["genoseq", "align", "--no-such", "-"], ["genoseq", "judge", "--curve"]]


@pytest.mark.parametrize("name", ["index", "align"])
def test_every_option_is_described(name: str) -> None:
    text = (ROOT / "docs" / "map-reads.md").read_text()
    section = text[text.index(f"| `genoseq {name}` |") :]
    table = section[: section.index("\n\n")]
    command = command_named(name)
    assert command is not None
    options = [option for option in command.params if isinstance(option, click.Option)]
    absent = [spelling for option in options for spelling in option.opts if f"`{spelling}" not in table]
    assert options and not absent


FILLED_IN = re.compile(
    r"'[^']*'|\b\d+( (characters|records)\b)?|\bNAME\b|\bFOLDER\b|\bR1\.fq\b|\bcodes\.faiss\b|\b(gzip|BAM)\b|\(the default\)|\.\.\."
)
"""What of a message in the troubleshooting table is an example, and differs from case to case."""


def text_of_the_source() -> str:
    """All text of the package; strings that go on joined, a blank for what is filled in."""
    text = "\n".join(path.read_text() for path in sorted((ROOT / "genoseq").rglob("*.py")))
    text = re.sub(r'"\s*\n\s*f?"', "", text)
    text = re.sub(r"\{[^{}\n]*\}|%[sdg]|'", " ", text)
    return re.sub(r"\s+", " ", text)


def test_messages_in_the_troubleshooting_table_are_those_of_the_source() -> None:
    section = (ROOT / "docs" / "map-reads.md").read_text().partition("## Troubleshooting")[2]
    rows = [line.split(" | ")[0] for line in section.splitlines() if line.startswith("| `")]
    messages = [message for row in rows for message in INLINE.findall(row)]
    source = text_of_the_source()
    parts = [(message, part.strip(" ,.()")) for message in messages for part in FILLED_IN.sub("|", message).split("|")]
    assert len(messages) > 25
    assert [message for message, part in parts if part not in source] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_blocks_compile(page: Path) -> None:
    for number, body in enumerate(blocks(page, "python")):
        assert compile(body, f"{page}, block {number + 1}", "exec") is not None


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("page", RUNNABLE, ids=name_of)
def test_blocks_run(page: Path, tmp_path: Path) -> None:
    if shutil.which("samtools") is None:
        pytest.skip("the commands in the pages use samtools")
    for folder in ("data", "models"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "GENOSEQ_HOME": str(tmp_path / "home")}
    environment.pop("GENOSEQ_INDEX", None)
    steps: list[tuple[str, list[str]]] = []
    python = ""
    said: dict[str, list[str]] = {}  # what a block prints, as the page shows it in the next one
    blocks_of = FENCE.findall(page.read_text())
    for (language, body), (following, shown) in zip(blocks_of, [*blocks_of[1:], ("", "")], strict=True):
        if language == "sh":
            if python and page in IN_TURN:
                steps.append(("python", [sys.executable, "-W", "error", "-c", python]))
            steps.append((body, ["bash", "-e", "-o", "pipefail", "-c", body]))
            if following == "text":
                said[body] = [RATE.sub("", line) for line in shown.splitlines() if line.startswith("genoseq: ")]
        elif language == "python":
            python += body
        elif language == "snakemake":
            (tmp_path / "Snakefile").write_text(body)
            command = [sys.executable, "-m", "snakemake", "--cores", "2", "--quiet", "all"]
            steps.append(("snakemake", command))
    steps.append(("python", [sys.executable, "-W", "error", "-c", python]))
    for body, command in steps:
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{body}\n{done.stdout}\n{done.stderr}"
        printed = [RATE.sub("", line) for line in done.stderr.splitlines()]
        assert [line for line in said.get(body, []) if line not in printed] == [], done.stderr
