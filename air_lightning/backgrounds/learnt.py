"""A background that is learnt."""

import torch
from torch import Tensor, nn

from air_lightning.backgrounds.base import Backdrop
from air_lightning.backgrounds.median import MedianBackground
from renderers.base import Renderer

SPEED = 3.0
"""How much faster it learns than other parameters at Adam's rate, whose steps are all of one size."""


class LearntBackground(MedianBackground):
    """An image learnt with the model, by the gradient of what nothing covers, from the training images' median.

    For pixels that objects cover in half of the images or more, of which the median shows the objects.

    Args:
        median: start from the training images' median; otherwise from the renderer's own background.
    """

    def __init__(self, median: bool = True) -> None:
        super().__init__()
        self.median = median

    def prepare(self, renderer: Renderer) -> None:
        super().prepare(renderer)
        self.change = nn.Parameter(torch.zeros(renderer.image_shape))

    @property
    def waits(self) -> bool:
        return self.median and super().waits

    def forward(self, images: Tensor, sample: bool = False) -> Backdrop:
        return Backdrop(self.image + SPEED * self.change)
