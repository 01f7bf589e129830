"""PLY files, ASCII and binary: polygons and strips, colours of vertices and faces, textures as MeshLab names them.

The format is Turk's of 1994, its textures VCGlib's: ``comment TextureFile`` in the header, and coordinates of vertices
or of faces' corners.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from renderers.mesh.files.images import read_image
from renderers.mesh.files.part import GREY, Array, Part, Texture
from renderers.mesh.files.ply_data import Column, Columns, Ply, read_ply
from renderers.mesh.files.polygons import triangulated
from renderers.mesh.files.shades import shares, tell
from renderers.mesh.files.texts import BROKEN, find

Indices = NDArray[np.int64]

COLORS = [("red", "green", "blue"), ("diffuse_red", "diffuse_green", "diffuse_blue"), ("r", "g", "b")]
COORDINATES = [("s", "t"), ("u", "v"), ("texture_u", "texture_v"), ("texture_s", "texture_t")]
INDICES = ("vertex_indices", "vertex_index")


class Faces(NamedTuple):
    """Triangles (F, 3) of vertices, their polygons (F,), and the corners of these (F, 3), all polygons' being in one
    row; ``rows`` the element of the polygons."""

    vertex: Indices
    polygon: Indices
    corner: Indices
    rows: Columns


def read(path: Path) -> list[Part]:
    """The triangles of a PLY file. An image tells their colours, or else the vertices do, or else the faces.

    Errors:
        ValueError, naming element and row, for what is broken or not there.
    """
    ply = read_ply(path.read_bytes())
    vertices = ply.elements.get("vertex", {})
    if not all(axis in vertices for axis in "xyz"):
        raise ValueError(f"its header has no element 'vertex' with x, y and z: {BROKEN}")
    places = np.stack([_scalar(vertices, axis) for axis in "xyz"], 1).astype(np.float64)
    strips = _strips(ply.elements.get("tristrips", {}), len(places))
    return _parts(path, ply, places, _polygons(ply, places)) + (
        [] if strips is None else _parts(path, ply, places, strips)
    )


def _scalar(rows: Columns, name: str) -> NDArray:
    """(R,) a property that is no list."""
    if rows[name].counts is not None:
        raise ValueError(f"its header has a list for {name!r}, which is one number: {BROKEN}")
    return rows[name].values


def _polygons(ply: Ply, places: Array) -> Faces:
    rows = ply.elements.get("face", {})
    lists = _indices("face", rows, len(places))
    if lists is None:
        none = np.empty(0, np.int64)
        return Faces(none.reshape(0, 3), none, none.reshape(0, 3), rows)
    assert lists.counts is not None
    few = lists.counts < 3
    if few.any():
        raise ValueError(
            f"element 'face', row {int(few.argmax()) + 1}: it has {lists.counts[few.argmax()]} corners, a face has at "
            f"least three: {BROKEN}"
        )
    triangles, polygon = triangulated(places[lists.values], lists.counts)
    return Faces(lists.values[triangles], polygon, triangles, rows)


def _indices(element: str, rows: Columns, count: int) -> Column | None:
    """The vertices of the rows of an element, all there are; -1 ends a strip."""
    name = next((name for name in INDICES if name in rows), None)
    if name is None:
        return None
    lists, least = rows[name], -1 if element == "tristrips" else 0
    if lists.counts is None or lists.values.dtype.kind == "f" and (lists.values % 1 != 0).any():
        raise ValueError(f"element {element!r}: {name!r} is no list of whole numbers: {BROKEN}")
    values = lists.values.astype(np.int64)
    wrong = (values < least) | (values >= count)
    if wrong.any():
        row = int(np.searchsorted(np.cumsum(lists.counts), wrong.argmax(), "right")) + 1
        raise ValueError(
            f"element {element!r}, row {row}: vertex {values[wrong.argmax()]} is out of range, there are {count}, "
            f"counted from 0: {BROKEN}"
        )
    return Column(values, lists.counts)


def _strips(rows: Columns, count: int) -> Faces | None:
    """The triangles of strips, each one's last three vertices so far, every other the other way round."""
    lists = _indices("tristrips", rows, count)
    if lists is None or lists.counts is None:
        return None
    values = np.insert(lists.values, np.cumsum(lists.counts), -1)  # every row ends a strip
    corner = np.arange(max(len(values) - 2, 0))[:, None] + [0, 1, 2]
    corner = corner[(values[corner] >= 0).all(1)]
    ends = np.flatnonzero(values < 0)
    begins = np.concatenate([[0], ends + 1])[np.searchsorted(ends, corner[:, 0])]
    odd = (corner[:, 0] - begins) % 2 == 1
    corner[odd] = corner[odd][:, [1, 0, 2]]
    none = np.full_like(corner, -1)
    return Faces(values[corner], none[:, 0], none, {})


