"""Truth as arrays, in the order of the images and in the coordinates of one renderer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from datamodules.truth.masks import boxes_of, fitted
from renderers.base import Renderer

POSITION = ("x", "y", "z")


@dataclass(frozen=True)
class MaskRows:
    """The masks of N images, read when a batch is made.

    Attributes:
        read: the number of an image to its masks (objects, H, W), as its file has them.
        rows: (N,) the images' numbers.
        shape: height and width of the images as the model sees them. most: T.
    """

    read: Callable[[int], NDArray[np.bool_]]
    rows: NDArray[np.int64]
    shape: tuple[int, int]
    most: int

    def of(self, rows: Any) -> "MaskRows":
        """Those of some of them."""
        return replace(self, rows=self.rows[rows])

    def load(self) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Masks (N, T, H, W), and their boxes (N, T, 4) in the pixels of those images."""
        masks = np.zeros((len(self.rows), self.most, *self.shape), np.bool_)
        boxes = np.zeros((len(self.rows), self.most, 4), np.float32)
        for place, row in enumerate(self.rows.tolist()):
            found = self.read(row)
            masks[place, : len(found)] = fitted(found, self.shape)
            boxes[place, : len(found)] = scaled(boxes_of(found), found.shape[:0:-1], self.shape)
        return masks, boxes


@dataclass(frozen=True)
class TruthArrays:
    """What batches say of N images (``datamodules.base.Batch``).

    Attributes:
        count: (N,), -1 where nothing is told. what: (N, T), -1 where no identity is told. where: (N, T, P), NaN where a
            coordinate is not told. boxes: (N, T, 4) in the pixels of the image as the model sees it, or None.
        masks: from which boxes are taken where there are none; or None.
    """

    count: NDArray[np.int64]
    what: NDArray[np.int64]
    where: NDArray[np.float32]
    boxes: NDArray[np.float32] | None = None
    masks: MaskRows | None = None

    def of(self, rows: Any) -> "TruthArrays":
        """What is told of some of them."""
        boxes = None if self.boxes is None else self.boxes[rows]
        masks = None if self.masks is None else self.masks.of(rows)
        return TruthArrays(self.count[rows], self.what[rows], self.where[rows], boxes, masks)


class ImageTruth(Protocol):
    """What is known of the images of a data module, whatever tells it.

    Attributes:
        most: the most objects of an image. has_identities, has_boxes, has_masks: whether they are told of all objects.
        periods: symmetries by identity, of those of which they are told (``datamodules.truth.Truth``).
        palette: likewise.
    """

    @property
    def most(self) -> int: ...
    @property
    def has_identities(self) -> bool: ...
    @property
    def has_boxes(self) -> bool: ...
    @property
    def has_masks(self) -> bool: ...
    @property
    def periods(self) -> Mapping[str, float]: ...
    @property
    def palette(self) -> Mapping[str, tuple[float, ...]]: ...

    def names(self, renderer: Renderer | None) -> tuple[str, ...]:
        """Of the identities, in the order by which ``what`` counts them."""

    def known_coordinates(self, renderer: Renderer | None) -> tuple[str, ...]:
        """The coordinates told, by the renderer's own order; ValueError where the truth is of another world.

        Without a renderer there are none: poses that are told then are a ValueError, too.
        """

    def arrays(self, renderer: Renderer | None, shape: tuple[int, int]) -> TruthArrays:
        """As arrays, for images of ``shape`` (H, W); identities by the renderer's order, or by their names'."""


def nothing(n: int, labels: NDArray[np.int64] | None = None) -> TruthArrays:
    """Of n images nothing is told; labels: (N,), given as ``what`` for whoever probes the codes."""
    what = np.zeros((n, 1), np.int64) if labels is None else labels[:, None]
    return TruthArrays(np.full(n, -1), what, np.zeros((n, 1, 3), np.float32))


def own_coordinates(name: str, given: Sequence[str], renderer: Renderer) -> tuple[str, ...]:
    """Those of ``given`` by the renderer's own order; ``name``: of what gives poses by them.

    Raises:
        ValueError: one is not the renderer's, or a position is told in part.
    """
    mine = renderer.where.names
    foreign = [coordinate for coordinate in given if coordinate not in mine]
    missing = [coordinate for coordinate in mine if coordinate in POSITION and coordinate not in given]
    if foreign or (missing and given):
        raise ValueError(
            f"{name} gives poses by {', '.join(given)}, {type(renderer).__name__} has {', '.join(mine)}: give its "
            "coordinates, in its units, or none (boxes and counts do without)"
        )
    return tuple(coordinate for coordinate in mine if coordinate in given)


def without_renderer(name: str, gives_poses: bool) -> tuple[str, ...]:
    """The coordinates that are known without a renderer, none; ``name``: of what tells of the images.

    Raises:
        ValueError: it gives poses.
    """
    if gives_poses:
        raise ValueError(
            f"{name} gives poses in the coordinates of the model's renderer, and there is none: give a --config with a "
            "model, or --model.renderer"
        )
    return ()


def scaled(boxes: NDArray[np.float32], size: Any, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Boxes (..., 4) of an image of ``size`` (width, height) in pixels of one of ``shape`` (height, width)."""
    factor: NDArray[np.float32] = (np.array(shape[::-1]) / np.array(size)).astype(np.float32)
    return boxes * np.tile(factor, 2)
