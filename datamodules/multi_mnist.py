"""Multi-MNIST: a few handwritten digits on a black canvas, drawn on the fly from a counter."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from datamodules import files, mnist_files
from datamodules.canvas import CanvasModule, CanvasScenes, Patch, Range, whole_numbers
from datamodules.degradation import Degradation
from datamodules.mnist_files import SIDE, SOURCE, Digits

# MNIST's digits fill 20 of their 28 pixels, in the longer direction.
INK = 20 / 28
FAINTEST = np.float32(1 / 255)
ONE = np.float32(1)
SHARES = np.arange(256, dtype=np.float32) / 255
WHITE = np.ones(1, np.float32)


class MultiMNIST(CanvasModule):
    """Scenes of MNIST digits whose ink does not overlap; grey images (1, canvas, canvas).

    ``what`` is the digit, 0-9; boxes and ``where`` are those of its ink (see CanvasModule for the coordinates).
    Training and validation scenes use digits of MNIST's training file, validation the last twelfth (5 000) and
    training the others; test scenes use the test file. Differs from the multi-MNIST of Pyro's AIR example in that
    boxes, not only bright pixels, are apart, in the sizes (there about 28 / N(1.3, 0.1)), and in that only the ink,
    not a digit's whole 28x28 frame, must lie on the canvas. Held-out scenes have masks: a digit's pixels are those that
    its ink covers for the greater part, and no two digits share one, for their boxes are apart.

    Args:
        counts: the numbers of digits a scene may hold, equally likely; repeat one to make it likelier.
        test_counts: those of test scenes; null: as counts.
        root: folder that holds `mnist/` with MNIST's four files, packed (`.gz`) or unpacked, or torchvision's
            `MNIST/raw/` with them; null: $AIR_DATA_ROOT if it has them, otherwise they are downloaded to the user's
            cache (which needs the package `pooch`).
        canvas: the image's side, pixels.
        sizes: smallest and largest side, in pixels, to which a digit's 28x28 frame is scaled; equally likely.
        batch_size, train_scenes, val_scenes, test_scenes, seed: see SceneDataModule.
        contrast, noise, grid, pitch: see Degradation.
    Errors:
        ValueError for counts that do not fit the canvas, for files that are absent, truncated or wrong, and as
        Degradation.
    """

    def __init__(
        self,
        counts: Sequence[int] = (0, 1, 2),
        test_counts: Sequence[int] | None = None,
        root: str | None = None,
        canvas: int = 50,
        sizes: Range = (20, 28),
        batch_size: int = 64,
        train_scenes: int = 16_000,
        val_scenes: int = 512,
        test_scenes: int = 2_000,
        seed: int = 0,
        contrast: float = 1.0,
        noise: float = 0.0,
        grid: float = 0.0,
        pitch: int = 5,
    ) -> None:
        if not 8 <= sizes[0] <= sizes[1]:
            raise ValueError(f"sizes must be a pair 8 <= smallest <= largest, got {list(sizes)}: [20, 28], for example")
        sides = round(sizes[0] * INK), sizes[1]  # the largest for certain: whose files they are, nobody knows
        super().__init__(
            counts, test_counts, canvas, 1, 0.0, sides, batch_size, train_scenes, val_scenes, test_scenes, seed,
            Degradation(contrast, noise, grid, pitch),
        )  # fmt: skip
        self.root, self.frames = root, (int(sizes[0]), int(sizes[1]))
        if files.find(SOURCE, root) is not None:
            self._check()  # what is wrong shows here, before a run has begun

    @property
    def identity_names(self) -> tuple[str, ...]:
        return tuple("0123456789")

    def prepare_data(self) -> None:
        """Have the files, in one process before the others look for them."""
        self._check()

    def scenes(self, split: str) -> "DigitScenes":
        return DigitScenes(self, split, self._digits(split), masks=split != "train")

    def detailed(self, split: str) -> "DigitScenes":
        return DigitScenes(self, split, self._digits(split), masks=True)

    def _digits(self, split: str) -> Digits:
        if split in ("test", "predict"):
            return mnist_files.load(self.root, "t10k")
        images, labels = mnist_files.load(self.root, "train")
        held_out = max(1, len(labels) // 12)
        part = slice(-held_out, None) if split == "val" else slice(None, -held_out)
        return Digits(images[part], labels[part])

    def _check(self) -> None:
        for split in ("train", "test"):
            if not len(self._digits(split).labels):
                raise ValueError(f"MNIST's files hold no digit for the split {split!r}: they need two at least")
            self.scenes(split).check()


class DigitScenes(CanvasScenes):
    """The scenes of one split, of these digits."""

    def __init__(self, module: MultiMNIST, split: str, digits: Digits, masks: bool = False) -> None:
        super().__init__(module, split, masks)
        self.digits, self.frames = digits, module.frames

    def patches(self, random: np.random.Generator, n: int) -> list[Patch]:
        rows = whole_numbers(random, 0, len(self.digits.labels), n)
        sizes = whole_numbers(random, self.frames[0], self.frames[1] + 1, n)
        return [
            Patch(int(self.digits.labels[row]), WHITE, inked(self.digits.images[row], size))
            for row, size in zip(rows, sizes)
        ]


def inked(digit: NDArray[np.uint8], size: int) -> NDArray[np.float32]:
    """A digit (28, 28) scaled to ``size`` x ``size`` and cut to the box of its ink, in [0, 1]."""
    weights = scaling(size)
    scaled = weights.dot(SHARES.take(digit)).dot(weights.T)  # for so small ones twice as fast as @
    top, bottom, left, right = _ink(scaled)
    if not bottom:
        raise ValueError(
            f"a digit whose brightest pixel is {digit.max()} of 255 is black when scaled to {size}x{size} pixels: "
            "leave it out of MNIST's files, or raise `sizes`"
        )
    return scaled[top:bottom, left:right]


@njit(nogil=True, cache=True)
def _ink(scaled: Any) -> tuple[int, int, int, int]:
    """The box of what is not black, ends excluded; and nothing is brighter than 1 then, which rounding may make it."""
    top, bottom, left, right = scaled.shape[0], 0, scaled.shape[1], 0
    for y in range(scaled.shape[0]):
        for x in range(scaled.shape[1]):
            if scaled[y, x] >= FAINTEST:
                top, bottom = min(top, y), y + 1
                left, right = min(left, x), max(right, x + 1)
            scaled[y, x] = min(scaled[y, x], ONE)
    return top, bottom, left, right


@lru_cache
def scaling(size: int, source: int = SIDE) -> NDArray[np.float32]:
    """Weights (size, source) that scale one direction: linear interpolation, of areas where it shrinks."""
    ratio = source / size
    centers = (np.arange(size)[:, None] + 0.5) * ratio - 0.5
    weights = (1 - np.abs(np.arange(source) - centers) / max(ratio, 1)).clip(0)
    normalised: NDArray[np.float32] = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    return normalised
