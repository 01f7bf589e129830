"""What an evaluation measures: inferred scenes against the truth, batch by batch."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from air_lightning.distributions import presence_weights
from air_lightning.metrics.averages import SceneMean
from air_lightning.metrics.boxes import BoxPrecision
from air_lightning.metrics.confidence import Calibration, Fit, Kinds, PoseGaps
from air_lightning.metrics.matching import match_objects
from air_lightning.metrics.objects import Objects
from air_lightning.metrics.scenes import SceneMetrics
from air_lightning.metrics.segmentation import foreground_ari, segments
from datamodules.base import Batch, SceneDataModule
from renderers.base import Renderer
from renderers.spaces import Categorical

POSITION = ("x", "y", "z")
FIGURES = (
    "count_accuracy", "over_count", "under_count", "position_error", "position_error_share", "position_error_mean",
    "scene_accuracy", "expected_count", "true_count", "count_log_loss", "stated_precision", "precision", "recall",
    "calibration_error", "coverage50", "coverage90",
)  # fmt: skip
"""Measured wherever there is a truth."""


class Seen(NamedTuple):
    """What was inferred of B scenes.

    Attributes:
        count: (B,), the likeliest. posterior: (B, N + 1), q(n | x).
        what: (B, N, ...), where: (B, N, P), the inferred slots.
        where_sd: (B, N, P), posterior sd of the unconstrained pose.
        what_parameters: parameters of the posterior of ``what``.
    """

    count: Tensor  # type: ignore[assignment]  # hides tuple.count
    posterior: Tensor
    what: Tensor
    where: Tensor
    where_sd: Tensor
    what_parameters: Tensor


class Poses(NamedTuple):
    """Places among the coordinates of a ``where``: of the positions, and of the rotation if there is one."""

    places: list[int]
    turn: int | None

    @property
    def all(self) -> list[int]:
        return self.places if self.turn is None else [*self.places, self.turn]


class Evaluation(nn.Module):
    """The metrics of one model on data with a truth. A module, so that its counters lie where the model does.

    Counts, kinds, positions and rotations (``SceneMetrics``), and how sure of them the model is (``Calibration``);
    where batches hold boxes their average precision (``BoxPrecision``), every slot being a detection as sure as
    q(n >= i); where they hold masks ``foreground_ari``, the mean over scenes.

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
        limit = self.scenes.position_tolerance * data.extent
        angles = {renderer.where.names[j]: renderer.where.coordinates[j].circular for j in self._compared()}
        self.calibration = Calibration(slots, limit, angles, self._has_kinds)
        self.boxes, self.ari = BoxPrecision(), SceneMean()
        # as of the last `compute`: scenes by true and inferred count; bins of confidence; powers that posteriors lack
        self.confusion: Tensor | None = None
        self.sureness: dict[str, Any] = {}
        self.fit: Fit | None = None

    @torch.no_grad()
    def update(self, renderer: Renderer, seen: Seen, batch: Batch) -> None:
        """Take in one batch.

        Args:
            renderer: the model's; not kept, for the model's state would then hold it twice.
            seen: what was inferred. batch: the scenes and their truth.
        """
        inferred = self._objects(seen.count, seen.what, seen.where, self._inferred)
        truth = self._objects(batch.count, batch.what, batch.where, self._true)
        self.scenes.update(inferred, truth)
        self.calibration.update(
            seen.posterior, inferred.position, truth.position, batch.count,
            self._gaps(renderer, seen, batch, inferred, truth), self._kinds(seen, batch),
        )  # fmt: skip
        if batch.boxes is not None:
            self.boxes.update(
                renderer.boxes(seen.what, seen.where), presence_weights(seen.posterior), batch.boxes, batch.count
            )
        if batch.masks is not None:
            layers = renderer.layers(seen.what, seen.where)
            found = segments(layers, seen.count, renderer.compositing, renderer.image_shape[1])
            self.ari.update(foreground_ari(found, batch.masks))

    def compute(self) -> dict[str, Tensor]:
        """Every figure by name, and a fresh start."""
        figures: dict[str, Any] = dict(self.scenes.compute()) | self.calibration.compute()
        self.confusion = self.scenes.confusion()
        self.sureness, self.fit = self.calibration.record(), self.calibration.fit()
        if self.boxes.update_called:
            figures |= self.boxes.compute()
        if self.ari.update_called:
            figures["foreground_ari"] = self.ari.compute()
        for metric in (self.scenes, self.calibration, self.boxes, self.ari):
            metric.reset()
        return {name: value.float() for name, value in figures.items()}

    def _objects(self, count: Tensor, what: Tensor, where: Tensor, poses: Poses) -> Objects:
        rotation = None if poses.turn is None else where[..., poses.turn]
        return Objects(count, what if self._has_kinds else None, where[..., poses.places], rotation)

    def _compared(self) -> list[int]:
        """The renderer's coordinates that the truth has too."""
        return self._inferred.all if self._true.turn is not None else self._inferred.places

    def _kinds(self, seen: Seen, batch: Batch) -> Kinds | None:
        if not self._has_kinds:
            return None
        chosen = seen.what_parameters.softmax(-1).gather(2, seen.what.unsqueeze(2)).squeeze(2)
        return Kinds(seen.what, chosen, batch.what)

    def _gaps(self, renderer: Renderer, seen: Seen, batch: Batch, inferred: Objects, truth: Objects) -> PoseGaps:
        """Of matched objects; a rotation's only where the kind is right, for else it means another thing."""
        matching = match_objects(inferred, truth)
        rows = matching.mask.nonzero()[:, 0]
        ours, theirs = (rows, matching.inferred[matching.mask]), (rows, matching.true[matching.mask])
        where, true = seen.where[ours], batch.where[theirs]
        kind = seen.what[ours] if self._has_kinds else torch.zeros_like(rows)
        period = renderer.where.periods(renderer.kinds, where)[kind]
        if self._has_kinds:
            period = torch.where((kind == batch.what[theirs])[:, None], period, 0.0)
        mine, gap = self._compared(), where.new_zeros(len(rows), 0)
        for ours_at, theirs_at in zip(mine, self._true.all):
            unconstrain = renderer.where.coordinates[ours_at].unconstrain
            column = unconstrain(true[:, theirs_at]) - unconstrain(where[:, ours_at])
            gap = torch.cat([gap, column.unsqueeze(1)], 1)
        return PoseGaps(gap, seen.where_sd[ours][:, mine], period[:, mine])


def poses(renderer: Renderer, names: Sequence[str]) -> Poses:
    """Where the positions and the first angle of a renderer are among coordinates of these names."""
    angle = next((c.name for c in renderer.where.coordinates if c.circular), None)
    places = [names.index(name) for name in POSITION if name in renderer.where.names]
    return Poses(places, names.index(angle) if angle in names else None)


def figure_names(renderer: Renderer, data: SceneDataModule) -> list[str]:
    """The names of all that an evaluation on this data may compute."""
    known = {
        **dict.fromkeys(("identity_accuracy", "identity_calibration_error"), isinstance(renderer.what, Categorical)),
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