def _parts(path: Path, ply: Ply, places: Array, faces: Faces) -> list[Part]:
    """The faces by texture, and those without."""
    tint = _tint(ply.elements["vertex"], faces)
    uv, number = _coordinates(ply, faces)
    parts, plain = list[Part](), np.ones(len(faces.vertex), bool)
    for i, name in enumerate(ply.textures if uv is not None else ()):
        which = number == i
        if which.any() and uv is not None:
            plain &= ~which
            at, white = uv[which] * [1, -1] + [0, 1], np.ones((int(which.sum()), 3, 3))
            parts.append(Part(places[faces.vertex[which]], white, at, _texture(path, name)))
    if plain.any():
        parts.append(Part(places[faces.vertex[plain]], tint[plain]))
    return parts


def _tint(vertices: Columns, faces: Faces) -> Array:
    """(F, 3, 3)"""
    of_vertices, of_faces = _rgb("vertex", vertices), _rgb("face", faces.rows)
    if of_vertices is not None:
        return of_vertices[faces.vertex]
    if of_faces is not None:
        return np.broadcast_to(of_faces[faces.polygon, None], (*faces.vertex.shape, 3))
    return np.broadcast_to(GREY, (*faces.vertex.shape, 3))


def _rgb(element: str, rows: Columns) -> Array | None:
    """(R, 3) the colours of an element's rows, where they have some that tell something."""
    for names in COLORS:
        if all(name in rows for name in names):
            return tell(shares(np.stack([_scalar(rows, name) for name in names], 1)))
    return None


def _coordinates(ply: Ply, faces: Faces) -> tuple[Array | None, Indices]:
    """(F, 3, 2) texture coordinates, v upward, where there are any; (F,) the texture's number, -1 for none."""
    count, vertices = len(faces.vertex), ply.elements["vertex"]
    number = np.zeros(count, np.int64)
    if "texnumber" in faces.rows:
        number = _scalar(faces.rows, "texnumber").astype(np.int64)[faces.polygon]
    if ply.textures and "texcoord" in faces.rows:
        return _wedges(faces, number)
    for names in COORDINATES:
        if ply.textures and all(name in vertices for name in names):
            uv = np.stack([_scalar(vertices, name) for name in names], 1).astype(np.float64)
            return uv[faces.vertex], number
    return None, number


def _wedges(faces: Faces, number: Indices) -> tuple[Array, Indices]:
    """As ``_coordinates``, of faces' corners: twice as many numbers as a face has corners, or none."""
    lists = faces.rows["texcoord"]
    corners = next(faces.rows[name].counts for name in INDICES if name in faces.rows)
    assert corners is not None
    counts = np.zeros_like(corners) if lists.counts is None else lists.counts
    wrong = (counts != 2 * corners) & (counts != 0)
    if wrong.any() or lists.counts is None:
        raise ValueError(
            f"element 'face', row {int(wrong.argmax()) + 1}: its 'texcoord' has {counts[wrong.argmax()]} numbers, not "
            f"two for each of {corners[wrong.argmax()]} corners: {BROKEN}"
        )
    uv = np.zeros((int(corners.sum()), 2))
    uv[np.repeat(counts > 0, corners)] = lists.values.reshape(-1, 2)
    return uv[faces.corner], np.where((counts > 0)[faces.polygon], number, -1)


def _texture(path: Path, name: str) -> Texture:
    file = find(name, path.parent)
    if file is None:
        raise ValueError(
            f"its header names the image {name!r}, which is not there: put it beside the file, or delete the line "
            "'comment TextureFile'"
        )
    return Texture(read_image(file.read_bytes(), file.name))
