"""Several channels of 16 bits, of which Pillow keeps the upper 8.

It unpacks a pixel's bytes as the tile's raw mode says, and takes the upper byte of each value where that names the
file's byte order, so the lower byte where it names the other one.
"""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from datamodules.image_files.record import RawImage, without_alpha

OTHER_ORDER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
KINDS = ("RGB;16", "RGBA;16", "LA;16")


def raw_mode(image: Image.Image) -> str:
    """How an image that is not yet loaded lies in its file; empty of others."""
    tiles = getattr(image, "tile", None)
    args = tiles[0][3] if tiles else ""
    return str(args[0] if isinstance(args, tuple) else args)


def applies(image: Image.Image) -> bool:
    """Whether loading the image would cut its values to 8 bits."""
    return raw_mode(image)[:-1] in KINDS


def decoded(opened: Callable[[], Image.Image]) -> RawImage:
    """The image with all its bits. ``opened``: opens it anew, for it is loaded twice."""
    with opened() as image:
        mode, key = raw_mode(image), image.info.get("transparency")
    if mode.startswith("LA"):  # four bytes a pixel, as red, green, blue and alpha have
        grey, alpha = np.moveaxis(_loaded(opened, "RGBA").view(">u2"), -1, 0)
        return RawImage(grey.astype(np.uint16), (alpha / 65535).astype(np.float32))
    upper, lower = (_loaded(opened, mode[:-1] + order) for order in (mode[-1], OTHER_ORDER[mode[-1]]))
    values = upper.astype(np.uint16) << 8 | lower
    if key is not None:
        return RawImage(values, (values != np.array(key)).any(-1).astype(np.float32))
    return without_alpha(values, 65535)


def _loaded(opened: Callable[[], Image.Image], mode: str) -> NDArray[Any]:
    """The bytes (H, W, C) that Pillow unpacks by this raw mode, turned as the camera says."""
    with opened() as image:
        image.tile = [tile._replace(args=_as(mode, tile.args)) for tile in image.tile]  # type: ignore[attr-defined]
        return np.ascontiguousarray(ImageOps.exif_transpose(image))


def _as(mode: str, args: Any) -> Any:
    return (mode, *args[1:]) if isinstance(args, tuple) else mode
