"""The metric that follows an evaluation scene by scene, over batches and over processes."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from air_lightning.metrics.averages import joined, median, synced
from air_lightning.metrics.comparison import Comparison, check_periods, compare_objects, scene_right
from air_lightning.metrics.counts import count_confusion, count_rates
from air_lightning.metrics.objects import Objects, check_count


class SceneMetrics(Metric):
    """How often counts, identities, positions and rotations of whole scenes are right.

    `compute` returns scalar float tensors, nan where there was nothing to measure:

    ====================== ===================================================================================
    `count_accuracy`       share of scenes with the right number of objects
    `over_count`           share of scenes with too many; `under_count`: with too few
    `identity_accuracy`    share of matched objects of the right identity; absent where identities are not known
    `position_error`       median over matched objects, world units
    `position_error_share` the same as a share of `extent`
    `position_error_mean`  mean over matched objects, world units
    `rotation_error`       median in degrees modulo symmetry, over matched objects of the right identity (of any
                           identity where identities are not known) whose rotation is visible; absent where rotation is
                           not known
    `scene_accuracy`       share of scenes right as a whole, see `scene_right`
    ====================== ===================================================================================

    Identities and rotations are known where both the inferred and the true record hold them. Medians are exact,
    over all objects of all batches and processes: the errors are kept (4 bytes each) until `reset`.

    Args:
        extent: width of the table, world units, > 0.
        periods: radians in [0, 2 pi], rotation symmetry of each identity (pi / 2: four-fold; 0: rotation
            invisible); None: no identity has a symmetry.
        slots: inferred slots N, >= 1.
        true_slots: true slots T, >= 1; None: as many as `slots`.
        position_tolerance: largest position error in a right scene, as a share of `extent`.
        rotation_tolerance: largest rotation error in a right scene, degrees.
        kwargs: for `torchmetrics.Metric`.

    Raises:
        ValueError: an argument is out of its range.
    """

    full_state_update = False
    is_differentiable = False

    counts: Tensor
    scenes_right: Tensor
    identity_scenes: Tensor
    identity_pairs: Tensor
    identity_right: Tensor
    rotation_scenes: Tensor
    position_errors: list[Tensor] | Tensor
    rotation_errors: list[Tensor] | Tensor

    def __init__(
        self,
        extent: float,
        periods: Sequence[float] | None,
        slots: int,
        true_slots: int | None = None,
        position_tolerance: float = 0.05,
        rotation_tolerance: float = 15.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.extent, self.slots = float(extent), slots
        self.true_slots = slots if true_slots is None else true_slots
        self.periods = None if periods is None else tuple(float(period) for period in periods)
        self.position_tolerance, self.rotation_tolerance = position_tolerance, rotation_tolerance
        self._check()
        self._add_states()

    def update(self, inferred: Objects, truth: Objects, true_count: Tensor | None = None) -> None:
        """Take in one batch.

        Args:
            inferred: records of B scenes in `slots` slots; of the count, the mode of its posterior.
            truth: records of the same scenes in `true_slots` slots.
            true_count: (B,), the right number of objects, where there are others that are not to be matched; None:
                those of `truth` are all.

        Raises:
            ValueError: a number of slots is not the constructor's, or as `compare_objects`. Nothing of the
                batch has then been taken in.
        """
        with torch.no_grad():
            comparison = compare_objects(inferred, truth, self._periods_on(inferred.position.device))
            self._check_slots("slots", "inferred", inferred)
            self._check_slots("true_slots", "truth", truth)
            number = truth.count if true_count is None else true_count
            check_count("true_count", number, self.true_slots)
            comparison = comparison._replace(count_right=inferred.count == number)
            # never in place: a state made in validation's inference mode could not be changed outside it
            scenes = count_confusion(inferred.count, number, self.slots, self.true_slots)
            self.counts = self.counts + scenes
            self._take_scenes(comparison)
            self._take_errors(comparison)

    def compute(self) -> dict[str, Tensor]:
        """The table above, of everything since the last `reset`, over all processes."""
        rates = count_rates(self.counts)
        positions = joined(self.position_errors, self.device)
        metrics = {
            "count_accuracy": rates.accuracy,
            "over_count": rates.over,
            "under_count": rates.under,
            "position_error": median(positions),
            "position_error_share": median(positions) / self.extent,
            "position_error_mean": positions.mean(),
            "scene_accuracy": self.scenes_right / self.counts.sum(),
        }
        if self.identity_scenes > 0:
            metrics["identity_accuracy"] = self.identity_right / self.identity_pairs
        if self.rotation_scenes > 0:
            metrics["rotation_error"] = median(joined(self.rotation_errors, self.device))
        return metrics

    def confusion(self) -> Tensor:
        """Scenes of every true count (row) and inferred count (column): (true_slots + 1, slots + 1) long.

        Like `compute`, sums over all processes, so all of them must call it.
        """
        with synced(self):
            return self.counts.clone()

    def _add_states(self) -> None:
        self.add_state("counts", torch.zeros(self.true_slots + 1, self.slots + 1, dtype=torch.long), "sum")
        # the numbers of scenes with identities and with rotations tell a key that is nan from one that is absent,
        # also in a process that had no batch
        for name in (
            "scenes_right",
            "rotation_scenes",
            "identity_scenes",
            "identity_pairs",
            "identity_right",
        ):
            self.add_state(name, torch.zeros((), dtype=torch.long), "sum")
        for name in ("position_errors", "rotation_errors"):
            self.add_state(name, [], "cat")

    def _take_scenes(self, comparison: Comparison) -> None:
        right = scene_right(comparison, self.position_tolerance * self.extent, self.rotation_tolerance)
        self.scenes_right = self.scenes_right + right.sum()
        if comparison.identity is not None:
            self.identity_scenes = self.identity_scenes + len(comparison.mask)
            self.identity_pairs = self.identity_pairs + comparison.mask.sum()
            self.identity_right = self.identity_right + comparison.identity.sum()
        if comparison.rotation is not None:
            self.rotation_scenes = self.rotation_scenes + len(comparison.mask)

    def _take_errors(self, comparison: Comparison) -> None:
        assert isinstance(self.position_errors, list) and isinstance(self.rotation_errors, list)
        self.position_errors.append(comparison.position[comparison.mask].float())
        if comparison.rotation is not None:
            identity = comparison.mask if comparison.identity is None else comparison.identity
            self.rotation_errors.append(comparison.rotation[identity & ~comparison.rotation.isnan()].float())

    def _periods_on(self, device: torch.device) -> Tensor | None:
        """(K,) radians."""
        return None if self.periods is None else torch.tensor(self.periods, device=device)

    def _check(self) -> None:
        """Raise ValueError where an argument of the constructor is out of its range."""
        for name in ("extent", "position_tolerance", "rotation_tolerance"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be finite and > 0, got {value}: see SceneMetrics for its unit")
        for name in ("slots", "true_slots"):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"{name} must be >= 1, got {value}: a scene needs room for an object")
        if self.periods == ():
            raise ValueError("periods must have one entry for each identity, got (): pass None for no symmetry")
        check_periods(torch.tensor(self.periods or ()))

    def _check_slots(self, argument: str, name: str, objects: Objects) -> None:
        expected, got = getattr(self, argument), objects.position.shape[1]
        if got != expected:
            raise ValueError(
                f"{name}.position must have {argument} = {expected} slots, got {got}: construct SceneMetrics "
                f"with {argument}={got}"
            )
