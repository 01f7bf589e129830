"""Images that mesh files hold or name."""

import warnings
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8] | NDArray[np.uint16]

# what is opened: no others of Pillow's formats, some of which run other programs
FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "BMP", "DIB", "GIF", "TGA", "TIFF", "DDS", "PPM", "JPEG2000", "MPO", "PCX")
DEEP = 65535


def read_image(data: bytes, name: str) -> Pixels:
    """The pixels (H, W, 3 or 4) of an image, RGB or RGBA: 8 bits a value, or 16 for grey ones that deep.

    Errors:
        ValueError that has ``name`` for what is no image, or a broken one.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(BytesIO(data), formats=[f for f in FORMATS if f in _openable()]) as image:
                return _pixels(image)
    except Exception as error:  # Pillow's decoders raise many kinds
        raise ValueError(
            f"the image {name} could not be read ({error}): save it as PNG or JPEG, and export the mesh again"
        ) from error


def _openable() -> dict[str, object]:
    """The formats that this Pillow opens."""
    Image.init()
    return dict(Image.OPEN)


def _pixels(image: Image.Image) -> Pixels:
    if image.mode.startswith("I") or image.mode == "F":
        return _deep(image)
    transparent = image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info
    return np.asarray(image.convert("RGBA" if transparent else "RGB"))


def _deep(image: Image.Image) -> Pixels:
    """A grey image of 16 bits, which Pillow's own conversion would cut off at 255."""
    values = np.asarray(image).clip(0, DEEP)
    seen = values != image.info.get("transparency", -1)
    alpha = [] if seen.all() else [np.where(seen, DEEP, 0)]
    return np.stack([values] * 3 + alpha, -1).astype(np.uint16)
