"""Mesh files to parts that can be drawn, or an error that says what is wrong with them."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from renderers.mesh.files import gltf
from renderers.mesh.files.part import GREY, Part, Texture

# endings, and the axis that points up: by the format's definition (glTF) or by the habit of the programs that write it
FORMATS = {".obj": "y", ".ply": "z", ".stl": "z", ".glb": "y", ".gltf": "y"}
PACKAGES = "pip install 'air-lightning[meshes]', or pip install"


def read_parts(path: Path) -> list[Part]:
    if path.suffix.lower() in (".glb", ".gltf") and path.is_file():
        return gltf.read(path)
    return [_part(part) for part in _read_parts(path)]


def _part(part: Any) -> Part:
    visual, corners = part.visual, np.asarray(part.triangles, np.float64)
    if visual.kind == "face":
        return Part(corners, np.repeat(_rgb(visual.face_colors)[:, None], 3, 1))
    if visual.kind == "vertex":
        return Part(corners, _rgb(visual.vertex_colors)[part.faces])
    if visual.kind is None or getattr(visual, "material", None) is None:
        return Part(corners, np.broadcast_to(GREY, corners.shape))
    tint, picture = _material(visual.material)
    factors = np.broadcast_to(tint, corners.shape)
    if "color" in visual.vertex_attributes:
        factors = factors * _rgb(visual.vertex_attributes["color"])[part.faces]
    if picture is None or visual.uv is None:
        return Part(corners, factors)
    uv = np.asarray(visual.uv, np.float64)[part.faces] * [1, -1] + [0, 1]
    return Part(corners, factors, uv, Texture(np.asarray(picture.convert("RGB"))))


def _material(material: Any) -> tuple[Any, Any]:
    if hasattr(material, "baseColorFactor"):
        factor = material.baseColorFactor
        return _rgb(np.asarray([1.0, 1.0, 1.0] if factor is None else factor)), material.baseColorTexture
    picture = getattr(material, "image", None)
    return (np.ones(3) if picture is not None else _rgb(np.asarray(material.main_color))), picture


def _rgb(values: Any) -> Any:
    values = np.asarray(values)
    scale = np.iinfo(values.dtype).max if np.issubdtype(values.dtype, np.integer) else 1
    return (values[..., :3] / scale).astype(np.float64)


def _read_parts(path: Path) -> list[Any]:
    """The meshes in a file, ``trimesh.Trimesh`` with at least one face, each where the file's scene has it.

    Errors:
        ValueError for what cannot be read: no such file, a broken one, one that lacks a file it names, no faces,
        vertices that are not there or not finite.
    """
    if not path.is_file():
        raise ValueError("there is no such file: give its path (a relative one starts from the config file's folder)")
    try:
        import trimesh  # optional, and wanted only here
    except ImportError:
        raise ValueError(f"reading mesh files needs the package trimesh: {PACKAGES} trimesh") from None
    if path.suffix.lower() == ".obj":
        _check_obj(path)
    try:
        with _complaints() as said:
            scene = trimesh.load_scene(path, process=False)
            parts = [part for part in scene.dump() if isinstance(part, trimesh.Trimesh) and len(part.faces)]
    except Exception as error:  # whatever a reader stumbles over; trimesh's raise errors of many kinds
        raise ValueError(
            f"could not be read ({type(error).__name__}: {error}): export it again, or open it in a mesh editor"
        ) from error
    if said:
        raise ValueError(f"could not be read in full ({'; '.join(said)}): put what is missing beside it")
    if not parts:
        raise ValueError("it has no faces, there is nothing to draw: export it with its triangles, not as points")
    for part in parts:
        _check(part)
    return parts


def _check(part: Any) -> None:
    count, faces = len(part.vertices), np.asarray(part.faces)
    if faces.min() < 0 or faces.max() >= count:
        wrong = faces.min() if faces.min() < 0 else faces.max()
        raise ValueError(
            f"a face has vertex {wrong}, out of range: there are {count}, counted from 0; the file is broken, "
            "export it again"
        )
    broken = ~np.isfinite(part.vertices).all(1)
    if broken.any():
        first = int(broken.argmax())
        raise ValueError(
            f"{int(broken.sum())} of {count} vertices are not finite, the first is number {first}, "
            f"{tuple(np.asarray(part.vertices)[first].tolist())}: the file is broken, export it again"
        )


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """What trimesh's readers only whisper to their log: materials and pictures that they could not have."""
    log, said = logging.getLogger("trimesh"), list[str]()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text = record.getMessage()
            if re.search("unable|fail|unsupported", text) and re.search("mesh|material|image|texture|color", text):
                reason = record.exc_info[1] if record.exc_info else None
                said.append(f"{text}: {reason}" if reason else text)

    listener, level = Listener(), log.level
    log.addHandler(listener)
    log.setLevel(logging.DEBUG)
    try:
        yield said
    finally:
        log.removeHandler(listener)
        log.setLevel(level)


def _check_obj(path: Path) -> None:
    """What trimesh passes over in OBJ files: index 0 and beyond the last vertex, materials and pictures not there."""
    lines = path.read_text(errors="replace").splitlines()
    count = sum(line.startswith("v ") for line in lines)
    for number, line in enumerate(lines, 1):
        if line.startswith("f "):
            for corner in line.split()[1:]:
                index = re.match(r"-?\d+", corner)
                if index is None or not 1 <= abs(int(index[0])) <= count:
                    raise ValueError(
                        f"line {number}, {line.strip()!r}: {corner!r} is out of range, there are {count} vertices, "
                        "counted from 1; the file is broken, export it again"
                    )
        elif line.startswith("mtllib "):
            _check_materials(path.parent / line.split(maxsplit=1)[1].strip(), number)


def _check_materials(path: Path, number: int) -> None:
    if not path.is_file():
        raise ValueError(
            f"line {number} names the material file {path.name!r}, which is not beside it: put it there, or delete the "
            "line for a mesh without materials"
        )
    for line in path.read_text(errors="replace").splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "map_Kd" and not (path.parent / words[-1]).is_file():
            raise ValueError(f"its material file {path.name!r} names the picture {words[-1]!r}, which is not there")
