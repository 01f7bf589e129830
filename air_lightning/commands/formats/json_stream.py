"""JSON whose lists are longer than memory."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any


def write_json(path: Path, entries: Mapping[str, Any]) -> None:
    """Write an object whose lists are given as iterables, a line for each of their items.

    Args:
        entries: text, dicts and lists are written as they are; what else can be iterated over becomes a list.
    """
    with path.open("w") as file:
        file.write("{")
        for number, (name, value) in enumerate(entries.items()):
            file.write(f"{',' if number else ''}\n{json.dumps(name)}: ")
            _write(file, value)
        file.write("\n}\n")


def write_keyed(path: Path, items: Iterable[tuple[int, Any]]) -> None:
    """Write an object with a line for each pair of key and value, as BOP's files have them."""
    with path.open("w") as file:
        file.write("{")
        for number, (key, value) in enumerate(items):
            file.write(f'{"," if number else ""}\n  "{key}": {dumps(value)}')
        file.write("\n}\n")


def write_list(path: Path, items: Iterable[Any]) -> None:
    """Write a list, a line for each item."""
    with path.open("w") as file:
        _write(file, items)
        file.write("\n")


def dumps(value: Any) -> str:
    """As JSON, in which there is no NaN and no infinity."""
    return json.dumps(value, allow_nan=False)


def _write(file: IO[str], value: Any) -> None:
    if isinstance(value, (str, list, dict)):
        file.write(dumps(value))
        return
    file.write("[")
    for number, item in enumerate(value):
        file.write(f"{',' if number else ''}\n{dumps(item)}")
    file.write("]")
