"""What 2D scenes share: flat objects pasted on a square black canvas, and their truth in image coordinates."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from datamodules.base import Batch, SceneDataModule, Scenes, checked_counts, stream
from datamodules.degradation import CLEAN, Degradation
from renderers.base import Renderer

# Tries to place one object, to arrange one set of objects, and to draw another set instead.
TRIES, RESTARTS, REDRAWS = 32, 20, 20
# Sets of objects that are tried before training begins, and how many of them may find no room: then a scene of the
# run, which may redraw, is not left without (0.25 ** 20).
PROBES, FAILURES = 20, 5
# The stream of a scene's degradation, another than that of its objects: these are the same with and without it.
DEGRADATION = 1
COORDINATES = ("scale", "x", "y")

Box = tuple[int, int, int, int]
Range = tuple[int, int]


class Patch(NamedTuple):
    """An object without a place: its identity, colour (C,) and coverage (h, w) in [0, 1], up to the box's edges."""

    label: int
    color: NDArray[np.float32]
    alpha: NDArray[np.float32]


class CanvasModule(SceneDataModule):
    """Scenes of flat objects at uniform places, wholly on the canvas.

    ``where`` is scale, x, y: x and y in [-1, 1] are the centre of the object's box (x right, y down), the scale is
    the box's longer side as a share of the canvas's. ``what`` is the object's identity.

    Args:
        counts: the numbers of objects a scene may hold, equally likely; repeat one to make it likelier.
        test_counts: those of test scenes, to see whether a model counts what it was not trained on; null: as counts.
        canvas: the image's side, pixels. channels: 1 or 3.
        occlusion: the largest share of an object that others may hide; 0: boxes do not overlap.
        sides: bounds of the longer side of an object's box, pixels, to check the counts by.
        batch_size, train_scenes, val_scenes, test_scenes, seed: see SceneDataModule.
        degradation: what is done to the images; the truth stays that of the objects.
    Errors:
        ValueError for counts that are negative, missing, or too large for the canvas.
    """

    def __init__(
        self,
        counts: Sequence[int],
        test_counts: Sequence[int] | None,
        canvas: int,
        channels: int,
        occlusion: float,
        sides: Range,
        batch_size: int,
        train_scenes: int,
        val_scenes: int,
        test_scenes: int,
        seed: int,
        degradation: Degradation = CLEAN,
    ) -> None:
        super().__init__(batch_size, train_scenes, val_scenes, test_scenes, seed)
        self.counts, self.canvas, self.channels = checked_counts(counts), canvas, channels
        self.test_counts = self.counts if test_counts is None else checked_counts(test_counts)
        if not 0 <= occlusion < 1:
            raise ValueError(f"occlusion must lie in [0, 1), got {occlusion}: it is a share of an object")
        self.occlusion, self.degradation = occlusion, degradation
        check_room(self.largest_count, sides, canvas, occlusion)

    @property
    def largest_count(self) -> int:
        return max(*self.counts, *self.test_counts)

    @property
    def extent(self) -> float:
        return 2.0

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.channels, self.canvas, self.canvas

    def coordinates(self, renderer: Renderer) -> tuple[str, ...]:
        return COORDINATES


class CanvasScenes(Scenes):
    """The scenes of one split. Args as of the module; ``masks``: whether batches hold the objects' visible pixels."""

    def __init__(self, module: CanvasModule, split: str, masks: bool) -> None:
        self.counts = module.test_counts if split in ("test", "predict") else module.counts
        self.places, self.shape, self.occlusion = max(1, module.largest_count), module.image_shape, module.occlusion
        self.seed, self.split, self.masks = module.seed, split, masks
        self.degradation = module.degradation

    def check(self) -> None:
        """ValueError where the largest number of objects finds no room, or not with ease."""
        random, most = np.random.default_rng(0), max(self.counts)
        places = [self._arranged(self.patches(random, most), random) for _ in range(PROBES)]
        if places.count(None) > FAILURES:
            raise _crowded(most, self.shape[1], self.occlusion)

    @abstractmethod
    def patches(self, random: np.random.Generator, n: int) -> list[Patch]:
        """n random objects, those behind first."""

    def __getitems__(self, indices: list[int]) -> Batch:
        most, side = self.places, self.shape[1]
        images = np.zeros((len(indices), *self.shape), np.float32)
        count = np.zeros(len(indices), np.int64)
        what = np.zeros((len(indices), most), np.int64)
        boxes = np.zeros((len(indices), most, 4), np.float32)
        masks = np.zeros((len(indices), most, side, side), np.bool_) if self.masks else None
        for row, index in enumerate(indices):
            patches, places = self._scene(stream(self.seed, self.split, index))
            count[row] = len(patches)
            for slot, (patch, box) in enumerate(zip(patches, places)):
                what[row, slot], boxes[row, slot] = patch.label, box
                _paste(images, row, patch.color, patch.alpha, box[0], box[1])
                if masks is not None:
                    _cover(masks[row], slot, patch.alpha, box)
            if self.degradation != CLEAN:
                images[row] = self.degradation(images[row], stream(self.seed, self.split, index, DEGRADATION))
        corners = torch.from_numpy(boxes)
        return Batch(
            torch.from_numpy(images),
            torch.from_numpy(count),
            torch.from_numpy(what),
            where_of(corners, side),
            corners,
            None if masks is None else torch.from_numpy(masks),
        )

    def _scene(self, random: np.random.Generator) -> tuple[list[Patch], list[Box]]:
        n = self.counts[int(random.integers(len(self.counts)))]
        for _ in range(REDRAWS):
            patches = self.patches(random, n)
            places = self._arranged(patches, random)
            if places is not None:
                return patches, places
        raise _crowded(n, self.shape[1], self.occlusion)

    def _arranged(self, patches: Sequence[Patch], random: np.random.Generator) -> list[Box] | None:
        return arrange([patch.alpha for patch in patches], self.shape[1], self.occlusion, random)


