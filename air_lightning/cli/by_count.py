"""What `test` says of scenes of each number of objects by themselves."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from pytorch_lightning.utilities import rank_zero_only


@runtime_checkable
class MeasuresByCount(Protocol):
    """A module whose tests measure figures for each number of objects. Modules need not have this."""

    @property
    def figures_by_count(self) -> list[dict[str, Any]]:
        """Of each number, ascending: `count`, `scenes` and the figures by name; nan: nothing to measure."""


@rank_zero_only
def show(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the figures of scenes that hold different numbers of objects, a number a line."""
    if len(rows) > 1:
        print("\n".join(table(rows)))


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line of names and one for each number, in columns."""
    cells = [list(rows[0]), *([_text(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells)]
    return ["  ".join(text.rjust(width) for text, width in zip(line, widths)) for line in cells]


def _text(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return "-" if value != value else f"{value:.4f}"
