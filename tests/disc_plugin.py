"""A renderer from outside: coloured discs in 2D, no autograd, in under 40 lines. See docs/renderers.md."""

import math

import torch
from torch import Tensor

from renderers import Categorical, Coordinate, Layer, Renderer


class Discs(Renderer):
    """Discs of three colours on black; those later in the alphabet lie on top."""

    def __init__(self, size: int = 32, radius: float = 0.25) -> None:
        place = [Coordinate(name, "half images", -0.8, 0.8, step=2 / size) for name in ("x", "y")]
        super().__init__(Categorical(("blue", "green", "red")), tuple(place), (3, size, size))
        axis = (torch.arange(size) + 0.5) * 2 / size - 1
        self.register_buffer("axis", axis, persistent=False)
        self.register_buffer(
            "colors", torch.tensor([[0.2, 0.3, 1.0], [0.1, 0.9, 0.2], [1.0, 0.2, 0.1]]), persistent=False
        )
        self.radius = radius

    def draw(self, what: Tensor, where: Tensor) -> Layer:
        x, y = where[:, 0, None, None], where[:, 1, None, None]
        inside = (self.axis - x) ** 2 + (self.axis[:, None] - y) ** 2 < self.radius**2
        color = self.colors[what][:, :, None, None] * inside[:, None]
        depth = torch.where(inside, 10.0 - what[:, None, None], math.inf)
        return Layer(color, depth)
