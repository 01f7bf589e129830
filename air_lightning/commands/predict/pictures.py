"""Pictures of many kinds as a model wants them: its size, its channels, values in [0, 1]."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from datamodules.picture_files import ARRAYS, arrays, finished, images, plain, reading, stored

Shape = tuple[int, int, int]
CHANNELS = (1, 3, 4)


class Picture(NamedTuple):
    """A picture.

    Attributes:
        image: (C, H, W) as the model wants it. original: as it was given, in 8 bits, grey or RGB.
    """

    image: Tensor
    original: Image.Image


def from_file(path: Path, shape: Shape) -> list[Picture]:
    """The pictures of one file: one of a PNG or JPEG file, any number of a `.npy` file (see ``from_given``).

    Errors:
        ValueError, with the path, for a file that cannot be read.
    """
    if path.suffix.lower() not in ARRAYS:
        return [_scaled(image, shape) for image in images(path)]
    with reading(path):
        return _from_array(stored(path), shape)


def from_given(given: Any, shape: Shape) -> list[Picture]:
    """The pictures of an array, a tensor, a PIL picture, or of a list of these.

    Arrays are (H, W), (H, W, C), (N, H, W) or (N, H, W, C), one of three dimensions being a single picture where its
    last is 1, 3 or 4; tensors are (H, W), (C, H, W) or (N, C, H, W). C is 1, 3 or 4. Values are uint8, bool, or real
    in [0, 1]. Pictures of another size than ``shape`` (C, H, W) are scaled to it whatever their proportions, grey is
    made of colour and colour of grey, and transparent parts become black. These pass through 8 bits a value; real
    values that need nothing of it stay as they are.

    Errors:
        ValueError for others, with shape and type.
    """
    if isinstance(given, Image.Image):
        return [_scaled(plain(given), shape)]
    if isinstance(given, (list, tuple)):
        return [picture for part in given for picture in from_given(part, shape)]
    if not isinstance(given, (np.ndarray, Tensor)):
        raise ValueError(
            f"images must be an array, a tensor, a PIL picture or a list of these, got {type(given).__name__}: "
            "open files with PIL.Image.open"
        )
    try:
        return _from_array(_channels_last(given) if isinstance(given, Tensor) else given, shape)
    except ValueError as error:
        raise ValueError(f"images of shape {tuple(given.shape)} and type {given.dtype}: {error}") from error


def _channels_last(tensor: Tensor) -> NDArray[Any]:
    if tensor.dim() == 3 and tensor.shape[0] not in CHANNELS:
        raise ValueError("a tensor of three dimensions is one picture (C, H, W), C = 1, 3 or 4: give (N, C, H, W)")
    if tensor.dim() not in (2, 3, 4) or (tensor.dim() == 4 and tensor.shape[1] not in CHANNELS):
        raise ValueError("a tensor must be (H, W), (C, H, W) or (N, C, H, W), C = 1, 3 or 4")
    plain_type = tensor.detach().cpu()
    if plain_type.is_floating_point():
        plain_type = plain_type.float()  # numpy has no bfloat16
    return plain_type.numpy() if tensor.dim() == 2 else plain_type.movedim(-3, -1).numpy()


def _from_array(array: NDArray[Any], shape: Shape) -> list[Picture]:
    originals = [Image.fromarray(pixels) for pixels in arrays(array)]
    exact = _exact(array, shape)
    if exact is None:
        return [_scaled(original, shape) for original in originals]
    return [Picture(image, original) for image, original in zip(exact, originals)]


def _exact(array: NDArray[Any], shape: Shape) -> Sequence[Tensor] | None:
    """Real values (N, C, H, W) that are as the model wants them already; else None."""
    colors, height, width = shape
    if not np.issubdtype(array.dtype, np.floating) or array.size % (colors * height * width):
        return None
    last = array if array.shape[-1:] == (colors,) and array.ndim > 2 else array[..., None]
    if last.shape[-3:] != (height, width, colors):
        return None
    stack = np.array(last.reshape(-1, height, width, colors).transpose(0, 3, 1, 2), np.float32)
    return list(torch.from_numpy(stack))


def _scaled(original: Image.Image, shape: Shape) -> Picture:
    pixels = finished(original, shape[1:], color=shape[0] == 3)
    return Picture(torch.from_numpy(np.array(pixels, np.float32)) / 255, original)
