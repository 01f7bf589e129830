"""What a calibration says of a camera: its intrinsic matrix, and where it stands, in OpenCV's or OpenGL's words."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from renderers.mesh.axes import UPRIGHT, Axis, check_axis

Float = NDArray[np.float64]
CONVENTIONS = {"opencv": np.diag([1.0, -1.0, 1.0]), "opengl": np.diag([1.0, 1.0, -1.0])}
"""From a camera's own axes to right, up and forward."""
NOT_ROUNDING = 1e-3
"""By how much the product of a rotation and its transpose may differ from the identity."""


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera's intrinsic matrix [[fx, 0, cx], [0, fy, cy], [0, 0, 1]], for images of one size (Hartley and
    Zisserman 2004, section 6.1). Lens distortion is not drawn: undistort images first.

    (0, 0) is the middle of the upper left pixel, as in OpenCV and BOP. Images of another size are taken for these,
    scaled, whatever their proportions.

    Attributes:
        fx, fy: focal lengths, pixels. cx, cy: principal point, pixels from the left and from the top.
        image_size: height and width of the images that the numbers are of, pixels.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    image_size: tuple[int, int]

    def __post_init__(self) -> None:
        if len(self.image_size) != 2 or min(self.image_size) < 1:
            raise ValueError(
                f"camera intrinsics image_size must be a positive height and width, got {tuple(self.image_size)}"
            )
        if not (0 < self.fx < np.inf and 0 < self.fy < np.inf):
            raise ValueError(
                f"camera intrinsics fx and fy must be positive and finite, got {self.fx} and {self.fy}: focal lengths "
                "in pixels"
            )
        height, width = self.image_size
        if not (-0.5 <= self.cx <= width - 0.5 and -0.5 <= self.cy <= height - 0.5):
            raise ValueError(
                f"camera intrinsics cx and cy must lie in the image of {height}x{width} (height x width), got "
                f"{self.cx} and {self.cy}: give the principal point in pixels, and the image_size that it belongs to"
            )

    @classmethod
    def of(cls, matrix: Any, image_size: tuple[int, int]) -> "Intrinsics":
        """From a matrix (3, 3), or its nine numbers row by row, as BOP's cam_K.

        Errors:
            ValueError for one that is none, or that has a skew.
        """
        k = np.asarray(matrix, np.float64)
        if k.size != 9 or not np.allclose(k.ravel()[[1, 3, 6, 7, 8]], [0, 0, 0, 0, 1], atol=1e-9):
            raise ValueError(
                "an intrinsic matrix must be [[fx, 0, cx], [0, fy, cy], [0, 0, 1]], got "
                f"{k.tolist()}: one with a skew is not drawn"
            )
        (fx, _, cx), (_, fy, cy), _ = k.reshape(3, 3).tolist()
        return cls(fx, fy, cx, cy, image_size)

    def lens(self) -> "Lens":
        """What it does to directions."""
        height, width = self.image_size
        middle = (2 * self.cx + 1) / width - 1, (2 * self.cy + 1) / height - 1
        return Lens(2 * self.fx / height, 2 * self.fy / height, width / height, *middle)


@dataclass(frozen=True)
class Extrinsics:
    """Where a camera stands: x_camera = R x_world + t, world to camera (of a camera-to-world matrix the inverse).

    Attributes:
        rotation: R, nine numbers row by row, as BOP's cam_R_w2c.
        translation: t, in the scene's unit.
        convention: of the camera's axes: `opencv`, x right, y down, z forward (OpenCV, BOP, COLMAP); `opengl`, x right,
            y up, z backward (OpenGL, Blender, glTF).
        up: the world's axis that points up; where the renderer's own is not meant, positions and predictions are
            turned from the one to the other. The table is the plane 0 along it.
    """

    rotation: tuple[float, ...]
    translation: tuple[float, float, float]
    convention: Literal["opencv", "opengl"] = "opencv"
    up: Axis = "y"

    def __post_init__(self) -> None:
        if self.convention not in CONVENTIONS:
            raise ValueError(
                f"camera extrinsics convention must be one of {', '.join(CONVENTIONS)}, got {self.convention!r}"
            )
        check_axis("camera extrinsics up", self.up)
        for name, numbers, count in (("rotation", self.rotation, 9), ("translation", self.translation, 3)):
            if len(numbers) != count or not np.isfinite(numbers).all():
                raise ValueError(
                    f"camera extrinsics {name} must be {count} finite numbers, got {tuple(numbers)}: of a matrix row "
                    "by row"
                )
        given = np.reshape(self.rotation, (3, 3))
        apart = float(np.abs(given @ given.T - np.eye(3)).max())
        if not (apart <= NOT_ROUNDING and np.linalg.det(given) > 0):
            raise ValueError(
                "camera extrinsics rotation is no rotation: its product with its transpose differs by "
                f"{apart:.3g} from the identity, its determinant is {np.linalg.det(given):.3g}: give R, world to "
                "camera, without scale and not mirrored"
            )

    @classmethod
    def of(cls, matrix: Any, convention: Literal["opencv", "opengl"] = "opencv", up: Axis = "y") -> "Extrinsics":
        """From a matrix [R | t], (3, 4) or (4, 4)."""
        rows = np.asarray(matrix, np.float64)
        if rows.shape not in ((3, 4), (4, 4)):
            raise ValueError(f"an extrinsic matrix [R | t] must be (3, 4) or (4, 4), got {rows.shape}")
        x, y, z = rows[:3, 3].tolist()
        return cls(tuple(rows[:3, :3].ravel().tolist()), (x, y, z), convention, up)

    @property
    def to_ours(self) -> Float:
        """From their world's axes to the renderer's, (3, 3)."""
        return np.array(UPRIGHT[self.up], np.float64)

    def axes(self) -> Float:
        """(3, 3) the renderer's world to camera; rows are the camera's right, up and forward axes."""
        axes: Float = CONVENTIONS[self.convention] @ self._rotation() @ self.to_ours.T
        return axes

    def eye(self) -> Float:
        """(3,) in the renderer's world."""
        eye: Float = -self.to_ours @ self._rotation().T @ np.asarray(self.translation, np.float64)
        return eye

    def _rotation(self) -> Float:
        """The nearest to the numbers given, which are rounded."""
        u, _, v = np.linalg.svd(np.reshape(np.asarray(self.rotation, np.float64), (3, 3)))
        return np.asarray(u @ v)


