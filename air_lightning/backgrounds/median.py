"""The per-pixel median of the training images."""

from collections.abc import Iterable

import torch
from torch import Tensor

from air_lightning.backgrounds.base import Backdrop, Background
from renderers.base import Renderer

FEWEST = 3
"""Images of which a median is more than one of them, or the middle of two."""


class MedianBackground(Background):
    """What a still camera sees behind objects that come and go: each pixel's median over images.

    Right where a pixel shows the background in more than half of the images. It takes in the light's fall-off and
    whatever else stands still; moving shadows and objects drop out.
    """

    fits = True
    image: Tensor
    fitted: Tensor

    def prepare(self, renderer: Renderer) -> None:
        self.register_buffer("image", renderer.image_background().detach().clone())
        self.register_buffer("fitted", torch.zeros((), dtype=torch.bool))

    def fit(self, images: Iterable[Tensor]) -> None:
        """Take the median of ``images``. Errors: ValueError for fewer than ``FEWEST``."""
        seen = torch.cat(list(images))
        if len(seen) < FEWEST:
            raise ValueError(
                f"a median background needs at least {FEWEST} images, got {len(seen)}: give more images, or another "
                "model.background (ImageFileBackground takes an image of the empty scene)"
            )
        self.image.copy_(seen.median(0).values)
        self.fitted.fill_(True)

    def forward(self, images: Tensor, sample: bool = True) -> Backdrop:
        return Backdrop(self.image, images.new_zeros(len(images)))
