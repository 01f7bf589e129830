"""Torch's own defaults of type and device, whatever those of the program are that calls us."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import torch


class _DefaultType:
    """The default type of real numbers is one for all threads: the first to come sets it, the last resets it."""

    def __init__(self) -> None:
        self._lock, self._inside, self._before = Lock(), 0, torch.float32

    def enter(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._before = torch.get_default_dtype()
                torch.set_default_dtype(torch.float32)
            self._inside += 1

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                torch.set_default_dtype(self._before)


_TYPE = _DefaultType()


@contextmanager
def usual_defaults() -> Iterator[None]:
    """Where tensors of no stated type and device are made, float32 and on the CPU."""
    _TYPE.enter()
    try:
        with torch.device("cpu"):
            yield
    finally:
        _TYPE.leave()
