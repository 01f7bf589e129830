"""Masks as files and formats have them, and as a model's images want them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datamodules.image_files import MASK
from datamodules.truth.record import Box, TruthError

Mask = NDArray[np.bool_]
Labels = NDArray[Any]


@dataclass(frozen=True)
class LabelImage:
    """One image of whole numbers: 0 is the ground, i the i-th object.

    Attributes:
        place: the file, as of the image's folder; empty: beside the image, NAME.mask.png of NAME.png.
        objects: how many there are.
    """

    place: str
    objects: int

    @property
    def optional(self) -> bool:
        return not self.place

    def files(self, image: Path) -> Sequence[Path]:
        return (image.parent / (self.place or image.stem + MASK),)

    def read(self, image: Path) -> Mask:
        (path,) = self.files(image)
        labels = whole_numbers(path)
        if labels.max(initial=0) > self.objects:
            raise TruthError(
                f"{path} has the value {labels.max()}, and its scene {self.objects} objects: 0 is the ground, i the "
                "i-th object"
            )
        return of_labels(labels, range(1, self.objects + 1))


@dataclass(frozen=True)
class MaskFiles:
    """An image for each object, which shows where it is not 0."""

    paths: tuple[Path, ...]

    @property
    def optional(self) -> bool:
        return True

    def files(self, image: Path) -> Sequence[Path]:
        return self.paths

    def read(self, image: Path) -> Mask:
        masks = [whole_numbers(path) > 0 for path in self.paths]
        for path, mask in zip(self.paths, masks):
            if mask.shape != masks[0].shape:
                raise TruthError(f"{path} is {_size(mask)}, {self.paths[0]} {_size(masks[0])} (height x width)")
        return np.stack(masks)


def whole_numbers(path: Path) -> Labels:
    """(H, W) of a grey image or one with a palette, whose entries are the numbers.

    Errors:
        ValueError, with the path, for a file that cannot be read, and for colours.
    """
    try:
        with Image.open(path) as image:
            values = np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:  # Pillow raises all of them of damaged files
        raise TruthError(f"could not read the mask {path}: {error}") from error
    if values.ndim != 2 or values.dtype.kind not in "biu":
        raise TruthError(f"the mask {path} must be grey or have a palette, found an image of the mode {image.mode}")
    return values


def of_labels(labels: Labels, numbers: Sequence[int]) -> Mask:
    """(H, W) labels as masks (objects, H, W) of these numbers."""
    return labels[None] == np.array(numbers, np.int64)[:, None, None]


def boxes_of(masks: Mask) -> NDArray[np.float32]:
    """x0, y0, x1, y1 of masks (objects, H, W), ends excluded, (objects, 4); zeros where one is empty."""
    return np.array([box_of(mask) for mask in masks], np.float32).reshape(-1, 4)


def fitted(masks: Mask, shape: tuple[int, int]) -> Mask:
    """Masks (objects, H, W) at another size, each pixel as the one at its centre, and none in two masks.

    A pixel of several objects goes to the smallest of them.
    """
    rows, columns = (((np.arange(new) + 0.5) * old / new).astype(np.int64) for new, old in zip(shape, masks.shape[1:]))
    small = masks[:, rows[:, None], columns]
    return small if small.sum(0).max(initial=0) <= 1 else _apart(small)


def _apart(masks: Mask) -> Mask:
    labels = np.full(masks.shape[1:], -1)
    for number in np.argsort(-masks.sum((1, 2)), kind="stable"):
        labels[masks[number]] = number
    return of_labels(labels, range(len(masks)))


def box_of(mask: Mask) -> Box:
    """x0, y0, x1, y1 of a mask (H, W), ends excluded; zeros where it is empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return 0.0, 0.0, 0.0, 0.0
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def _size(mask: Mask) -> str:
    return f"{mask.shape[0]}x{mask.shape[1]}"
