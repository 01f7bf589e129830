"""A background of each image's own, from a few numbers."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from air_lightning.backgrounds.base import Backdrop
from air_lightning.backgrounds.median import MedianBackground
from air_lightning.distributions import gaussian_kl
from renderers.base import Renderer

COARSE = 8
"""Samples along a side of what the code draws, before it is scaled to the image: it cannot draw an object."""


class CodedBackground(MedianBackground):
    """A smooth change of the median, drawn from a code of each image's own, with a standard normal prior.

    The code's KL counts in every F_n. A background that can draw anything swallows the objects; this one has few
    numbers (SPAIR, Crawford & Pineau 2019, takes 1 to 4), draws no more than ``COARSE`` x ``COARSE`` samples, and
    starts at the median.

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
        self.code, self.hidden, self.fits = code, hidden, median

    def prepare(self, renderer: Renderer) -> None:
        super().prepare(renderer)
        channels = renderer.image_shape[0]
        size = channels * COARSE**2
        self.encode = nn.Sequential(nn.Linear(size, self.hidden), nn.ReLU(), nn.Linear(self.hidden, 2 * self.code))
        self.decode = nn.Sequential(nn.Linear(self.code, self.hidden), nn.ReLU(), nn.Linear(self.hidden, size))
        last = self.decode[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.bias)
        nn.init.normal_(last.weight, std=0.01)

    def forward(self, images: Tensor, sample: bool = True) -> Backdrop:
        # each cell's median: a small object in it leaves it as it is
        residual = (images - self.image).detach()
        mean, raw = self.encode(_cell_medians(residual).flatten(1)).chunk(2, -1)
        sd = F.softplus(raw - 2) + 1e-3
        code = mean + sd * torch.randn_like(mean) if sample else mean
        change = self.decode(code).view(len(images), -1, COARSE, COARSE)
        smooth = F.interpolate(change, images.shape[-2:], mode="bicubic", align_corners=False)
        return Backdrop(self.image + smooth, gaussian_kl(mean, sd).sum(1))


def _cell_medians(images: Tensor) -> Tensor:
    """The median of each of ``COARSE`` x ``COARSE`` cells of images (B, C, H, W), (B, C, COARSE, COARSE)."""
    height, width = (max(1, -(-size // COARSE)) for size in images.shape[-2:])
    padded = F.interpolate(images, (height * COARSE, width * COARSE), mode="nearest")
    cells = padded.unfold(2, height, height).unfold(3, width, width).flatten(4)
    return cells.median(-1).values
