"""A background from an image file."""

from pathlib import Path

import torch
from torch import Tensor

from air_lightning.backgrounds.base import Backdrop, Background
from datamodules.image_files import read_images
from renderers.base import Renderer


class ImageFileBackground(Background):
    """An image of the empty scene, of the model's size. The checkpoint keeps it: the file is not needed again.

    Args:
        path: of the image, in a format that ``ImageFolder`` reads.
    Errors:
        ValueError for a file that cannot be read, holds several images, or is of another size than the model's images.
    """

    image: Tensor

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def prepare(self, renderer: Renderer) -> None:
        self.register_buffer("image", _read(Path(self.path), renderer.image_shape))

    def forward(self, images: Tensor, sample: bool = True) -> Backdrop:
        return Backdrop(self.image, images.new_zeros(len(images)))
