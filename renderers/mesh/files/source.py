"""Which file an identity is drawn from, and how it is to be read."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from numbers import Real
from os import PathLike, fspath
from typing import Any, Literal

from jsonargparse import Namespace
from jsonargparse.typing import Path as ConfigPath
from jsonargparse.typing import register_type

from renderers.mesh.axes import Unit, check_axis, check_unit
from renderers.mesh.built_in import BUILT_IN
from renderers.mesh.shapes import Mesh, check_color

SCALES = ("fit", "keep")
SYMMETRY = (
    "how many times in a full turn the object looks the same, 1 without symmetry, 4 for a square table, 0 where no "
    "turn can be seen"
)


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


class BareMesh(str):
    """A mesh file's path in the place of a ``MeshFile``, for which it is taken, so that options may be added to it."""

    wanted = "mesh file or built-in shape"
    """What messages call it."""


def _as_mesh_file(value: Any) -> Namespace | MeshPath:
    path = _from_config(value)
    return path if path in BUILT_IN or not path else Namespace(path=path)  # type: ignore[no-untyped-call]


register_type(BareMesh, _to_config, _as_mesh_file)


@dataclass(frozen=True)
class MeshFile:
    """A mesh file and how to read it. The mesh is turned upright, stands on the table over its middle (its surface's
    centre of mass), and is scaled until the larger of its height and the diameter of the smallest circle around it,
    seen from above, is 1 world unit; or it keeps the scale and the origin that its file gives it.

    Attributes:
        path: OBJ, PLY, STL, GLB or glTF; or the name of a built-in shape.
        up: the file's axis that points up: x, y, z, -x, -y or -z. Null: what the format says or its programs do, y for
            GLB, glTF and OBJ, z for PLY and STL.
        symmetry: how many times in a full turn about its vertical axis the coloured object looks the same: 1 without
            symmetry, 4 for a square table; 0 where no turn can be seen. Null: found from shape and colours.
        faces: the most triangles: a finer mesh is decimated (with the package fast-simplification), a texture is drawn
            with fewer. Null: all of them.
        detail: length (the object's size being 1) down to which textured faces are cut where the texture changes; every
            piece has the texture's mean colour there.
        scale: `fit`: to size 1, as said above. `keep`: the file's lengths are true and so is its origin, which is the
            object's place and what it turns about: a pose is then one of the file's frame.
        units: of the file's lengths, with `keep`. Null: metres of GLB and glTF, which are in metres by definition;
            other files do not say it.
    """

    path: MeshPath | str
    up: str | None = None
    symmetry: int | None = None
    faces: int | None = None
    detail: float = 0.1
    scale: Literal["fit", "keep"] = "fit"
    units: Unit | None = None

    def __post_init__(self) -> None:
        if self.up is not None:
            check_axis("mesh up", self.up)
        self._check_scale()
        _check_whole("symmetry", self.symmetry, 0, SYMMETRY)
        _check_whole("faces", self.faces, 4, "null draws all triangles of the file")
        if not (isinstance(self.detail, Real) and 0 < self.detail < math.inf):
            raise ValueError(f"mesh detail must be positive, got {self.detail!r}: 0.1 is a tenth of the object's size")

    def _check_scale(self) -> None:
        if self.scale not in SCALES:
            raise ValueError(f"mesh scale must be one of {', '.join(SCALES)}, got {self.scale!r}")
        if self.units is not None:
            check_unit("mesh units", self.units)
        if self.scale == "fit" and self.units is not None:
            raise ValueError(
                f"mesh units are {self.units}, and its scale is fit, which makes it 1 world unit in size whatever its "
                "file says: give scale: keep, or leave units out"
            )
        if self.path in BUILT_IN:
            self._check_built_in()

    def _check_built_in(self) -> None:
        """A shape that is built in is as it is: what would go unheard is refused."""
        for option in fields(self)[1:]:
            value = getattr(self, option.name)
            if value != option.default:
                raise ValueError(
                    f"mesh {option.name} {value} is of files, and {self.path} is a built-in shape: leave it out"
                )


def _check_whole(option: str, value: Any, least: int, meaning: str) -> None:
    """ValueError unless it is a whole number from ``least`` on, or null."""
    if value is None:
        return
    if isinstance(value, bool) or not (isinstance(value, Real) and float(value).is_integer()):
        raise ValueError(f"mesh {option} must be a whole number, got {value!r}: {meaning}")
    if value < least:
        raise ValueError(f"mesh {option} must be at least {least}, got {value}: {meaning}")


def read_mesh(
    path: str | PathLike[str],
    *,
    up: str | None = None,
    symmetry: int | None = None,
    faces: int | None = None,
    detail: float = 0.1,
    color: tuple[float, float, float] | None = None,
    scale: Literal["fit", "keep"] = "fit",
    units: Unit | None = None,
    scene_units: Unit = "m",
) -> Mesh:
    """The mesh in a file as the renderer draws it: upright, on ``y = 0``, 1 world unit in size; or as it is.

    Args:
        path: OBJ, PLY, STL, GLB or glTF, by its ending.
        up, symmetry, faces, detail, scale, units: see ``MeshFile``.
        color: RGB in [0, 1] for all of it; None: the file's colours.
        scene_units: of the mesh given back, with scale `keep`.

    Warns:
        UserWarning where the file's axis that points up cannot be known and is not given, and where it lacks materials.

    Errors:
        ValueError, naming the file, the place in it, what is wrong there and the remedy.
    """
    from renderers.mesh.files.building import built  # much to import, and wanted only here

    if color is not None:
        check_color("color", color)
    check_unit("scene_units", scene_units)
    return built(MeshFile(str(path), up, symmetry, faces, detail, scale, units), color, scene_units)


def mesh_file(argument: str, value: Any) -> MeshFile:
    """The file that an argument names by its path, by a mapping of what ``MeshFile`` takes, or by a ``MeshFile``.

    Errors:
        ValueError, which names the argument, for anything else.
    """
    if isinstance(value, MeshFile):
        return value
    if isinstance(value, (str, PathLike)):
        return MeshFile(fspath(value))
    known = [field.name for field in fields(MeshFile)]
    if isinstance(value, Mapping) and "path" in value and set(value) <= set(known):
        return MeshFile(**value)
    raise ValueError(
        f"{argument} must be a mesh file's path, a built-in shape's name, a MeshFile, or a mapping with a path "
        f"and some of {', '.join(known[1:])}, got {value!r}"
    )


def check_identities(argument: str, meshes: Mapping[str, Any]) -> None:
    """ValueError where names of a mapping from identities to meshes are those of what ``MeshFile`` takes."""
    options = [field.name for field in fields(MeshFile)]
    if "path" in meshes and set(meshes) <= set(options):
        raise ValueError(
            f"{argument} must name identities, got {', '.join(meshes)}, which are of a mesh file: give "
            "{NAME: {path: FILE, ...}, ...}"
        )
    for name in meshes:
        identity, _, option = str(name).rpartition(".")
        if identity and option in options:
            raise ValueError(
                f"{argument} has no {identity!r} to which {name!r} could be added: give its file first, "
                f"{{{identity}: FILE}}"
            )
