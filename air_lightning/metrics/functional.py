"""The mathematics of comparing inferred scenes with true ones, as pure functions of tensors.

Shapes: B scenes, N inferred slots, T true slots, M = min(N, T) places for matched pairs, D position
coordinates, K kinds of object. Positions are in world units, rotations and periods in radians, rotation
*errors* in degrees.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

FULL_TURN = 2 * math.pi
NAN = float("nan")


class Objects(NamedTuple):
    """The objects of B scenes in S slots each, of which slots 0 .. count - 1 are present.

    What the absent slots hold is never read, so it may be anything, nan included.

    Args:
        count: (B,) whole numbers in 0 .. S; of an inferred scene, the mode of the posterior.
        identity: (B, S) long, the kind of each object; None where there are no kinds (a continuous `what`).
        position: (B, S, D), world units.
        rotation: (B, S), radians; None where the renderer has no free rotation.
    """

    count: Tensor  # type: ignore[assignment]  # hides tuple.count, which nobody needs here
    identity: Tensor | None
    position: Tensor
    rotation: Tensor | None


class Matching(NamedTuple):
    """Which inferred object explains which true one.

    Args:
        inferred: (B, M) long, slot of the inferred object of each pair; 0 where there is no pair.
        true: (B, M) long, slot of the true object of each pair; 0 where there is no pair.
        mask: (B, M) bool, true for the first min(inferred count, true count) places of a scene.
    """

    inferred: Tensor
    true: Tensor
    mask: Tensor


class Comparison(NamedTuple):
    """What is right and wrong in each scene, pair by pair.

    Args:
        count_right: (B,) bool, is the number of objects right.
        mask: (B, M) bool, where there is a matched pair.
        identity: (B, M) bool, is the kind right (false where there is no pair); None where either side has no
            kinds.
        position: (B, M), distance in world units; nan where there is no pair.
        rotation: (B, M), error in degrees modulo symmetry; nan where there is no pair, or the rotation is
            invisible or (in the truth) unknown; None where either side has no rotation.
    """

    count_right: Tensor
    mask: Tensor
    identity: Tensor | None
    position: Tensor
    rotation: Tensor | None


class CountRates(NamedTuple):
    """Shares of scenes whose count is right, too large, too small: scalars of sum 1, or nan of no scenes."""

    accuracy: Tensor
    over: Tensor
    under: Tensor


def count_confusion(inferred: Tensor, true: Tensor, slots: int, true_slots: int) -> Tensor:
    """Count the scenes of every (true count, inferred count).

    Args:
        inferred: (B,) long, inferred counts in 0 .. slots.
        true: (B,) long, true counts in 0 .. true_slots.
        slots: N.
        true_slots: T.

    Returns:
        (T + 1, N + 1) long; row = true count, column = inferred count.

    Raises:
        ValueError: shapes differ, or a count is out of range.
    """
    if inferred.ndim != 1 or inferred.shape != true.shape:
        raise ValueError(
            f"inferred and true counts must both have shape (scenes,), got {tuple(inferred.shape)} and "
            f"{tuple(true.shape)}: pass one count for each scene"
        )
    _check_count("inferred count", inferred, slots)
    _check_count("true count", true, true_slots)
    cell = true.long() * (slots + 1) + inferred.long()
    return torch.bincount(cell, minlength=(true_slots + 1) * (slots + 1)).reshape(true_slots + 1, slots + 1)


def count_rates(confusion: Tensor) -> CountRates:
    """Reduce a count confusion matrix, (T + 1, N + 1) with true counts in rows, to shares of its scenes."""
    total = confusion.sum()
    # above the diagonal the column (inferred) exceeds the row (true)
    above, below = torch.triu(confusion, 1).sum(), torch.tril(confusion, -1).sum()
    return CountRates(torch.diagonal(confusion).sum() / total, above / total, below / total)


def match_objects(inferred: Objects, truth: Objects) -> Matching:
    """Pair inferred with true objects, scene by scene, at the least sum of position distances.

    Only present objects take part; where counts differ, the surplus of the larger side stays unmatched.
    Identity and rotation have no say. The assignment itself runs on the CPU in float64
    (`scipy.optimize.linear_sum_assignment`); the result is on the device of `inferred.position`.

    Args:
        inferred: records with S = N.
        truth: records with S = T.

    Returns:
        the pairs, (B, M) each, in order of the inferred slot.

    Raises:
        ValueError: shapes, counts or dtypes do not fit, or the position or rotation of a present object is
            not finite (a true *rotation* may be nan: unknown).
    """
    check_scenes(inferred, truth)
    distance = _pairwise_distance(inferred.position, truth.position)
    counts = list(zip(inferred.count.tolist(), truth.count.tolist(), strict=True))
    index = np.zeros((2, distance.shape[0], min(distance.shape[1:])), dtype=np.int64)
    for scene, (n, t) in enumerate(counts):
        index[:, scene, : min(n, t)] = linear_sum_assignment(distance[scene, :n, :t])
    rows, columns = torch.from_numpy(index).to(inferred.position.device)
    pairs = torch.minimum(inferred.count, truth.count)
    return Matching(rows, columns, _first(pairs, rows.shape[1]))


def rotation_error(inferred: Tensor, true: Tensor, period: Tensor | float) -> Tensor:
    """Angle between two rotations in degrees, modulo the symmetry of the object.

    With d = (inferred - true) mod period, the error is min(d, period - d): in [0, period / 2].

    Args:
        inferred: any shape, radians.
        true: broadcasts with `inferred`, radians.
        period: broadcasts with `inferred`, radians: 2 pi for an object without symmetry, pi / 2 for a cube
            turning about its axis, 0 where rotation is invisible (a sphere).

    Returns:
        degrees; nan where period is 0.

    Raises:
        ValueError: a period is negative or more than a full turn.
    """
    period = torch.as_tensor(period, dtype=inferred.dtype, device=inferred.device)
    check_periods(period)
    visible = period > 0
    gap = torch.remainder(inferred - true, torch.where(visible, period, FULL_TURN))
    return torch.where(visible, torch.rad2deg(torch.minimum(gap, period - gap)), NAN)


def compare_objects(inferred: Objects, truth: Objects, periods: Tensor | None = None) -> Comparison:
    """Match the objects of each scene and measure every pair.

    Args:
        inferred: records with S = N.
        truth: records with S = T.
        periods: (K,) radians in [0, 2 pi], rotation symmetry of each kind; 0: rotation invisible; None: no
            kind has a symmetry. The period of a pair is that of its *true* kind.

    Raises:
        ValueError: as `match_objects`; also where a period or a true kind is out of range, or several periods
            are given and the truth has no kinds.
    """
    matching = match_objects(inferred, truth)
    return Comparison(
        count_right=inferred.count == truth.count,
        mask=matching.mask,
        identity=_identity_right(inferred, truth, matching),
        position=_position_errors(inferred, truth, matching),
        rotation=_rotation_errors(inferred, truth, matching, periods),
    )


def scene_right(comparison: Comparison, position_limit: float, rotation_limit: float) -> Tensor:
    """Decide which scenes are right as a whole: count, kinds, positions and visible rotations.

    Kinds and rotations that are not known (None), and rotations that are invisible (nan), are not asked for.
    A scene rightly found empty is right. The matching minimises the *sum* of distances, so a scene of which
    another matching would keep every single error within the limit can, rarely, still be wrong.

    Args:
        comparison: from `compare_objects`.
        position_limit: largest position error allowed, world units.
        rotation_limit: largest rotation error allowed, degrees.

    Returns:
        (B,) bool.
    """
    good = comparison.position <= position_limit
    if comparison.identity is not None:
        good = good & comparison.identity
    if comparison.rotation is not None:
        good = good & ((comparison.rotation <= rotation_limit) | comparison.rotation.isnan())
    return comparison.count_right & (good | ~comparison.mask).all(dim=1)


def scene_accuracy(
    inferred: Objects,
    truth: Objects,
    extent: float,
    periods: Tensor | None = None,
    position_tolerance: float = 0.05,
    rotation_tolerance: float = 15.0,
) -> Tensor:
    """Share of scenes right as a whole (`scene_right`); scalar in [0, 1], nan of no scenes.

    Args:
        inferred: records with S = N.
        truth: records with S = T.
        extent: width of the table, world units.
        periods: as in `compare_objects`.
        position_tolerance: largest position error allowed, as a share of `extent`.
        rotation_tolerance: largest rotation error allowed, degrees.

    Raises:
        ValueError: as `compare_objects`.
    """
    comparison = compare_objects(inferred, truth, periods)
    return scene_right(comparison, position_tolerance * extent, rotation_tolerance).float().mean()


def median(values: Tensor) -> Tensor:
    """Median of (n,) values, the mean of the middle two where n is even; nan where n is 0.

    `torch.median` takes the lower of the two, and `torch.quantile` refuses more than 16 million values.
    """
    if values.numel() == 0:
        return values.new_full((), NAN)
    ordered = values.sort().values
    return (ordered[(len(values) - 1) // 2] + ordered[len(values) // 2]) / 2


def check_periods(periods: Tensor) -> None:
    """Raise ValueError unless every period is in [0, 2 pi] (to 0.001: people write 6.2832)."""
    wrong = ~((periods >= 0) & (periods <= FULL_TURN + 1e-3))
    if wrong.any():
        value = periods[wrong].flatten()[0].item()
        raise ValueError(
            f"a rotation period must be in [0, 2 pi] radians, got {value:g}: 2 pi for no symmetry, 0 where "
            f"rotation is invisible, math.radians(...) to convert from degrees"
        )


def check_scenes(inferred: Objects, truth: Objects) -> None:
    """Raise ValueError unless both records are sound and speak of the same scenes in the same coordinates."""
    _check_objects("inferred", inferred)
    _check_objects("truth", truth)
    ours, theirs = tuple(inferred.position.shape), tuple(truth.position.shape)
    if ours[0] != theirs[0]:
        raise ValueError(
            f"inferred and truth must hold the same scenes, got {ours[0]} and {theirs[0]} of them: pass the "
            f"same batch of both"
        )
    if ours[2] != theirs[2]:
        raise ValueError(
            f"inferred.position and truth.position must have the same coordinates, got {ours[2]} and "
            f"{theirs[2]} of them: leave out those that the other side lacks"
        )
    if inferred.rotation is not None:  # a true rotation may be nan: unknown, left out of the errors
        _check_finite("inferred.rotation", inferred.rotation, inferred.count)


def _check_objects(name: str, objects: Objects) -> None:
    """Raise ValueError unless shapes, dtypes, counts and positions of one record are sound."""
    shape = tuple(objects.position.shape)
    if len(shape) != 3:
        raise ValueError(
            f"{name}.position must have shape (scenes, slots, coordinates), got {shape}: keep the axis of "
            f"slots even for one slot, and that of coordinates even for one coordinate"
        )
    _check_shape(f"{name}.count", objects.count, shape[:1], "(scenes,)", shape)
    for field, values in (("identity", objects.identity), ("rotation", objects.rotation)):
        if values is not None:
            _check_shape(f"{name}.{field}", values, shape[:2], "(scenes, slots)", shape)
    _check_count(f"{name}.count", objects.count, shape[1])
    _check_finite(f"{name}.position", objects.position, objects.count)


def _check_shape(name: str, values: Tensor, expected: tuple[int, ...], axes: str, position: tuple[int, ...]) -> None:
    """Raise ValueError unless `values` has the scenes and slots that the position has."""
    if tuple(values.shape) != expected:
        raise ValueError(
            f"{name} must have shape {axes} = {expected}, got {tuple(values.shape)}: the position beside it "
            f"has shape {position}, give one value for each of those"
        )


def _check_count(name: str, count: Tensor, slots: int) -> None:
    """Raise ValueError unless counts are whole numbers in 0 .. slots."""
    if count.is_floating_point() or count.dtype == torch.bool:
        raise ValueError(
            f"{name} must be whole numbers (torch.long), got {count.dtype}: pass the mode of the posterior, "
            f"not its probabilities or mean"
        )
    wrong = (count < 0) | (count > slots)
    if wrong.any():
        scene = int(wrong.nonzero()[0])
        raise ValueError(
            f"{name} must be in 0 .. {slots}, got {count[scene].item()} in scene {scene}: give more slots, "
            f"or correct the count"
        )


def _check_finite(name: str, values: Tensor, count: Tensor) -> None:
    """Raise ValueError where a present object's values, (B, S) or (B, S, D), are nan or infinite."""
    finite = values.isfinite()[..., None].flatten(2).all(dim=2)
    wrong = _first(count, values.shape[1]) & ~finite
    if wrong.any():
        scene, slot = wrong.nonzero()[0].tolist()
        raise ValueError(
            f"{name} must be finite for every present object, got {values[scene, slot].tolist()} in scene "
            f"{scene}, slot {slot}: look for divergence in the model, or for damage in the data"
        )


