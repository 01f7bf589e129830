"""What mesh files in text, and their headers, have in common: encodings, tables of numbers, names of other files."""

import warnings
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath

import numpy as np

from renderers.mesh.files.part import Array

BROKEN = "the file is broken, export it again"
MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def decoded(data: bytes) -> str:
    """The text of a file that says its encoding by a byte order mark, or else is UTF-8, or else Latin-1."""
    for mark, encoding in MARKS.items():
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def table(rows: Sequence[str], columns: int, places: Sequence[int], name: str = "line") -> Array:
    """The numbers (rows, columns) that rows of words are.

    Errors:
        ValueError, with the row's place in the file, for a word that is no number, and for more or fewer words.
    """
    if all(len(row.split()) == columns for row in rows):
        with warnings.catch_warnings(action="error", category=DeprecationWarning):  # of a word that is no number
            try:
                return np.fromstring(" ".join(rows), sep=" ").reshape(len(rows), columns)
            except (DeprecationWarning, ValueError):
                pass
    where = next(i for i, row in enumerate(rows) if not _is_row(row, columns))
    raise ValueError(f"{name} {places[where]}, {short(rows[where])}: it is not {columns} numbers: {BROKEN}")


def _is_row(row: str, columns: int) -> bool:
    try:
        return len([float(word) for word in row.split()]) == columns
    except ValueError:
        return False


def short(row: str) -> str:
    """A row as errors quote it."""
    words = " ".join(row.split())
    return repr(words if len(words) <= 60 else words[:57] + "...")


def find(name: str, folder: Path) -> Path | None:
    """The file that a mesh file in ``folder`` means by a name: there, or by the name's last part beside the mesh file.

    Names may be of Windows, and differ in case from the file's.
    """
    for path in (folder / name.replace("\\", "/"), folder / PureWindowsPath(name).name):
        if path.is_file():
            return path
        alike = [other for other in _listed(path.parent) if other.name.casefold() == path.name.casefold()]
        if len(alike) == 1 and alike[0].is_file():
            return alike[0]
    return None


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def say(path: Path, words: str) -> None:
    """A warning about a file."""
    warnings.warn(f"{str(path)!r}: {words}", stacklevel=2)
