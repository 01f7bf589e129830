"""Polygons to triangles: convex ones as fans, others by cutting off ears (Meisters 1975)."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Points = NDArray[np.float64]
Indices = NDArray[np.int64]

kernel: Any = njit(cache=True, nogil=True, error_model="numpy")


def triangulated(points: Points, counts: Indices) -> tuple[Indices, Indices]:
    """Triangles of polygons, each of n >= 3 corners in n - 2 triangles wound like it.

    Args:
        points: (C, 3), the corners of one polygon after another.
        counts: (P,) of each polygon's corners.

    Returns:
        (F, 3) the triangles' corners, as rows of ``points``; (F,) the polygon that each is of.
    """
    starts = np.cumsum(counts) - counts
    polygon = np.repeat(np.arange(len(counts)), counts - 2)
    place = np.arange(len(polygon)) - (starts - 2 * np.arange(len(counts)))[polygon]  # in its polygon
    triangles = starts[polygon][:, None] + np.where([[True, False, False]], 0, place[:, None] + [0, 1, 2])
    if (counts > 3).any():
        flat = _flattened(points, starts, counts)
        for which in np.flatnonzero(~_are_convex(flat, starts, counts)):
            start, count = starts[which], counts[which]
            first = start - 2 * which  # of its triangles
            _cut_ears(flat[start : start + count], start, triangles[first : first + count - 2])
    return triangles, polygon


def _flattened(points: Points, starts: Indices, counts: Indices) -> Points:
    """The corners (C, 2) in their polygon's mean plane, counter-clockwise, the polygon's extent about 1."""
    points = points - np.repeat(points[starts], counts, 0)
    size = np.maximum.reduceat(np.abs(points).max(1), starts)
    points /= np.repeat(np.maximum(size, 1e-300), counts)[:, None]
    normal = np.add.reduceat(np.cross(points, points[_following(starts, counts)]), starts)  # Newell's
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    normal = np.where(length > 1e-12, normal / np.maximum(length, 1e-300), [0, 0, 1])
    along = np.cross(np.eye(3)[np.abs(normal).argmin(1)], normal)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    plane = np.repeat(np.stack([along, np.cross(normal, along)], 1), counts, 0)
    return np.einsum("ckd,cd->ck", plane, points)


def _following(starts: Indices, counts: Indices) -> Indices:
    """(C,) the corner that comes after each in its polygon."""
    following = np.arange(1, counts.sum() + 1)
    following[starts + counts - 1] = starts
    return following


def _are_convex(flat: Points, starts: Indices, counts: Indices) -> NDArray[np.bool_]:
    """(P,) whether no corner turns to the right, and the fan of the first corner stays inside."""
    following = _following(starts, counts)
    third = flat[following[following]]
    turns = _turns(flat, flat[following], third), _turns(np.repeat(flat[starts], counts, 0), flat, flat[following])
    return np.minimum.reduceat(np.minimum(*turns), starts) > -1e-9


def _turns(a: Points, b: Points, c: Points) -> Points:
    """Twice the area of triangles in the plane, negative where they are clockwise."""
    return (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])


@kernel
def _cut_ears(flat: Points, first: int, triangles: Indices) -> None:
    """One ear after another; of a polygon that crosses itself, where there is none, the corner that sticks out most."""
    left = np.arange(len(flat))
    count, at, tried, done = len(flat), 0, 0, 0
    while count > 3:
        if tried < count and not _is_ear(flat, left, count, at):
            at, tried = (at + 1) % count, tried + 1
            continue
        if tried == count:
            at = _sharpest(flat, left, count)
        triangles[done, 0] = first + left[(at - 1) % count]
        triangles[done, 1] = first + left[at]
        triangles[done, 2] = first + left[(at + 1) % count]
        for k in range(at, count - 1):
            left[k] = left[k + 1]
        count, done, tried = count - 1, done + 1, 0
        at %= count
    for k in range(3):
        triangles[done, k] = first + left[k]


@kernel
def _turn(flat: Points, a: int, b: int, c: int) -> float:
    one = (flat[b, 0] - flat[a, 0]) * (flat[c, 1] - flat[a, 1])
    return one - (flat[b, 1] - flat[a, 1]) * (flat[c, 0] - flat[a, 0])


@kernel
def _is_ear(flat: Points, left: Indices, count: int, at: int) -> bool:
    """Whether a corner turns to the left, and no other is in its triangle; corners in line are no ears."""
    a, b, c = left[(at - 1) % count], left[at], left[(at + 1) % count]
    if _turn(flat, a, b, c) <= 1e-12:
        return False
    for k in range(count):
        p = left[k]
        inside = _turn(flat, a, b, p) >= 0 and _turn(flat, b, c, p) >= 0 and _turn(flat, c, a, p) >= 0
        if inside and not (_same(flat, p, a) or _same(flat, p, b) or _same(flat, p, c)):
            return False
    return True


@kernel
def _same(flat: Points, a: int, b: int) -> bool:
    return flat[a, 0] == flat[b, 0] and flat[a, 1] == flat[b, 1]


@kernel
def _sharpest(flat: Points, left: Indices, count: int) -> int:
    best, most = 0, -np.inf
    for k in range(count):
        turn = _turn(flat, left[(k - 1) % count], left[k], left[(k + 1) % count])
        if turn > most:
            best, most = k, turn
    return best
