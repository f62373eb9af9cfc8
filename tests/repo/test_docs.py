"""The documents: their code runs, their commands exist, their links lead somewhere."""

from __future__ import annotations

import importlib
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
import soundfile

from hzc import cli
from hzc_bench.cli import main as bench

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
DOCUMENTS = sorted(
    path for folder in (".", "demo", "formats", "training") for path in (ROOT / folder).glob("*.md")
)
IDS = [path.relative_to(ROOT).as_posix() for path in DOCUMENTS]
RUN, READ = {"python", "console"}, {"", "text", "toml", "json", "bibtex", "csv"}
"""Languages of fenced blocks: what is tried out here, and what is only there to be read."""
MAX_README_LINES = 150


@dataclass(frozen=True)
class Block:
    """A block of code in a document."""

    document: str
    line: int
    language: str
    """Of a fenced block; "indented" for the other kind."""
    text: str

    def __str__(self) -> str:
        """Return where the block is, for the names of tests."""
        return f"{self.document}:{self.line}"


def blocks_of(path: Path) -> Iterator[Block]:
    name = path.relative_to(ROOT).as_posix()
    text = path.read_text(encoding="utf-8")
    fence = r"^```(\S*)[^\n]*\n(.*?)^```[ ]*$"
    for found in re.finditer(fence, text, re.M | re.S):
        yield Block(name, text.count("\n", 0, found.start()) + 1, found[1], found[2])
    rest = re.sub(fence, lambda found: "\n" * found[0].count("\n"), text, flags=re.M | re.S)
    for found in re.finditer(r"(?<=\n\n)(?:    \S[^\n]*\n)+", rest):
        yield Block(name, rest.count("\n", 0, found.start()) + 1, "indented", found[0])


BLOCKS = [block for path in DOCUMENTS for block in blocks_of(path)]


def command_lines(block: Block) -> list[str]:
    """Return the shell commands of a block, continued lines joined."""
    joined = block.text.replace("\\\n", " ")
    if block.language == "console":
        return [line[2:] for line in joined.splitlines() if line.startswith("$ ")]
    starts = re.compile(r"    (hzc|hzc-[a-z-]+|make|bin/\S+|\.venv/bin/\S+)( |$)")
    return [line.strip() for line in joined.splitlines() if starts.match(line)]


def calls(line: str) -> Iterator[list[str]]:
    """Yield the words of every program that a shell line starts, redirections left out."""
    whole = re.sub(r"(?<=\s)[012](?=>)", "", line)  # the 2 of 2> is no word
    lexer = shlex.shlex(whole, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    tokens = iter(lexer)
    for token in tokens:
        if set(token) <= set("<>&") and set(token) & set("<>"):
            next(tokens)
        elif set(token) <= set("|&;"):
            yield words
            words = []
        else:
            words.append(token)
    yield words


COMMANDS = [
    pytest.param(words, id=f"{block}-{' '.join(words)}")
    for block in BLOCKS
    if block.language in ("console", "indented")
    for line in command_lines(block)
    for words in calls(line)
]
PYTHON = [pytest.param(block, id=str(block)) for block in BLOCKS if block.language == "python"]


def subcommands(command: click.Command) -> Iterator[click.Command]:
    if isinstance(command, click.Group):
        for below in command.commands.values():
            yield from subcommands(below)
    else:
        yield command


@pytest.fixture
def parse(monkeypatch):
    """Parse a call of hzc, every command's work replaced by nothing; return who would work."""
    working: list[str] = []
    for name in cli.COMMANDS:
        for command in subcommands(importlib.import_module(f"hzc.cli.{name}").command):
            path = command.name if command.name == name else f"{name} {command.name}"
            stand_in = lambda path=path, **_: working.append(path)  # noqa: E731
            monkeypatch.setattr(command, "callback", stand_in)

    def run(words: list[str]) -> list[str]:
        working.clear()
        cli.group.main(words, prog_name="hzc", standalone_mode=False)
        return working

    return run


# --- what has to be there -------------------------------------------------------------------


def test_readme_exists_and_shows_commands_and_python():
    assert README.exists()
    languages = {block.language for block in BLOCKS if block.document == "README.md"}
    assert languages >= RUN
    assert len(README.read_text(encoding="utf-8").splitlines()) <= MAX_README_LINES


def test_fenced_blocks_are_in_languages_that_are_tried_out_or_only_read():
    unknown = [
        f"{block} {block.language}"
        for block in BLOCKS
        if block.language not in RUN | READ | {"indented"}
    ]
    assert unknown == []


def test_console_blocks_have_a_prompt_before_every_command():
    for block in BLOCKS:
        if block.language == "console":
            assert command_lines(block), block
            assert not re.search(r"^(hzc|hzc-[a-z-]+|make|bin/\S+) ", block.text, re.M), block


@pytest.mark.parametrize("path", DOCUMENTS, ids=IDS)
def test_document_has_nothing_left_to_fill_in(path):
    assert re.findall(r"@@\w*@*|TODO|FIXME|XXX", path.read_text(encoding="utf-8")) == []


# --- what runs ------------------------------------------------------------------------------


@pytest.mark.parametrize("words", COMMANDS)
def test_documented_command_is_one_that_exists(parse, monkeypatch, words):
    monkeypatch.chdir(ROOT)
    program, *arguments = words
    if program == "hzc":
        is_question = {"-h", "--help", "--version"} & set(arguments)
        assert len(parse(arguments)) == (0 if is_question else 1)
    elif program == "hzc-bench":
        bench.make_context("hzc-bench", list(arguments))
    elif program == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M)
        assert set(arguments) <= set(targets)
    elif program.startswith("bin/"):
        assert os.access(ROOT / program, os.X_OK)


