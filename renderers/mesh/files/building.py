"""How a mesh file becomes a ``Mesh``."""

import math
from pathlib import Path

import numpy as np

from renderers.mesh.files.decimation import decimated
from renderers.mesh.files.painting import Soup, painted
from renderers.mesh.files.part import Array, Part
from renderers.mesh.files.placing import areas, moved, sides, standing, weld
from renderers.mesh.files.reading import FORMATS, read_parts
from renderers.mesh.files.source import MeshFile
from renderers.mesh.files.symmetry import find_symmetry
from renderers.mesh.shapes import BUILT_IN, FULL_TURN, Mesh

RGB = tuple[float, float, float]


def read_mesh(kind: str, source: MeshFile, color: RGB | None) -> Mesh:
    """The mesh of a kind from its file, of ``color`` where that is given, 1 world unit in size.

    Errors:
        ValueError, naming kind and file, where it is not there, cannot be read or drawn, or a package is missing.
    """
    path = Path(source.path).expanduser()
    try:
        if path.suffix.lower() not in FORMATS:
            shapes, formats = ", ".join(BUILT_IN), ", ".join(FORMATS)
            raise ValueError(f"neither a built-in shape ({shapes}) nor a mesh file by its ending ({formats})")
        return _read(path, source, color)
    except ValueError as error:
        raise ValueError(f"meshes[{kind!r}] {str(path)!r}: {error}") from error


def _read(path: Path, source: MeshFile, color: RGB | None) -> Mesh:
    parts = read_parts(path)
    place = standing(np.concatenate([part.corners for part in parts]), source.up or FORMATS[path.suffix.lower()].up)
    parts = [part._replace(corners=moved(part.corners, place)) for part in parts]
    shape, soup = _triangles(parts, source)
    if color is not None:
        soup = Soup(soup.corners, np.broadcast_to(np.asarray(color, np.float64), soup.colors.shape))
    seen = areas(soup.corners) > 0
    if not seen.any():
        raise ValueError("its faces have no area: nothing of it could be seen")
    closed, clockwise = sides(shape)
    return _mesh(Soup(soup.corners[seen], soup.colors[seen].clip(0, 1)), source.symmetry, closed, clockwise)


def _triangles(parts: list[Part], source: MeshFile) -> tuple[Array, Soup]:
    """The shape of the parts (F, 3, 3), and what is drawn of them, at most ``source.faces`` triangles."""
    most, detail = source.faces or math.inf, source.detail
    shape, soup = np.concatenate([part.corners for part in parts]), painted(parts, detail)
    if len(shape) > most:
        soup = decimated(shape, soup, int(most))
        soup = Soup(moved(soup.corners, standing(soup.corners, "y")), soup.colors)
        return soup.corners, soup
    while len(soup.corners) > most:
        detail *= 1.3
        soup = painted(parts, detail)
    return shape, soup


def _mesh(soup: Soup, symmetry: int | None, closed: bool, clockwise: bool) -> Mesh:
    period = find_symmetry(soup) if symmetry is None else symmetry and FULL_TURN / symmetry
    order = slice(None, None, -1) if clockwise else slice(None)
    vertices, faces = weld(soup.corners[:, order])
    colors = np.ascontiguousarray(soup.colors[:, order], np.float32)
    return Mesh(vertices.astype(np.float32), faces.astype(np.int32), colors, period, closed)
