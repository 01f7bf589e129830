"""What an evaluation measures: inferred scenes against the truth, batch by batch."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from air_lightning.distributions import presence_weights
from air_lightning.metrics.attributes import AttributeErrors
from air_lightning.metrics.averages import MeanByCount, SceneMean
from air_lightning.metrics.boxes import BoxPrecision
from air_lightning.metrics.confidence import Calibration, Fit, Identities, PoseGaps
from air_lightning.metrics.counts import rates_by_count
from air_lightning.metrics.matching import match_objects
from air_lightning.metrics.objects import Objects, first
from air_lightning.metrics.scene_coordinates import SceneCoordinateErrors
from air_lightning.metrics.scenes import SceneMetrics
from air_lightning.metrics.segmentation import all_pixels_ari, foreground_ari, segments
from datamodules.base import Batch, SceneDataModule
from renderers.base import Renderer
from renderers.constants import constant
from renderers.spaces import Categorical

POSITION = ("x", "y", "z")
TILT, COLOR = ("pitch", "roll"), ("red", "green", "blue")
COUNTS = ("count_accuracy", "over_count", "under_count", "expected_count", "true_count", "count_log_loss")
"""Measured wherever there is a truth."""
PLACES = (
    "position_error", "position_error_share", "position_error_mean", "scene_accuracy", "stated_precision", "precision",
    "recall", "calibration_error",
)  # fmt: skip
"""Measured wherever it tells where objects are: by poses, or by boxes alone."""


class InferredScenes(NamedTuple):
    """What was inferred of B scenes.

    Attributes:
        count: (B,), the likeliest. log_posterior: (B, N + 1), log q(n | x).
        what: (B, N, ...), where: (B, N, P), the inferred slots.
        where_sd: (B, N, P), posterior sd of the unconstrained pose.
        what_parameters: parameters of the posterior of ``what``.
        scene: (B, S), the inferred coordinates of the scenes; None: the renderer has none.
    """

    count: Tensor  # type: ignore[assignment]  # hides tuple.count
    log_posterior: Tensor
    what: Tensor
    where: Tensor
    where_sd: Tensor
    what_parameters: Tensor
    scene: Tensor | None = None

    @property
    def posterior(self) -> Tensor:
        """(B, N + 1), q(n | x)."""
        return self.log_posterior.exp()


class Poses(NamedTuple):
    """Places among the coordinates of a ``where``: of positions, and rotation, tilt, size, colour and metal if any."""

    places: list[int]
    turn: list[int]
    tilt: dict[str, int]
    size: list[int]
    color: list[int]
    metal: list[int]

    @property
    def all(self) -> list[int]:
        return [*self.places, *self.turn, *self.tilt.values(), *self.size, *self.color, *self.metal]

    def rotation(self, where: Tensor) -> Tensor | None:
        """(B, S) radians; with a tilt (B, S, 3), yaw, pitch and roll, each 0 that is not free; None without any."""
        if not self.tilt:
            return where[..., self.turn[0]] if self.turn else None
        level = torch.zeros_like(where[..., 0])
        tilt = [where[..., self.tilt[name]] if name in self.tilt else level for name in TILT]
        return torch.stack([where[..., self.turn[0]] if self.turn else level, *tilt], -1)


class Evaluation(nn.Module):
    """The metrics of one model on data with a truth. A module, so that its counters lie where the model does.

    Counts, identities, positions and rotations (``SceneMetrics``), sizes, colours and metal (``AttributeErrors``), and
    how sure of them the model is (``Calibration``); where batches hold boxes their average precision
    (``BoxPrecision``), every slot being a detection as sure as q(n >= i); where they hold masks ``foreground_ari``, and
    ``ari`` over all pixels, means over scenes. Where the truth tells no poses but boxes, positions are image
    coordinates: of the inferred pose (``Renderer.project``) and of the box's centre. Where it tells neither, counts
    alone are measured. Objects whose box is zeros, for nothing of them shows, count, in ``scene_accuracy`` too; they
    are matched with nothing, and what is measured of places and boxes leaves them out.

    Args:
        renderer: the model's. slots: N. data: what it is evaluated on.
    """

    def __init__(self, renderer: Renderer, slots: int, data: SceneDataModule) -> None:
        super().__init__()
        given = data.coordinates(renderer)
        self._inferred, self._true = (poses(renderer, data, names) for names in (renderer.where.names, given))
        turn = self._inferred.turn[0] if self._inferred.turn else None
        self._symmetries = _symmetries(renderer, data, turn)
        periods = None if turn is None else [row[turn] for row in self._symmetries]
        self._has_identities = isinstance(renderer.what, Categorical) and data.has_identities
        self._by_pose = bool(given)
        self._names = figure_names(renderer, data)
        self.scenes = SceneMetrics(data.extent, periods, slots, max(1, data.largest_count))
        limit = self.scenes.position_tolerance * data.extent
        angles = {renderer.where.names[j]: renderer.where.coordinates[j].circular for j in self._inferred.all}
        told = self._inferred
        self.attributes = AttributeErrors(bool(told.size), bool(told.color), data.palette, bool(told.metal))
        self.calibration = Calibration(slots, limit, angles, self._has_identities)
        self.views = SceneCoordinateErrors(renderer.scene if _views_are_known(renderer, data) else None)
        self.boxes, self.ari, self.whole_ari = BoxPrecision(), MeanByCount(self.scenes.true_slots), SceneMean()
        # as of the last `compute`: scenes by true and inferred count; bins of confidence; what posteriors lack, and
        # figures by true count, where they were asked for
        self.confusion: Tensor | None = None
        self.sureness: dict[str, Any] = {}
        self.fit: Fit | None = None
        self.by_count: list[dict[str, Any]] = []

    @torch.no_grad()
    def update(self, renderer: Renderer, seen: InferredScenes, batch: Batch) -> None:
        """Take in one batch.

        Args:
            renderer: the model's; not kept, for the model's state would then hold it twice.
            seen: what was inferred. batch: the scenes and their truth, identities by the renderer's numbers
                (``SceneDataModule.renumbered``).
        """
        batch, shown = _shown_first(batch)
        if self._by_pose:
            inferred = self._objects(seen.count, seen.what, seen.where, self._inferred)
            truth = self._objects(shown, batch.what, batch.where, self._true)
        else:
            inferred = self._placed(seen.count, seen.what, renderer.project(seen.where)[0])
            truth = self._placed(shown, batch.what, _centers(batch, renderer.image_shape))
        self.scenes.update(inferred, truth, batch.count)
        self.calibration.update(
            seen.log_posterior, inferred.position, truth.position, batch.count,
            self._gaps(renderer, seen, batch, inferred, truth), self._identities(seen, batch), shown,
        )  # fmt: skip
        if self.views.names and seen.scene is not None and batch.scene is not None:
            self.views.update(seen.scene, batch.scene)
        if batch.boxes is not None:
            self.boxes.update(
                renderer.boxes(seen.what, seen.where), presence_weights(seen.posterior), batch.boxes, batch.count
            )
        if batch.masks is not None:
            layers = renderer.layers(seen.what, seen.where)
            found = segments(layers, seen.count, renderer.compositing, renderer.image_shape[1])
            self.ari.update(foreground_ari(found, batch.masks), batch.count[batch.masks.flatten(1).any(1)])
            self.whole_ari.update(all_pixels_ari(found, batch.masks))

    def compute(self, by_count: bool = False, fit: bool = False) -> dict[str, Tensor]:
        """Every figure by name, and a fresh start.

        Args:
            by_count: measure some of them for each true number of objects, too. fit: find what posteriors lack, too.
        """
        measured = dict(self.scenes.compute()) | self.calibration.compute()
        figures: dict[str, Any] = {k: value for k, value in measured.items() if k in self._names}
        if self.attributes.names:
            figures |= self.attributes.compute()
        self.confusion = self.scenes.confusion()
        self.sureness, self.fit = self.calibration.record(), self.calibration.fit() if fit else None
        if self.views.update_called:
            figures |= self.views.compute()
        if self.boxes.update_called:
            figures |= self.boxes.compute()
        if self.ari.update_called:
            figures |= {"foreground_ari": self.ari.compute(), "ari": self.whole_ari.compute()}
        self.by_count = self._by_count() if by_count else []
        for metric in self.children():
            if isinstance(metric, Metric):
                metric.reset()
        return {name: value.float() for name, value in figures.items()}

    def _by_count(self) -> list[dict[str, Any]]:
        """Figures of the scenes of each true count that there are; nan where there is nothing to measure."""
        assert self.confusion is not None
        figures = {"scenes": self.confusion.sum(1), **rates_by_count(self.confusion)}
        if self.boxes.update_called:
            figures["box_ap50"] = self.boxes.at_half_by_count(self.scenes.true_slots)
        if self.ari.update_called:
            figures["foreground_ari"] = self.ari.by_count()
        columns = {name: values.tolist() for name, values in figures.items()}
        rows = [{name: values[n] for name, values in columns.items()} for n in range(len(self.confusion))]
        return [{"count": n, **row} for n, row in enumerate(rows) if row["scenes"]]

    def _objects(self, count: Tensor, what: Tensor, where: Tensor, poses: Poses) -> Objects:
        return self._placed(count, what, where[..., poses.places])._replace(rotation=poses.rotation(where))

    def _placed(self, count: Tensor, what: Tensor, position: Tensor) -> Objects:
        return Objects(count, what if self._has_identities else None, position, None)

    def _identities(self, seen: InferredScenes, batch: Batch) -> Identities | None:
        if not self._has_identities:
            return None
        return Identities(seen.what, seen.what_parameters, batch.what)

    def _gaps(
        self, renderer: Renderer, seen: InferredScenes, batch: Batch, inferred: Objects, truth: Objects
    ) -> PoseGaps:
        """Of matched objects; a rotation's only where the identity is right, for else it means another thing."""
        matching = match_objects(inferred, truth)
        rows = matching.mask.nonzero()[:, 0]
        ours, theirs = (rows, matching.inferred[matching.mask]), (rows, matching.true[matching.mask])
        where, true = seen.where[ours], batch.where[theirs]
        identity = seen.what[ours] if self._has_identities else torch.zeros_like(rows)
        period = constant(self._symmetries, where.dtype, where.device)[identity]
        if self._has_identities:
            period = torch.where((identity == batch.what[theirs])[:, None], period, 0.0)
        if self.attributes.names:
            self.attributes.update(_attributes(where, self._inferred), _attributes(true, self._true))
        mine, gap = self._inferred.all, where.new_zeros(len(rows), 0)
        for ours_at, theirs_at in zip(mine, self._true.all, strict=True):
            unconstrain = renderer.where.coordinates[ours_at].unconstrain
            column = unconstrain(true[:, theirs_at]) - unconstrain(where[:, ours_at])
            gap = torch.cat([gap, column.unsqueeze(1)], 1)
        return PoseGaps(gap, seen.where_sd[ours][:, mine], period[:, mine])


