"""The documents: their Python runs, and their commands exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from hzc import cli

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path
    for folder in (".", "bench", "demo", "docs", "examples", "formats", "training", "web")
    for path in (ROOT / folder).glob("*.md")
)
every_document = pytest.mark.parametrize(
    "path", DOCUMENTS, ids=[path.relative_to(ROOT).as_posix() for path in DOCUMENTS]
)


def blocks(path: Path, language: str) -> list[str]:
    """Return the fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text("utf-8"), re.M | re.S)


def hzc_calls(path: Path) -> list[list[str]]:
    """Return the words of every call of hzc in console blocks and indented commands."""
    text = path.read_text("utf-8")
    lines = [line[2:] for block in blocks(path, "console") for line in block.splitlines()
             if line.startswith("$ ")]  # fmt: skip
    lines += re.findall(r"^    (hzc .*)$", text.replace("\\\n", " "), re.M)
    calls = []
    for line in lines:
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if set(word) <= set("|&;<>"):
                calls += [words[1:]] if words[:1] == ["hzc"] else []
                words = [] if set(word) & set("|&;") else ["redirection"]
            else:
                words.append(word)
    return calls


def test_python_of_the_readme_runs(tmp_path, monkeypatch):
    for entry in ROOT.iterdir():
        if not entry.name.startswith("."):
            (tmp_path / entry.name).symlink_to(entry)
    monkeypatch.chdir(tmp_path)
    (*programs,) = blocks(ROOT / "README.md", "python")
    assert programs
    for program in programs:
        exec(compile(program, "README.md", "exec"), {"__name__": "__main__"})


@every_document
def test_calls_of_hzc_have_the_arguments_it_takes(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    for words in hzc_calls(path):
        command: click.Command = cli.group
        context = click.Context(command)
        while isinstance(command, click.Group) and words and not words[0].startswith("-"):
            _, command, words = command.resolve_command(context, words)
        if not isinstance(command, click.Group):
            command.make_context("hzc", list(words), resilient_parsing=False)
