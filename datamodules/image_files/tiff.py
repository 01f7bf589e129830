"""What of TIFF Pillow does not read as it is written."""

import numpy as np
from PIL import Image

PHOTOMETRIC, PLANES, FORMAT, BITS = 262, 284, 339, 258
WHITE_IS_ZERO, SEPARATE, UNSIGNED = 0, 2, 1
REMEDY = "save it as .npy, or as a TIFF of 8 bits, of 16-bit or 32-bit real greys"


def check(image: Image.Image) -> None:
    """ValueError for a page, not yet loaded, that Pillow would read wrongly.

    Greys from white to black are turned round in 8 bits alone; planes of 16 bits are read as bytes; and what libtiff
    has unpacked from a big-endian file, in the machine's own order by then, is taken for big-endian once more.
    """
    tags, deep = image.getexif(), max(_bits(image)) > 8
    if deep and tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:
        raise ValueError(f"its greys run from white to black (WhiteIsZero) in more than 8 bits: {REMEDY}")
    if deep and len(_bits(image)) > 1 and tags.get(PLANES) == SEPARATE:
        raise ValueError(f"its colours lie in planes of more than 8 bits (PlanarConfiguration 2): {REMEDY}")
    codec, *_, args = image.tile[0]  # type: ignore[attr-defined]
    if codec == "libtiff" and image.mode in ("I", "F") and "B" in args[0]:
        raise ValueError(f"it is compressed, of more than 16 bits or signed, and big-endian: {REMEDY}")


def is_unsigned(image: Image.Image) -> bool:
    """Whether whole numbers of 32 bits, which Pillow has as signed ones, have no sign in the file."""
    return (
        image.mode == "I" and _bits(image) == (32,) and image.getexif().get(FORMAT, UNSIGNED) in (UNSIGNED, (UNSIGNED,))
    )


def _bits(image: Image.Image) -> tuple[int, ...]:
    return tuple(np.atleast_1d(image.getexif().get(BITS, 1)).tolist())
