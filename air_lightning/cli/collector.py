"""Python's garbage collector, while modules are imported."""

import atexit
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """What is made meanwhile is never looked at by the garbage collector.

    Importing torch makes objects by the hundred thousand, which stay until the process ends: to go through them again
    and again, and once more at the end, takes a quarter of what a single image takes.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
        atexit.unregister(_quietly_ended)
        atexit.register(_quietly_ended)


def _quietly_ended() -> None:
    """Triton, once imported, writes to stderr at the end what was not collected by then."""
    if "triton" in sys.modules:
        gc.unfreeze()
