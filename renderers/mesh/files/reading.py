"""Mesh files to parts that can be drawn, or an error that says what is wrong with them."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from renderers.mesh.files import gltf, obj, ply, stl
from renderers.mesh.files.part import Part
from renderers.mesh.files.texts import BROKEN


class Format(NamedTuple):
    """How files of an ending are read. ``up``: the axis that points up, by the format's definition (glTF) or by the
    habit of the programs that write it (OBJ, and STL, whose z is that of the layers in printing); ``sure``: whether
    there is such a habit, as PLY has none. ``units``: of its lengths, by its definition; None: it says nothing."""

    read: Callable[[Path], list[Part]]
    up: str
    sure: bool
    units: str | None = None


FORMATS = {
    ".obj": Format(obj.read, "y", True),
    ".ply": Format(ply.read, "z", False),
    ".stl": Format(stl.read, "z", True),
    ".glb": Format(gltf.read, "y", True, "m"),
    ".gltf": Format(gltf.read, "y", True, "m"),
}


def read_parts(path: Path) -> list[Part]:
    """The triangles in a file, by what colours them, each where the file's scene has it.

    Errors:
        ValueError for what cannot be read: no such file, a broken one, one that lacks a file it names, no faces,
        vertices, colours or texture coordinates that are not finite.
    """
    if not path.is_file():
        raise ValueError("there is no such file: give its path (a relative one starts from the config file's folder)")
    try:
        parts = [part for part in FORMATS[path.suffix.lower()].read(path) if len(part.corners)]
    except OSError as error:
        raise ValueError(f"it cannot be opened ({error}): look at its permissions") from error
    if not parts:
        raise ValueError("it has no faces, there is nothing to draw: export it with its triangles, not as points")
    for part in parts:
        _check(part)
    return parts


def _check(part: Part) -> None:
    for name, values in (("vertices", part.corners), ("colours", part.tint), ("texture coordinates", part.uv)):
        if values is not None and not np.isfinite(values).all():
            broken = ~np.isfinite(values).all(2)
            first = tuple(values[np.unravel_index(broken.argmax(), broken.shape)].tolist())
            raise ValueError(
                f"{int(broken.sum())} of {broken.size} corners have {name} that are not finite, the first is {first}: "
                f"{BROKEN}"
            )
