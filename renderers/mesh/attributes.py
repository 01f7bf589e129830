"""Attributes of objects of a mesh scene: size, tilt, colour and metal beside place and yaw, and what they do to a mesh.

A whole pose has the columns ``UPRIGHT`` where no attribute is free, and then costs what it did without them;
otherwise ``COLUMNS``. A point p of a mesh lies at ``foot + size R p``, R of ``renderers.rotations``, and shines with
its own colour times ``red``, ``green`` and ``blue``, the share ``metal`` of it by what it mirrors (``Mirror``).
"""

import math
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from renderers.rotations import rotation_matrix
from renderers.spaces import Coordinate

Range = tuple[float, float]
UPRIGHT = ("x", "y", "z", "yaw")
TILT, COLOR = ("pitch", "roll"), ("red", "green", "blue")
ATTRIBUTES = {"size": 1.0, "pitch": 0.0, "roll": 0.0, "red": 1.0, "green": 1.0, "blue": 1.0, "metal": 0.0}
"""By name, what leaves an object as it is."""
COLUMNS = (*UPRIGHT, *ATTRIBUTES)
SMALLEST = 0.01
"""Sizes that are drawn are at least this: a step must not turn an object inside out."""
STEEPEST = math.pi / 2


def coordinates(
    size: Range | float,
    pitch: Range | float,
    roll: Range | float,
    color: Range | None,
    metal: Range | float,
    steps: dict[str, float],
) -> tuple[list[Coordinate], dict[str, float]]:
    """The free coordinates among the attributes, and the values of those that are fixed.

    Args:
        size, pitch, roll, color, metal: as of ``MeshRenderer``. steps: of finite differences, by argument's name.
    Errors:
        ValueError for a size that is not positive, a tilt beyond a quarter turn, a colour or metal outside [0, 1].
    """
    free: list[Coordinate] = []
    fixed: dict[str, float] = {}
    given = {"size": size, "pitch": pitch, "roll": roll} | dict.fromkeys(COLOR, 1.0 if color is None else color)
    given["metal"] = metal
    units = {"size": "times its own"} | dict.fromkeys(TILT, "radians") | dict.fromkeys((*COLOR, "metal"), "share")
    for name, value in given.items():
        argument = "color" if name in COLOR else name
        _check(argument, value)
        if isinstance(value, (int, float)):
            fixed[name] = float(value)
        else:
            free.append(Coordinate(name, units[name], float(value[0]), float(value[1]), steps[argument]))
    return free, fixed


def finite(name: str, value: Any) -> float:
    """The number at which a coordinate is fixed. Errors: ValueError for what is none, or not finite."""
    if not isinstance(value, Real) or not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, at which it is fixed, got {value}")
    return float(value)


def _check(name: str, value: Range | float) -> None:
    low, high = (value, value) if isinstance(value, (int, float)) else value
    if name == "size" and not SMALLEST <= low <= high < math.inf:
        raise ValueError(
            f"size must be at least {SMALLEST} and finite, got {value}: [0.7, 1.3] for example, 1 fixes it"
        )
    if name in TILT and not -STEEPEST <= low <= high <= STEEPEST:
        raise ValueError(
            f"{name} must lie within a quarter turn (1.5708), got {value}: further over, two tilts look alike"
        )
    if name == "color" and not 0 <= low <= high <= 1:
        raise ValueError(f"color must be a range [low, high] within [0, 1], got {value}: [0.1, 0.9], or null to fix it")
    if name == "metal" and not 0 <= low <= high <= 1:
        raise ValueError(f"metal must lie within [0, 1], got {value}: 0 is matte, 1 mirrors all, [0, 1] frees it")


def drawable(poses: Tensor) -> Tensor:
    """Whole poses (..., P) whose attributes can be drawn; finite differences may step beyond the support."""
    if poses.shape[-1] == len(UPRIGHT):
        return poses
    place, size, tilt, shares = poses[..., :4], poses[..., 4:5], poses[..., 5:7], poses[..., 7:]
    return torch.cat([place, size.clamp_min(SMALLEST), tilt, shares.clamp_min(0)], -1)


def sizes_of(poses: Tensor) -> Tensor | float:
    """Sizes (M, 1) of whole poses (M, P)."""
    return poses[:, 4:5] if poses.shape[1] > 4 else 1.0


def tints_of(poses: Tensor) -> Tensor:
    """Factors (M, 3) on the colours of objects of whole poses (M, P)."""
    return poses[:, 7:10] if poses.shape[1] > 4 else torch.ones_like(poses[:, :3])


def metal_of(poses: Tensor) -> Tensor | None:
    """Shares (M, 1, 1) that objects of whole poses (M, P) mirror; None: none of them can."""
    return poses[:, 10:, None].clamp(max=1) if poses.shape[1] > 4 else None


def turned(points: Tensor, poses: Tensor) -> Tensor:
    """Points (M, ..., 3) of meshes as they lie about the feet of objects of whole poses (M, P)."""
    shape = (-1, *[1] * (points.dim() - 2))
    if poses.shape[1] > 4:
        matrix = (rotation_matrix(*poses[:, [3, 5, 6]].unbind(1)) * poses[:, 4, None, None]).view(*shape, 3, 3)
        return (matrix @ points.unsqueeze(-1)).squeeze(-1)
    x, y, z = points.unbind(-1)
    cos, sin = poses[:, 3].cos().view(shape), poses[:, 3].sin().view(shape)
    return torch.stack([cos * x + sin * z, y, cos * z - sin * x], -1)


def turned_back(vectors: Tensor, poses: Tensor) -> Tensor:
    """Vectors (M, 3) in the frames of objects of whole poses (M, P), their size left out."""
    if poses.shape[1] > 4:
        return (rotation_matrix(*poses[:, [3, 5, 6]].unbind(1)).mT @ vectors.unsqueeze(-1)).squeeze(-1)
    (x, y, z), cos, sin = vectors.unbind(1), poses[:, 3].cos(), poses[:, 3].sin()
    return torch.stack([cos * x - sin * z, y, sin * x + cos * z], 1)
