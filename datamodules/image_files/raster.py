"""PNG, JPEG, TIFF, WebP and BMP files, and images of Pillow."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from datamodules.image_files import deep_color, tiff
from datamodules.image_files.record import RawImage, RawImages, without_alpha

ANIMATED = ("PNG", "WEBP")
"""Formats whose files may hold an animation. (A JPEG of several images has previews behind the first one.)"""

STEPS = {"L;2": 85, "L;4": 17}
"""Pillow widens greys of 2 and 4 bits to 8, and leaves the transparent value as it was."""


def read(path: Path) -> RawImages:
    """The image of a file, or the pages of a TIFF, turned as the camera says. What is a single image is read at once.

    Errors:
        ValueError for a TIFF that Pillow reads wrongly, and for a PNG or WebP of several images; and what Pillow
        raises of damaged files.
    """
    with Image.open(path) as image:
        frames = getattr(image, "n_frames", 1) if image.format in ("TIFF", *ANIMATED) else 1
        if image.format in ANIMATED and frames > 1:
            raise ValueError(f"it is an animation of {frames} images: save each as a file")
        if image.format != "TIFF":
            raw = _raw(image, partial(_opened, path, 0))
            return RawImages(1, lambda number: raw)
    return RawImages(frames, partial(_page, path))


def from_pillow(image: Image.Image) -> RawImage:
    """An image of Pillow, of any mode. A transparent value or palette entry becomes alpha."""
    step = STEPS.get(deep_color.raw_mode(image), 1)
    key = image.info.get("transparency")
    turned = _turned(image)
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or (image.mode == "P" and key is not None):
        return without_alpha(np.asarray(turned.convert("RGBA")), 255)
    values = _values(turned)
    return RawImage(values, None if key is None else _opaque(values, np.multiply(key, step)))


def _page(path: Path, number: int) -> RawImage:
    """A page of a TIFF."""
    with _opened(path, number) as image:
        unsigned = tiff.is_unsigned(image)
        tiff.check(image)
        raw = _raw(image, partial(_opened, path, number))
        return raw._replace(values=raw.values.view(np.uint32)) if unsigned else raw


def _raw(image: Image.Image, opened: Callable[[], Image.Image]) -> RawImage:
    """An image of a file. ``opened``: opens it anew."""
    return deep_color.decoded(opened) if deep_color.applies(image) else from_pillow(image)


def _opened(path: Path, number: int) -> Image.Image:
    image = Image.open(path)
    if number:
        image.seek(number)
    return image


def _turned(image: Image.Image) -> Image.Image:
    """The image as the camera says; itself, and no copy, where that is as it lies."""
    image.load()  # of a PNG, what the camera says may come last
    lies_right = image.getexif().get(ExifTags.Base.Orientation, 1) == 1
    return image if lies_right else ImageOps.exif_transpose(image)


def _values(image: Image.Image) -> NDArray[Any]:
    """(H, W) or (H, W, 3)."""
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)
    if image.mode in ("I", "F"):
        return np.asarray(image)
    mode = "L" if image.mode in ("1", "L") else "RGB"
    return np.asarray(image if image.mode == mode else image.convert(mode))


def _opaque(values: NDArray[Any], key: NDArray[Any]) -> NDArray[np.float32]:
    """1 where the values are not the transparent one."""
    differs = values != key
    return (differs if values.ndim == 2 else differs.any(-1)).astype(np.float32)
