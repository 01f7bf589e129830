"""Images larger than the model's, worked in tiles that overlap; what two tiles see is told once."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from air_lightning.commands.formats.coco import rle
from air_lightning.commands.predict.records import FoundObject, Point, Prediction, Segmentation, rounded
from datamodules.truth.run_lengths import decoded
from renderers.base import Renderer

SLACK = 1.0
"""Pixels beyond the middle of an overlap to which a tile is still asked, for two may put an object a little apart."""


AT_ONCE = 64
"""Tiles computed together."""


class Tile(NamedTuple):
    """A part of an image, of the model's size (width, height), whose upper left pixel is (left, top) in the image's."""

    left: int
    top: int
    size: tuple[int, int]
    image: tuple[int, int]

    def depth(self, point: Point) -> float:
        """Pixels from a point of the tile to the nearest of its edges that is not the image's; infinite: none is."""
        edges = []
        for at, start, length, whole in zip(point, (self.left, self.top), self.size, self.image):
            edges += [at] * (start > 0) + [length - at] * (start + length < whole)
        return min(edges, default=math.inf)


class Placed(NamedTuple):
    """A slot of a tile, in the image's pixels. number: the tile's. listed: whether the tile lists it as an object."""

    object: FoundObject
    number: int
    listed: bool
    depth: float

    @property
    def centre(self) -> Point:
        return _middle(self.object)

    def is_of(self, other: "Placed") -> bool:
        """Whether two tiles tell of one object: their centres lie within half of the half of the smaller window."""
        near = min(_half(self.object), _half(other.object)) / 2
        return self.number != other.number and math.dist(self.centre, other.centre) < near


def check_tiles(renderer: Renderer, overlap: int) -> None:
    """ValueError where images cannot be worked in tiles with this overlap, in pixels."""
    _, height, width = renderer.image_shape
    if not 0 <= overlap < min(height, width):
        raise ValueError(
            f"tiles overlap by 0 pixels or more, and by fewer than the model's images have ({width}x{height}, width x "
            f"height), got {overlap}: about the width of the largest object"
        )
    known = renderer.unproject(torch.zeros(2))
    missing = [name for name in ("x", "y") if name not in known or name not in renderer.where.names]
    if missing:
        raise ValueError(
            f"images are worked in tiles by renderers whose poses have the place in the image, x and y, and "
            f"{type(renderer).__name__} has {', '.join(renderer.where.names)}: leave tiles out, images are then scaled"
        )


def cut(image: Tensor, size: tuple[int, int], overlap: int) -> tuple[list[Tile], list[Tensor]]:
    """Tiles of an image (C, H, W), T in all, and what they show, batches (AT_ONCE, C, height, width).

    ``size`` is a tile's (width, height). They are spread evenly, and overlap by ``overlap`` pixels or more.
    """
    whole = image.shape[2], image.shape[1]
    lefts, tops = (_starts(all_of, part, overlap) for all_of, part in zip(whole, size))
    tiles = [Tile(left, top, size, whole) for top in tops for left in lefts]
    shown = [image[:, t.top : t.top + size[1], t.left : t.left + size[0]] for t in tiles]
    return tiles, [torch.stack(shown[first : first + AT_ONCE]) for first in range(0, len(shown), AT_ONCE)]


def merged(tiles: Sequence[Tile], predictions: Sequence[Prediction], overlap: int, all_slots: bool) -> Prediction:
    """What was seen in the tiles of one image, with all their slots, as one prediction.

    An object is told by the tile in which its centre lies farther within, by half of the overlap at least. The number
    of objects is that of all tiles; its probabilities take the slots as independent. The reconstruction error is that
    of the tile that is drawn worst.
    """
    if len(tiles) == 1:
        return predictions[0] if all_slots else replace(predictions[0], slots=None)
    placed = [p for number, pair in enumerate(zip(tiles, predictions)) for p in _placed(number, *pair, overlap)]
    kept: list[Placed] = []
    for one in sorted(placed, key=lambda p: (not p.listed, -p.depth)):
        if not any(one.is_of(other) for other in kept):
            kept.append(one)
    kept.sort(key=lambda p: not p.listed)
    slots, count = tuple(one.object for one in kept), sum(one.listed for one in kept)
    probabilities = tuple(rounded(p) for p in _number([found.confidence for found in slots]))
    errors = [p.reconstruction_error for p in predictions if p.reconstruction_error is not None]
    told = slots if all_slots else None
    return Prediction(*tiles[0].image, count, probabilities, slots[:count], told, max(errors, default=None))


def _starts(whole: int, part: int, overlap: int) -> list[int]:
    """First pixels of the tiles along a side."""
    steps = math.ceil(max(0, whole - part) / (part - overlap))
    return [round(step * (whole - part) / steps) for step in range(steps + 1)] if steps else [0]


def _placed(number: int, tile: Tile, prediction: Prediction, overlap: int) -> list[Placed]:
    """Those slots of a tile that it is asked for."""
    result = []
    for i, found in enumerate(prediction.slots or ()):
        depth = tile.depth(_middle(found))
        if depth >= overlap / 2 - min(SLACK, overlap / 4):
            result.append(Placed(_moved(found, tile), number, i < prediction.count, depth))
    return result


def _moved(found: FoundObject, tile: Tile) -> FoundObject:
    """A tile's object in the pixels of the image; its x and y in image coordinates of the image."""
    pose, sd = dict(found.pose), dict(found.pose_sd)
    for name, start, length, whole in zip(("x", "y"), (tile.left, tile.top), tile.size, tile.image):
        at, spread = pose[name], sd[name]
        assert at is not None and spread is not None  # straight coordinates are always told
        pose[name] = rounded(((at + 1) * length + 2 * start) / whole - 1)
        sd[name] = rounded(spread * length / whole)
    left, top = tile.left, tile.top
    window = tuple((rounded(x + left), rounded(y + top)) for x, y in found.window)
    box = None
    if found.box is not None:
        x0, y0, x1, y1 = found.box
        box = (x0 + left, y0 + top, x1 + left, y1 + top)
    segmentation = None if found.segmentation is None else _placed_mask(found.segmentation, tile)
    return replace(found, pose=pose, pose_sd=sd, window=window, box=box, segmentation=segmentation)


def _placed_mask(segmentation: Segmentation, tile: Tile) -> Segmentation:
    """A tile's mask in the image's pixels."""
    width, height = tile.image
    mask = np.zeros((height, width), np.bool_)
    mask[tile.top : tile.top + tile.size[1], tile.left : tile.left + tile.size[0]] = decoded(segmentation)
    return rle(mask)


def _middle(found: FoundObject) -> Point:
    x, y = (sum(side) / len(found.window) for side in zip(*found.window))
    return x, y


def _half(found: FoundObject) -> float:
    """Half the mean side of its window, pixels."""
    corners = [*found.window, found.window[0]]
    return sum(math.dist(a, b) for a, b in zip(corners, corners[1:])) / (2 * len(found.window))


def _number(confidences: Sequence[float]) -> list[float]:
    """The distribution of how many of independent slots are there (Poisson's binomial)."""
    result = [1.0]
    for p in confidences:
        result = [(1 - p) * a + p * b for a, b in zip([*result, 0.0], [0.0, *result])]
    return result
