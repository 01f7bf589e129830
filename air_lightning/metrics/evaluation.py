"""What an evaluation measures: inferred scenes against the truth, batch by batch."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from air_lightning.distributions import shown
from air_lightning.metrics.averages import SceneMean
from air_lightning.metrics.boxes import BoxPrecision
from air_lightning.metrics.objects import Objects
from air_lightning.metrics.scenes import SceneMetrics
from air_lightning.metrics.segmentation import foreground_ari, segments
from datamodules.base import Batch, SceneDataModule
from renderers.base import Renderer
from renderers.spaces import Categorical

POSITION = ("x", "y", "z")
FIGURES = (
    "count_accuracy", "over_count", "under_count", "position_error", "position_error_share", "position_error_mean",
    "scene_accuracy",
)  # fmt: skip
"""Measured wherever there is a truth."""


class Poses(NamedTuple):
    """Places among the coordinates of a ``where``: of the positions, and of the rotation if there is one."""

    places: list[int]
    turn: int | None


class Evaluation(nn.Module):
    """The metrics of one model on data with a truth. A module, so that its counters lie where the model does.

    Counts, kinds, positions and rotations (``SceneMetrics``); where batches hold boxes their average precision
    (``BoxPrecision``), every slot being a detection as sure as q(n >= i); where they hold masks ``foreground_ari``, the
    mean over scenes.

    Args:
        renderer: the model's. slots: N. data: what it is evaluated on.
    """

    def __init__(self, renderer: Renderer, slots: int, data: SceneDataModule) -> None:
        super().__init__()
        given = data.coordinates(renderer)
        self._inferred, self._true = poses(renderer, renderer.where.names), poses(renderer, given)
        periods: Sequence[float] | None = None
        if self._inferred.turn is not None:
            periods = renderer.where.periods(renderer.kinds, torch.zeros(()))[:, self._inferred.turn].tolist()
        self._has_kinds = isinstance(renderer.what, Categorical)
        self.scenes = SceneMetrics(data.extent, periods, slots, max(1, data.largest_count))
        self.boxes, self.ari = BoxPrecision(), SceneMean()
        self.confusion: Tensor | None = None  # by true and inferred count, as of the last `compute`

    @torch.no_grad()
    def update(
        self, renderer: Renderer, count: Tensor, posterior: Tensor, what: Tensor, where: Tensor, batch: Batch
    ) -> None:
        """Take in one batch.

        Args:
            renderer: the model's; not kept, for the model's state would then hold it twice.
            count: (B,). posterior: (B, N + 1). what: (B, N, ...), where: (B, N, P), the inferred slots.
            batch: the scenes and their truth.
        """
        inferred = self._objects(count, what, where, self._inferred)
        self.scenes.update(inferred, self._objects(batch.count, batch.what, batch.where, self._true))
        if batch.boxes is not None:
            self.boxes.update(renderer.boxes(what, where), shown(posterior), batch.boxes, batch.count)
        if batch.masks is not None:
            found = segments(renderer.layers(what, where), count, renderer.compositing, renderer.image_shape[1])
            self.ari.update(foreground_ari(found, batch.masks))

    def compute(self) -> dict[str, Tensor]:
        """Every figure by name, and a fresh start."""
        figures: dict[str, Any] = dict(self.scenes.compute())
        self.confusion = self.scenes.confusion()
        if self.boxes.update_called:
            figures |= self.boxes.compute()
        if self.ari.update_called:
            figures["foreground_ari"] = self.ari.compute()
        for metric in (self.scenes, self.boxes, self.ari):
            metric.reset()
        return {name: value.float() for name, value in figures.items()}

    def _objects(self, count: Tensor, what: Tensor, where: Tensor, poses: Poses) -> Objects:
        rotation = None if poses.turn is None else where[..., poses.turn]
        return Objects(count, what if self._has_kinds else None, where[..., poses.places], rotation)


def poses(renderer: Renderer, names: Sequence[str]) -> Poses:
    """Where the positions and the first angle of a renderer are among coordinates of these names."""
    angle = next((c.name for c in renderer.where.coordinates if c.circular), None)
    places = [names.index(name) for name in POSITION if name in renderer.where.names]
    return Poses(places, names.index(angle) if angle in names else None)


def figure_names(renderer: Renderer, data: SceneDataModule) -> list[str]:
    """The names of all that an evaluation on this data may compute."""
    known = {
        "identity_accuracy": isinstance(renderer.what, Categorical),
        "rotation_error": poses(renderer, data.coordinates(renderer)).turn is not None,
        **dict.fromkeys(("box_ap", "box_ap50", "box_ap75"), "boxes" in data.extras),
        "foreground_ari": "masks" in data.extras,
    }
    return [*FIGURES, *(name for name, is_known in known.items() if is_known)]


def check_positions(renderer: Renderer, data: SceneDataModule) -> None:
    """ValueError where the truth has other positions than the renderer: they could not be compared."""
    given = data.coordinates(renderer)
    mine, theirs = ([n for n in POSITION if n in names] for names in (renderer.where.names, given))
    if mine != theirs:
        raise ValueError(
            f"{type(data).__name__} says where objects are by {', '.join(given)}, {type(renderer).__name__} by "
            f"{', '.join(renderer.where.names)}: choose data of the model's world, or a renderer of the data's; "
            "ImageFolder takes any pictures, without their truth"
        )
