"""The objects of scenes, as metrics take them, and what must hold of them.

Shapes: B scenes, S slots, D position coordinates. Positions are in world units, rotations in radians.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Objects(NamedTuple):
    """The objects of B scenes in S slots each, of which slots 0 .. count - 1 are present.

    What the absent slots hold is never read, so it may be anything, nan included.

    Args:
        count: (B,) whole numbers in 0 .. S; of an inferred scene, the mode of the posterior.
        identity: (B, S) long, the kind of each object; None where there are no kinds (a continuous `what`).
        position: (B, S, D), world units.
        rotation: (B, S), radians, or (B, S, 3), yaw, pitch and roll; None where the renderer has no free rotation.
    """

    count: Tensor  # type: ignore[assignment]  # hides tuple.count, which nobody needs here
    identity: Tensor | None
    position: Tensor
    rotation: Tensor | None


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
        if values is not None and not (field == "rotation" and tuple(values.shape) == (*shape[:2], 3)):
            _check_shape(f"{name}.{field}", values, shape[:2], "(scenes, slots)", shape)
    check_count(f"{name}.count", objects.count, shape[1])
    _check_finite(f"{name}.position", objects.position, objects.count)


def _check_shape(name: str, values: Tensor, expected: tuple[int, ...], axes: str, position: tuple[int, ...]) -> None:
    """Raise ValueError unless `values` has the scenes and slots that the position has."""
    if tuple(values.shape) != expected:
        raise ValueError(
            f"{name} must have shape {axes} = {expected}, got {tuple(values.shape)}: the position beside it "
            f"has shape {position}, give one value for each of those"
        )


def check_count(name: str, count: Tensor, slots: int) -> None:
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
    wrong = first(count, values.shape[1]) & ~finite
    if wrong.any():
        scene, slot = wrong.nonzero()[0].tolist()
        raise ValueError(
            f"{name} must be finite for every present object, got {values[scene, slot].tolist()} in scene "
            f"{scene}, slot {slot}: look for divergence in the model, or for damage in the data"
        )


def first(count: Tensor, places: int) -> Tensor:
    """(B, places) bool, true in the first `count` places of each row."""
    return torch.arange(places, device=count.device) < count[:, None]
