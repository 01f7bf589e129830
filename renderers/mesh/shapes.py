"""Triangle meshes and the built-in solids: cube, sphere, cylinder, cone, drum.

Every built-in stands on the plane ``y = 0`` with its axis on the y axis, is wound counter-clockwise seen from
outside, and is about one unit wide before scaling.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from renderers.mesh.srgb import encoded

Array = NDArray[np.float32]
RGB = tuple[float, float, float]
FULL_TURN = 2 * math.pi


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh in its own frame (y up, resting on ``y = 0`` unless it keeps its file's origin).

    Attributes:
        vertices: (V, 3) float32, world units.
        faces: (F, 3) int32 indices into ``vertices``, counter-clockwise seen from outside.
        colors: (F, 3, 3) float32 in [0, 1]: RGB at each face's three corners (equal at all three: a flat face).
        symmetry: smallest yaw (radians) that maps the coloured shape to itself: 2 pi where there is none, 0
            where no yaw changes anything.
        closed: whether back faces can never be seen, and so need not be drawn.
        linear: (F,), the faces whose colours are linear numbers, as glTF's factors and vertex colours are; the others'
            are sRGB. None: all are sRGB. Images are sRGB: ``drawn`` has what is drawn.
        up: the axis that points up in the frame that other programs have it in: of one that keeps its scale and origin
            its file's own.
    """

    vertices: Array
    faces: NDArray[np.int32]
    colors: Array
    symmetry: float
    closed: bool = True
    linear: NDArray[np.bool_] | None = None
    up: str = "z"

    def scaled(self, size: float) -> "Mesh":
        """The mesh with its vertices multiplied by ``size``."""
        return replace(self, vertices=self.vertices * np.float32(size))

    @property
    def drawn(self) -> Array:
        """(F, 3, 3) float32: ``colors`` as sRGB."""
        if self.linear is None:
            return self.colors
        return np.where(self.linear[:, None, None], encoded(self.colors.astype(np.float64)), self.colors).astype(
            np.float32
        )

    @property
    def digest(self) -> str:
        """The same for meshes that agree to a ten thousandth, in length and colour."""
        parts = [np.round(array * 1e4).astype(np.int64) for array in (self.vertices[self.faces], self.drawn)]
        return sha256(b"".join(part.tobytes() for part in parts)).hexdigest()

    @property
    def radius(self) -> float:
        """Largest horizontal distance of a vertex from the yaw axis, in world units."""
        return float(np.hypot(self.vertices[:, 0], self.vertices[:, 2]).max())

    @property
    def reach(self) -> float:
        """Largest distance of a vertex from its origin, in world units."""
        return float(np.linalg.norm(self.vertices.astype(np.float64), axis=1).max())

    @property
    def core(self) -> float:
        """Radius of the largest upright cylinder about the yaw axis that the mesh's outline from above holds.

        0 where the axis lies outside.
        """
        outline = self.vertices[:, [0, 2]].astype(np.float64)
        turns = np.linspace(0, FULL_TURN, 64, endpoint=False)
        reach = outline @ np.stack([np.cos(turns), np.sin(turns)])
        return max(0.0, float(reach.max(0).min()))


def _flat(vertices: list[list[float]], faces: list[list[int]], colors: list[Array], symmetry: float) -> Mesh:
    corner = np.repeat(np.asarray(colors, np.float32)[:, None, :], 3, axis=1)
    return Mesh(np.asarray(vertices, np.float32), np.asarray(faces, np.int32), corner, symmetry)


def check_color(name: str, color: RGB) -> None:
    """ValueError, with the color's ``name``, unless it is RGB in [0, 1]."""
    if len(color) != 3 or not all(0 <= share <= 1 for share in color):
        raise ValueError(f"{name} must be red, green and blue between 0 and 1, got {tuple(color)}")


def shade(color: RGB, gain: float = 1.0) -> Array:
    """(3,) float32: a colour times ``gain``, within [0, 1]."""
    return np.clip(np.asarray(color, np.float32) * np.float32(gain), 0, 1)


