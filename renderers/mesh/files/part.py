"""What every reader of mesh files gives: triangles, what colours them, and the textures of these."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from renderers.mesh.files.images import Pixels

Array = NDArray[np.float64]
Wrap = Literal["repeat", "mirror", "clamp"]


class Texture(NamedTuple):
    """An image, sRGB, its rows from the top, and how it goes on beyond its sides, along u and along v.

    ``pixels`` (H, W, 3 or 4): RGB or RGBA, as ``images.read_image`` gives them.
    """

    pixels: Pixels
    wrap: tuple[Wrap, Wrap] = ("repeat", "repeat")

    def at(self, uv: Array) -> Array:
        """The texels (..., 3 or 4) in [0, 1] at coordinates (..., 2): (0, 0) is the upper left corner, v goes down."""
        height, width = self.pixels.shape[:2]
        texels = self.pixels[_wrapped(uv[..., 1], height, self.wrap[1]), _wrapped(uv[..., 0], width, self.wrap[0])]
        return texels / self._full

    @property
    def contrast(self) -> float:
        """The most that two texels differ by, alpha included."""
        return float(np.ptp(self.pixels, axis=(0, 1)).max() / self._full)

    @property
    def _full(self) -> np.float64:
        return np.float64(255 if self.pixels.dtype == np.uint8 else 65535)


def _wrapped(coordinate: Array, count: int, wrap: Wrap) -> NDArray[np.int64]:
    """Which of so many texels a coordinate means, [0, 1] being all of them once."""
    if wrap == "repeat":
        coordinate = np.mod(coordinate, 1)
    elif wrap == "mirror":
        coordinate = 1 - np.abs(1 - np.mod(coordinate, 2))
    return np.clip(np.floor(coordinate * count), 0, count - 1).astype(np.int64)


class Part(NamedTuple):
    """Triangles of one material, in the file's own units, where the file's scene has them.

    Attributes:
        corners: (F, 3, 3).
        tint: (F, 3, 3) RGB at each corner, which multiplies the texture where there is one. See ``linear``.
        uv: (F, 3, 2) texture coordinates, as ``Texture.at`` takes them; None without a texture.
        texture: None without one.
        linear: whether ``tint`` is linear, as glTF has it: the product with the texture is made in linear numbers and
            encoded as sRGB. Else all is sRGB as it stands.
    """

    corners: Array
    tint: Array
    uv: Array | None = None
    texture: Texture | None = None
    linear: bool = False

    def some(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> "Part":
        """The part with some of its triangles."""
        if which.dtype == bool and which.all():
            return self
        uv = None if self.uv is None else self.uv[which]
        return self._replace(corners=self.corners[which], tint=self.tint[which], uv=uv)


def plain(corners: Array, rgb: Array | tuple[float, float, float] | None = None) -> Part:
    """Triangles (F, 3, 3) in one sRGB colour; grey where none is given."""
    return Part(corners, np.broadcast_to(GREY if rgb is None else np.asarray(rgb, np.float64), corners.shape))


GREY = np.full(3, 0.7)  # what has no colour
