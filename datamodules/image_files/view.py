"""A rectangle of an image as an image of its own: what another camera at the same place sees."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datamodules.image_files.levels import Pixels
from renderers.mesh.pinhole import Lens

SAME = 1e-3
"""Pixels by which a rectangle may miss the image's own edges and be that image."""


class View(NamedTuple):
    """A rectangle in pixels of an image's file, from its upper left corner; what lies beyond the image is black.

    Attributes:
        left, top: of its corner. width, height: its sides. size: width and height of the image.
    """

    left: float
    top: float
    width: float
    height: float
    size: tuple[int, int]

    @classmethod
    def between(cls, own: Lens, wanted: Lens, size: tuple[int, int]) -> "View":
        """What the lens ``wanted`` sees, in an image of ``size`` (width, height) that the lens ``own`` made.

        Two pinhole cameras at one place that look one way see the same, but for a shift and a scale of each axis.
        """
        low, high = ([own.seen_from(wanted, k, edge) for k in (0, 1)] for edge in (-1, 1))
        left, top, right, bottom = ((edge + 1) * side / 2 for edge, side in zip((*low, *high), size * 2))
        return cls(left, top, right - left, bottom - top, size)

    def lens(self, own: Lens) -> Lens:
        """That of the rectangle, ``own`` being the image's."""
        width, height = self.size
        k = own.matrix(height, width)
        focal = 2 * k[0, 0] / self.height, 2 * k[1, 1] / self.height
        middle = 2 * (k[0, 2] + 0.5 - self.left) / self.width - 1, 2 * (k[1, 2] + 0.5 - self.top) / self.height - 1
        return Lens(float(focal[0]), float(focal[1]), self.width / self.height, float(middle[0]), float(middle[1]))

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of what comes out, pixels as large as the image's."""
        return max(1, round(self.height)), max(1, round(self.width))

    @property
    def is_whole(self) -> bool:
        """Whether it is the image itself."""
        gaps = np.subtract((self.left, self.top, self.width, self.height), (0, 0, *self.size))
        return bool(np.abs(gaps).max() < SAME)

    def of(self, pixels: Pixels) -> Pixels:
        """(H, W) or (H, W, 3), uint8 or float32, interpolated between the image's pixels."""
        if self.is_whole:
            return pixels
        if pixels.ndim == 3:
            return np.stack([self.of(channel) for channel in pixels.transpose(2, 0, 1)], -1)
        corners = (self.left, self.top, self.left + self.width, self.top + self.height)
        image = Image.fromarray(np.ascontiguousarray(pixels))
        shown = image.transform(self.shape[::-1], Image.Transform.EXTENT, corners, Image.Resampling.BILINEAR)
        return np.asarray(shown)

    def of_masks(self, masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(objects, H, W), each pixel as the one at its middle."""
        if self.is_whole:
            return masks
        return _taken(masks, *(self._middles(*part) for part in zip((self.top, self.left), self._sides, self.shape)))

    def back(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A mask (H, W) of the rectangle, of any size, in the image's pixels (height, width)."""
        parts = zip(self.size[::-1], (self.top, self.left), self._sides, mask.shape)
        rows, columns = (
            np.floor((np.arange(side) + 0.5 - start) / length * count).astype(np.int64)
            for side, start, length, count in parts
        )
        return _taken(mask[None], rows, columns)[0]

    @property
    def _sides(self) -> tuple[float, float]:
        return self.height, self.width

    def _middles(self, start: float, length: float, count: int) -> NDArray[np.int64]:
        """The image's rows, or columns, at the middles of the rectangle's."""
        return np.floor(start + (np.arange(count) + 0.5) * length / count).astype(np.int64)


def _taken(masks: NDArray[np.bool_], rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Rows and columns of masks (objects, H, W), nothing where there are none."""
    inside = [(part >= 0) & (part < side) for part, side in zip((rows, columns), masks.shape[1:])]
    clipped = [part.clip(0, side - 1) for part, side in zip((rows, columns), masks.shape[1:])]
    taken: NDArray[np.bool_] = masks[:, clipped[0][:, None], clipped[1]]
    return taken & inside[0][:, None] & inside[1]
