"""The mesh renderer's images in torch operations alone, every face at every sample: slow, but it can be exported."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from renderers.base import Renderer
from renderers.compositing import Layer
from renderers.mesh.attributes import turned
from renderers.mesh.projection import FAR, LEAST_AREA, LOW, NEAR, Scenery
from renderers.mesh.shading import shaded
from renderers.spaces import Coordinate, What

AT_ONCE = 64
"""Faces in work at a time. They take about 5 kB each for a 64 x 64 image of one object."""
EDGE = 1e-6
"""Barycentric weights from ``-EDGE`` on are inside, or a sample on the edge between two faces might be in neither."""


class DenseMeshes(Renderer):
    """Draws what a MeshRenderer draws, with no kernels of its own, so that ``torch.export`` can follow.

    Args:
        what, where, image_shape: the MeshRenderer's. full_pose: its poses (..., P) to whole ones (..., 4 or 11).
        scenery: meshes, camera, light and background.
    """

    corners: Tensor
    planes: Tensor
    paint: Tensor
    closed: Tensor
    samples: Tensor
    eye: Tensor
    light: Tensor
    ambient: Tensor
    diffuse: Tensor

    def __init__(
        self,
        what: What,
        where: tuple[Coordinate, ...],
        image_shape: tuple[int, int, int],
        full_pose: Callable[[Tensor], Tensor],
        scenery: Scenery,
    ) -> None:
        super().__init__(what, where, image_shape)
        self._full_pose, self._scenery = full_pose, scenery
        s, most = scenery, int(np.diff(scenery.face_start).max())
        # by identity, filled up with faces of no area, which are not drawn
        corners = [s.vertices[:, first + s.faces[:, a:b]] for first, a, b in zip(s.vertex_start, *_ranges(s))]
        self._keep("corners", _filled([part.transpose(2, 1, 0) for part in corners], most))
        self._keep("planes", _filled([s.planes[:, a:b].T for a, b in zip(*_ranges(s))], most))
        self._keep("paint", _filled([s.colors[a:b] for a, b in zip(*_ranges(s))], most))
        self._keep("closed", s.closed)
        y, x = np.mgrid[: s.height, : s.width].astype(np.float32) + np.float32(0.5)
        self._keep("samples", np.stack([np.ones_like(x), x, y]).reshape(3, -1))
        self._keep("empty", s.background.reshape(3, s.height, s.width))
        self._keep("rotation", s.rotation)
        self._keep("eye", s.eye)
        self._keep("light", s.light)
        self._keep("ambient", s.ambient)
        self._keep("diffuse", s.diffuse)
        if len(s.leans):  # torch.export saves no tensor without numbers in silence
            self._keep("table", s.table.reshape(s.height, s.width))
            self._keep("leans", np.insert(s.leans, 1, 1, axis=1))

    def _keep(self, name: str, value: NDArray[np.generic]) -> None:
        self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(value)), persistent=False)

    def background(self) -> Tensor:
        return self.get_buffer("empty")

    def draw(self, what: Tensor, where: Tensor) -> Layer:
        s, pose = self._scenery, self._full_pose(where)
        screen, nearness = self._projected(what, pose)
        outside, light = shaded(self.planes[what], pose, self, s)
        edges, area = _barycentric(screen)
        drawn = (nearness > 0).all(2) & (area.abs() >= float(LEAST_AREA)) & (outside | ~self.closed[what, None])
        drawn = drawn & (pose.abs().sum(1) <= FAR).unsqueeze(1)
        paint = self.paint[what] * (light.unsqueeze(2) * nearness.unsqueeze(-1))
        best = torch.zeros_like(nearness[:, :1, 0]) * self.samples[0]
        color = torch.zeros_like(best).unsqueeze(1).repeat(1, 3, 1)
        for start in range(0, self.corners.shape[1], AT_ONCE):
            part = slice(start, start + AT_ONCE)
            near, shown = _nearest(edges[:, part] @ self.samples, drawn[:, part], nearness[:, part], paint[:, part])
            color = torch.where((near > best).unsqueeze(1), shown.clamp(max=1), color)
            best = torch.maximum(near, best)
        depth = torch.where(best > 0, 1 / torch.where(best > 0, best, 1.0), torch.inf)
        shade = self._shade(what, pose) if len(s.leans) else None
        return Layer(color.view(-1, 3, s.height, s.width), depth.view(-1, s.height, s.width), shade=shade)

    def _shade(self, what: Tensor, pose: Tensor) -> Tensor:
        """What the objects let through of the table's light, (M, SH, SW)."""
        s = self._scenery
        taken = torch.zeros_like(pose[:, :1]) * self.samples[0]
        for lean, darkening in zip(self.get_buffer("leans").unbind(), s.darkening.tolist()):
            screen, nearness = self._projected(what, pose, leaning(lean, pose, s))
            edges, area = _barycentric(screen)
            drawn = (nearness > 0).all(2) & (area.abs() >= float(LEAST_AREA)) & (pose.abs().sum(1) <= FAR).unsqueeze(1)
            dark = torch.zeros_like(taken, dtype=torch.bool)
            for start in range(0, self.corners.shape[1], AT_ONCE):
                part = slice(start, start + AT_ONCE)
                inside = (edges[:, part] @ self.samples >= -EDGE).all(2)
                dark = dark | (inside & drawn[:, part].unsqueeze(-1)).any(1)
            taken = taken + darkening * dark
        return 1 - taken.view(-1, s.height, s.width) * self.get_buffer("table")

    def _projected(self, what: Tensor, pose: Tensor, lean: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Faces' corners (M, F, 3, 2) in samples, and their 1 / depth (M, F, 3), -1 for those nearer than NEAR.

        With ``lean`` (M, 3) those of the shadow: where a point is y high, y times that less.
        """
        s = self._scenery
        placed = turned(self.corners[what], pose)
        if lean is not None:
            foot = placed + pose[:, None, None, :3]
            placed = foot - foot[..., 1:2] * lean[:, None, None] - pose[:, None, None, :3]
        seen = (placed + (pose[:, :3] - self.eye)[:, None, None]) @ self.get_buffer("rotation").T
        right, up, depth = seen.unbind(-1)
        inverse = 1 / torch.where(depth >= NEAR, depth, 1.0)
        across, down = s.width / 2 + float(s.focal) * right * inverse, s.height / 2 - float(s.focal) * up * inverse
        return torch.stack([across, down], -1), torch.where(depth >= NEAR, inverse, -1.0)


def leaning(lean: Tensor, pose: Tensor, s: Scenery) -> Tensor:
    """How far objects' shadows lie back for each unit of height, (M, 3), of a distant light's ``lean`` (3,)."""
    near = float(s.near / s.light[1]) if s.near > 0 else 0.0
    shifted = (lean - near * pose[:, :3]) / (1 - near * pose[:, 1:2]).clamp_min(float(LOW))
    return torch.stack([shifted[:, 0], torch.ones_like(shifted[:, 0]), shifted[:, 2]], 1)


def _barycentric(screen: Tensor) -> tuple[Tensor, Tensor]:
    """Corners (M, F, 3, 2) to the weights of each as functions (M, F, 3, 3) of (1, x, y), and twice the area (M, F)."""
    a, b, c = screen.unbind(2)
    (bx, by), (cx, cy) = (b - a).unbind(-1), (c - a).unbind(-1)
    area = bx * cy - by * cx
    scale = 1 / torch.where(area == 0, 1.0, area)
    ax, ay = a.unbind(-1)
    second = torch.stack([(ay * cx - ax * cy) * scale, cy * scale, -cx * scale], -1)
    third = torch.stack([(ax * by - ay * bx) * scale, -by * scale, bx * scale], -1)
    one = torch.zeros_like(second) + torch.tensor([1.0, 0.0, 0.0], device=second.device)
    return torch.stack([one - second - third, second, third], 2), area


def _nearest(weights: Tensor, drawn: Tensor, nearness: Tensor, paint: Tensor) -> tuple[Tensor, Tensor]:
    """1 / depth (M, S) of the nearest of F faces, 0 for none, and its colour (M, 3, S), undefined for none.

    Args:
        weights: (M, F, 3, S) barycentric. drawn: (M, F). nearness: (M, F, 3), 1 / depth of the corners.
        paint: (M, F, 3, 3), the corners' colours (rgb) over their depth.
    """
    inside = (weights >= -EDGE).all(2) & drawn.unsqueeze(-1)
    near, face = torch.where(inside, (weights * nearness.unsqueeze(-1)).sum(2), 0.0).max(1)
    chosen = face[:, None, None].expand(-1, 1, 3, -1)
    weight = weights.gather(1, chosen).squeeze(1)  # (M, 3, S)
    corners = paint.flatten(2).gather(1, face.unsqueeze(-1).expand(-1, -1, 9))
    corners = corners.view(*corners.shape[:2], 3, 3)  # (M, S, 3, 3)
    color = (weight.transpose(1, 2).unsqueeze(-1) * corners).sum(2).transpose(1, 2)
    return near, color / torch.where(near > 0, near, 1.0).unsqueeze(1)


def _ranges(s: Scenery) -> tuple[list[int], list[int]]:
    """Of each identity's faces: the first, and the one after the last."""
    return s.face_start[:-1].tolist(), s.face_start[1:].tolist()


def _filled(parts: list[NDArray[np.float32]], most: int) -> NDArray[np.float32]:
    """Arrays (F, ...) of several identities as (identities, most, ...), with zeros behind."""
    return np.stack([np.concatenate([p, np.zeros((most - len(p), *p.shape[1:]), np.float32)]) for p in parts])
