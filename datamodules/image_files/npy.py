"""Arrays of images: `.npy` files and arrays in memory."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.image_files.levels import white_of
from datamodules.image_files.record import RawImage, RawImages, without_alpha


def read(path: Path) -> RawImages:
    """The images of a `.npy` file (``images_of``); ValueError for an archive, which NumPy reads under that name too.

    The file is mapped, not read: what is asked for is all that takes memory.
    """
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(array, np.ndarray):
        array.close()
        raise ValueError("it is an archive of arrays (.npz): save one of them with numpy.save")
    return images_of(array)


def images_of(array: NDArray[Any]) -> RawImages:
    """The images of an array (N, H, W), (N, H, W, C), (H, W) or (H, W, C), C of 1, 3 or 4 (the fourth is alpha).

    An array of three dimensions is one image where its last is 1, 3 or 4.

    Errors:
        ValueError for other shapes, and for values that are not real numbers.
    """
    single = array.ndim == 2 or (array.ndim == 3 and array.shape[-1] in (1, 3, 4))
    stack = array[None] if single else array
    if 0 in stack.shape:
        raise ValueError(f"an array of shape {array.shape} holds no pixels")
    if stack.ndim not in (3, 4) or (stack.ndim == 4 and stack.shape[-1] not in (1, 3, 4)):
        raise ValueError(f"expected an array (N, H, W), (N, H, W, C), (H, W) or (H, W, C), found {array.shape}")
    if array.dtype.kind not in "biuf":
        raise ValueError(f"expected whole or real numbers or bool, found {array.dtype}")
    if stack.ndim == 3:
        return RawImages(len(stack), lambda number: RawImage(np.array(stack[number])))
    white = white_of(array.dtype) or float(np.iinfo(array.dtype).max)
    return RawImages(len(stack), lambda number: without_alpha(np.array(stack[number]), white))