def where_of(boxes: Tensor, side: int) -> Tensor:
    """Boxes (..., 4) in pixels to scale, x, y (..., 3) on a canvas of this side."""
    x0, y0, x1, y1 = boxes.unbind(-1)
    scale = torch.maximum(x1 - x0, y1 - y0) / side
    return torch.stack([scale, (x0 + x1) / side - 1, (y0 + y1) / side - 1], -1)


def arrange(
    alphas: Sequence[NDArray[np.float32]], side: int, occlusion: float, random: np.random.Generator
) -> list[Box] | None:
    """Uniform places for objects (h, w) on a square canvas, one after another; None where no arrangement was found.

    No two boxes overlap; or, where ``occlusion`` is positive, no more than that share of an object is hidden by the
    objects after it.
    """
    for _ in range(RESTARTS):
        places: list[Box] = []
        masks = np.zeros((len(alphas), side, side), np.bool_) if occlusion else None
        for alpha in alphas:
            candidates = _candidates(alpha.shape, side, random)
            place = next((box for box in candidates if _allowed(alphas, places, masks, box, occlusion)), None)
            if place is None:
                break
            if masks is not None:
                _cover(masks, len(places), alpha, place)
            places.append(place)
        else:
            return places
    return None


def check_room(count: int, sides: Range, canvas: int, occlusion: float) -> None:
    """ValueError where objects of such sides do not fit the canvas, or so many cannot lie apart on it."""
    smallest, largest = sides
    if largest > canvas:
        raise ValueError(
            f"an object of {largest} pixels does not fit a canvas of {canvas}: lower the sizes or enlarge it"
        )
    # a square lattice of this pitch has a point in each square, so apart squares are no more than its points
    most = (canvas // smallest) ** 2
    if count > most and not occlusion:
        raise ValueError(
            f"{count} objects of at least {smallest} pixels cannot lie apart on a canvas of {canvas}x{canvas}, at most "
            f"{most} can: lower the largest of `counts` or the sizes, or enlarge `canvas`"
        )


def _crowded(count: int, canvas: int, occlusion: float) -> ValueError:
    rule = f"hiding at most {occlusion:.0%} of each" if occlusion else "without overlap"
    return ValueError(
        f"could not place {count} objects {rule} on a canvas of {canvas}x{canvas}, or not with ease ({RESTARTS} "
        "arrangements of the same objects): lower the largest of `counts` or the sizes, or enlarge `canvas`"
    )


def _candidates(shape: tuple[int, ...], side: int, random: np.random.Generator) -> Iterator[Box]:
    height, width = shape
    across, down = side - width + 1, side - height + 1
    for u, v in random.random((TRIES, 2)):
        x, y = int(u * across), int(v * down)
        yield x, y, x + width, y + height


def _allowed(
    alphas: Sequence[NDArray[np.float32]],
    places: Sequence[Box],
    masks: NDArray[np.bool_] | None,
    box: Box,
    occlusion: float,
) -> bool:
    """Whether the next object may lie there. ``masks``: what one sees of those that have a place."""
    x0, y0, x1, y1 = box
    touched = [j for j, b in enumerate(places) if x0 < b[2] and b[0] < x1 and y0 < b[3] and b[1] < y1]
    if masks is None or not touched:
        return not touched
    covered = alphas[len(places)] >= 0.5
    for j in touched:
        lost = np.count_nonzero(masks[j, y0:y1, x0:x1] & covered)
        whole = np.count_nonzero(alphas[j] >= 0.5)
        if whole - np.count_nonzero(masks[j]) + lost > occlusion * whole:
            return False
    return True


def whole_numbers(random: np.random.Generator, start: int, stop: int, n: int) -> list[int]:
    """n random numbers, those of ``random.integers(start, stop, size=n)``, which takes longer for a few."""
    return [int(random.integers(start, stop)) for _ in range(n)]


@njit(nogil=True, cache=True)
def _paste(images: Any, row: int, color: Any, alpha: Any, left: int, top: int) -> None:
    """Lay an object, colour (C,) and coverage (h, w), over what an image of (B, C, H, W) shows there."""
    height, width = alpha.shape
    for c in range(color.shape[0]):
        for y in range(height):
            for x in range(width):
                there = images[row, c, top + y, left + x]
                images[row, c, top + y, left + x] = there + alpha[y, x] * (color[c] - there)


def _cover(masks: NDArray[np.bool_], slot: int, alpha: NDArray[np.float32], box: Box) -> None:
    """Give an object the pixels it covers for the greater part, and take them from those before it."""
    x0, y0, x1, y1 = box
    covered = alpha >= 0.5
    masks[:slot, y0:y1, x0:x1] &= ~covered
    masks[slot, y0:y1, x0:x1] = covered
