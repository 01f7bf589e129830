"""The canvas of slots that come one after another: each is drawn once, however many there are."""

import torch
from torch import Tensor

from renderers.base import Renderer
from renderers.compositing import Layer, downsample, each, joined, transmittance


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
        seen = transmittance(each(lambda part: part.unsqueeze(1), self._front), rule)[:, -1]
        canvas = self._front.color + seen.unsqueeze(1) * self._ground
        return downsample(canvas.unsqueeze(1), self.renderer.image_shape[1]).squeeze(1)
