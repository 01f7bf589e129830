"""Poses of meshes as the pose benchmarks have them: in millimetres, in OpenCV's camera frame.

World and models are turned so that z is up, x right and y away from the viewer; a model's origin stays where the
renderer has it, at its foot. Models that keep the scale and origin of their files keep the axes of these, too. OpenCV's
camera looks along z, x to the right and y down; (0, 0) is the middle of the upper left pixel.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from renderers.base import Renderer
from renderers.mesh import Mesh, MeshRenderer
from renderers.mesh.axes import MILLIMETRES
from renderers.mesh.axes import UPRIGHT as AXES
from renderers.mesh.pinhole import CONVENTIONS

Float = NDArray[np.float64]
POSE = ("x", "y", "z", "yaw")
NUMBERED = re.compile(r"(?:obj_)?(\d+)")
UPRIGHT = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""From the renderer's world, y up, to one with z up."""


class World:
    """The camera and the poses of a mesh renderer.

    Args:
        renderer: that draws, or that explains images.
    Errors:
        ValueError for one that is no MeshRenderer, whose objects have no pose in a camera's frame; for one whose
        objects have more than a pose; and where the camera or light differs from image to image.
    """

    def __init__(self, renderer: Renderer | None, form: str) -> None:
        if not isinstance(renderer, MeshRenderer):
            found = "there is no renderer" if renderer is None else f"{type(renderer).__name__} has none"
            raise ValueError(
                f"--format {form} needs poses in three dimensions, in a camera's frame, and {found}: MeshRenderer has, "
                "other formats do without"
            )
        if others := [name for name in renderer.where.names if name not in POSE]:
            raise ValueError(
                f"--format {form} has rigid objects that stand upright, with {', '.join(POSE)}, and these have "
                f"{others[0]} too: choose another format"
            )
        if renderer.scene is not None:
            raise ValueError(
                f"--format {form} is written for one camera and light, and here {', '.join(renderer.scene.names)} "
                "may differ from image to image: choose another format"
            )
        self.renderer = renderer
        self.unit = MILLIMETRES[renderer.units or "m"]
        """Millimetres of a world unit, which is taken for a metre where nobody says what it is."""

    @property
    def intrinsics(self) -> Float:
        """K (3, 3), pixels."""
        _, height, width = self.renderer.image_shape
        return self.renderer.camera.lens(width / height).matrix(height, width)

    @property
    def rotation(self) -> Float:
        """World to camera, (3, 3)."""
        turned: Float = self._axes @ UPRIGHT.T
        return turned

    @property
    def translation(self) -> Float:
        """World to camera, (3,), millimetres."""
        return self._in_camera(np.zeros(3))

    def full_pose(self, pose: Mapping[str, float | None]) -> tuple[float, float, float, float]:
        """x, y, z and yaw of free coordinates by name, as the renderer has them; a yaw that cannot be seen is 0."""
        free = [pose[name] or 0.0 for name in self.renderer.where.names]
        x, y, z, yaw = self.renderer.full_pose(torch.tensor(free, dtype=torch.float64)).tolist()[: len(POSE)]
        return x, y, z, yaw

    def in_camera(self, identity: int, pose: Mapping[str, float | None]) -> tuple[Float, Float]:
        """Model to camera: rotation (3, 3) and translation (3,), millimetres."""
        x, y, z, yaw = self.full_pose(pose)
        turned: Float = self.rotation @ about_z(yaw)
        return own_axes(self.renderer.drawn_meshes[identity], turned), self._in_camera(np.array([x, y, z]))

    @property
    def _axes(self) -> Float:
        axes: Float = CONVENTIONS["opencv"] @ self.renderer.camera.rotation()
        return axes

    def _in_camera(self, point: Float) -> Float:
        """A point (3,) of the renderer's world in the camera's frame, millimetres."""
        seen: Float = self._axes @ (point - np.array(self.renderer.camera.eye, np.float64)) * self.unit
        return seen


def object_numbers(names: Sequence[str]) -> list[int]:
    """BOP's numbers of identities: those in their names, where all are called like obj_000005; or 1, 2, ..."""
    told = [int(match[1]) for match in map(NUMBERED.fullmatch, names) if match]
    return told if len(set(told)) == len(names) else list(range(1, len(names) + 1))


def about_z(angle: float) -> Float:
    """The rotation (3, 3) by an angle about the upright axis, radians."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])


def upright(points: NDArray[np.float32]) -> Float:
    """Points (..., 3) of the renderer's world, or of a mesh of its, in frames with z up."""
    turned: Float = points.astype(np.float64) @ UPRIGHT.T
    return turned


def own_axes(mesh: Mesh, rows: Float) -> Float:
    """Rows (..., 3) of coordinates along a model's axes with z up as those along its own axes."""
    return rows if mesh.up == "z" else rows @ UPRIGHT @ np.array(AXES[mesh.up], np.float64)


def flat(array: Float) -> list[float]:
    """Its numbers row by row, as BOP's files have them; without a negative zero."""
    return [float(value) + 0.0 for value in array.ravel()]
