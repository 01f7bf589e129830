"""The canvas of slots that come one after another: each is drawn once, however many there are."""

import torch
from torch import Tensor

from renderers.base import Renderer
from renderers.compositing import downsample, laid


class GrowingCanvas:
    """What ``Renderer.render`` shows of the slots so far, as they come.

    Args:
        renderer: of the images. batch: how many images. background: as ``Renderer.ground`` takes it.
    """

    def __init__(self, renderer: Renderer, batch: int, background: Tensor | None = None) -> None:
        ground = renderer.ground(batch, background)
        self.renderer, self._canvas = renderer, ground.expand(batch, *ground.shape[-3:])
        self._nearest: Tensor | None = None
        # of objects that cast shadows, which darken nothing but the background, what is seen of it is kept by itself
        self._ground: Tensor | None = None

    @torch.no_grad()
    def add(self, what: Tensor, where: Tensor) -> Tensor:
        """The canvas (B, C, H, W) with one slot more, ``what`` (B, ...) at ``where`` (B, P). No gradient."""
        layer, rule, before = self.renderer.draw(what, where), self.renderer.compositing, self._nearest
        if layer.shade is not None and self._ground is None:
            self._canvas, self._ground = torch.zeros_like(self._canvas), self._canvas
        self._canvas, self._nearest = laid(self._canvas, before, layer, rule)
        canvas = self._canvas
        if layer.shade is not None and self._ground is not None:
            dark = layer._replace(color=torch.zeros_like(layer.color))
            self._ground = laid(self._ground, before, dark, rule)[0] * layer.shade.unsqueeze(1)
            canvas = canvas + self._ground
        return downsample(canvas.unsqueeze(1), self.renderer.image_shape[1]).squeeze(1)
