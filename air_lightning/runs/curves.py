"""What `metrics.csv` says: the curves of a run, which may still be going on."""

import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

SECONDS = "time/training_seconds"
PLACES = ("epoch", "step", SECONDS)
"""Columns that say when a row was logged; the others are figures."""


class Point(NamedTuple):
    """A figure when it was logged.

    Attributes:
        step: as Lightning logs it, from 0. seconds: of training; NaN where the row does not say.
        value: finite or infinite, or NaN where that was asked for.
    """

    step: int
    seconds: float
    value: float


def curves(path: Path, nan: bool = False) -> dict[str, list[Point]]:
    """The points of every column of a `metrics.csv` that may be being written, ascending in steps.

    NaN is left out, unless ``nan``: then those that were logged are points too.

    Of a step that a resumed run logged again, the later row is in force. A column of which nothing is known is left
    out, and a file that is not there has none.
    """
    points: dict[str, dict[int, Point]] = {}
    for row in _rows(path):
        step, seconds = _number(row.get("step")), _number(row.get(SECONDS))
        if not math.isfinite(step):
            continue
        for name, text in row.items():
            value = _number(text)
            if value == value or (nan and _is_nan(text)):
                points.setdefault(name, {})[int(step)] = Point(int(step), seconds, value)
    return {name: [known[step] for step in sorted(known)] for name, known in points.items()}


def curve(path: Path, name: str, nan: bool = False) -> list[Point]:
    """That of one column, see `curves`; empty where it has none."""
    return curves(path, nan).get(name, [])


def columns(path: Path) -> list[str]:
    """The names in the head of a `metrics.csv`, those of figures, as they come; of a file that is not there none."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return [name for name in next(csv.reader(file), []) if name not in PLACES]


def _rows(path: Path) -> Iterator[dict[str, str]]:
    """Whole rows: the last line may be half of one."""
    if path.is_file():
        yield from csv.DictReader(path.read_text().rpartition("\n")[0].splitlines())


def _number(text: object) -> float:
    """NaN for what is none; a row that is too long or too short gives a list, or None."""
    try:
        return float(text) if isinstance(text, str) else float("nan")
    except ValueError:
        return float("nan")


def _is_nan(text: object) -> bool:
    """Whether it is what a NaN is written as, and not an empty cell."""
    return isinstance(text, str) and text.strip().lower() == "nan"