def _shown_first(batch: Batch) -> tuple[Batch, Tensor]:
    """The batch, in each scene first the objects of which something shows, and how many these are, (B,).

    Those whose box is zeros follow. Masks, which nobody tells apart by number, stay as they are.
    """
    if batch.boxes is None:
        return batch, batch.count
    shown = first(batch.count, batch.boxes.shape[1]) & batch.boxes.any(-1)
    order = shown.int().argsort(dim=1, descending=True, stable=True)
    rows = torch.arange(len(order), device=order.device).unsqueeze(1)
    what, where, boxes = (part[rows, order] for part in (batch.what, batch.where, batch.boxes))
    return batch._replace(what=what, where=where, boxes=boxes), shown.sum(1)


def _centers(batch: Batch, image_shape: tuple[int, ...]) -> Tensor:
    """The centres of boxes in image coordinates, (B, T, 2); zeros where there are no boxes."""
    if batch.boxes is None:
        return batch.where.new_zeros(*batch.what.shape, 2)
    size = batch.boxes.new_tensor(image_shape[:0:-1])
    return (batch.boxes[..., :2] + batch.boxes[..., 2:]) / size - 1


def _attributes(where: Tensor, poses: Poses) -> dict[str, Tensor]:
    """Of objects at poses (M, P)."""
    return {"size": where[:, poses.size], "color": where[:, poses.color], "metal": where[:, poses.metal]}


