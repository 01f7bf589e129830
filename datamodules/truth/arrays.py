"""Truth as arrays, in the order of the images and in the coordinates of one renderer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.truth.record import TrueObject, TrueScene, Truth
from renderers.base import Renderer
from renderers.spaces import Categorical

POSITION = ("x", "y", "z")


@dataclass(frozen=True)
class TruthArrays:
    """What batches say of N images (``datamodules.base.Batch``).

    Attributes:
        count: (N,), -1 where nothing is told. what: (N, T), -1 where no identity is told. where: (N, T, P), NaN where a
            coordinate is not told. boxes: (N, T, 4) in the pixels of the image as the model sees it, or None.
    """

    count: NDArray[np.int64]
    what: NDArray[np.int64]
    where: NDArray[np.float32]
    boxes: NDArray[np.float32] | None = None

    def of(self, rows: Any) -> "TruthArrays":
        """What is told of some of them."""
        boxes = None if self.boxes is None else self.boxes[rows]
        return TruthArrays(self.count[rows], self.what[rows], self.where[rows], boxes)


def nothing(n: int, labels: NDArray[np.int64] | None = None) -> TruthArrays:
    """Of n images nothing is told; labels: (N,), given as ``what`` for whoever probes the codes."""
    what = np.zeros((n, 1), np.int64) if labels is None else labels[:, None]
    return TruthArrays(np.full(n, -1), what, np.zeros((n, 1, 3), np.float32))


class FolderTruth:
    """A truth file's scenes, one for each image of a folder, in their order.

    Args:
        truth: the file's. folder: of the images. places: of each its file and its number there.
        sizes: (N, 2), width and height of each as its file has it.
    Errors:
        ValueError for scenes of images that are not there, images of which there is no scene, and objects of which
        some are told more than others.
    """

    def __init__(self, truth: Truth, folder: Path, places: Sequence[tuple[Path, int]], sizes: NDArray[Any]) -> None:
        self.name, self.sizes = f"truth={str(truth.path)!r}", sizes
        self.scenes = _in_order(self.name, truth.scenes, folder, places)
        self.most = max(scene.count for scene in self.scenes)
        told = [len(scene.objects) == scene.count for scene in self.scenes]
        self.objects = [thing for scene in self.scenes for thing in scene.objects] if all(told) else []
        self.has_identities = self._all_or_none("identity", [thing.identity is not None for thing in self.objects])
        self.has_boxes = self._all_or_none("box", [thing.box is not None for thing in self.objects])
        self.coordinates = tuple(self.objects[0].pose) if self.objects else ()
        for thing in self.objects:
            if set(thing.pose) != set(self.coordinates):
                raise ValueError(
                    f"{self.name} gives poses by {', '.join(self.coordinates) or 'nothing'} and by "
                    f"{', '.join(thing.pose) or 'nothing'}: give all objects the same coordinates"
                )

    def known(self, renderer: Renderer) -> tuple[str, ...]:
        """The coordinates told, by the renderer's own order.

        Raises:
            ValueError: an identity or a coordinate is not the renderer's, or a position is told in part.
        """
        name = type(renderer).__name__
        if isinstance(renderer.what, Categorical) and self.has_identities:
            unknown = sorted({str(thing.identity) for thing in self.objects} - set(renderer.what.names))
            if unknown:
                raise ValueError(
                    f"{self.name} has objects of the identity {unknown[0]!r}, {name} draws "
                    f"{', '.join(renderer.what.names)}: rename them in the file, or choose a renderer that draws them"
                )
        mine = renderer.where.names
        foreign = [name for name in self.coordinates if name not in mine]
        missing = [name for name in mine if name in POSITION and name not in self.coordinates]
        if foreign or (missing and self.coordinates):
            raise ValueError(
                f"{self.name} gives poses by {', '.join(self.coordinates)}, {name} has {', '.join(mine)}: give its "
                "coordinates, in its units, or none (boxes and counts do without)"
            )
        untold = [name for name in self.coordinates if name in POSITION and self._lacks(name)]
        if untold:
            raise ValueError(f"{self.name} has an object without {untold[0]}: only rotations may be null")
        return tuple(name for name in mine if name in self.coordinates)

    def arrays(self, renderer: Renderer | None, shape: tuple[int, int]) -> TruthArrays:
        """As arrays, for images of ``shape`` (H, W); identities by the renderer's order, or by their names'."""
        n, most = len(self.scenes), max(1, self.most)
        order = self.coordinates if renderer is None else self.known(renderer)
        names = self.names(renderer)
        count = np.array([scene.count for scene in self.scenes], np.int64)
        what = np.full((n, most), 0 if self.has_identities else -1, np.int64)
        where = np.zeros((n, most, len(order)), np.float32)
        boxes = np.zeros((n, most, 4), np.float32) if self.has_boxes else None
        for row, slot, thing in self._each():
            if self.has_identities:
                what[row, slot] = names.index(str(thing.identity))
            where[row, slot] = [np.nan if thing.pose[name] is None else thing.pose[name] for name in order]
            if boxes is not None:
                boxes[row, slot] = np.array(thing.box) * np.tile(np.array(shape[::-1]) / self.sizes[row], 2)
        return TruthArrays(count, what, where, boxes)

    def names(self, renderer: Renderer | None) -> tuple[str, ...]:
        """Of the identities, in the order by which ``what`` counts them."""
        if renderer is not None and isinstance(renderer.what, Categorical):
            return renderer.what.names
        return tuple(sorted({str(thing.identity) for thing in self.objects}))

    def _each(self) -> Iterator[tuple[int, int, TrueObject]]:
        if self.objects:
            for row, scene in enumerate(self.scenes):
                yield from ((row, slot, thing) for slot, thing in enumerate(scene.objects))

    def _lacks(self, name: str) -> bool:
        return any(thing.pose[name] is None for thing in self.objects)

    def _all_or_none(self, what: str, told: list[bool]) -> bool:
        if any(told) and not all(told):
            raise ValueError(
                f"{self.name} tells the {what} of some objects and not of others: tell it of all, or of none"
            )
        return bool(told) and all(told)


def _in_order(
    name: str, scenes: Sequence[TrueScene], folder: Path, places: Sequence[tuple[Path, int]]
) -> list[TrueScene]:
    """The scene of each image. A scene's file is a path below the folder, or the name of a file that is there once."""
    rows = {(path.relative_to(folder).as_posix(), index): row for row, (path, index) in enumerate(places)}
    by_name: dict[tuple[str, int], list[int]] = {}
    for place, (path, index) in enumerate(places):
        by_name.setdefault((path.name, index), []).append(place)
    found: dict[int, TrueScene] = {}
    for scene in scenes:
        same = by_name.get((Path(scene.file).name, scene.index), [])
        exact = rows.get((scene.file, scene.index))
        row = same[0] if exact is None and len(same) == 1 else exact
        image = scene.file if not scene.index else f"{scene.file} (index {scene.index})"
        if row is None:
            reason = f"is {len(same)} times in" if same else "is not in"
            raise ValueError(f"{name} tells of {image}, which {reason} folder={str(folder)!r}: correct its name")
        if row in found:
            raise ValueError(f"{name} tells of {image} twice: leave one out")
        found[row] = scene
    if missing := [row for row in range(len(places)) if row not in found]:
        first = places[missing[0]][0].relative_to(folder)
        raise ValueError(
            f"{name} says nothing of {len(missing)} of the {len(places)} images in folder={str(folder)!r} ({first} "
            "first): tell of all of them, or move them out"
        )
    return [found[row] for row in range(len(places))]
