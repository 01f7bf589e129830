"""What a file says of images, whatever its format."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

Box = tuple[float, float, float, float]


class TruthError(ValueError):
    """A file says something that cannot be."""


class TrueObject(NamedTuple):
    """An object of an image.

    Attributes:
        identity: its name; None where it is not told.
        pose: coordinates of a renderer by name, in its units; empty where none is told; None: not told of this object.
        box: x0, y0, x1, y1 in pixels of the image as its file has it, from the upper left corner, ends excluded.
    """

    identity: str | None
    pose: Mapping[str, float | None]
    box: Box | None


@dataclass(frozen=True)
class TrueScene:
    """An image.

    Attributes:
        file: its file's path below the folder, or its name. index: its number in the file.
        count: how many objects there are. objects: all of them, or none where only their number is told.
    """

    file: str
    index: int
    count: int
    objects: tuple[TrueObject, ...]


class Truth(NamedTuple):
    """All that a file says."""

    path: Path
    scenes: tuple[TrueScene, ...]
