"""Images of many kinds as a model wants them: its size, its channels, its levels of black and white."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from datamodules.image_files import raw_images, reading
from datamodules.image_files.finishing import Stretch, displayed, shaped_image
from datamodules.image_files.levels import Levels, Pixels
from datamodules.image_files.npy import images_of
from datamodules.image_files.raster import from_pillow
from datamodules.image_files.record import RawImage
from datamodules.image_files.store import ViewOf, whole
from datamodules.image_files.view import View

Shape = tuple[int, int, int]
CHANNELS = (1, 3, 4)


class GivenImage(NamedTuple):
    """An image.

    Attributes:
        image: (C, H, W) as the model wants it. pixels: as it was given, (H, W) or (H, W, 3). stretch: for a screen.
        view: what of it the model sees; None: all of it.
    """

    image: Tensor
    pixels: Pixels
    stretch: Stretch
    view: View | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as it was given."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def original(self) -> Image.Image:
        """As it was given, for a screen, in 8 bits, grey or RGB."""
        return displayed(self.pixels, self.stretch)


class InputFormat(NamedTuple):
    """How a model wants its images.

    Attributes:
        shape: (C, H, W). levels: of the values of files and arrays. stretch: of the originals, which are only shown.
        tiled: larger ones keep their size, and smaller ones are a ValueError.
        view_of: what is taken of an image, by its file and its width and height.
    """

    shape: Shape
    levels: Levels = Levels()
    stretch: Stretch = "linear"
    tiled: bool = False
    view_of: ViewOf = whole

    def __call__(self, raw: RawImage, path: Path | None = None) -> GivenImage:
        pixels = self.levels(raw)
        view = None if path is None else self.view_of(path, (pixels.shape[1], pixels.shape[0]))
        if self.tiled:
            self._check(*pixels.shape[:2])
        size = None if self.tiled else self.shape[1:]
        shown = pixels if view is None else view.of(pixels)
        image = np.array(shaped_image(shown, size, color=self.shape[0] == 3), np.float32)
        return GivenImage(
            torch.from_numpy(image / np.float32(255) if pixels.dtype == np.uint8 else image),
            pixels,
            self.stretch,
            view,
        )

    def _check(self, height: int, width: int) -> None:
        if height < self.shape[1] or width < self.shape[2]:
            raise ValueError(
                f"an image of {width}x{height} pixels (width x height) holds no tile of the model's size, "
                f"{self.shape[2]}x{self.shape[1]}: fill it up, or have it scaled, without tiles"
            )


class FileImages(NamedTuple):
    """The images of a file, and the largest value of those of 16 bits (``Levels.peak``)."""

    images: list[GivenImage]
    peak: int


def from_file(path: Path, input_format: InputFormat) -> FileImages:
    """The images of one file: any number of a `.npy`, TIFF or FITS file, one of others.

    Errors:
        ValueError, with the path, for a file that cannot be read.
    """
    raws = raw_images(path)
    with reading(path):
        return FileImages([input_format(raw, path) for raw in raws], max(input_format.levels.peak(raw) for raw in raws))


def from_given(given: Any, input_format: InputFormat) -> list[GivenImage]:
    """The images of an array, a tensor, a PIL image, or of a list of these.

    Arrays are (H, W), (H, W, C), (N, H, W) or (N, H, W, C), one of three dimensions being a single image where its
    last is 1, 3 or 4; tensors are (H, W), (C, H, W) or (N, C, H, W). C is 1, 3 or 4. Values are uint8, uint16, bool,
    or real in [0, 1]; or any, where the levels are stated. Images of another size than the model's are scaled to it
    whatever their proportions, grey is made of colour and colour of grey, and transparent parts become black. Only
    images of 8 bits pass through 8 bits a value.

    Errors:
        ValueError for others, with shape and type.
    """
    if isinstance(given, Image.Image):
        return [input_format(from_pillow(given))]
    if isinstance(given, (list, tuple)):
        return [image for part in given for image in from_given(part, input_format)]
    if not isinstance(given, (np.ndarray, Tensor)):
        raise ValueError(
            f"images must be an array, a tensor, a PIL image or a list of these, got {type(given).__name__}: "
            "open files with PIL.Image.open"
        )
    if given.ndim == 4 and len(given) == 0:
        return []
    try:
        raws = images_of(_channels_last(given) if isinstance(given, Tensor) else given)
        return [input_format(raw) for raw in raws]
    except ValueError as error:
        raise ValueError(f"images of shape {tuple(given.shape)} and type {given.dtype}: {error}") from error


def _channels_last(tensor: Tensor) -> NDArray[Any]:
    if tensor.dim() == 3 and tensor.shape[0] not in CHANNELS:
        raise ValueError("a tensor of three dimensions is one image (C, H, W), C = 1, 3 or 4: give (N, C, H, W)")
    if tensor.dim() not in (2, 3, 4) or (tensor.dim() == 4 and tensor.shape[1] not in CHANNELS):
        raise ValueError("a tensor must be (H, W), (C, H, W) or (N, C, H, W), C = 1, 3 or 4")
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
        kind = "on the meta device" if tensor.is_meta else "quantised" if tensor.is_quantized else "sparse"
        raise ValueError(f"a tensor must hold a plain number for each value, got one that is {kind}")
    plain_type = tensor.detach().cpu()
    if plain_type.is_floating_point():
        plain_type = plain_type.float()  # numpy has no bfloat16
    return plain_type.numpy() if tensor.dim() == 2 else plain_type.movedim(-3, -1).numpy()