@pytest.mark.parametrize("block", PYTHON)
def test_documented_python_runs(tmp_path, monkeypatch, sound, block):
    for entry in ROOT.iterdir():
        if entry.name != "runs" and not entry.name.startswith("."):
            (tmp_path / entry.name).symlink_to(entry)
    for name in re.findall(r"\"([\w-]+\.wav)\"", block.text):
        soundfile.write(tmp_path / name, sound(16_000), 16_000)
    monkeypatch.chdir(tmp_path)
    exec(compile(block.text, str(block), "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("path", DOCUMENTS, ids=IDS)
def test_commands_and_options_named_in_the_text_exist(path):
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    for code in re.findall(r"`((?:hzc|bin/[\w-]+)(?: [^`]*)?)`", text):
        program, *words = code.split()
        if program.startswith("bin/"):
            assert os.access(ROOT / program, os.X_OK), code
            continue
        command: click.Command = cli.group
        for word in words:
            context = click.Context(command)
            if isinstance(command, click.Group) and not word.startswith("-"):
                below = command.get_command(context, word)
                assert below or command.name == "train", code
                command = below or command
            elif word.startswith("-") and word != "-":
                known = [name for p in command.get_params(context) for name in p.opts]
                assert word in known, code


# --- what leads somewhere -------------------------------------------------------------------


def anchors(path: Path) -> set[str]:
    """Return the anchors that headings get on GitHub."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.M)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("path", DOCUMENTS, ids=IDS)
def test_links_into_the_repository_lead_to_something(path):
    text = path.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"(?:src|href)=\"([^\"]+)\"", text)
    for target in targets:
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        led_to = (path.parent / file).resolve() if file else path
        assert led_to.exists(), target
        assert led_to.is_relative_to(ROOT), target
        if anchor:
            assert anchor in anchors(led_to), target


# --- the checks themselves ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("hzc info a.hzc  # why", [["hzc", "info", "a.hzc"]]),
        ("cat a | hzc encode - - > b", [["cat", "a"], ["hzc", "encode", "-", "-"]]),
        ("hzc info a 2>/dev/null", [["hzc", "info", "a"]]),
        ("make demo && hzc info 'a b'", [["make", "demo"], ["hzc", "info", "a b"]]),
    ],
)
def test_calls_of_a_shell_line_are_told_apart(line, expected):
    assert list(calls(line)) == expected


@pytest.mark.parametrize(
    ("line", "working"),
    [
        ("encode a.wav a.hzc --verify", ["encode"]),
        ("bitrate *.hzc --ladder", ["bitrate"]),
        ("train setup.cfg", ["train run"]),
        ("train prior setup.cfg --run x", ["train prior"]),
        ("encode --help", []),
    ],
)
def test_parse_of_a_command_runs_nothing_but_names_it(parse, monkeypatch, line, working):
    monkeypatch.chdir(ROOT)
    assert parse(line.split()) == working


@pytest.mark.parametrize(
    "line", ["encode", "encode a --loud", "nonsense a", "encode a --step-index 99", "decode -r x a"]
)
def test_parse_of_a_wrong_command_raises(parse, line):
    with pytest.raises(click.UsageError):
        parse(line.split())
