"""The canvas of slots that come one after another: each is drawn once, however many there are."""

import torch
from torch import Tensor

from renderers.base import Renderer
from renderers.compositing import Layer, downsample, joined, let_through


class GrowingCanvas:
    """What ``Renderer.render`` shows of the slots so far, as they come.

    Args:
        renderer: of the images. batch: how many images. background: as ``Renderer.ground`` takes it.
    """

    def __init__(self, renderer: Renderer, batch: int, background: Tensor | None = None) -> None:
        self.renderer, self._ground = renderer, renderer.ground(batch, background)
        self._front: Layer | None = None

    @torch.no_grad()
    def add(self, what: Tensor, where: Tensor) -> Tensor:
        """The canvas (B, C, H, W) with one slot more, ``what`` (B, ...) at ``where`` (B, P). No gradient."""
        layer, rule = self.renderer.draw(what, where), self.renderer.compositing
        self._front = layer if self._front is None else joined(self._front, layer, rule)
        canvas = self._front.color + let_through(self._front, rule).unsqueeze(1) * self._ground
        return downsample(canvas.unsqueeze(1), self.renderer.image_shape[1]).squeeze(1)
