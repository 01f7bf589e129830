"""Multi-sprites: a few coloured shapes on a black canvas, drawn on the fly from a counter."""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from datamodules.canvas import CanvasModule, CanvasScenes, Patch, Range, whole_numbers

SUPERSAMPLE = 4

Plane = NDArray[np.float64]

# Whether a point belongs to the shape; x right and y down in [-1, 1], the ends of the shape's box.
SHAPES: dict[str, Callable[[Plane, Plane], NDArray[np.bool_]]] = {
    "square": lambda x, y: np.maximum(abs(x), abs(y)) <= 1,
    "triangle": lambda x, y: abs(x) <= (y + 1) / 2,
    "disc": lambda x, y: x**2 + y**2 <= 1,
    "diamond": lambda x, y: abs(x) + abs(y) <= 1,
    "cross": lambda x, y: np.minimum(abs(x), abs(y)) <= 1 / 3,
}
COLORS = {
    "red": (1.0, 0.1, 0.1),
    "green": (0.1, 0.9, 0.1),
    "blue": (0.2, 0.3, 1.0),
    "yellow": (1.0, 0.9, 0.1),
    "magenta": (1.0, 0.2, 0.9),
    "cyan": (0.1, 0.9, 0.9),
}


class MultiSprites(CanvasModule):
    """Scenes of coloured shapes; images (3, canvas, canvas), boxes and masks of visible pixels.

    ``what`` is the place of the object's shape in ``shapes`` (its colour is no part of it). Where shapes overlap,
    later ones lie in front; a box is that of the whole shape. See CanvasModule for ``where``.

    Args:
        counts: the numbers of shapes a scene may hold, equally likely; repeat one to make it likelier.
        test_counts: those of test scenes; null: as counts.
        shapes: of square, triangle, disc, diamond, cross.
        colors: of red, green, blue, yellow, magenta, cyan.
        sizes: smallest and largest side of a shape's box, pixels; equally likely.
        occlusion: the largest share of a shape that others may hide; 0: boxes do not overlap.
        canvas: the image's side, pixels.
        batch_size, train_scenes, val_scenes, test_scenes, seed: see SceneDataModule.
    Errors:
        ValueError for names that are not known, and for counts that do not fit the canvas.
    """

    def __init__(
        self,
        counts: Sequence[int] = (0, 1, 2, 3),
        test_counts: Sequence[int] | None = None,
        shapes: Sequence[str] = ("square", "triangle", "disc"),
        colors: Sequence[str] = ("red", "green", "blue", "yellow", "magenta", "cyan"),
        sizes: Range = (12, 20),
        occlusion: float = 0.0,
        canvas: int = 64,
        batch_size: int = 64,
        train_scenes: int = 16_000,
        val_scenes: int = 512,
        test_scenes: int = 2_000,
        seed: int = 0,
    ) -> None:
        if not 4 <= sizes[0] <= sizes[1]:
            raise ValueError(f"sizes must be a pair 4 <= smallest <= largest, got {list(sizes)}: [12, 20], for example")
        _check_names("shapes", shapes, list(SHAPES))
        _check_names("colors", colors, list(COLORS))
        super().__init__(
            counts, test_counts, canvas, 3, occlusion, (int(sizes[0]), int(sizes[1])), batch_size, train_scenes,
            val_scenes, test_scenes, seed,
        )  # fmt: skip
        self.shapes, self.colors, self.sides = tuple(shapes), tuple(colors), (int(sizes[0]), int(sizes[1]))
        self.scenes("train").check()

    @property
    def identity_names(self) -> tuple[str, ...]:
        return self.shapes

    def scenes(self, split: str) -> "SpriteScenes":
        return SpriteScenes(self, split)


class SpriteScenes(CanvasScenes):
    """The scenes of one split."""

    def __init__(self, module: MultiSprites, split: str) -> None:
        super().__init__(module, split, masks=True)
        self.shapes, self.sides = module.shapes, module.sides
        self.colors = [np.array(COLORS[name], np.float32) for name in module.colors]

    def patches(self, random: np.random.Generator, n: int) -> list[Patch]:
        identities = whole_numbers(random, 0, len(self.shapes), n)
        colors = whole_numbers(random, 0, len(self.colors), n)
        sides = whole_numbers(random, self.sides[0], self.sides[1] + 1, n)
        return [
            Patch(k, self.colors[c], coverage(self.shapes[k], side)) for k, c, side in zip(identities, colors, sides)
        ]


@cache
def coverage(shape: str, side: int) -> NDArray[np.float32]:
    """The share (side, side) of each pixel that a shape covers, its box filling the array."""
    fine = (np.arange(side * SUPERSAMPLE) + 0.5) * 2 / (side * SUPERSAMPLE) - 1
    inside = SHAPES[shape](fine[None, :] + 0 * fine[:, None], fine[:, None] + 0 * fine[None, :])
    share: NDArray[np.float32] = inside.reshape(side, SUPERSAMPLE, side, SUPERSAMPLE).mean((1, 3), dtype=np.float32)
    return share


def _check_names(argument: str, names: Sequence[str], known: list[str]) -> None:
    strange = [name for name in names if name not in known]
    if strange or not names or len(set(names)) < len(names):
        raise ValueError(f"{argument} must be different ones of {', '.join(known)}, got {list(names)}")
