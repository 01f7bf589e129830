"""The table that objects stand on: one colour, checks, or boards of wood."""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from renderers.mesh.shapes import RGB, check_color

TEXELS = 128
GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Table:
    """A table in the plane ``y = 0``, centred on the origin, and what lies beyond it.

    Attributes:
        width: of the drawn square, world units; 0 draws none.
        depth: along z, where the table is no square; a camera that moves about a square one sees it alike at every
            quarter turn. Null: the width.
        color, checker: RGB of its squares; without ``checker`` they are all alike.
        squares: number of squares, or of boards, that would fit the width.
        beyond: RGB behind the table.
        grain: RGB of the grain of wood, whose boards lie along x; null: no wood.
    """

    width: float = 4.6
    color: RGB = (0.55, 0.55, 0.5)
    checker: RGB | None = None
    squares: int = 8
    beyond: RGB = (0.12, 0.12, 0.15)
    grain: RGB | None = None
    depth: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.width < math.inf:
            raise ValueError(f"table width must not be negative, got {self.width}: 0 draws no table")
        if self.depth is not None and not 0 < self.depth < math.inf:
            raise ValueError(f"table depth must be positive, got {self.depth}: null makes a square of the width")
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

    @property
    def half(self) -> tuple[float, float]:
        """Half the width and half the depth, along x and z."""
        return self.width / 2, (self.width if self.depth is None else self.depth) / 2

    def colors_at(self, x: Tensor, z: Tensor) -> Tensor:
        """RGB (..., 3, P) at points x, z (..., P) of the plane ``y = 0``; beyond the table, and at NaN, ``beyond``."""
        across, along, side = *self.half, max(self.width, 1e-9) / self.squares
        share = self._share((x + across) / side, (z + along) / side).unsqueeze(-2)
        inside = (torch.maximum(x.abs() / max(across, 1e-9), z.abs() / max(along, 1e-9)) <= 1).unsqueeze(-2)
        rgb = self.color, self.checker or self.grain or self.color, self.beyond
        color, second, beyond = (x.new_tensor(part).unsqueeze(-1) for part in rgb)
        return torch.where(inside, color + share * (second - color), beyond)

    def _share(self, along: Tensor, across: Tensor) -> Tensor:
        """How much (...) of the second colour there is at places (...), a square or board being 1 wide."""
        if self.grain is not None:
            pattern = boards(self.squares, -(-self.half[1] * self.squares // max(self.half[0], 1e-9))).to(along.device)
            column, row = ((place * TEXELS).nan_to_num().long() for place in (along, across))
            width, depth = pattern.shape
            place = column.clamp_(0, width - 1) * depth + row.clamp_(0, depth - 1)
            return pattern.flatten().index_select(0, place.flatten()).view_as(along).to(along)
        if self.checker is not None:
            return (along.floor() + across.floor()).remainder(2)
        return torch.zeros_like(along)


@lru_cache(maxsize=8)
def boards(length: float, count: float) -> Tensor:
    """``wood`` of so many boards, ``length`` times as long as wide, on a grid of ``TEXELS`` along a board's width.

    Looked up, for the camera of each image sees it again, and again for finite differences.
    """
    along, across = ((torch.arange(int(size) * TEXELS) + 0.5) / TEXELS for size in (length, max(1.0, count)))
    return wood(along.unsqueeze(1), across)


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
