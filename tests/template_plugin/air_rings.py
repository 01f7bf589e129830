"""A renderer for AIR-Lightning: thin and thick rings of any size, without gradients of their own."""

import math

import torch
from torch import Tensor

from renderers import Categorical, Coordinate, Layer, Renderer


class Rings(Renderer):
    """Opaque rings on black, smaller ones on top; ``where`` is x, y and scale (half the width, in half images).

    Args:
        size: pixels along a side.
    """

    def __init__(self, size: int = 32) -> None:
        place = [Coordinate(name, "half images", -0.7, 0.7, step=2 / size) for name in ("x", "y")]
        scale = Coordinate("scale", "half images", 0.2, 0.5, step=1 / size)
        super().__init__(Categorical(("thin", "thick")), (*place, scale), (3, size, size))
        axis = (torch.arange(size) + 0.5) * 2 / size - 1
        self.register_buffer("axis", axis, persistent=False)
        self.register_buffer("colors", torch.tensor([[1.0, 0.8, 0.1], [0.3, 0.5, 1.0]]), persistent=False)

    def draw(self, what: Tensor, where: Tensor) -> Layer:
        x, y, scale = where[:, :, None, None].unbind(1)
        away = ((self.axis - x) ** 2 + (self.axis[:, None] - y) ** 2).sqrt()
        hole = scale * torch.where(what == 0, 0.6, 0.2)[:, None, None]
        inside = (away < scale) & (away > hole)
        color = self.colors[what][:, :, None, None] * inside[:, None]
        return Layer(color, torch.where(inside, scale, math.inf))