def _first(count: Tensor, places: int) -> Tensor:
    """(B, places) bool, true in the first `count` places of each row."""
    return torch.arange(places, device=count.device) < count[:, None]


def _pairwise_distance(inferred: Tensor, true: Tensor) -> np.ndarray:
    """(B, N, T) float64 distances between (B, N, D) and (B, T, D) positions."""
    # to the CPU before float64, which some accelerators lack; not torch.cdist: its matrix product is inexact
    ours, theirs = (position.detach().cpu().double() for position in (inferred, true))
    distance: np.ndarray = torch.linalg.vector_norm(ours[:, :, None] - theirs[:, None], dim=-1).numpy()
    return distance


def _pick(values: Tensor, slot: Tensor) -> Tensor:
    """(B, M, ...) the values, (B, S, ...), of the slots, (B, M)."""
    return values[torch.arange(len(slot), device=slot.device)[:, None], slot]


def _pick_real(values: Tensor, slot: Tensor) -> Tensor:
    """As `_pick`, in float32 or better: half precision would round the errors."""
    return _pick(values, slot).to(torch.promote_types(values.dtype, torch.float32))


def _identity_right(inferred: Objects, truth: Objects, matching: Matching) -> Tensor | None:
    """(B, M) bool: pair of one kind; None where kinds are not known on both sides."""
    if inferred.identity is None or truth.identity is None:
        return None
    same = _pick(inferred.identity, matching.inferred) == _pick(truth.identity, matching.true)
    return same & matching.mask


