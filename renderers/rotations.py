"""Rotations of objects: from yaw and tilt to matrices, and the angle between two that a symmetry allows."""

import torch
from torch import Tensor

from renderers.spaces import FULL_TURN

LEAST_PERIOD = 1e-3
"""Smaller turns, radians, cannot be told from a symmetry under every turn."""


def rotation_matrix(yaw: Tensor, pitch: Tensor, roll: Tensor) -> Tensor:
    """``Rx(pitch) Rz(roll) Ry(yaw)``, (..., 3, 3), of angles (...) of one shape, radians; columns: the object's axes.

    An object turns by yaw about its own upright axis (y) and is then tilted about the world's: by roll about z, from x
    towards y, and by pitch about x, from y towards z. So what a yaw leaves as it was, it leaves so in every tilt.
    """
    (cy, sy), (cp, sp), (cr, sr) = ((angle.cos(), angle.sin()) for angle in (yaw, pitch, roll))
    flat = [
        cr * cy, -sr, cr * sy,
        cp * sr * cy + sp * sy, cp * cr, cp * sr * sy - sp * cy,
        sp * sr * cy - cp * sy, sp * cr, sp * sr * sy + cp * cy,
    ]  # fmt: skip
    return torch.stack(flat, -1).view(*yaw.shape, 3, 3)


def angle_between(a: Tensor, b: Tensor, period: Tensor) -> Tensor:
    """The least angle (...), radians, of a rotation that takes ``a`` to ``b`` (..., 3, 3) or to a copy of it.

    Copies are ``b`` turned about its own upright axis by whole ``period`` (...), radians, in [0, 2 pi]; 0: by any turn,
    and the angle is that between the upright axes. Of the rotation between them and a turn t about y the
    trace is ``p cos t - q sin t + r``, largest at the whole period next to ``atan2(-q, p)``; the angle is
    ``acos((trace - 1) / 2)`` (Huynh 2009, equation 23).
    """
    gap = a.mT @ b
    p, q, r = gap[..., 0, 0] + gap[..., 2, 2], gap[..., 0, 2] - gap[..., 2, 0], gap[..., 1, 1]
    best = torch.atan2(-q, p)
    turn = period.to(a)
    whole = torch.where(turn > LEAST_PERIOD, turn, FULL_TURN)
    nearest = torch.where(turn > LEAST_PERIOD, (best / whole).round() * whole, best)
    trace = p * nearest.cos() - q * nearest.sin() + r
    return ((trace - 1) / 2).clamp(-1, 1).acos()
