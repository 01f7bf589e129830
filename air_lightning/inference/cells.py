"""Of images cut into square cells, the cells about one of them."""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Neighbourhood(NamedTuple):
    """A square of cells, of every image one.

    Attributes:
        flat: (B, K), each cell's place among all, counted row by row; of those beyond the edge that of one at it.
        inside: (B, side, side), whether it is a cell of the image at all; side^2 is K.
    """

    flat: Tensor
    inside: Tensor

    def of(self, maps: Tensor) -> Tensor:
        """What these cells have, (B, C, side, side), of maps (B, C, h, w) of all cells."""
        index = self.flat.unsqueeze(1).expand(-1, maps.shape[1], -1)
        return maps.flatten(2).gather(2, index).view(*maps.shape[:2], *self.inside.shape[1:])


class Neighbourhoods(nn.Module):
    """Those of all (h, w) ``cells``, found once: up to ``reach`` to each side of centers (B,), counted row by row."""

    flat: Tensor
    inside: Tensor

    def __init__(self, cells: tuple[int, int], reach: int) -> None:
        super().__init__()
        for name, part in _neighbourhood(torch.arange(cells[0] * cells[1]), cells, reach)._asdict().items():
            self.register_buffer(name, part, persistent=False)

    def forward(self, center: Tensor) -> Neighbourhood:
        return Neighbourhood(self.flat[center], self.inside[center])


def _neighbourhood(center: Tensor, cells: tuple[int, int], reach: int) -> Neighbourhood:
    """The cells up to ``reach`` to each side of a center (B,), which is counted row by row among (h, w) ``cells``."""
    offsets = torch.arange(-reach, reach + 1, device=center.device)
    places, inside = [], []
    for middle, most in zip((center // cells[1], center % cells[1]), cells):
        place = middle.unsqueeze(1) + offsets
        places.append(place.clamp(0, most - 1))
        inside.append((place >= 0) & (place < most))
    index = places[0].unsqueeze(2) * cells[1] + places[1].unsqueeze(1)
    return Neighbourhood(index.flatten(1), inside[0].unsqueeze(2) & inside[1].unsqueeze(1))
