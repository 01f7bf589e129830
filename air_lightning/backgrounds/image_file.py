"""A background from an image file."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from air_lightning.backgrounds.base import Backdrop, Background, NoBackground
from datamodules.image_files import raw_images
from datamodules.image_files.levels import Levels
from renderers.base import Renderer
from renderers.first_process import warn


class ImageFileBackground(Background):
    """An image of the empty scene, of the model's size. The checkpoint keeps it: the file is not needed again.

    Args:
        path: of the image, in a format that ``ImageFolder`` reads.
        scale, offset: which of the file's numbers are white and black, as of ``ImageFolder``.
    Errors:
        NoBackground, a ValueError, when a training starts, for a file that cannot be read, that holds several images,
        or an image of another size than the model's.
    """

    image: Tensor

    def __init__(self, path: str, scale: float | None = None, offset: float = 0.0) -> None:
        super().__init__()
        self.path, self.levels = Path(path), Levels(scale, offset)
        self._wrong, self._digest = "", ""

    def prepare(self, renderer: Renderer) -> None:
        image = torch.full(renderer.image_shape, torch.nan)
        try:
            image = _read(self.path, self.levels, renderer.image_shape)
            self._digest = hashlib.sha256(image.numpy().tobytes()).hexdigest()
        except ValueError as error:
            self._wrong = f"model.background: {error}"
        self.register_buffer("image", image.to(renderer.device))

    @property
    def source(self) -> str:
        return f"{type(self).__name__} {self.path} {self.levels.scale} {self.levels.offset}"

    def check(self) -> None:
        if self._wrong:
            raise NoBackground(self._wrong)

    def adopted(self, kept: Any) -> None:
        if self._digest and self._digest != kept:
            warn(
                f"the background {str(self.path)!r} is not what it was in training: the checkpoint's image is used; to "
                "use the file as it is now, give it another name"
            )
        self._wrong, self._digest = "", str(kept)

    def state(self) -> str:
        return self._digest

    def forward(self, images: Tensor, sample: bool = False) -> Backdrop:
        self.check()
        return Backdrop(self.image)


def _read(path: Path, levels: Levels, image_shape: tuple[int, ...]) -> Tensor:
    """The file's image (C, H, W)."""
    found = raw_images(path)
    if len(found) != 1:
        raise ValueError(f"{path} holds {len(found)} images, and a background is one: take one of them out")
    values = np.asarray(levels(found[0]))
    image = torch.from_numpy(values.astype(np.float32) / (255 if values.dtype == np.uint8 else 1))
    image = image.unsqueeze(0) if image.dim() == 2 else image.movedim(-1, 0)
    channels, height, width = image_shape
    if image.shape[0] not in (1, channels) or tuple(image.shape[1:]) != (height, width):
        raise ValueError(
            f"{path} is an image of {tuple(image.shape)} (channels, height, width), and the model's images are "
            f"{tuple(image_shape)}: scale it to their size"
        )
    return image.expand(tuple(image_shape)).contiguous()
