"""A folder that is written bit by bit, and is there when all of it is: writing goes on from wherever it stopped."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from air_lightning.runs.writing import write_atomically

SOURCE = "source.json"
"""What the scenes were made from, in the folder itself."""
Row = dict[str, Any]


class Draft:
    """The beginning of an output folder, beside it: `OUT.partial/`.

    `files/` becomes the output; `records/` holds a file for each piece of work that is done, with a line for each
    scene; `scratch/` is a format's own.

    Args:
        output: the folder to make. source: all that decides what is in it; JSON.
    Errors:
        ValueError where there is something else, or the beginning of something else, or another process is at work.
    """

    def __init__(self, output: Path, source: Mapping[str, Any]) -> None:
        self.output, self.place = output, output.with_name(f"{output.name}.partial")
        self.text = json.dumps(source, indent=2) + "\n"
        self.files, self.records, self.scratch = (self.place / name for name in ("files", "records", "scratch"))
        self._lock = FileLock(self.place / ".lock", timeout=0)

    def is_done(self) -> bool:
        """Whether the output is there, whole.

        Raises:
            ValueError: something else is.
        """
        if not self.output.is_dir() or not any(self.output.iterdir()):
            return False
        there = self.output / SOURCE
        if there.is_file() and there.read_text() == self.text:
            shutil.rmtree(self.place, ignore_errors=True)  # what a stop at the very end left
            return True
        other = _difference(there, self.text) if there.is_file() else "other things"
        raise ValueError(f"--output {str(self.output)!r} holds {other}: name another folder")

    def open(self) -> int:
        """Make it, or go on with it; how many pieces of work are done."""
        self.place.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire()
        except Timeout:
            raise ValueError(f"another process is at work on {str(self.place)!r}: wait for its end") from None
        begun = self.place / SOURCE
        if begun.is_file() and begun.read_text() != self.text:
            raise ValueError(
                f"{str(self.place)!r} holds the beginning of {_difference(begun, self.text)}: give what was given "
                "then, or remove it"
            )
        for folder in (self.files, self.records, self.scratch):
            folder.mkdir(exist_ok=True)
        write_atomically(begun, self.text)
        return len(self._records_written())

    def keep(self, piece: int, rows: Sequence[Row]) -> None:
        """Note that a piece of work is done, and what is to be remembered of its scenes."""
        write_atomically(self.records / f"{piece:08d}.jsonl", "".join(json.dumps(row) + "\n" for row in rows))

    def __iter__(self) -> Iterator[Row]:
        """What was kept, in order."""
        for path in self._records_written():
            with path.open() as file:
                yield from map(json.loads, file)

    def close(self) -> None:
        """Let others at it."""
        self._lock.release()

    def finish(self) -> None:
        """Put the files in their place, all at once."""
        write_atomically(self.files / SOURCE, self.text)
        os.replace(self.files, self.output)  # an empty folder may be there
        shutil.rmtree(self.place)

    def _records_written(self) -> list[Path]:
        return sorted(self.records.glob("[0-9]*.jsonl"))


def _difference(path: Path, text: str) -> str:
    """In words, what other scenes a file says it is about."""
    try:
        theirs, ours = json.loads(path.read_text()), json.loads(text)
    except ValueError:
        return "other things"
    names = [name for name in ours if theirs.get(name) != ours[name]]
    told = [f"{name} {theirs.get(name)!r}, not {ours[name]!r}" for name in names if not isinstance(ours[name], dict)]
    return f"other scenes ({'; '.join(told) or f'another {names[0]}'})"
