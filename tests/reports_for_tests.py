"""Pages of reports, written by the command and read as their readers' programs do."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

from air_lightning.cli import main

VOID = {"meta", "link", "input", "img", "br", "hr"}
LINKING = {"src", "href", "xlink:href", "srcset", "action", "data", "poster"}


class Page(HTMLParser):
    """A page as its readers' programs see it: tags that close in order, what they link, tables and texts."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.texts: list[str] = []
        self.tables: list[list[list[str]]] = []
        self._open: list[str] = []
        self.feed(self.source)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in LINKING]
        if tag not in VOID:
            self._open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open.pop() == tag, (tag, self._open)

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            return
        self.texts.append(data)
        if {"td", "th"} & set(self._open):
            self.tables[-1][-1][-1] += data if "small" not in self._open else f" [{data}]"

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def row(self, name: str) -> list[str]:
        """The cells of the only row that begins with ``name``, without the name."""
        return self.headed_row(name)[1:]

    def headed_row(self, name: str) -> list[str]:
        """The same with the name, and what is said below it."""
        found = [row for table in self.tables for row in table if row and row[0].partition(" [")[0].strip() == name]
        assert len(found) == 1, (name, found)
        return [cell.strip() for cell in found[0]]


def report(*args: object) -> Page:
    """Run the command; the page it wrote, which is whole by itself."""
    given = [str(arg) for arg in args]
    output = Path(given[given.index("--output") + 1]) if "--output" in given else Path(given[0]) / "report.html"
    main(["report", *given])
    page = Page(output)
    assert all(link.startswith(("data:", "#")) for link in page.links), page.links
    assert "script" not in page.tags and "@import" not in page.source and not re.search(r"url\((?!#)", page.source)
    return page
