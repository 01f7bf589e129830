"""What commands share of argparse, and check of an argument's value."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path


def parsed_with_rest(parser: argparse.ArgumentParser, args: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The arguments, and as they are those after a `--`, which are another command's.

    (argparse by itself gives none of these to options that take several.)
    """
    given = list(args)
    cut = given.index("--") if "--" in given else len(given)
    return parser.parse_args(given[:cut]), given[cut + 1 :]


class WrongNumber(argparse.ArgumentTypeError, ValueError):
    """Not such a number; argparse and jsonargparse tell it as it is."""


def positive(value: object) -> int:
    """A whole number of at least 1."""
    return _whole(value, 1)


def natural(value: object) -> int:
    """A whole number from 0 on."""
    return _whole(value, 0)


def seed(value: object) -> int:
    """A seed of random numbers."""
    number = _whole(value, 0)
    if number >= 2**31:
        raise WrongNumber(f"must be at least 0 and below 2^31, got {number}")
    return number


def _whole(value: object, least: int) -> int:
    try:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError
        number = int(value)
    except ValueError:
        several = ": several go one after another, as in 1 2 3" if set("[,").intersection(str(value)) else ""
        raise WrongNumber(f"must be a whole number, got {value!r}{several}") from None
    if number < least:
        raise WrongNumber(f"must be at least {least}, got {number}")
    return number


def check_writable(name: str, path: Path) -> None:
    """ValueError where an argument's file or folder could not be written, nor made: found out before the work is done.

    Args:
        name: of the argument. path: its value; a folder to write to, or what is yet to be made.
    """
    there = next(place for place in (path, *path.parents) if os.path.lexists(place))
    if not there.is_dir():
        raise ValueError(f"{name} {str(path)!r} cannot be made, for {str(there)!r} is no folder: name another")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"{name} {str(path)!r}: {str(there)!r} is not yours to write to: name another")
