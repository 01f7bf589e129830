"""A perspective camera over a table, in plain numpy and torch.

World frame: x right, y up, z towards the viewer (right-handed); the table is the plane ``y = 0``. Camera frame:
x right, y up, z the distance along the optical axis (positive in front of the camera). Pixels: x right, y down,
centres at half integers.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from renderers.constants import constant
from renderers.mesh.pinhole import Extrinsics, Intrinsics, Lens

POSITION, TARGET, FIELD_OF_VIEW = (0.0, 4.4, 4.8), (0.0, 0.2, 0.2), 48.0
USUAL = {"position": POSITION, "target": TARGET, "field_of_view": FIELD_OF_VIEW}
UPRIGHT_IS_UNKNOWN = 1e-6
"""A look along y that leaves it by less, world units, has the world's x to its right."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera: where from, where to and how wide, or as a calibration says.

    Seen straight from above or below, the image's right is the world's x. None of the first three is the default: so a
    config takes back what another one says.

    Attributes:
        position: of the eye, world units.
        target: a point on the optical axis, world units.
        field_of_view: vertical, degrees, in (0, 180).
        intrinsics: in the place of ``field_of_view``. extrinsics: in the place of ``position`` and ``target``.
    """

    position: tuple[float, float, float] = POSITION
    target: tuple[float, float, float] = TARGET
    field_of_view: float = FIELD_OF_VIEW
    intrinsics: Intrinsics | None = None
    extrinsics: Extrinsics | None = None

    def __post_init__(self) -> None:
        for name, usual in USUAL.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, usual)
        if not 0 < self.field_of_view < 180:
            raise ValueError(
                f"camera field_of_view must lie between 0 and 180 degrees, got {self.field_of_view}: "
                "48 shows a table 3.8 wide from the default position"
            )
        if not np.isfinite([*self.position, *self.target]).all():
            raise ValueError(f"camera position and target must be finite, got {self.position} and {self.target}")
        if not np.linalg.norm(np.subtract(self.target, self.position)) > UPRIGHT_IS_UNKNOWN:
            raise ValueError(
                f"camera position {self.position} is its target {self.target}: move one of them, the image's axis is "
                "undefined"
            )
        self._check_given_once()

    def _check_given_once(self) -> None:
        if self.intrinsics is not None and self.field_of_view != FIELD_OF_VIEW:
            raise ValueError(
                f"camera has intrinsics and a field_of_view of {self.field_of_view:g} degrees: give one of the two"
            )
        if self.extrinsics is not None and (tuple(self.position), tuple(self.target)) != (POSITION, TARGET):
            raise ValueError(
                f"camera has extrinsics, and position {self.position} and target {self.target}: give one of the two"
            )

    @property
    def eye(self) -> tuple[float, float, float]:
        """Where it is, world units."""
        if self.extrinsics is None:
            return self.position
        x, y, z = self.extrinsics.eye().tolist()
        return x, y, z

    def rotation(self) -> NDArray[np.float64]:
        """(3, 3) world-to-camera rotation; rows are the camera's right, up and forward axes."""
        if self.extrinsics is not None:
            return self.extrinsics.axes()
        forward = np.subtract(self.target, self.position).astype(np.float64)
        straight = np.hypot(forward[0], forward[2]) < UPRIGHT_IS_UNKNOWN
        forward /= np.linalg.norm(forward)
        right = np.array([1.0, 0.0, 0.0]) if straight else np.cross(forward, [0.0, 1.0, 0.0])
        right /= np.linalg.norm(right)
        return np.stack([right, np.cross(right, forward), forward])

    def lens(self, aspect: float) -> Lens:
        """For images of this width / height; what intrinsics say is of images of their own."""
        if self.intrinsics is not None:
            return self.intrinsics.lens()
        focal = 1.0 / math.tan(math.radians(self.field_of_view) / 2)
        return Lens(focal, focal, aspect)

    def focal(self) -> float:
        """Vertical focal length in units of half the image height."""
        return self.lens(1.0).down

    def project(
        self, points: Tensor, aspect: float = 1.0, frame: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """World points (..., 3) to normalised image coordinates (..., 2) in [-1, 1] (x right, y down) and depth.

        ``aspect`` is image width / height, ``frame`` rotations (..., 3, 3) and eyes (..., 3) in the place of its own.
        """
        rotation, eye = self._frame(points) if frame is None else frame
        seen = (points - eye) @ rotation.T if frame is None else (rotation @ (points - eye).unsqueeze(-1)).squeeze(-1)
        x, y, depth = seen.unbind(-1)
        return self.lens(aspect).seen(x, y, depth), depth

    def _frame(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Rotation (3, 3) and eye (3,), of ``like``'s type and device."""
        rotation, eye = self._numbers
        return constant(rotation, like.dtype, like.device), constant(eye, like.dtype, like.device)

    @cached_property
    def _numbers(self) -> tuple[tuple[tuple[float, ...], ...], tuple[float, ...]]:
        """Rows of the rotation, and the eye; poses are asked for in every step, several times."""
        return tuple(map(tuple, self.rotation().tolist())), tuple(self.eye)

    def unproject(
        self, image: Tensor, height: float, aspect: float = 1.0, frame: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """Normalised image coordinates (..., 2) to the world point (..., 3) at ``y = height`` on that ray.

        Rays that never meet the plane (at or above the horizon) are taken just below the horizon.
        """
        rotation, eye = self._frame(image) if frame is None else frame
        ray = self.lens(aspect).ray(image)
        ray = ray @ rotation if frame is None else (ray.unsqueeze(-2) @ rotation).squeeze(-2)
        drop = eye[..., 1] - height
        slope = ray[..., 1] * torch.sign(drop)
        return eye + ray * (drop.abs() / (-slope).clamp_min(1e-2)).unsqueeze(-1)
