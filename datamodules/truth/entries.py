"""A file's entries, one after the other: what is wrong with one of them is an error that names it."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from reprlib import Repr
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from datamodules.truth.record import Box, TruthError

T = TypeVar("T")
SHORT = Repr()
SHORT.maxlist = 12
"""Of what a message shows: a matrix whole, a mask's run lengths not."""


@contextmanager
def entry(title: str) -> Iterator[None]:
    """What an entry that is not as its format has it raises becomes a TruthError that names it.

    Args:
        title: of the entry, for messages. A TruthError is left as it is, for it names what it is of.
    """
    try:
        yield
    except TruthError:
        raise
    except KeyError as error:
        raise TruthError(f"{title} has no `{error.args[0]}`") from error
    except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError) as error:
        raise TruthError(f"{title} is not as the format has it: {error}") from error


def each(content: Any, name: str, read: Callable[[Any], T]) -> list[T]:
    """What ``read`` makes of each entry of the list ``content[name]``, which errors name by its number, from 1 on."""
    given, rows = content[name], []
    if not isinstance(given, list):
        raise TruthError(f"`{name}` must be a list, found {type(given).__name__}")
    for number, value in enumerate(given, 1):
        with entry(f"entry {number} of `{name}`"):
            if not isinstance(value, dict):
                raise TypeError(f"expected named values, found {SHORT.repr(value)}")
            rows.append(read(value))
    return rows


def numbers(title: str, name: str, given: Any, count: int, expected: str = "") -> NDArray[np.float64]:
    """``count`` finite numbers, (count,), of 1 also one that is no list; TruthError, with ``expected``, for others."""
    values = given if isinstance(given, list) else [given]
    if len(values) != count or not all(map(is_number, values)):
        raise TruthError(f"{title} has the {name} {SHORT.repr(given)}: expected {expected or f'{count} numbers'}")
    return np.array(values, np.float64)


def is_number(value: Any) -> bool:
    """Whether JSON has a finite number there: text and `true` are none."""
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def whole(title: str, name: str, given: Any, least: int = 0) -> int:
    """A whole number from ``least`` on; TruthError for others."""
    if not is_number(given) or given % 1 or given < least:
        raise TruthError(f"{title} has the {name} {SHORT.repr(given)}: expected a whole number from {least} on")
    return int(given)


def box_of_sides(title: str, name: str, given: Any) -> Box:
    """The corners of a box that is given as x, y, width, height."""
    x, y, width, height = numbers(title, name, given, 4, "x, y, width, height").tolist()
    if min(width, height) < 0:
        raise TruthError(f"{title} has the {name} {given}: expected x, y, width, height, no side below 0")
    return x, y, x + width, y + height


def check_box(title: str, name: str, given: Any, box: Box) -> None:
    """TruthError for a box of no area, but for 0, 0, 0, 0 (nothing of the object shows), or in shares of the image.

    Args:
        name, given: what the file says.
    """
    x0, y0, x1, y1 = box
    if not any(box):
        return
    if x1 <= x0 or y1 <= y0:
        raise TruthError(
            f"{title} has the {name} {SHORT.repr(given)}, of no area: correct it, or leave the object out; of one of "
            "which nothing shows give zeros"
        )
    if max(x1, y1) <= 1 and (x1 - x0) * (y1 - y0) < 1:
        raise TruthError(
            f"{title} has the {name} {SHORT.repr(given)}, less than a pixel in the image's corner: give pixels, not "
            "shares of the image"
        )


def has_any(rows: Any, name: str) -> bool:
    """Whether this is a list of which an entry has that name, by which a format is known, or an empty one."""
    return isinstance(rows, list) and (not rows or any(isinstance(row, dict) and name in row for row in rows))
