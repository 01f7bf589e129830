"""The folder of one run, locked while a fit trains into it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from air_lightning.runs.layout import CHECKPOINTS, CONFIG, FIGURES, LOCK, RunError, config_of, earlier_config, holds_run
from air_lightning.runs.writing import drafted, write_atomically


class RunFolder:
    """One run's folder, locked by this process until `close`.

    The lock is the operating system's, on `DIR/.lock`: it vanishes with the process that holds it, however
    that ends, so a lock file left behind by a dead process blocks nobody.
    """

    def __init__(self, path: Path) -> None:
        """Make the folder if it is missing, and lock it.

        Raises:
            RunError: another process trains into the folder, or `path` is a file.
        """
        self.path = path
        self._made, self._made_config = _missing(path), False
        self._replaced: Path | None = None
        try:
            path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise RunError(f"run_dir {str(path)!r} cannot be a folder, a file is in its way: name another") from error
        except OSError as error:
            raise _unwritable(path, error) from error
        self._made_lock = not (path / LOCK).exists()
        self._lock = FileLock(path / LOCK)
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise RunError(
                f"run_dir {str(path)!r} is in use by another fit, which holds {LOCK} there: "
                "wait for it, or give another --run_dir"
            ) from error
        except OSError as error:
            raise _unwritable(path, error) from error

    @classmethod
    def new(cls, path: Path) -> RunFolder:
        """Open a folder for a run that starts now.

        Raises:
            RunError: the folder holds a run, or is in use. Nothing has been written then.
        """
        _refuse_run(path)
        folder = cls(path)
        try:
            _refuse_run(path)  # again, for another process may have started and ended in between
        except RunError:
            folder.close()
            raise
        return folder

    @classmethod
    def new_default(cls, path: Path) -> RunFolder:
        """Open `path`, or `path-2`, `path-3` ... where runs of a sweep start within the same second."""
        for free in _numbered(path):
            with suppress(FileExistsError):
                made = _missing(free)
                try:
                    free.parent.mkdir(parents=True, exist_ok=True)
                    free.mkdir()
                except PermissionError as error:
                    raise _unwritable(free, error) from error
                folder = cls(free)
                folder._made = made
                return folder
        raise AssertionError("unreachable")

    @classmethod
    def existing(cls, path: Path) -> RunFolder:
        """Open the folder of an earlier run, to continue it.

        Raises:
            RunError: the folder holds no run, or is in use.
        """
        config_of(path)
        return cls(path)

    def write_config(self, text: str, step: int | None = None) -> None:
        """Write `config.yaml`, atomically.

        A config that a resumed run replaces is kept as `config.until-step-000123.yaml`: the arguments in
        force up to optimizer step `step`. One of another resumption at that step has a number behind.
        """
        path = self.path / CONFIG
        if path.exists():
            if path.read_text() == text:
                return
            names = _numbered(earlier_config(self.path, step or 0))
            kept = next(name for name in names if not name.exists())
            with drafted(kept) as draft:
                shutil.copy2(path, draft)
            self._replaced = kept
        else:
            self._made_config = True
        try:
            write_atomically(path, text)
        except OSError:
            self.restore_config()
            raise

    def restore_config(self) -> bool:
        """Put the config back that ``write_config`` has replaced; whether it had."""
        if self._replaced is None:
            return False
        self._replaced.replace(self.path / CONFIG)
        self._replaced = None
        return True

    def close(self) -> None:
        """Give the lock back."""
        self._lock.release()

    def discard(self) -> None:
        """Close, and remove what was made for this run, unless others use it: nothing was trained."""
        self.close()
        for name, made in ((CONFIG, self._made_config), (LOCK, self._made_lock)):
            if made:
                (self.path / name).unlink(missing_ok=True)
        with suppress(OSError):  # not empty: somebody's files, which stay
            for folder in self._made:
                for inside in (FIGURES, CHECKPOINTS):  # empty, where nothing could be written to them
                    with suppress(OSError):
                        (folder / inside).rmdir()
                folder.rmdir()


def _missing(path: Path) -> list[Path]:
    """`path` and those of its parents that do not exist yet, innermost first."""
    return [folder for folder in (path, *path.parents) if not folder.exists()]


def _unwritable(path: Path, error: OSError) -> RunError:
    return RunError(f"run_dir {str(path)!r} cannot be written to ({error.strerror}): name another")


def _numbered(path: Path) -> Iterator[Path]:
    yield path
    number = 2
    while True:
        yield path.with_name(f"{path.name}-{number}")
        number += 1


def _refuse_run(folder: Path) -> None:
    if holds_run(folder):
        if not any((folder / CHECKPOINTS).glob("*.ckpt")):  # killed before it saved anything
            raise RunError(
                f"run_dir {str(folder)!r} holds a run of which no checkpoint was saved, so there is nothing to "
                "continue: remove the folder, or give another --run_dir"
            )
        raise RunError(
            f"run_dir {str(folder)!r} already holds a run: continue it with --resume, or give another --run_dir"
        )
