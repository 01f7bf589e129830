"""A table of counts: a `.csv` file with the columns `file` and `count`, and `index` where files hold several images."""

import csv

from datamodules.truth.record import TrueScene, Truth, TruthError
from datamodules.truth.source import Source


def holds(source: Source) -> bool:
    """Whether a file is of this format."""
    return source.suffix == ".csv"


def truth(source: Source) -> Truth:
    """What a file says."""
    with source.path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        names = [name.strip() for name in rows.fieldnames or ()]
        if not {"file", "count"} <= set(names):
            raise TruthError(f"its first line must name the columns file and count, found {', '.join(names) or 'none'}")
        rows.fieldnames = names
        try:
            return Truth(source.path, tuple(_scene(row, rows.line_num) for row in rows))
        except csv.Error as error:
            raise TruthError(f"line {rows.line_num}: {error}") from error


def _scene(row: dict[str, str | None], line: int) -> TrueScene:
    if not row["file"]:
        raise TruthError(f"line {line} names no file")
    return TrueScene(row["file"].strip(), _number(row, "index", line), _number(row, "count", line), ())


def _number(row: dict[str, str | None], name: str, line: int) -> int:
    text = (row.get(name) or ("" if name in row else "0")).strip()
    if not (text.isascii() and text.isdigit()):
        raise TruthError(f"line {line} has the {name} {text!r}: expected a whole number from 0 on")
    return int(text)
