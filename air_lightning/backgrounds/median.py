"""The per-pixel median of the images."""

import torch
from torch import Tensor

from air_lightning.backgrounds.base import Backdrop, FittedBackground, NoBackground
from renderers.base import Renderer

FEWEST = 3
"""Images of which a median is more than one of them, or the middle of two."""


class MedianBackground(FittedBackground):
    """What a still camera sees behind objects that come and go: each pixel's median over images.

    Right where a pixel shows the background in more than half of the images. It takes in the light's fall-off and
    whatever else stands still; moving shadows and objects drop out.

    Those of training, at most 256, taken once before the first step; the checkpoint keeps it. A model that was trained
    without takes the median of the images that it is tested on.
    """

    image: Tensor

    def prepare(self, renderer: Renderer) -> None:
        super().prepare(renderer)
        self.register_buffer("image", renderer.image_background().detach().clone())

    @torch.no_grad()
    def fit(self, images: Tensor) -> None:
        """Take the median of images (M, C, H, W). Errors: NoBackground, a ValueError, for fewer than ``FEWEST``."""
        if len(images) < FEWEST:
            raise NoBackground(
                f"a median background needs at least {FEWEST} images, got {len(images)}: give more images, or another "
                "model.background (ImageFileBackground takes an image of the empty scene)"
            )
        self.image.copy_(images.contiguous().median(0).values)  # of expanded tensors torch's is wrong
        self.fitted.fill_(True)

    def forward(self, images: Tensor, sample: bool = False) -> Backdrop:
        return Backdrop(self.image)
