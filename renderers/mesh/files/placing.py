"""Where a mesh stands: upright on the table, over its middle, one unit in size; and which side of it is outside."""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from renderers.mesh.axes import UPRIGHT

Points = NDArray[np.float64]
Faces = NDArray[np.int64]

ALIKE = 1e-6  # of the object's size: corners as near as that are one vertex
INSIDE = 1 + 1e-9


def standing(corners: Points, up: str) -> Points:
    """The affine map (4, 4) that sets triangles (F, 3, 3) upright, on ``y = 0``, over their middle, and to size 1.

    The middle is their surface's centre of mass: for an object that a turn maps to itself, its axis. About that a turn
    moves least of what is seen, and an object whose turn is not known yet is still seen where it is. The size is the
    larger of the height and the diameter of the smallest circle around them, seen from above.

    Errors:
        ValueError where all points are one.
    """
    turn = np.array(UPRIGHT[up], np.float64)
    turned = corners @ turn.T
    low, high = turned.min(0).min(0), turned.max(0).max(0)
    _, radius = smallest_circle(turned.reshape(-1, 3)[:, [0, 2]])
    size = max(2 * radius, high[1] - low[1])
    if not size > 0:
        raise ValueError("all its vertices are in one place: it has no size")
    center = _centroid(turned)
    place = np.eye(4)
    place[:3, :3] = turn / size
    place[:3, 3] = -np.array([center[0], low[1], center[2]]) / size
    return place


def _centroid(corners: Points) -> Points:
    """Centre of mass (3,) of the surface of triangles (F, 3, 3); of their corners where they have no area."""
    weights = areas(corners)
    middles: Points = corners.mean(1)
    return np.average(middles, 0, weights) if weights.any() else middles.mean(0)


def moved(points: Points, place: Points) -> Points:
    """Points (..., 3) under an affine map (4, 4)."""
    return points @ place[:3, :3].T + place[:3, 3]


def smallest_circle(points: Points) -> tuple[Points, float]:
    """Centre (2,) and radius of the smallest circle around points (V, 2).

    The circle of two or three of them grows by the farthest point outside, until there is none (Gaertner 1999).
    """
    basis = points[:1]
    center, radius = points[0], 0.0
    while True:
        away = np.hypot(points[:, 0] - center[0], points[:, 1] - center[1])
        if away.max() <= radius * INSIDE + 1e-300:
            return center, radius
        basis = np.concatenate([basis, points[None, away.argmax()]])
        circles = [_through(basis[list(some)]) for n in (2, 3) for some in combinations(range(len(basis)), n)]
        around = [c for c in circles if np.linalg.norm(basis - c[0], axis=1).max() <= c[1] * INSIDE]
        center, grown = min(around, key=lambda circle: circle[1])
        if grown <= radius:  # as exact as numbers are
            return center, float(away.max())
        radius = grown
        on_it = np.abs(np.linalg.norm(basis - center, axis=1) - radius) <= 1e-9 * radius
        basis = basis[on_it]


def _through(points: Points) -> tuple[Points, float]:
    """The circle whose diameter two points (2, 2) are, or through three (3, 2); infinite where those are in line."""
    if len(points) == 2:
        return points.mean(0), float(np.linalg.norm(points[1] - points[0]) / 2)
    b, c = points[1] - points[0], points[2] - points[0]
    area = 2 * (b[0] * c[1] - b[1] * c[0])
    if abs(area) <= 1e-12 * (b @ b + c @ c):
        return points[0], np.inf
    middle = np.array([c[1] * (b @ b) - b[1] * (c @ c), b[0] * (c @ c) - c[0] * (b @ b)]) / area
    return points[0] + middle, float(np.linalg.norm(middle))


def weld(corners: Points, alike: float = ALIKE) -> tuple[Points, Faces]:
    """Triangles (F, 3, 3) of an object of size 1 to vertices (V, 3), each there once, and faces (F, 3)."""
    flat = corners.reshape(-1, 3)
    steps = np.round((flat - flat.min(0)) / alike).astype(np.int64)
    x, y, z = steps.max(0) + 1  # about a million each, so that one number has room for all three
    number = (steps[:, 0] * y + steps[:, 1]) * z + steps[:, 2]
    _, first, index = np.unique(number, return_index=True, return_inverse=True)
    return flat[first], index.reshape(-1, 3)


def areas(corners: Points) -> Points:
    """(F,) of triangles (F, 3, 3)."""
    (ax, ay, az), (bx, by, bz) = (corners[:, 1] - corners[:, 0]).T, (corners[:, 2] - corners[:, 0]).T
    area: Points = np.sqrt((ay * bz - az * by) ** 2 + (az * bx - ax * bz) ** 2 + (ax * by - ay * bx) ** 2) / 2
    return area


def sides(corners: Points) -> tuple[bool, bool]:
    """Whether triangles (F, 3, 3) are closed surfaces, all wound alike, and whether that is clockwise from outside.

    Closed: every edge is run along once in each direction, and no surface is inside out against the others. Two faces
    back to back, each the other's reverse, are closed, too.
    """
    vertices, faces = weld(corners)
    faces = _single(faces[(faces != np.roll(faces, 1, 1)).all(1)])
    if not len(faces):
        return True, False
    edges = np.concatenate([faces[:, [i, (i + 1) % 3]] for i in range(3)])
    forward, backward = (np.sort(e[:, 0] * len(vertices) + e[:, 1]) for e in (edges, edges[:, ::-1]))
    if (np.diff(forward) == 0).any() or not np.array_equal(forward, backward):
        return False, False
    links = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(len(vertices), len(vertices)))
    _, body = connected_components(links, directed=False)
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    volumes = np.bincount(body[faces[:, 0]], (a * np.cross(b, c)).sum(1) / 6)[np.unique(body[faces[:, 0]])]
    return bool((volumes > 0).all() or (volumes < 0).all()), bool((volumes < 0).all())


def _single(faces: Faces) -> Faces:
    """Those of faces (F, 3) whose reverse is not there."""
    if not len(faces):
        return faces
    first = faces.argmin(1)[:, None]
    a, b, c = np.take_along_axis(faces, (first + np.arange(3)) % 3, 1).T
    ahead, back = b * (faces.max() + 1) + c, c * (faces.max() + 1) + b
    pairs, which = np.unique(np.concatenate([ahead, back]), return_inverse=True)
    known, reverse = a * len(pairs) + which[: len(a)], a * len(pairs) + which[len(a) :]
    return faces[~np.isin(reverse, known)]
