"""A background that is learnt."""

import torch
from torch import Tensor, nn

from air_lightning.backgrounds.base import Backdrop
from air_lightning.backgrounds.median import MedianBackground
from renderers.base import Renderer

SPEED = 3.0
"""How much faster the background learns than other parameters at Adam's rate, whose steps are of one size."""


class LearntBackground(MedianBackground):
    """An image learnt with the model, by the gradient of what nothing covers, from the training images' median.

    Right where objects cover a pixel in half of the images or more, so that the median shows them.

    Args:
        median: start from the training images' median; otherwise from the renderer's own background.
    """

    def __init__(self, median: bool = True) -> None:
        super().__init__()
        self.fits = median

    def prepare(self, renderer: Renderer) -> None:
        super().prepare(renderer)
        self.change = nn.Parameter(torch.zeros(renderer.image_shape))

    def forward(self, images: Tensor, sample: bool = True) -> Backdrop:
        return Backdrop(self.image + SPEED * self.change, images.new_zeros(len(images)))
