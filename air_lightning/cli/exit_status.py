"""How commands end, and how they are interrupted."""

import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130  # 128 + SIGINT, as shells report it
UNREAD = 141  # 128 + SIGPIPE, likewise


def exit_with(status: int, message: str) -> NoReturn:
    """Say why, and end the process with this status."""
    print(message, file=sys.stderr)
    raise SystemExit(status)


def end_unwritten(error: OSError, how: str) -> None:
    """End with status 1 and one line where something could not be written, on a full disk for example; else do nothing.

    With status 141 where nobody reads what is printed any more, as behind `| head`.

    Args:
        how: what to do once that is mended.
    """
    if isinstance(error, BrokenPipeError):
        _end_unread(how)
        return
    from air_lightning.runs import unwritten  # torch and all the rest, which are there by now

    said = unwritten(error)
    if said is not None and not os.environ.get("JSONARGPARSE_DEBUG"):
        exit_with(1, f"error: {said}, and {how}")


def _end_unread(how: str) -> None:
    """End where the reader of what is printed has gone; else the pipe is another's, and nothing is done."""
    if not _is_unread(1):
        return
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # where Python writes the rest as it ends
    exit_with(UNREAD, f"stopped, for nobody reads what is printed any more; {how}")


def _is_unread(descriptor: int) -> bool:
    """Whether it is a pipe that nobody reads."""
    poll = select.poll()
    poll.register(descriptor, 0)  # errors and hang-ups are told of all the same
    return bool(poll.poll(0))


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt(143) in here, so that it is cleaned up after as after Ctrl-C."""
    before = signal.signal(signal.SIGTERM, _interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def interruptions_raised() -> Iterator[None]:
    """An interruption that Lightning ends with status 1 in here is raised again, for the status that is its own."""
    try:
        yield
    except SystemExit as end:
        if isinstance(end.__context__, KeyboardInterrupt):
            raise end.__context__ from None
        raise


def interrupt_status(error: KeyboardInterrupt) -> int:
    """The exit status that goes with an interruption: 130 after Ctrl-C, 143 after SIGTERM."""
    return int(error.args[0]) if error.args else INTERRUPTED


def _interrupted(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt(128 + number)
