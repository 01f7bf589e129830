"""What commands share: how they end, how they are interrupted, and what they say of a name that they do not know."""

import argparse
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def end(status: int, message: str) -> NoReturn:
    """Say why, and end the process with this status."""
    print(message, file=sys.stderr)
    raise SystemExit(status)


def unknown(what: str, name: str, known: Sequence[str]) -> str:
    """What to say where no ``what`` has this name: the nearest of those known, and all of them."""
    near = get_close_matches(name.lower(), [other.lower() for other in known], 1)
    meant = next((f", did you mean {other}?" for other in known if [other.lower()] == near), ".")
    return f"no {what} is called {name!r}{meant} There are {', '.join(known)}"


def positive(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value


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


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt(143) in here, so that it is cleaned up after as after Ctrl-C."""
    before = signal.signal(signal.SIGTERM, _interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def interrupt_status(error: KeyboardInterrupt) -> int:
    """The exit status that goes with an interruption: 130 after Ctrl-C, 143 after SIGTERM."""
    return int(error.args[0]) if error.args else INTERRUPTED


def _interrupted(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt(128 + number)