class Lens(NamedTuple):
    """Where a direction is seen: x (right), y (up) and depth at normalised image coordinates, [-1, 1], x right, y down.

    Attributes:
        across, down: focal lengths, in units of half the image's height. aspect: its width / height.
        x, y: the principal point, in normalised coordinates.
    """

    across: float
    down: float
    aspect: float
    x: float = 0.0
    y: float = 0.0

    def seen(self, x: Tensor, y: Tensor, depth: Tensor) -> Tensor:
        """(...) each to (..., 2)."""
        return torch.stack([self.across * x / depth / self.aspect + self.x, -self.down * y / depth + self.y], -1)

    def ray(self, image: Tensor) -> Tensor:
        """(..., 2) to directions (..., 3) of depth 1."""
        x, y = image[..., 0] - self.x, image[..., 1] - self.y
        return torch.stack([x * self.aspect / self.across, -y / self.down, torch.ones_like(x)], -1)

    def seen_from(self, other: "Lens", axis: int, place: float) -> float:
        """Where it sees the direction that another sees at a place along an axis, 0 (x) or 1 (y), normalised."""
        (mine, middle), (theirs, start) = (lens._along(axis) for lens in (self, other))
        return mine / theirs * (place - start) + middle

    def apart(self, other: "Lens", height: int, width: int) -> float:
        """The most pixels, in images of this size, by which another sees a direction of the image's edges elsewhere."""
        sides = ((0, width), (1, height))
        return max(abs(self.seen_from(other, k, e) - e) * side / 2 for k, side in sides for e in (-1.0, 1.0))

    def _along(self, axis: int) -> tuple[float, float]:
        """Focal length, and principal point, along an axis."""
        return (self.down, self.y) if axis else (self.across / self.aspect, self.x)

    def described(self, height: int, width: int) -> str:
        """Its intrinsic matrix for images of this size, in words."""
        (fx, _, cx), (_, fy, cy), _ = self.matrix(height, width).tolist()
        return f"fx {fx:.4g}, fy {fy:.4g}, cx {cx:.4g}, cy {cy:.4g}"

    def rays(self, height: int, width: int) -> Float:
        """Of every pixel's middle, (height, width, 3)."""
        y, x = np.mgrid[:height, :width] + 0.5
        across = (2 * x - width * (1 + self.x)) / height / (self.across * (width / height / self.aspect))
        return np.stack([across, (1 + self.y - 2 * y / height) / self.down, np.ones_like(x)], -1)

    def sheared(self, aspect: float) -> Float:
        """(3, 3), what makes of a camera's right, up and forward axes those of a camera of one focal length, ``down``,
        whose principal point is the middle of an image of this ``aspect``, and which sees the same there."""
        stretch = aspect * self.across / (self.aspect * self.down)
        return np.array([[stretch, 0, aspect * self.x / self.down], [0, 1, -self.y / self.down], [0, 0, 1]])

    def matrix(self, height: int, width: int) -> Float:
        """The intrinsic matrix (3, 3) for images of this size, pixels, (0, 0) being the middle of the first."""
        fx, fy = self.across * (width / height / self.aspect) * height / 2, self.down * height / 2
        return np.array([[fx, 0, (self.x + 1) * width / 2 - 0.5], [0, fy, (self.y + 1) * height / 2 - 0.5], [0, 0, 1]])