def poses(renderer: Renderer, data: SceneDataModule, names: Sequence[str]) -> Poses:
    """Where all that both the renderer and the truth tell of objects is among coordinates of these names."""
    given = data.coordinates(renderer)

    def places(wanted: Sequence[str]) -> list[int]:
        return [names.index(n) for n in wanted if n in renderer.where.names and n in given]

    angle = [c.name for c in renderer.where.coordinates if c.circular][:1] if _turn_is_known(renderer, data) else []
    tilt = {n: names.index(n) for n in TILT if n in renderer.where.names and n in given}
    return Poses(places(POSITION), places(angle), tilt, places(("size",)), places(COLOR), places(("metal",)))


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
    told = poses(renderer, data, given)
    known = {
        **dict.fromkeys(COUNTS, True),
        **dict.fromkeys(PLACES, placed),
        **dict.fromkeys(
            ("identity_accuracy", "identity_calibration_error"),
            placed and isinstance(renderer.what, Categorical) and data.has_identities,
        ),
        **dict.fromkeys(("coverage50", "coverage90"), bool(given)),
        "rotation_error": bool(told.turn or told.tilt),
        "size_error": bool(told.size),
        "color_error": bool(told.color),
        "color_accuracy": bool(told.color and data.palette),
        **dict.fromkeys(("metal_error", "metal_accuracy"), bool(told.metal)),
        **dict.fromkeys(("box_ap", "box_ap50", "box_ap75"), "boxes" in data.extras),
        **dict.fromkeys(("foreground_ari", "ari"), "masks" in data.extras),
    }
    views = [f"{name}_error" for name in data.scene_coordinates(renderer)] if _views_are_known(renderer, data) else []
    return [name for name, is_known in known.items() if is_known] + views


def _views_are_known(renderer: Renderer, data: SceneDataModule) -> bool:
    """Whether the truth tells the coordinates of scenes that the renderer has."""
    return renderer.scene is not None and data.scene_coordinates(renderer) == renderer.scene.names


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
