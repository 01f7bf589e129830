"""A truth's file or folder as the formats see it."""

import json
from functools import cached_property
from pathlib import Path
from typing import Any

from datamodules.truth.record import TruthError


class Source:
    """A file or a folder. ``content`` is a JSON file's, parsed when it is first asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def suffix(self) -> str:
        """Of the file's name, in lower case; empty of a folder."""
        return "" if self.path.is_dir() else self.path.suffix.lower()

    @cached_property
    def content(self) -> Any:
        """What a JSON file holds; None of a folder and of other files."""
        return None if self.path.is_dir() or self.suffix == ".csv" else parsed(self.path)


def parsed(path: Path) -> Any:
    """What a JSON file holds, in UTF-8, UTF-16 or UTF-32, with or without a byte order mark.

    Errors:
        ValueError for a damaged file.
    """
    try:
        return json.loads(path.read_bytes())
    except RecursionError as error:
        raise TruthError("its lists lie too deep in one another") from error