def cube(color: RGB) -> Mesh:
    """A cube of one colour, 0.8 wide (12 triangles); its yaw has a symmetry of a quarter turn."""
    h = 0.4
    vertices = [[sx * h, y, sz * h] for y in (0.0, 2 * h) for sx, sz in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    quads = [[4, 7, 6, 5], [0, 1, 2, 3], [0, 4, 5, 1], [1, 5, 6, 2], [2, 6, 7, 3], [3, 7, 4, 0]]
    faces = [[q[0], q[j], q[j + 1]] for q in quads for j in (1, 2)]
    return _flat(vertices, faces, [shade(color)] * len(faces), FULL_TURN / 4)


def revolve(profile: list[tuple[float, float]], segments: int) -> tuple[list[list[float]], list[list[int]], list[int]]:
    """Revolve (radius, height) points, bottom to top, about y. Returns vertices, faces, each face's segment."""
    vertices: list[list[float]] = []
    rings: list[list[int]] = []
    for radius, height in profile:
        count = segments if radius > 0 else 1
        rings.append(list(range(len(vertices), len(vertices) + count)))
        for s in range(count):
            angle = FULL_TURN * s / segments
            vertices.append([radius * math.sin(angle), height, radius * math.cos(angle)])
    faces, where = [], []
    for low, high in zip(rings, rings[1:]):
        for s in range(segments):
            a, b = low[s % len(low)], low[(s + 1) % len(low)]
            c, d = high[s % len(high)], high[(s + 1) % len(high)]
            for face in ([a, b, d], [a, d, c]):
                if len(set(face)) == 3:
                    faces.append(face)
                    where.append(s)
    return vertices, faces, where


def sphere(color: RGB) -> Mesh:
    """A ball of one colour, diameter 0.8 (192 triangles); its yaw cannot be seen."""
    segments, stacks, r = 12, 9, 0.4
    angles = [math.pi * k / stacks for k in range(stacks + 1)]
    profile = [(r * math.sin(a) if 0 < k < stacks else 0.0, r - r * math.cos(a)) for k, a in enumerate(angles)]
    vertices, faces, _ = revolve(profile, segments)
    return _flat(vertices, faces, [shade(color)] * len(faces), 0.0)


def _striped(profile: list[tuple[float, float]], color: RGB) -> Mesh:
    """Revolve with one half of the circumference lighter and one darker, which makes yaw visible."""
    segments = 16
    vertices, faces, where = revolve(profile, segments)
    colors = [shade(color, 1.0 if s < segments // 2 else 0.35) for s in where]
    return _flat(vertices, faces, colors, FULL_TURN)


def cylinder(color: RGB) -> Mesh:
    """A cylinder 0.7 wide and 0.9 high (64 triangles), textured: one half is darker, so yaw has no symmetry."""
    return _striped([(0.0, 0.0), (0.35, 0.0), (0.35, 0.9), (0.0, 0.9)], color)


def drum(color: RGB) -> Mesh:
    """A cylinder of one colour, 0.8 wide and 0.8 high (128 triangles); its yaw cannot be seen."""
    vertices, faces, _ = revolve([(0.0, 0.0), (0.4, 0.0), (0.4, 0.8), (0.0, 0.8)], 32)
    return _flat(vertices, faces, [shade(color)] * len(faces), 0.0)


def cone(color: RGB) -> Mesh:
    """A cone 0.9 wide and 0.9 high (32 triangles), textured: one half is darker, so yaw has no symmetry."""
    return _striped([(0.0, 0.0), (0.45, 0.0), (0.0, 0.9)], color)


SOLIDS: dict[str, Callable[[RGB], Mesh]] = {
    "cube": cube,
    "sphere": sphere,
    "cylinder": cylinder,
    "cone": cone,
    "drum": drum,
}
SOLID_COLORS: dict[str, RGB] = {
    "cube": (0.9, 0.15, 0.15),
    "sphere": (0.2, 0.3, 0.95),
    "cylinder": (0.95, 0.8, 0.2),
    "cone": (0.25, 0.8, 0.35),
    "drum": (0.85, 0.5, 0.2),
}
