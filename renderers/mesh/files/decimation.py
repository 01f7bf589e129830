"""Fewer triangles for a coloured mesh: its shape by quadric error metrics, its colours from the nearest surface."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from renderers.mesh.files.painting import Soup, colors_at, of_srgb
from renderers.mesh.files.part import Array, Part
from renderers.mesh.files.placing import ALIKE, areas, weld
from renderers.mesh.files.sampling import at, scattered

Indices = NDArray[np.int64]

PACKAGES = "pip install 'air-lightning[meshes]', or pip install"
SAMPLES = 50_000  # on the surface whose colours are taken over, and a quarter as many on what takes them
SIDE = 0.05  # of the object's size: a surface that faces the other way counts as up to twice so much farther
SPOTS = (
    np.array([[4, 1, 1], [1, 4, 1], [1, 1, 4], [2, 2, 2]]) / 6
)  # of a face, where its colour is asked for in any case
STAGE = 8  # how many times fewer triangles there are after a stage, at most
GRAIN = 0.1  # of the edge of a triangle that comes out
FIN = 0.1  # height of what stands on open edges, as a share of their length


def decimated(parts: list[Part], most: int) -> Soup:
    """At most ``most`` triangles near those of ``parts``, each of one colour: the mean of what is nearest to it.

    The method is that of Garland and Heckbert 1997.

    Errors:
        ValueError where the package that does it is not installed, or too little is left.
    """
    shape = np.concatenate([part.corners for part in parts])
    # needles, as around the poles of a ball, are never taken away: those much finer than what comes out are merged
    fine = GRAIN * math.sqrt(areas(shape).sum() / most) if len(shape) > STAGE * most else ALIKE
    vertices, faces = weld(shape, max(fine, ALIKE))
    faces = faces[(faces != np.roll(faces, 1, 1)).all(1)]
    corners = _simplified(vertices, faces, most)
    if not 4 <= len(corners) <= most:
        raise ValueError(
            f"decimating its {len(shape)} triangles to at most {most} leaves {len(corners)}: allow more `faces`, or "
            "simplify it in a mesh editor"
        )
    return of_srgb(corners, np.repeat(_colors(corners, parts)[:, None], 3, 1))


def _simplified(vertices: Array, faces: Indices, most: int) -> Array:
    """The triangles (F, 3, 3) that are left. In stages: of many at once, the package takes edges away in any order in
    the end, and stops where none can go."""
    try:
        import fast_simplification as package  # optional, and wanted only here
    except ImportError:
        raise ValueError(
            f"drawing {len(faces)} triangles with at most {most} needs the package fast-simplification: "
            f"{PACKAGES} fast-simplification"
        ) from None
    before = len(faces) + 1
    while most < len(faces) < before:
        before, count = len(faces), len(vertices)
        fenced = _fenced(vertices, faces)
        goal = max(most, before // STAGE)
        vertices, faces, collapses = package.simplify(*fenced, target_count=goal, return_collapses=True)
        if len(fenced[0]) > count:
            vertices, faces, place = package.replay_simplification(*fenced, collapses)
            of_surface = np.zeros(len(vertices), bool)
            of_surface[place[:count]] = True
            faces = faces[of_surface[faces].all(1)]
        vertices, faces = np.asarray(vertices, np.float64), np.asarray(faces, np.int64)
        faces = faces[areas(vertices[faces]) > 0]
    return vertices[faces]


def _fenced(vertices: Array, faces: Indices) -> tuple[Array, Indices]:
    """A triangle upright on every open edge, by which moving that edge inward costs something (the paper's section 6):
    without it, flat open parts can be taken away for nothing. The tips are new vertices, behind the others."""
    edges = faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    low, high = np.sort(edges, 1).T
    number = low * len(vertices) + high
    order = number.argsort()
    new = np.diff(number[order], prepend=-1, append=-1) != 0  # and the last place: whether the next would be
    alone = np.sort(order[new[:-1] & new[1:]])
    a, b = vertices[edges[alone, 0]], vertices[edges[alone, 1]]
    length = np.linalg.norm(b - a, axis=1, keepdims=True)
    tips = (a + b) / 2 + FIN * length * _normals(vertices[faces[alone // 3]])
    fins = np.column_stack([edges[alone, ::-1], len(vertices) + np.arange(len(alone))])
    return np.concatenate([vertices, tips]), np.concatenate([faces, fins])


def _colors(corners: Array, parts: list[Part]) -> Array:
    """(F, 3): what ``parts`` have nearest to triangles (F, 3, 3), on the side that they are."""
    shape = np.concatenate([part.corners for part in parts])
    face, shares = scattered(shape, SAMPLES)
    known = cKDTree(_sided(at(shares, shape[face]), shape[face]))
    spot, weights = scattered(corners, SAMPLES // 4)
    owner = np.concatenate([np.repeat(np.arange(len(corners)), len(SPOTS)), spot])
    places = np.concatenate([(SPOTS @ corners).reshape(-1, 3), at(weights, corners[spot])])
    _, nearest = known.query(_sided(places, corners[owner]))
    total = np.zeros((len(corners), 3))
    np.add.at(total, owner, _colors_on_faces(parts, face, shares)[nearest])
    return total / np.bincount(owner)[:, None]


def _colors_on_faces(parts: list[Part], face: Indices, shares: Array) -> Array:
    """(N, 3): the colours at points on the faces of all parts, counted through."""
    colors, first = np.empty((len(face), 3)), 0
    for part in parts:
        here = (first <= face) & (face < first + len(part.corners))
        colors[here] = colors_at(part, face[here] - first, shares[here])
        first += len(part.corners)
    return colors


def _sided(points: Array, corners: Array) -> Array:
    """(N, 6): points (N, 3), with the direction that their triangles (N, 3, 3) face."""
    return np.concatenate([points, SIDE * _normals(corners)], 1)


def _normals(corners: Array) -> Array:
    """(F, 3), of length 1; 0 of triangles without area."""
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-300)
