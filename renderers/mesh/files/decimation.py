"""Fewer triangles for a coloured mesh: its shape by quadric error metrics, its colours from the nearest surface."""

import numpy as np
from scipy.spatial import cKDTree

from renderers.mesh.files.painting import Soup
from renderers.mesh.files.part import Array
from renderers.mesh.files.placing import areas, weld
PACKAGES = "pip install 'air-lightning[meshes]', or pip install"
from renderers.mesh.files.sampling import at, scattered

SAMPLES = 50_000  # on the surface whose colours are taken over
SIDE = 0.05  # of the object's size: a surface that faces the other way counts as up to twice so much farther
SPOTS = np.array([[4, 1, 1], [1, 4, 1], [1, 1, 4], [2, 2, 2]]) / 6  # of a face, where its colour is asked for


def decimated(shape: Array, soup: Soup, most: int) -> Soup:
    """At most ``most`` triangles near ``shape`` (F, 3, 3), each of one colour: the mean of ``soup``'s nearest.

    The method is that of Garland and Heckbert 1997.

    Errors:
        ValueError where the package that does it is not installed, or too little is left.
    """
    try:
        import fast_simplification  # optional, and wanted only here
    except ImportError:
        raise ValueError(
            f"drawing {len(shape)} triangles with at most {most} needs the package fast-simplification: "
            f"{PACKAGES} fast-simplification"
        ) from None
    vertices, faces = weld(shape[areas(shape) > 0])
    vertices, faces = fast_simplification.simplify(vertices.astype(np.float64), faces, target_count=most)
    corners = np.asarray(vertices, np.float64)[faces]
    corners = corners[areas(corners) > 0]
    if not 4 <= len(corners) <= most:
        raise ValueError(
            f"decimating its {len(shape)} triangles to at most {most} leaves {len(corners)}: allow more `faces`, or "
            "simplify it in a mesh editor"
        )
    return Soup(corners, np.repeat(_colors(corners, soup)[:, None], 3, 1))


def _colors(corners: Array, soup: Soup) -> Array:
    """(F, 3): what ``soup`` has nearest to triangles (F, 3, 3), on the side that they are."""
    face, shares = scattered(soup.corners, SAMPLES)
    known = cKDTree(np.concatenate([at(shares, soup.corners[face]), _normals(soup.corners)[face]], 1))
    spots = (SPOTS @ corners).reshape(-1, 3)
    _, nearest = known.query(np.concatenate([spots, np.repeat(_normals(corners), len(SPOTS), 0)], 1))
    colors: Array = at(shares, soup.colors[face])[nearest].reshape(len(corners), len(SPOTS), 3).mean(1)
    return colors


def _normals(corners: Array) -> Array:
    """(F, 3), ``SIDE`` long; 0 of triangles without area."""
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return SIDE * normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
