"""The metric that follows coordinates of whole scenes, a camera's for example."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from air_lightning.metrics.averages import median
from renderers.spaces import FULL_TURN, Coordinate, Where


class SceneCoordinateErrors(Metric):
    """How far the inferred coordinates of scenes (``Renderer.scene``) are from the true ones.

    `compute` returns for each a scalar float tensor ``NAME_error``, the median over scenes, nan without any: of angles
    in degrees, of distances (``world units``) as a share of the true one, of others in their own unit.

    Args:
        space: the coordinates; None: none.
        kwargs: for `torchmetrics.Metric`.
    """

    full_state_update = False
    is_differentiable = False

    def __init__(self, space: Where | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.coordinates = () if space is None else space.coordinates
        self.names = tuple(f"{c.name}_error" for c in self.coordinates)
        for name in self.names:
            self.add_state(name, [], "cat")

    def update(self, inferred: Tensor, truth: Tensor) -> None:
        """Take in B scenes, values (B, S) of both in the coordinates' own units."""
        for j, (name, coordinate) in enumerate(zip(self.names, self.coordinates)):
            getattr(self, name).append(_gap(coordinate, inferred[:, j].detach().float(), truth[:, j].float()))

    def compute(self) -> dict[str, Tensor]:
        """The errors of everything since the last `reset`, over all processes."""
        return {name: median(self._joined(name)) for name in self.names}

    def _joined(self, name: str) -> Tensor:
        errors = getattr(self, name)
        if isinstance(errors, list) and not errors:
            return torch.empty(0, device=self.device)
        return dim_zero_cat(errors)


def _gap(coordinate: Coordinate, ours: Tensor, theirs: Tensor) -> Tensor:
    gap = ours - theirs
    if coordinate.unit == "radians":
        return torch.rad2deg(gap - FULL_TURN * (gap / FULL_TURN).round() if coordinate.circular else gap).abs()
    return gap.abs() / theirs.abs() if coordinate.unit == "world units" else gap.abs()
