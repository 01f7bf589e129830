"""The table that objects stand on: one colour, checks, or boards of wood."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from renderers.mesh.shapes import RGB, check_color

GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Table:
    """A square table in the plane ``y = 0``, centred on the origin, and what lies beyond it.

    Attributes:
        width: of the drawn square, world units; 0 draws none.
        color, checker: RGB of its squares; without ``checker`` they are all alike.
        squares: number of squares along a side, or of boards.
        beyond: RGB behind the table.
        grain: RGB of the grain of wood, whose boards lie along x; null: no wood.
    """

    width: float = 4.6
    color: RGB = (0.55, 0.55, 0.5)
    checker: RGB | None = None
    squares: int = 8
    beyond: RGB = (0.12, 0.12, 0.15)
    grain: RGB | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.width < math.inf:
            raise ValueError(f"table width must not be negative, got {self.width}: 0 draws no table")
        if self.squares < 1:
            raise ValueError(f"table squares must be at least 1, got {self.squares}")
        check_color("table color", self.color)
        check_color("table beyond", self.beyond)
        for name, color in (("checker", self.checker), ("grain", self.grain)):
            if color is not None:
                check_color(f"table {name}", color)
        if self.checker is not None and self.grain is not None:
            raise ValueError(
                f"a table has checks or wood, got checker {self.checker} and grain {self.grain}: leave one of them null"
            )

    def colors_at(self, x: Tensor, z: Tensor) -> Tensor:
        """RGB (..., 3, P) at points x, z (..., P) of the plane ``y = 0``; beyond the table, and at NaN, ``beyond``."""
        half, side = self.width / 2, max(self.width, 1e-9) / self.squares
        share = self._share((x + half) / side, (z + half) / side).unsqueeze(-2)
        inside = torch.maximum(x.abs(), z.abs()).unsqueeze(-2) <= half
        rgb = self.color, self.checker or self.grain or self.color, self.beyond
        color, second, beyond = (x.new_tensor(part).unsqueeze(-1) for part in rgb)
        return torch.where(inside, color + share * (second - color), beyond)

    def _share(self, along: Tensor, across: Tensor) -> Tensor:
        """How much (...) of the second colour there is at places (...), a square or board being 1 wide."""
        if self.grain is not None:
            return wood(along, across)
        if self.checker is not None:
            return (along.floor() + across.floor()).remainder(2)
        return torch.zeros_like(along)


def wood(along: Tensor, across: Tensor) -> Tensor:
    """How dark (...), in [0, 1], boards of wood one unit wide are: rings cut lengthways, each board from another tree.

    A ring's line waves along the board; a joint between two boards is as dark as a ring.
    """
    board = across.floor()
    own, within = (board * GOLDEN).remainder(1), across - board
    wave = 0.15 * torch.sin(2 * math.pi * (0.21 * along + own)) + 0.05 * torch.sin(2 * math.pi * (0.55 * along - own))
    rings = 0.5 - 0.5 * torch.cos(2 * math.pi * (1 + own) * (within + wave + own))
    edge = (2 * within - 1).square().square()
    joint = edge * edge * edge
    return (0.25 + 0.5 * own) * rings * (1 - joint) + joint
