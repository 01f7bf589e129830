"""What a file says of images, whatever its format."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]


class TruthError(ValueError):
    """A file says something that cannot be."""


class Placed(NamedTuple):
    """Where an object is in the file's own world, z upwards.

    Attributes:
        position: x, y, z in the file's unit. turn: radians about the upward axis, anticlockwise from above; None: not
            told, or nobody can see it.
    """

    position: tuple[float, float, float]
    turn: float | None


class SeenFrom(NamedTuple):
    """Where an object's model is in the camera's frame, x right, y down, z forward: x -> R x + t.

    Attributes:
        rotation: R (3, 3). translation: t (3,), millimetres.
    """

    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]


class TrueObject(NamedTuple):
    """An object of an image.

    Attributes:
        identity: its name; None where it is not told.
        pose: coordinates of a renderer by name, in its units; empty where none is told; None: not told of this object.
        box: x0, y0, x1, y1 in pixels of the image as its file has it, or of the scene's ``size``, from the upper left
            corner, ends excluded; 0, 0, 0, 0 where nothing of it shows.
        attributes: what else is told of its kind, by name: colour, size, material.
        placed: where it is in the file's own world; None where that is not told.
        seen: where it is in the camera's frame; None where that is not told, or not in a unit that is known.
        title: what messages call it.
    """

    identity: str | None
    pose: Mapping[str, float | None]
    box: Box | None
    attributes: Mapping[str, str] = {}
    placed: Placed | None = None
    seen: SeenFrom | None = None
    title: str = ""


class Masks(Protocol):
    """The masks of an image's objects, read when they are wanted."""

    @property
    def optional(self) -> bool:
        """Whether the format may do without these files; else one that is not there is an error."""

    def files(self, image: Path) -> Sequence[Path]:
        """The files that hold the masks of the image in this file; none where the truth's own file does."""

    def read(self, image: Path) -> NDArray[np.bool_]:
        """(objects, H, W) of the image in this file, in the order of the scene's objects.

        Errors:
            ValueError, with the file or the entry, for what cannot be read.
        """


@dataclass(frozen=True)
class TrueScene:
    """An image.

    Attributes:
        file: its file's path below the folder, its absolute path, or its name. index: its number in the file.
        count: how many objects there are. objects: all of them, or none where only their number is told.
        masks: of the objects; None where none are told.
        camera: its intrinsic matrix (3, 3), pixels of the file, (0, 0) being the middle of the first; None: not told.
        size: its width and height, in whose pixels boxes and masks are; None: not told, those of its file.
    """

    file: str
    index: int
    count: int
    objects: tuple[TrueObject, ...]
    masks: Masks | None = None
    camera: NDArray[np.float64] | None = None
    size: tuple[int, int] | None = None


class Truth(NamedTuple):
    """All that a source says.

    Attributes:
        path: of the file, or of the folder. scenes: an image each.
        is_aside: whether a file below the images' folder belongs to the truth, and is no image.
        periods: radians, the symmetry about the upward axis of identities of which it is told (2 pi: none; 0: whatever
            the turn, they look the same).
        palette: red, green and blue of the values of the attribute `color`, sRGB in [0, 1]; empty: not known.
        materials: how much of a mirror objects are, in [0, 1], by the values of the attribute `material`; likewise.
    """

    path: Path
    scenes: tuple[TrueScene, ...]
    is_aside: Callable[[Path], bool] = lambda path: False
    periods: Mapping[str, float] = {}
    palette: Mapping[str, tuple[float, ...]] = {}
    materials: Mapping[str, float] = {}
