"""The mesh renderer: coloured triangle meshes on a table, seen by a perspective camera."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from renderers.base import Renderer
from renderers.compositing import Layer
from renderers.mesh import rasterizer
from renderers.mesh.camera import Camera
from renderers.mesh.scenery import Light, Table, pack, paint_background
from renderers.mesh.shapes import BUILT_IN, COLORS, Mesh
from renderers.spaces import Categorical, Coordinate

Range = tuple[float, float]


class MeshRenderer(Renderer):
    """Draws kinds of triangle meshes with a z-buffer, on the CPU, without gradients of its own.

    ``what`` is the kind, ``where`` the free ones of x, y, z (world units; the object's foot) and yaw (radians).

    Args:
        kinds: names of built-in kinds: cube, sphere, cylinder, cone.
        colors: RGB in [0, 1] by kind, where the built-in colour is not wanted.
        sizes: factor on the built-in size (about 0.8) by kind; 1 where not given.
        image_size: height and width in pixels.
        camera: where from, where to, how wide.
        light: direction and strength of the light.
        table: the ground in the background.
        x, y, z: a pair [low, high] frees the coordinate over that support, a number fixes it.
        yaw: null frees it, a number (radians) fixes it.
        position_step, yaw_step: central finite-difference steps, world units and radians. A picture with hard edges
            is piecewise constant: take about half a pixel to a pixel.
        supersample: samples a pixel in each direction; 1 leaves hard edges.
    Errors:
        ValueError for an unknown kind, and for a support that the camera does not see.
    """

    def __init__(
        self,
        kinds: Sequence[str] = ("cube", "sphere", "cylinder"),
        colors: dict[str, tuple[float, float, float]] | None = None,
        sizes: dict[str, float] | None = None,
        image_size: tuple[int, int] = (64, 64),
        camera: Camera = Camera(),
        light: Light = Light(),
        table: Table = Table(),
        x: Range | float = (-1.9, 1.9),
        y: Range | float = 0.0,
        z: Range | float = (-1.9, 1.9),
        yaw: float | None = None,
        position_step: float = 0.06,
        yaw_step: float = 0.08,
        supersample: int = 1,
    ) -> None:
        meshes = [_mesh(kind, colors or {}, sizes or {}) for kind in kinds]
        self._fixed: dict[str, float] = {}
        free: list[Coordinate] = []
        for name, value in (("x", x), ("y", y), ("z", z)):
            if isinstance(value, (int, float)):
                self._fixed[name] = float(value)
            else:
                free.append(Coordinate(name, "world units", float(value[0]), float(value[1]), position_step))
        if yaw is None:
            periods = tuple(mesh.symmetry for mesh in meshes)
            free.append(Coordinate("yaw", "radians", -math.pi, math.pi, yaw_step, circular=True, periods=periods))
        else:
            self._fixed["yaw"] = float(yaw)
        if not free:
            raise ValueError("every one of x, y, z and yaw is fixed: free at least one, there is nothing to infer")
        height, width = image_size
        super().__init__(Categorical(tuple(kinds)), tuple(free), (3, height, width))
        self.camera, self.table, self.supersample = camera, table, supersample
        self.heights = tuple(float(mesh.vertices[:, 1].max()) for mesh in meshes)
        self._check_view()
        background = paint_background(camera, table, height * supersample, width * supersample)
        self._scenery = pack(meshes, camera, light, background, supersample)
        self.register_buffer("_background", torch.from_numpy(background), persistent=False)

    def background(self) -> Tensor:
        return self.get_buffer("_background")

    @torch.no_grad()
    def draw(self, what: Tensor, where: Tensor) -> Layer:
        kinds, poses = self._arrays(what, where)
        _, height, width = self._scenery.background.shape
        color = np.empty((len(kinds), 3, height, width), np.float32)
        inverse = np.empty((len(kinds), height, width), np.float32)
        rasterizer.draw_layers(self._scenery, kinds, poses, color, inverse)
        depth = 1 / torch.from_numpy(inverse)
        return Layer(torch.from_numpy(color).to(where), depth.to(where))

    @torch.no_grad()
    def render(self, what: Tensor, where: Tensor) -> Tensor:
        kinds, poses = self._arrays(what, where)
        batch, slots = kinds.shape
        canvases = np.empty((batch, slots + 1, *self.image_shape), np.float32)
        rasterizer.draw_canvases(self._scenery, kinds, poses, canvases)
        return torch.from_numpy(canvases).to(where)

    @torch.no_grad()
    def swap_scores(
        self, what: Tensor, where: Tensor, other_what: Tensor, other_where: Tensor, target: Tensor, squared: bool
    ) -> Tensor:
        kinds, poses = self._arrays(what, where)
        other_kinds, other_poses = self._arrays(other_what, other_where)
        scores = np.empty((*other_kinds.shape, kinds.shape[1] + 1), np.float32)
        array = target.detach().to("cpu", torch.float32).contiguous().numpy()
        rasterizer.score_swaps(self._scenery, kinds, poses, other_kinds, other_poses, array, squared, scores)
        return torch.from_numpy(scores).to(target)

    def project(self, where: Tensor) -> tuple[Tensor, Tensor]:
        """Image coordinates (..., 2) of the object's middle (half the mean height up) and half its size (...)."""
        _, height, width = self.image_shape
        pose = self.full_pose(where)
        lift = sum(self.heights) / len(self.heights) / 2
        middle = torch.stack([pose[..., 0], pose[..., 1] + lift, pose[..., 2]], -1)
        image, depth = self.camera.project(middle, width / height)
        return image, self.camera.focal() * lift * 1.3 / depth

    def unproject(self, image: Tensor) -> dict[str, Tensor]:
        """x and z (those that are free) of an object whose middle is seen at ``image`` (..., 2)."""
        _, height, width = self.image_shape
        foot = self._fixed.get("y", 0.0)
        lift = sum(self.heights) / len(self.heights) / 2
        point = self.camera.unproject(image, foot + lift, width / height)
        return {name: point[..., axis] for name, axis in (("x", 0), ("z", 2)) if name in self.where.names}

    def full_pose(self, where: Tensor) -> Tensor:
        """Free coordinates (..., P) to all of x, y, z, yaw (..., 4)."""
        columns = []
        for name in ("x", "y", "z", "yaw"):
            if name in self._fixed:
                columns.append(torch.full_like(where[..., 0], self._fixed[name]))
            else:
                columns.append(where[..., self.where.names.index(name)])
        return torch.stack(columns, -1)

    def _arrays(self, what: Tensor, where: Tensor) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        kinds = what.detach().to("cpu", torch.int64).contiguous().numpy()
        if kinds.size and not 0 <= kinds.min() <= kinds.max() < self.kinds:
            raise ValueError(f"`what` must hold indices of the {self.kinds} kinds, got {kinds.min()} to {kinds.max()}")
        return kinds, self.full_pose(where.detach()).to("cpu", torch.float32).contiguous().numpy()

    def _check_view(self) -> None:
        """Every corner of the pose support must project into the picture."""
        spans = [(c.low, c.high) for c in self.where.coordinates if not c.circular]
        axes = [c.name for c in self.where.coordinates if not c.circular]
        yaw = [0.0] if "yaw" in self.where.names else []
        for corner in np.ndindex(*(2,) * len(spans)):
            values = [span[side] for span, side in zip(spans, corner)]
            point = self.full_pose(torch.tensor(values + yaw))[:3]
            image, depth = self.camera.project(point, self.image_shape[2] / self.image_shape[1])
            if depth <= rasterizer.NEAR or image.abs().max() > 1:
                place = ", ".join(f"{a}={v:g}" for a, v in zip(axes, values)) or "the fixed position"
                raise ValueError(
                    f"the pose support reaches outside the camera's view: {place} is seen at image coordinates "
                    f"({image[0]:.2f}, {image[1]:.2f}), depth {depth:.2f}, and the picture spans [-1, 1]: narrow x, y or z, "
                    f"move the camera back or widen its field_of_view ({self.camera.field_of_view:g} degrees)"
                )


def _mesh(kind: str, colors: dict[str, tuple[float, float, float]], sizes: dict[str, float]) -> Mesh:
    if kind not in BUILT_IN:
        raise ValueError(f"unknown kind {kind!r}: the built-in kinds are {', '.join(BUILT_IN)}")
    mesh = BUILT_IN[kind](colors.get(kind, COLORS[kind]))
    return mesh.scaled(sizes.get(kind, 1.0))
