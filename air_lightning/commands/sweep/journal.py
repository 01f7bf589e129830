"""Optuna's journal of a sweep, a file that several processes write to, of which any may be killed at any moment."""

import os
from pathlib import Path
from typing import Literal

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

GRACE = 30
"""Seconds after which a lock is nobody's: one is held for as long as it takes to write a line, or to begin a run."""


def open_study(journal: Path, goal: Literal["minimize", "maximize"], pruner: optuna.pruners.BasePruner) -> optuna.Study:
    """The study that a journal holds, or is to hold.

    Raises:
        ValueError: it is damaged.
    """
    try:
        storage = JournalStorage(JournalFileBackend(str(journal), _Lock(journal)))
        return optuna.create_study(
            study_name="sweep", storage=storage, direction=goal, load_if_exists=True, pruner=pruner
        )
    except (ValueError, KeyError) as error:  # it is lines of JSON
        raise ValueError(f"{str(journal)!r} is damaged ({error}): give another --out") from error


class _Lock(JournalFileOpenLock):
    """Optuna's lock of a journal, which processes on several machines may share.

    One that a killed process has left behind is taken over after ``GRACE`` seconds. Half a line that it has left behind
    is cut off before the next is written.
    """

    def __init__(self, journal: Path) -> None:
        self._journal = journal.absolute()  # Optuna's default lock waits for ever for a relative path's
        super().__init__(str(self._journal), GRACE)

    def acquire(self) -> bool:
        acquired = super().acquire()
        _cut_unfinished(self._journal)
        return acquired


def _cut_unfinished(journal: Path) -> None:
    """Cut off half a line at the end, left by a process that ended as it wrote: the next would be written behind it."""
    if journal.is_file() and not _ends_line(journal):
        os.truncate(journal, journal.read_bytes().rfind(b"\n") + 1)


def _ends_line(path: Path) -> bool:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return True
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


def folder_lock(folder: Path) -> JournalFileOpenLock:
    """A lock of what several lines of the journal say together; it is not the journal's own."""
    return JournalFileOpenLock(str(folder.absolute() / "sweep"), GRACE)
