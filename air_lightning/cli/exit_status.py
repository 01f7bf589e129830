"""How commands end, and how they are interrupted."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def exit_with(status: int, message: str) -> NoReturn:
    """Say why, and end the process with this status."""
    print(message, file=sys.stderr)
    raise SystemExit(status)


def end_unwritten(error: OSError, how: str) -> None:
    """End with status 1 and one line where something could not be written, on a full disk for example; else do nothing.

    Args:
        how: what to do once that is mended.
    """
    from air_lightning.runs import unwritten  # torch and all the rest, which are there by now

    said = unwritten(error)
    if said is not None and not os.environ.get("JSONARGPARSE_DEBUG"):
        exit_with(1, f"error: {said}, and {how}")


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
