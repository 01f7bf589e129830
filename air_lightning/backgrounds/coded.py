"""A background of each image's own, from a few numbers."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from air_lightning.backgrounds.base import Backdrop
from air_lightning.backgrounds.median import MedianBackground
from air_lightning.distributions import gaussian_kl
from renderers.base import Renderer

COARSE = 8
"""Samples along a side of what the code draws, before it is scaled to the image: it cannot draw a small object."""


class CodedBackground(MedianBackground):
    """A smooth change of the median, drawn from a code of each image's own, with a standard normal prior.

    For light or a sky that differs from image to image. The code's KL counts in every F_n. A background that can draw
    anything swallows the objects: this one has few numbers (SPAIR, Crawford & Pineau 2019, takes 1 to 4), draws no more
    than 8 x 8 samples, reads the image by the medians of as many cells, and starts at the median.

    Args:
        code: numbers a background.
        hidden: width of encoder and decoder.
        median: start from the training images' median; otherwise from the renderer's own background.
    Errors:
        ValueError for a code or width below 1.
    """

    def __init__(self, code: int = 3, hidden: int = 64, median: bool = True) -> None:
        super().__init__()
        for name, value in (("code", code), ("hidden", hidden)):
            if value < 1:
                raise ValueError(f"a coded background's {name} must be at least 1, got {value}")
        self.code, self.hidden, self.median = code, hidden, median

    def prepare(self, renderer: Renderer) -> None:
        super().prepare(renderer)
        size = renderer.image_shape[0] * COARSE**2
        self.encode = nn.Sequential(nn.Linear(size, self.hidden), nn.ReLU(), nn.Linear(self.hidden, 2 * self.code))
        last = nn.Linear(self.hidden, size)
        nn.init.zeros_(last.bias)
        nn.init.normal_(last.weight, std=0.01)
        self.decode = nn.Sequential(nn.Linear(self.code, self.hidden), nn.ReLU(), last)

    @property
    def waits(self) -> bool:
        return self.median and super().waits

    def forward(self, images: Tensor, sample: bool = False) -> Backdrop:
        mean, raw = self.encode(_cell_medians(images - self.image).flatten(1)).chunk(2, -1)
        sd = F.softplus(raw) + 1e-3
        noise = torch.randn_like(mean) if sample else torch.zeros_like(mean)
        code = mean + sd * noise
        change = self.decode(code).view(-1, images.shape[1], COARSE, COARSE)
        smooth = F.interpolate(change, images.shape[-2:], mode="bilinear", align_corners=False)
        ratio = (0.5 * (code**2 - noise**2) - sd.log()).sum(1)
        return Backdrop(self.image + smooth, gaussian_kl(mean, sd).sum(1), ratio)


def _cell_medians(images: Tensor) -> Tensor:
    """The median of each of ``COARSE`` x ``COARSE`` cells of images (B, C, H, W): a small object leaves it as it is."""
    height, width = (-(-size // COARSE) for size in images.shape[-2:])
    whole = F.interpolate(images, (height * COARSE, width * COARSE), mode="nearest")
    split = whole.view(-1, images.shape[1], COARSE, height, COARSE, width)
    cells = split.transpose(3, 4).flatten(4)
    return cells.sort(-1).values[..., cells.shape[-1] // 2]
