"""Which file a kind is drawn from, and how that file becomes a ``Mesh``."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jsonargparse.typing import Path as ConfigPath
from jsonargparse.typing import register_type

from renderers.mesh.files.decimation import decimated
from renderers.mesh.files.painting import Array, Soup, painted
from renderers.mesh.files.placing import UPRIGHT, areas, moved, sides, standing, weld
from renderers.mesh.files.reading import FORMATS, read_parts
from renderers.mesh.files.symmetry import find_symmetry
from renderers.mesh.shapes import BUILT_IN, FULL_TURN, Mesh

RGB = tuple[float, float, float]


class MeshPath(str):
    """A mesh file's path, or a built-in shape's name. In a config file, a relative path starts from that file's folder;
    on the command line and in Python, from the working directory. Saved configs hold absolute paths."""


def _from_config(value: Any) -> MeshPath:
    if not isinstance(value, str):
        raise ValueError(f"expected the path of a mesh file or the name of a built-in shape, got {value!r}")
    return MeshPath(value if value in BUILT_IN or not value else ConfigPath(value, mode="").absolute)


def _to_config(value: Any) -> str:
    if not isinstance(value, str):  # a MeshFile, for which it is asked first
        raise ValueError(f"no path: {value!r}")
    return str(value)


register_type(MeshPath, _to_config, _from_config)


@dataclass(frozen=True)
class MeshFile:
    """A mesh file and how to read it. The mesh is turned upright, stands on the table over its middle (the centre of
    the smallest circle around it, seen from above), and is scaled until the larger of its height and that circle's
    diameter is 1 world unit.

    Attributes:
        path: OBJ, PLY, STL, GLB or glTF; or the name of a built-in shape.
        up: the file's axis that points up: x, y, z, -x, -y or -z. Null: what the format says or its programs do, y for
            GLB, glTF and OBJ, z for PLY and STL.
        symmetry: how many times in a full turn about its vertical axis the coloured object looks the same: 1 without
            symmetry, 4 for a square table; 0 where no turn can be seen. Null: found from shape and colours.
        faces: the most triangles: a finer mesh is decimated (with the package fast-simplification), a texture is drawn
            with fewer. Null: all of them.
        detail: length (world units, the object's size being 1) down to which textured faces are cut where the texture
            changes; every piece has the texture's mean colour there.
    """

    path: MeshPath | str
    up: str | None = None
    symmetry: int | None = None
    faces: int | None = None
    detail: float = 0.1

    def __post_init__(self) -> None:
        if self.up is not None and self.up not in UPRIGHT:
            raise ValueError(f"mesh up must be one of {', '.join(UPRIGHT)}, got {self.up!r}")
        if self.symmetry is not None and self.symmetry < 0:
            raise ValueError(
                f"mesh symmetry must not be negative, got {self.symmetry}: how many times in a full turn the object "
                "looks the same, 1 without symmetry, 0 where no turn can be seen"
            )
        if self.faces is not None and self.faces < 4:
            raise ValueError(f"mesh faces must be at least 4, got {self.faces}: null draws all triangles of the file")
        if not 0 < self.detail < np.inf:
            raise ValueError(f"mesh detail must be positive, got {self.detail}: 0.1 is a tenth of the object's size")


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
    place = standing(np.concatenate([part.vertices for part in parts]), source.up or FORMATS[path.suffix.lower()])
    for part in parts:
        part.apply_transform(place)
    shape, soup = _triangles(parts, source)
    if color is not None:
        soup = Soup(soup.corners, np.broadcast_to(np.asarray(color, np.float64), soup.colors.shape))
    seen = areas(soup.corners) > 0
    if not seen.any():
        raise ValueError("its faces have no area: nothing of it could be seen")
    closed, clockwise = sides(shape)
    return _mesh(Soup(soup.corners[seen], soup.colors[seen].clip(0, 1)), source.symmetry, closed, clockwise)


def _triangles(parts: list[Any], source: MeshFile) -> tuple[Array, Soup]:
    """The shape of the parts (F, 3, 3), and what is drawn of them, at most ``source.faces`` triangles."""
    most, detail = source.faces or math.inf, source.detail
    shape, soup = np.concatenate([part.triangles for part in parts]), painted(parts, detail)
    if len(shape) > most:
        soup = decimated(shape, soup, int(most))
        soup = Soup(moved(soup.corners, standing(soup.corners.reshape(-1, 3), "y")), soup.colors)
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
