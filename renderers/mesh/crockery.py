"""Crockery: plate, cup, pan and bottle, made of surfaces of revolution and swept handles.

One unit is about 20 cm. Each stands on the plane ``y = 0``, is wound counter-clockwise seen from outside and closed:
an inside is a wall of its own, and a handle's ends lie within what it is on. Handles point along x.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from renderers.mesh.shapes import FULL_TURN, RGB, Mesh, revolve, shade

Point = tuple[float, float]


@dataclass(frozen=True)
class Part:
    """A piece of surface: vertices (V, 3), faces (F, 3), and the factor on the colour of each face (F,)."""

    vertices: NDArray[np.float64]
    faces: NDArray[np.int64]
    gains: NDArray[np.float64]


def turned(profile: Sequence[Point], gains: Sequence[float], segments: int, center: float = 0.0) -> Part:
    """A surface of revolution about the upright axis at x = ``center``.

    Args:
        profile: radius and height, from the axis below, along the outside, to the axis above or inside.
        gains: of the ring between each two points of it.
    """
    vertices: list[list[float]] = []
    faces: list[list[int]] = []
    rings: list[float] = []
    for number, ends in enumerate(zip(profile, profile[1:])):
        ring, triangles, _ = revolve(list(ends), segments)
        faces += [[corner + len(vertices) for corner in triangle] for triangle in triangles]
        vertices += [[x + center, y, z] for x, y, z in ring]
        rings += [gains[number]] * len(triangles)
    return welded(np.array(vertices), np.array(faces), np.array(rings))


def swept(path: Sequence[Point], thick: float, broad: float, gain: float, sides: int = 6) -> Part:
    """A bar along a ``path`` of points (x, y) in the plane z = 0, closed at its ends.

    Args:
        thick, broad: half its width in that plane and across it.
        sides: corners of its cross-section, an ellipse.
    """
    way = np.asarray(path)
    along = np.gradient(way, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    turn = FULL_TURN * np.arange(sides) / sides
    out = np.stack([-along[:, 1], along[:, 0]], 1)[:, None] * thick * np.cos(turn)[:, None]
    across = np.broadcast_to(broad * np.sin(turn)[:, None], (len(way), sides, 1))
    rings = np.concatenate([way[:, None] + out, across], 2).reshape(-1, 3)
    faces = []
    for first in range(0, (len(way) - 1) * sides, sides):
        for s in range(sides):
            a, b = first + s, first + (s + 1) % sides
            faces += [[a, b, a + sides], [b, b + sides, a + sides]]
    last = len(rings) - sides
    faces += [[0, s + 1, s] for s in range(1, sides - 1)]
    faces += [[last, last + s, last + s + 1] for s in range(1, sides - 1)]
    return Part(rings, np.array(faces), np.full(len(faces), gain))


def welded(vertices: NDArray[np.float64], faces: NDArray[np.int64], gains: NDArray[np.float64]) -> Part:
    """Points that lie in the same place made one."""
    _, first, own = np.unique(vertices.round(6), axis=0, return_index=True, return_inverse=True)
    return Part(vertices[first], own.reshape(-1)[faces], gains)


def joined(parts: Sequence[Part], color: RGB, symmetry: float) -> Mesh:
    """One mesh of several closed parts, in shades of one colour."""
    starts = np.cumsum([0] + [len(part.vertices) for part in parts])
    faces = np.concatenate([part.faces + start for part, start in zip(parts, starts)])
    colors = np.stack([shade(color, gain) for part in parts for gain in part.gains])
    vertices = np.concatenate([part.vertices for part in parts])
    corners = np.repeat(colors[:, None, :], 3, axis=1).astype(np.float32)
    return Mesh(vertices.astype(np.float32), faces.astype(np.int32), corners, symmetry)


def plate(color: RGB) -> Mesh:
    """A plate 1.0 wide and 0.1 high, its rim darker (160 triangles); its yaw cannot be seen."""
    profile = [(0.0, 0.0), (0.3, 0.0), (0.5, 0.08), (0.5, 0.1), (0.32, 0.03), (0.0, 0.03)]
    return joined([turned(profile, [1.0, 1.0, 0.6, 0.6, 1.0], 20)], color, 0.0)


def cup(color: RGB) -> Mesh:
    """A cup 0.52 wide and 0.54 high with a handle, its inside darker (204 triangles); its yaw has no symmetry."""
    profile = [(0.0, 0.0), (0.2, 0.0), (0.26, 0.54), (0.22, 0.54), (0.17, 0.05), (0.0, 0.05)]
    body = turned(profile, [1.0, 1.0, 1.0, 0.5, 0.5], 16)
    arc = np.linspace(-math.pi / 2, math.pi / 2, 6)
    bow = [(0.25 + 0.24 * math.cos(a), 0.28 + 0.17 * math.sin(a)) for a in arc]
    ends = ((0.195, 0.11), (0.22, 0.45))
    return joined([body, swept([ends[0], *bow, ends[1]], 0.05, 0.07, 0.8, 5)], color, FULL_TURN)


def pan(color: RGB) -> Mesh:
    """A pan 0.76 wide and 0.2 high, 1.1 with its handle (176 triangles); its yaw has no symmetry.

    It turns about a point near its bowl's middle, so that a turn moves little but the handle.
    """
    profile = [(0.0, 0.0), (0.32, 0.0), (0.38, 0.16), (0.35, 0.16), (0.3, 0.03), (0.0, 0.03)]
    bowl = turned(profile, [1.0, 1.0, 1.0, 0.7, 0.7], 18, center=-0.08)
    handle = swept([(0.26, 0.09), (0.42, 0.14), (0.64, 0.17)], 0.03, 0.08, 0.5)
    return joined([bowl, handle], color, FULL_TURN)


def bottle(color: RGB) -> Mesh:
    """A bottle 0.36 wide and 1.15 high, its cap darker (168 triangles); its yaw cannot be seen."""
    profile = [
        (0.0, 0.0),
        (0.18, 0.0),
        (0.18, 0.66),
        (0.08, 0.86),
        (0.07, 1.03),
        (0.085, 1.03),
        (0.085, 1.15),
        (0, 1.15),
    ]
    return joined([turned(profile, [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5], 14)], color, 0.0)


CROCKERY: dict[str, Callable[[RGB], Mesh]] = {"plate": plate, "cup": cup, "pan": pan, "bottle": bottle}
CROCKERY_COLORS: dict[str, RGB] = {
    "plate": (0.92, 0.92, 0.98),
    "cup": (0.9, 0.35, 0.25),
    "pan": (0.42, 0.46, 0.55),
    "bottle": (0.2, 0.65, 0.4),
}
