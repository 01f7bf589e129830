"""A perspective camera over a table, in plain numpy and torch.

World frame: x right, y up, z towards the viewer (right-handed); the table is the plane ``y = 0``. Camera frame:
x right, y up, z the distance along the optical axis (positive in front of the camera). Pixels: x right, y down,
centres at half integers.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from renderers.constants import constant


@dataclass(frozen=True)
class Camera:
    """A pinhole camera.

    Attributes:
        position: of the eye, world units.
        target: a point on the optical axis, world units.
        field_of_view: vertical, degrees, in (0, 180).
    """

    position: tuple[float, float, float] = (0.0, 4.4, 4.8)
    target: tuple[float, float, float] = (0.0, 0.2, 0.2)
    field_of_view: float = 48.0

    def __post_init__(self) -> None:
        if not 0 < self.field_of_view < 180:
            raise ValueError(
                f"camera field_of_view must lie between 0 and 180 degrees, got {self.field_of_view}: "
                "48 shows a table 3.8 wide from the default position"
            )
        forward = np.subtract(self.target, self.position)
        if not np.isfinite([*self.position, *self.target]).all():
            raise ValueError(f"camera position and target must be finite, got {self.position} and {self.target}")
        if np.hypot(forward[0], forward[2]) < 1e-6:
            raise ValueError(
                f"camera position {self.position} lies straight above or below its target {self.target}: "
                "move one of them sideways, the image's upright direction is undefined"
            )

    def rotation(self) -> NDArray[np.float64]:
        """(3, 3) world-to-camera rotation; rows are the camera's right, up and forward axes."""
        forward = np.subtract(self.target, self.position).astype(np.float64)
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, [0.0, 1.0, 0.0])
        right /= np.linalg.norm(right)
        return np.stack([right, np.cross(right, forward), forward])

    def focal(self) -> float:
        """Focal length in units of half the image height."""
        return 1.0 / math.tan(math.radians(self.field_of_view) / 2)

    def project(
        self, points: Tensor, aspect: float = 1.0, frame: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """World points (..., 3) to normalised image coordinates (..., 2) in [-1, 1] (x right, y down) and depth.

        ``aspect`` is image width / height, ``frame`` rotations (..., 3, 3) and eyes (..., 3) in the place of its own.
        """
        rotation, eye = self._frame(points) if frame is None else frame
        seen = (points - eye) @ rotation.T if frame is None else (rotation @ (points - eye).unsqueeze(-1)).squeeze(-1)
        x, y, depth = seen.unbind(-1)
        focal = self.focal()
        return torch.stack([focal * x / depth / aspect, -focal * y / depth], -1), depth

    def _frame(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Rotation (3, 3) and eye (3,), of ``like``'s type and device."""
        rows = tuple(map(tuple, self.rotation().tolist()))
        return constant(rows, like.dtype, like.device), constant(tuple(self.position), like.dtype, like.device)

    def unproject(
        self, image: Tensor, height: float, aspect: float = 1.0, frame: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """Normalised image coordinates (..., 2) to the world point (..., 3) at ``y = height`` on that ray.

        Rays that never meet the plane (at or above the horizon) are taken just below the horizon.
        """
        rotation, eye = self._frame(image) if frame is None else frame
        focal = self.focal()
        ray = torch.stack([image[..., 0] * aspect / focal, -image[..., 1] / focal, torch.ones_like(image[..., 0])], -1)
        ray = ray @ rotation if frame is None else (ray.unsqueeze(-2) @ rotation).squeeze(-2)
        drop = eye[..., 1] - height
        slope = ray[..., 1] * torch.sign(drop)
        return eye + ray * (drop.abs() / (-slope).clamp_min(1e-2)).unsqueeze(-1)
