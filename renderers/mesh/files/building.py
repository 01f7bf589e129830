"""How a mesh file becomes a ``Mesh``."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from renderers.mesh.axes import MILLIMETRES
from renderers.mesh.built_in import BUILT_IN
from renderers.mesh.files.decimation import decimated
from renderers.mesh.files.painting import Soup, painted
from renderers.mesh.files.part import Array, Part
from renderers.mesh.files.placing import areas, moved, sides, standing, weld
from renderers.mesh.files.reading import FORMATS, read_parts
from renderers.mesh.files.source import MeshFile
from renderers.mesh.files.symmetry import find_symmetry
from renderers.mesh.files.texts import say
from renderers.mesh.shapes import FULL_TURN, RGB, Mesh

LEAST_AREA = 1e-14  # of a triangle that can be seen, the file's extent being 1: less is rounding


def built(source: MeshFile, color: RGB | None, units: str = "m") -> Mesh:
    """The mesh in a file, of ``color`` where that is given, 1 world unit in size; or with its own, in these ``units``.

    Errors:
        ValueError, naming the file, where it is not there, cannot be read or drawn, or a package is missing.
    """
    path = Path(source.path).expanduser()
    try:
        if path.suffix.lower() not in FORMATS:
            shapes, formats = ", ".join(BUILT_IN), ", ".join(FORMATS)
            raise ValueError(f"neither a built-in shape ({shapes}) nor a mesh file by its ending ({formats})")
        mesh = _built(path, source, color, _factor(path, source, units))
    except ValueError as error:
        raise ValueError(f"{str(path)!r}: {error}") from error
    if source.up is None and not FORMATS[path.suffix.lower()].sure:
        say(path, "a PLY file does not say which axis points up, z is taken: give `up`, if only as z")
    return mesh


def _factor(path: Path, source: MeshFile, units: str) -> float | None:
    """What the file's lengths are multiplied by; None: what makes it fit."""
    if source.scale == "fit":
        return None
    own = source.units or FORMATS[path.suffix.lower()].units
    if own is None:
        raise ValueError(
            f"it is to keep its scale, and {path.suffix} files do not say what their lengths are: give its units, one "
            f"of {', '.join(MILLIMETRES)}"
        )
    return MILLIMETRES[own] / MILLIMETRES[units]


def _built(path: Path, source: MeshFile, color: RGB | None, factor: float | None) -> Mesh:
    parts, up = _with_area(read_parts(path)), source.up or FORMATS[path.suffix.lower()].up
    place = standing(np.concatenate([part.corners for part in parts]), up)
    if factor is not None:  # all is done at size 1, about the file's own origin
        place[:3, 3] = 0
    parts = [part._replace(corners=moved(part.corners, place)) for part in parts]
    if color is not None:
        parts = [
            Part(part.corners, np.broadcast_to(np.asarray(color, np.float64), part.corners.shape)) for part in parts
        ]
    shape, soup = _triangles(parts, source)
    closed, clockwise = sides(shape)
    mesh = _mesh(soup._replace(colors=soup.colors.clip(0, 1)), source.symmetry, closed, clockwise)
    return mesh if factor is None else replace(mesh.scaled(factor / float(np.linalg.norm(place[0, :3]))), up=up)


def _with_area(parts: list[Part]) -> list[Part]:
    """The parts' triangles that have an area."""
    low, high = (end([end(part.corners, (0, 1)) for part in parts], 0) for end in (np.min, np.max))
    least = LEAST_AREA * np.max(high - low) ** 2
    some = [part.some(areas(part.corners) > least) for part in parts]
    if not any(len(part.corners) for part in some):
        raise ValueError("its faces have no area: nothing of it could be seen")
    return [part for part in some if len(part.corners)]


def _triangles(parts: list[Part], source: MeshFile) -> tuple[Array, Soup]:
    """The shape of the parts (F, 3, 3), and what is drawn of them, at most ``source.faces`` triangles."""
    most, detail = source.faces or math.inf, source.detail
    if sum(len(part.corners) for part in parts) > most:
        soup = decimated(parts, int(most))
        if source.scale == "fit":
            soup.corners[..., 1] -= soup.corners[..., 1].min()
        return soup.corners, soup
    soup = painted(parts, detail)
    while len(soup.corners) > most:
        detail *= 1.3
        soup = painted(parts, detail)
    return np.concatenate([part.corners for part in parts]), soup


def _mesh(soup: Soup, symmetry: int | None, closed: bool, clockwise: bool) -> Mesh:
    period = find_symmetry(soup) if symmetry is None else symmetry and FULL_TURN / symmetry
    order = slice(None, None, -1) if clockwise else slice(None)
    vertices, faces = weld(soup.corners[:, order])
    colors = np.ascontiguousarray(soup.colors[:, order], np.float32)
    return Mesh(vertices.astype(np.float32), faces.astype(np.int32), colors, period, closed, soup.linear)
