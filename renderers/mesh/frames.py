"""Poses of meshes as rigid bodies, and back from those that a camera's frame has."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from renderers.frames import Frames, Placement
from renderers.mesh.attributes import UPRIGHT as UPRIGHT_COLUMNS
from renderers.mesh.axes import UPRIGHT
from renderers.mesh.camera import Camera
from renderers.mesh.pinhole import CONVENTIONS
from renderers.mesh.shapes import Mesh
from renderers.rotations import rotation_matrix

Float = NDArray[np.float64]
LEANS = math.cos(math.radians(5))
"""A turn is told of an object whose upward axis leans no further than that; of others it means nothing."""


def rigid_frames(
    meshes: Sequence[Mesh], camera: Camera, unit: str, what: Tensor, pose: Tensor, frame: tuple[Tensor, Tensor] | None
) -> Frames:
    """Frames (...) of objects of identities ``what`` (...) at whole poses (..., 4 or 11), float64.

    World: that of the camera's extrinsics, or else the renderer's. A model's own frame is its file's where it keeps its
    scale and origin, and else has its origin at the foot, z up.

    Args:
        meshes: by identity. frame: rotations (..., 3, 3) and eyes (..., 3) in the place of the camera's own.
    """
    own = torch.tensor([UPRIGHT[mesh.up] for mesh in meshes], dtype=torch.float64)[what.cpu()]
    pose = pose.cpu().double()
    level = torch.zeros_like(pose[..., 0])
    tilt = pose[..., 5:7].unbind(-1) if pose.shape[-1] > len(UPRIGHT_COLUMNS) else (level, level)
    rotation, place = rotation_matrix(pose[..., 3], *tilt) @ own, pose[..., :3]
    world = torch.eye(3, dtype=torch.float64)
    if camera.extrinsics is not None:
        world = torch.from_numpy(camera.extrinsics.to_ours.T.copy())
    axes, eye = torch.from_numpy(camera.rotation()), torch.tensor(camera.eye, dtype=torch.float64)
    if frame is not None:
        axes, eye = (part.cpu().double() for part in frame)
    axes = torch.from_numpy(CONVENTIONS["opencv"]) @ axes
    return Frames(unit, _moved(world, rotation, place), _moved(axes, rotation, place - eye))


def _moved(axes: Tensor, rotation: Tensor, place: Tensor) -> Placement:
    return Placement(axes @ rotation, (axes @ place.unsqueeze(-1)).squeeze(-1))


def pose_in_world(mesh: Mesh, camera: Camera, rotation: Float, translation: Float) -> dict[str, float | None]:
    """x, y, z (world units) and yaw of an object whose model is seen at R (3, 3), t (3,), world units.

    ``rigid_frames`` undone; yaw is None of an object that does not stand upright, to 5 degrees.
    """
    axes = CONVENTIONS["opencv"] @ camera.rotation()
    x, y, z = (axes.T @ translation + np.array(camera.eye)).tolist()
    turn = axes.T @ rotation @ np.array(UPRIGHT[mesh.up]).T
    yaw = math.atan2(turn[0, 2] - turn[2, 0], turn[0, 0] + turn[2, 2]) if turn[1, 1] > LEANS else None
    return {"x": x, "y": y, "z": z, "yaw": yaw}
