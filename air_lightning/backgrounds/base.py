"""The background's contract: what lies behind all objects of an image."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import NamedTuple

from torch import Tensor, nn

from renderers.base import Renderer


class Backdrop(NamedTuple):
    """The backgrounds of B images.

    Attributes:
        image: (C, H, W), one for all, or (B, C, H, W).
        kl: (B,) nats, of what was inferred of each background, to its prior; 0 where nothing was.
    """

    image: Tensor
    kl: Tensor


class Background(nn.Module, ABC):
    """One layer below the first slot. It takes part in every one of the N + 1 canvases, so the count's sum stays exact.

    A plug-in writes ``forward``; ``prepare`` and ``fit`` where it needs the renderer or the training images. What is
    computed or learnt is held in parameters and buffers, which checkpoints keep.
    """

    fits: bool = False
    """Whether ``fit`` wants the training images before the first step."""

    @abstractmethod
    def forward(self, images: Tensor, sample: bool = True) -> Backdrop:
        """The backgrounds of images (B, C, H, W). ``sample``: draw what is inferred, or take its mode."""

    def prepare(self, renderer: Renderer) -> None:
        """Build what depends on the renderer, once, before training or loading. Default: nothing."""

    def fit(self, images: Iterable[Tensor]) -> None:
        """Look at training images (B, C, H, W), batch by batch, before the first step. Default: nothing."""
