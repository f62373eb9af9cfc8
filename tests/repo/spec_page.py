"""The specification as data: its sections with their tables, and its code blocks."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "formats" / "hzc-1.md"
TEXT = PAGE.read_text(encoding="utf-8")


@dataclass(frozen=True)
class Table:
    """A table; cells as they are written."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def column(self, name: str) -> list[str]:
        """Return the cells under a heading."""
        return [row[self.head.index(name)] for row in self.rows]

    def pairs(self, key: str, value: str) -> dict[str, str]:
        """Return one column by another."""
        return dict(zip(self.column(key), self.column(value), strict=True))


@dataclass
class Section:
    """What stands under one heading, without what stands under headings below it."""

    number: str
    title: str
    text: str = ""
    tables: list[Table] = field(default_factory=list)
    fenced: list[str] = field(default_factory=list)
    indented: list[str] = field(default_factory=list)


def cells(line: str) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in line.strip().strip("|").split("|"))


def sections_of(page: str) -> dict[str, Section]:
    """Return the sections by their numbers; "" is what comes before the first."""
    found = {}
    for part in re.split(r"^(?=#+ )", page, flags=re.M):
        heading = re.match(r"#+ (?:([\d.]+?)\.? )?([^\n]*)\n", part)
        if heading is None:
            continue
        section = Section(heading[1] or "", heading[2], part)
        assert section.number not in found, section.number
        found[section.number] = section
        for block in re.findall(r"(?:^\|[^\n]*\n)+", part, flags=re.M):
            head, rule, *rows = block.splitlines()
            assert set(rule) <= set("|-"), rule
            table = Table(cells(head), tuple(map(cells, rows)))
            assert all(len(row) == len(table.head) for row in table.rows), head
            section.tables.append(table)
        section.fenced = re.findall(r"^```\w*\n(.*?)^```$", part, flags=re.M | re.S)
        blocks = re.findall(r"(?:(?<=\n\n)    [^\n]*\n)(?:    [^\n]*\n|\n(?=    ))*", part)
        section.indented = [re.sub(r"^    ", "", block, flags=re.M) for block in blocks]
    return found


SECTIONS = sections_of(TEXT)


def table(number: str, index: int = 0) -> Table:
    """Return a table of a section."""
    return SECTIONS[number].tables[index]


def plain(cell: str) -> str:
    """Return a cell as ASCII arithmetic: no quotes, × as *, − as -, ^ as **."""
    return cell.strip("`").translate({0x2212: "-", 0xD7: "*", 0x5E: "**"})


def number(cell: str) -> int:
    """Return a number such as −64, 2^27 or 0x9396."""
    found = eval(plain(cell), {"__builtins__": {}})
    assert isinstance(found, int)
    return found


def limits(cell: str, n: int = 0, names: dict[str, int] | None = None) -> tuple[int, int]:
    """Return both ends of a range such as `1 … 80`."""
    low, high = (eval(plain(end), {"__builtins__": {}}, names or {}) for end in cell.split(" … "))
    return low, high
