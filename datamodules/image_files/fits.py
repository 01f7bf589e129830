"""FITS images, by `astropy`, the extra `fits`."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.image_files.npy import images_of
from datamodules.image_files.record import RawImages


def read(path: Path) -> RawImages:
    """The image or images, (H, W) or (N, H, W), of the first unit of a FITS file that holds any.

    Values are physical ones (BSCALE and BZERO heeded). Rows are in the file's order: row r and column c here are
    FITS pixel (c + 1, r + 1), and most viewers draw row 0 at the bottom.

    Errors:
        ValueError where the package is missing, and for files that hold no image or one of more axes.
    """
    try:
        from astropy.io import fits
    except ImportError as error:
        raise ValueError("FITS files need astropy: pip install 'air-lightning[fits]'") from error
    with fits.open(path, memmap=False) as units:
        chosen = next((unit for unit in units if unit.is_image and len(unit.shape) >= 2), None)
        if chosen is None:
            held = ", ".join(type(unit).__name__ for unit in units)
            raise ValueError(f"it holds no image (its units: {held}): give one of an image")
        if len(chosen.shape) > 3:
            raise ValueError(f"expected an image (H, W) or images (N, H, W), found {chosen.shape}")
        values: NDArray[Any] = chosen.data
    native = values.astype(values.dtype.newbyteorder("="))
    stack = native[None] if native.ndim == 2 else native
    return RawImages(len(stack), lambda number: images_of(np.ascontiguousarray(stack[number]))[0])
