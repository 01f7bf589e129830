"""The metric that follows coordinates of whole scenes, a camera's for example."""

from typing import Any

import torch
from torch import Tensor

from air_lightning.metrics.averages import MedianErrors
from renderers.spaces import FULL_TURN, Coordinate, Where


class SceneCoordinateErrors(MedianErrors):
    """How far the inferred coordinates of scenes (``Renderer.scene``) are from the true ones.

    `compute` returns for each a scalar float tensor ``NAME_error``, the median over scenes, nan without any: of angles
    in degrees, of distances (``world units``) as a share of the true one, of others in their own unit.

    Args:
        space: the coordinates; None: none.
        kwargs: for `torchmetrics.Metric`.
    """

    def __init__(self, space: Where | None, **kwargs: Any) -> None:
        coordinates = () if space is None else space.coordinates
        super().__init__([f"{c.name}_error" for c in coordinates], **kwargs)
        self.coordinates = coordinates

    def update(self, inferred: Tensor, truth: Tensor) -> None:
        """Take in B scenes, values (B, S) of both in the coordinates' own units."""
        for j, (name, coordinate) in enumerate(zip(self.names, self.coordinates)):
            getattr(self, name).append(_gap(coordinate, inferred[:, j].detach().float(), truth[:, j].float()))


def _gap(coordinate: Coordinate, ours: Tensor, theirs: Tensor) -> Tensor:
    gap = ours - theirs
    if coordinate.unit == "radians":
        return torch.rad2deg(gap - FULL_TURN * (gap / FULL_TURN).round() if coordinate.circular else gap).abs()
    return gap.abs() / theirs.abs() if coordinate.unit == "world units" else gap.abs()
