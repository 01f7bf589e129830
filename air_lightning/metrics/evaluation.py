"""What an evaluation measures: inferred scenes against the truth, batch by batch."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from air_lightning.distributions import presence_weights
from air_lightning.metrics.averages import SceneMean
from air_lightning.metrics.boxes import BoxPrecision
from air_lightning.metrics.confidence import Calibration, Fit, Identities, PoseGaps
from air_lightning.metrics.matching import match_objects
from air_lightning.metrics.objects import Objects
from air_lightning.metrics.scenes import SceneMetrics
from air_lightning.metrics.segmentation import foreground_ari, segments
from datamodules.base import Batch, SceneDataModule
from renderers.base import Renderer
from renderers.constants import constant
from renderers.spaces import Categorical

POSITION = ("x", "y", "z")
COUNTS = ("count_accuracy", "over_count", "under_count", "expected_count", "true_count", "count_log_loss")
"""Measured wherever there is a truth."""
PLACES = (
    "position_error", "position_error_share", "position_error_mean", "scene_accuracy", "stated_precision", "precision",
    "recall", "calibration_error",
)  # fmt: skip
"""Measured wherever it tells where objects are: by poses, or by boxes alone."""


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

    Counts, identities, positions and rotations (``SceneMetrics``), and how sure of them the model is (``Calibration``);
    where batches hold boxes their average precision (``BoxPrecision``), every slot being a detection as sure as
    q(n >= i); where they hold masks ``foreground_ari``, the mean over scenes. Where the truth tells no poses but boxes,
    positions are image coordinates: of the inferred pose (``Renderer.project``) and of the box's centre. Where it tells
    neither, counts alone are measured.

    Args:
        renderer: the model's. slots: N. data: what it is evaluated on.
    """

    def __init__(self, renderer: Renderer, slots: int, data: SceneDataModule) -> None:
        super().__init__()
        given = data.coordinates(renderer)
        self._inferred, self._true = poses(renderer, renderer.where.names), poses(renderer, given)
        if not _turn_is_known(renderer, data):
            self._true = self._true._replace(turn=None)
        turn = self._inferred.turn
        self._symmetries = _symmetries(renderer, data, turn)
        periods = None if turn is None else [row[turn] for row in self._symmetries]
        self._has_identities = isinstance(renderer.what, Categorical) and data.has_identities
        self._by_pose = bool(given)
        self._names = figure_names(renderer, data)
        self.scenes = SceneMetrics(data.extent, periods, slots, max(1, data.largest_count))
        limit = self.scenes.position_tolerance * data.extent
        angles = {renderer.where.names[j]: renderer.where.coordinates[j].circular for j in self._compared()}
        self.calibration = Calibration(slots, limit, angles, self._has_identities)
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
        if self._by_pose:
            inferred = self._objects(seen.count, seen.what, seen.where, self._inferred)
            truth = self._objects(batch.count, batch.what, batch.where, self._true)
        else:
            inferred = self._placed(seen.count, seen.what, renderer.project(seen.where)[0])
            truth = self._placed(batch.count, batch.what, _centers(batch, renderer.image_shape))
        self.scenes.update(inferred, truth)
        self.calibration.update(
            seen.posterior, inferred.position, truth.position, batch.count,
            self._gaps(renderer, seen, batch, inferred, truth), self._identities(seen, batch),
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
        measured = dict(self.scenes.compute()) | self.calibration.compute()
        figures: dict[str, Any] = {k: value for k, value in measured.items() if k in self._names}
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
        return self._placed(count, what, where[..., poses.places])._replace(rotation=rotation)

    def _placed(self, count: Tensor, what: Tensor, position: Tensor) -> Objects:
        return Objects(count, what if self._has_identities else None, position, None)

    def _compared(self) -> list[int]:
        """The renderer's coordinates that the truth has too."""
        if not self._by_pose:
            return []
        return self._inferred.all if self._true.turn is not None else self._inferred.places

    def _identities(self, seen: Seen, batch: Batch) -> Identities | None:
        if not self._has_identities:
            return None
        chosen = seen.what_parameters.softmax(-1).gather(2, seen.what.unsqueeze(2)).squeeze(2)
        return Identities(seen.what, chosen, batch.what)

    def _gaps(self, renderer: Renderer, seen: Seen, batch: Batch, inferred: Objects, truth: Objects) -> PoseGaps:
        """Of matched objects; a rotation's only where the identity is right, for else it means another thing."""
        matching = match_objects(inferred, truth)
        rows = matching.mask.nonzero()[:, 0]
        ours, theirs = (rows, matching.inferred[matching.mask]), (rows, matching.true[matching.mask])
        where, true = seen.where[ours], batch.where[theirs]
        identity = seen.what[ours] if self._has_identities else torch.zeros_like(rows)
        period = constant(self._symmetries, where.dtype, where.device)[identity]
        if self._has_identities:
            period = torch.where((identity == batch.what[theirs])[:, None], period, 0.0)
        mine, gap = self._compared(), where.new_zeros(len(rows), 0)
        for ours_at, theirs_at in zip(mine, self._true.all):
            unconstrain = renderer.where.coordinates[ours_at].unconstrain
            column = unconstrain(true[:, theirs_at]) - unconstrain(where[:, ours_at])
            gap = torch.cat([gap, column.unsqueeze(1)], 1)
        return PoseGaps(gap, seen.where_sd[ours][:, mine], period[:, mine])


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


def _symmetries(renderer: Renderer, data: SceneDataModule, turn: int | None) -> tuple[tuple[float, ...], ...]:
    """(K, P) turn of each identity that changes nothing: the truth's, where it tells it, or the renderer's."""
    periods = renderer.where.periods(renderer.identity_count, torch.zeros(())).tolist()
    told = data.periods(renderer)
    if turn is not None and isinstance(renderer.what, Categorical):
        for name, row in zip(renderer.what.names, periods):
            row[turn] = told.get(name, row[turn])
    return tuple(map(tuple, periods))


def figure_names(renderer: Renderer, data: SceneDataModule) -> list[str]:
    """The names of all that an evaluation on this data may compute."""
    given = data.coordinates(renderer)
    placed = bool(given) or "boxes" in data.extras
    known = {
        **dict.fromkeys(COUNTS, True),
        **dict.fromkeys(PLACES, placed),
        **dict.fromkeys(
            ("identity_accuracy", "identity_calibration_error"),
            placed and isinstance(renderer.what, Categorical) and data.has_identities,
        ),
        **dict.fromkeys(("coverage50", "coverage90"), bool(given)),
        "rotation_error": poses(renderer, given).turn is not None and _turn_is_known(renderer, data),
        **dict.fromkeys(("box_ap", "box_ap50", "box_ap75"), "boxes" in data.extras),
        "foreground_ari": "masks" in data.extras,
    }
    return [name for name, is_known in known.items() if is_known]


def _turn_is_known(renderer: Renderer, data: SceneDataModule) -> bool:
    """Whether rotations can be compared: where nobody tells the identities, all must have one symmetry."""
    return data.has_identities or renderer.identity_count == 1


def check_positions(renderer: Renderer, data: SceneDataModule) -> None:
    """ValueError where the truth has other positions than the renderer: they could not be compared."""
    given = data.coordinates(renderer)
    mine, theirs = ([n for n in POSITION if n in names] for names in (renderer.where.names, given))
    if given and mine != theirs:
        raise ValueError(
            f"{type(data).__name__} says where objects are by {', '.join(given)}, {type(renderer).__name__} by "
            f"{', '.join(renderer.where.names)}: choose data of the model's world, or a renderer of the data's; "
            "ImageFolder takes any images, without their truth"
        )
