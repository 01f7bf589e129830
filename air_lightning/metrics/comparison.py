"""Matched objects compared, pair by pair: identities, positions and rotations.

Shapes: B scenes, N inferred slots, T true slots, M = min(N, T) places for matched pairs, D position
coordinates, K identities. Positions are in world units, rotations and periods in radians, rotation
*errors* in degrees.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from air_lightning.metrics.matching import Matching, match_objects
from air_lightning.metrics.objects import Objects
from renderers.rotations import angle_between, rotation_matrix

FULL_TURN = 2 * math.pi
NAN = float("nan")


class Comparison(NamedTuple):
    """What is right and wrong in each scene, pair by pair.

    Args:
        count_right: (B,) bool, is the number of objects right.
        mask: (B, M) bool, where there is a matched pair.
        identity: (B, M) bool, is the identity right (false where there is no pair); None where either side has no
            identities.
        position: (B, M), distance in world units; nan where there is no pair.
        rotation: (B, M), error in degrees modulo symmetry; nan where there is no pair, or the rotation is
            invisible or (in the truth) unknown; None where either side has no rotation.
    """

    count_right: Tensor
    mask: Tensor
    identity: Tensor | None
    position: Tensor
    rotation: Tensor | None


def compare_objects(inferred: Objects, truth: Objects, periods: Tensor | None = None) -> Comparison:
    """Match the objects of each scene and measure every pair.

    Args:
        inferred: records with S = N.
        truth: records with S = T.
        periods: (K,) radians in [0, 2 pi], rotation symmetry of each identity; 0: rotation invisible; None: no
            identity has a symmetry. The period of a pair is that of its *true* identity.

    Raises:
        ValueError: as `match_objects`; also where a period or a true identity is out of range, or several periods
            are given and the truth has no identities.
    """
    matching = match_objects(inferred, truth)
    return Comparison(
        count_right=inferred.count == truth.count,
        mask=matching.mask,
        identity=_identity_right(inferred, truth, matching),
        position=_position_errors(inferred, truth, matching),
        rotation=_rotation_errors(inferred, truth, matching, periods),
    )


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


def tilted_error(inferred: Tensor, true: Tensor, period: Tensor | float) -> Tensor:
    """Angle between two rotations of objects that may be tilted in degrees, modulo the symmetry of their yaw.

    Args:
        inferred, true: (..., 3) radians, yaw, pitch and roll (``renderers.rotations.rotation_matrix``).
        period: (...) radians, as of `rotation_error`; 0 where yaw is invisible, and the error is then the angle between
            the objects' upright axes.

    Returns:
        (...) degrees, in [0, 180].
    """
    turn = torch.as_tensor(period, dtype=inferred.dtype, device=inferred.device).expand(inferred.shape[:-1])
    check_periods(turn)
    # in float64, for small angles hide in single precision's cosines; on the CPU, for some accelerators lack it
    ours, theirs = (rotation_matrix(*angles.detach().cpu().double().unbind(-1)) for angles in (inferred, true))
    return torch.rad2deg(angle_between(ours, theirs, turn.cpu())).to(inferred)


def scene_right(comparison: Comparison, position_limit: float, rotation_limit: float) -> Tensor:
    """Decide which scenes are right as a whole: count, identities, positions and visible rotations.

    Identities and rotations that are not known (None), and rotations that are invisible (nan), are not asked for.
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


def check_periods(periods: Tensor) -> None:
    """Raise ValueError unless every period is in [0, 2 pi] (to 0.001: people write 6.2832)."""
    wrong = ~((periods >= 0) & (periods <= FULL_TURN + 1e-3))
    if wrong.any():
        value = periods[wrong].flatten()[0].item()
        raise ValueError(
            f"a rotation period must be in [0, 2 pi] radians, got {value:g}: 2 pi for no symmetry, 0 where "
            f"rotation is invisible, math.radians(...) to convert from degrees"
        )


def _pick(values: Tensor, slot: Tensor) -> Tensor:
    """(B, M, ...) the values, (B, S, ...), of the slots, (B, M)."""
    return values[torch.arange(len(slot), device=slot.device)[:, None], slot]


def _pick_real(values: Tensor, slot: Tensor) -> Tensor:
    """As `_pick`, in float32 or better: half precision would round the errors."""
    return _pick(values, slot).to(torch.promote_types(values.dtype, torch.float32))


def _identity_right(inferred: Objects, truth: Objects, matching: Matching) -> Tensor | None:
    """(B, M) bool: pair of one identity; None where identities are not known on both sides."""
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
    period = _true_period(truth, matching, periods)
    error = rotation_error(ours, theirs, period) if ours.dim() == 2 else tilted_error(ours, theirs, period)
    return torch.where(matching.mask, error, NAN)


def _true_period(truth: Objects, matching: Matching, periods: Tensor | None) -> Tensor | float:
    """Period of each pair's true identity: (B, M), or one number for all."""
    if periods is None:
        return FULL_TURN
    if truth.identity is None:
        return _sole_period(periods)
    identity = _pick(truth.identity, matching.true).long()
    _check_identity(identity[matching.mask], len(periods))
    return periods.to(identity.device)[torch.where(matching.mask, identity, 0)]


def _sole_period(periods: Tensor) -> Tensor:
    """The period of scenes without identities, which must be the only one."""
    if len(periods) != 1:
        raise ValueError(
            f"truth.identity must be given to choose among {len(periods)} rotation periods, got None: give "
            f"the identities, one period for all, or periods=None where no object has a symmetry"
        )
    return periods[0]


def _check_identity(identity: Tensor, identities: int) -> None:
    """Raise ValueError unless every matched true identity has a period."""
    wrong = (identity < 0) | (identity >= identities)
    if wrong.any():
        raise ValueError(
            f"truth.identity must be in 0 .. {identities - 1}, got {identity[wrong][0].item()}: periods has length "
            f"{identities}, give one period for each identity"
        )
