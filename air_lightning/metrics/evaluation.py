"""What an evaluation measures: inferred scenes against the truth, batch by batch."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from air_lightning.distributions import presence_weights
from air_lightning.metrics.averages import SceneMean
from air_lightning.metrics.boxes import BoxPrecision
from air_lightning.metrics.objects import Objects
from air_lightning.metrics.scenes import SceneMetrics
from air_lightning.metrics.segmentation import foreground_ari, segments
from datamodules.base import Batch, SceneDataModule
from renderers.base import Renderer
from renderers.spaces import Categorical

POSITION = ("x", "y", "z")
COUNTS = ("count_accuracy", "over_count", "under_count")
"""Measured wherever there is a truth."""
PLACES = ("position_error", "position_error_share", "position_error_mean", "scene_accuracy")
"""Measured wherever it tells where objects are: by poses, or by boxes alone."""


class Poses(NamedTuple):
    """Places among the coordinates of a ``where``: of the positions, and of the rotation if there is one."""

    places: list[int]
    turn: int | None


class Evaluation(nn.Module):
    """The metrics of one model on data with a truth. A module, so that its counters lie where the model does.

    Counts, kinds, positions and rotations (``SceneMetrics``); where batches hold boxes their average precision
    (``BoxPrecision``), every slot being a detection as sure as q(n >= i); where they hold masks ``foreground_ari``, the
    mean over scenes. Where the truth tells no poses but boxes, positions are image coordinates: of the inferred pose
    (``Renderer.project``) and of the box's centre. Where it tells neither, counts alone are measured.

    Args:
        renderer: the model's. slots: N. data: what it is evaluated on.
    """

    def __init__(self, renderer: Renderer, slots: int, data: SceneDataModule) -> None:
        super().__init__()
        given = data.coordinates(renderer)
        self._inferred, self._true = poses(renderer, renderer.where.names), poses(renderer, given)
        if not _turn_is_known(renderer, data):
            self._true = self._true._replace(turn=None)
        periods: Sequence[float] | None = None
        if self._inferred.turn is not None:
            periods = renderer.where.periods(renderer.kinds, torch.zeros(()))[:, self._inferred.turn].tolist()
        self._has_kinds = isinstance(renderer.what, Categorical) and data.has_identities
        self._by_pose = bool(given)
        self._names = figure_names(renderer, data)
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
        if self._by_pose:
            inferred = self._objects(count, what, where, self._inferred)
            truth = self._objects(batch.count, batch.what, batch.where, self._true)
        else:
            inferred = self._placed(count, what, renderer.project(where)[0])
            truth = self._placed(batch.count, batch.what, _centers(batch, renderer.image_shape))
        self.scenes.update(inferred, truth)
        if batch.boxes is not None:
            self.boxes.update(renderer.boxes(what, where), presence_weights(posterior), batch.boxes, batch.count)
        if batch.masks is not None:
            found = segments(renderer.layers(what, where), count, renderer.compositing, renderer.image_shape[1])
            self.ari.update(foreground_ari(found, batch.masks))

    def compute(self) -> dict[str, Tensor]:
        """Every figure by name, and a fresh start."""
        figures: dict[str, Any] = {k: value for k, value in self.scenes.compute().items() if k in self._names}
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
        return self._placed(count, what, where[..., poses.places])._replace(rotation=rotation)

    def _placed(self, count: Tensor, what: Tensor, position: Tensor) -> Objects:
        return Objects(count, what if self._has_kinds else None, position, None)


def _centers(batch: Batch, image_shape: tuple[int, ...]) -> Tensor:
    """The centres of boxes in image coordinates, (B, T, 2); zeros where there are no boxes."""
    if batch.boxes is None:
        return batch.where.new_zeros(*batch.what.shape, 2)
    size = batch.boxes.new_tensor(image_shape[:0:-1])
    return (batch.boxes[..., :2] + batch.boxes[..., 2:]) / size - 1


def poses(renderer: Renderer, names: Sequence[str]) -> Poses:
    """Where the positions and the first angle of a renderer are among coordinates of these names."""
    angle = next((c.name for c in renderer.where.coordinates if c.circular), None)
    places = [names.index(name) for name in POSITION if name in renderer.where.names and name in names]
    return Poses(places, names.index(angle) if angle in names else None)


def figure_names(renderer: Renderer, data: SceneDataModule) -> list[str]:
    """The names of all that an evaluation on this data may compute."""
    given = data.coordinates(renderer)
    placed = bool(given) or "boxes" in data.extras
    known = {
        **dict.fromkeys(COUNTS, True),
        **dict.fromkeys(PLACES, placed),
        "identity_accuracy": placed and isinstance(renderer.what, Categorical) and data.has_identities,
        "rotation_error": poses(renderer, given).turn is not None and _turn_is_known(renderer, data),
        **dict.fromkeys(("box_ap", "box_ap50", "box_ap75"), "boxes" in data.extras),
        "foreground_ari": "masks" in data.extras,
    }
    return [name for name, is_known in known.items() if is_known]


def _turn_is_known(renderer: Renderer, data: SceneDataModule) -> bool:
    """Whether rotations can be compared: where nobody tells the identities, all must have one symmetry."""
    return data.has_identities or renderer.kinds == 1


def check_positions(renderer: Renderer, data: SceneDataModule) -> None:
    """ValueError where the truth has other positions than the renderer: they could not be compared."""
    given = data.coordinates(renderer)
    mine, theirs = ([n for n in POSITION if n in names] for names in (renderer.where.names, given))
    if given and mine != theirs:
        raise ValueError(
            f"{type(data).__name__} says where objects are by {', '.join(given)}, {type(renderer).__name__} by "
            f"{', '.join(renderer.where.names)}: choose data of the model's world, or a renderer of the data's; "
            "ImageFolder takes any pictures, without their truth"
        )