def _position_errors(inferred: Objects, truth: Objects, matching: Matching) -> Tensor:
    """(B, M) world units; nan where there is no pair."""
    gap = _pick_real(inferred.position, matching.inferred) - _pick_real(truth.position, matching.true)
    return torch.where(matching.mask, torch.linalg.vector_norm(gap, dim=-1), NAN)


def _rotation_errors(inferred: Objects, truth: Objects, matching: Matching, periods: Tensor | None) -> Tensor | None:
    """(B, M) degrees; nan where there is no pair or nothing to see; None where a side has no rotation."""
    if inferred.rotation is None or truth.rotation is None:
        return None
    ours, theirs = _pick_real(inferred.rotation, matching.inferred), _pick_real(truth.rotation, matching.true)
    error = rotation_error(ours, theirs, _true_period(truth, matching, periods))
    return torch.where(matching.mask, error, NAN)


def _true_period(truth: Objects, matching: Matching, periods: Tensor | None) -> Tensor | float:
    """Period of each pair's true kind: (B, M), or one number for all."""
    if periods is None:
        return FULL_TURN
    if truth.identity is None:
        return _sole_period(periods)
    kind = _pick(truth.identity, matching.true).long()
    _check_kind(kind[matching.mask], len(periods))
    return periods.to(kind.device)[torch.where(matching.mask, kind, 0)]


def _sole_period(periods: Tensor) -> Tensor:
    """The period of scenes without kinds, which must be the only one."""
    if len(periods) != 1:
        raise ValueError(
            f"truth.identity must be given to choose among {len(periods)} rotation periods, got None: give "
            f"the kinds, one period for all, or periods=None where no object has a symmetry"
        )
    return periods[0]


def _check_kind(kind: Tensor, kinds: int) -> None:
    """Raise ValueError unless every matched true kind has a period."""
    wrong = (kind < 0) | (kind >= kinds)
    if wrong.any():
        raise ValueError(
            f"truth.identity must be in 0 .. {kinds - 1}, got {kind[wrong][0].item()}: periods has length "
            f"{kinds}, give one period for each kind"
        )
