"""Small metric scenes: meshes in millimetres on a table in centimetres, seen by a calibrated camera."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renderers import MeshRenderer
from renderers.mesh import Camera, Extrinsics, Intrinsics, MeshFile, Table
from renderers.mesh.axes import UPRIGHT

Float = NDArray[np.float64]
HEIGHT, WIDTH = 36, 48
SEEN = (480, 640)
"""Height and width of the images that the camera was calibrated with."""
LENS = Intrinsics(612.3, 640.9, 301.4, 255.2, SEEN)
WEDGE = np.array([[-30, -20, -45], [30, -20, -45], [30, 20, -45], [-30, 20, -45], [-30, -20, 45], [-30, 20, 45]], float)
"""A ramp in millimetres, z up, about the middle of its box; no turn leaves it as it is."""
BLOCK = np.array([[x, y, z] for x in (-25, 25) for y in (-25, 25) for z in (0, 60)], float)
"""A square column that stands on its origin."""
WEDGE_FACES = [[0, 2, 1], [0, 3, 2], [0, 1, 4], [3, 5, 2], [0, 4, 5], [0, 5, 3], [1, 2, 5], [1, 5, 4]]
LYING = BLOCK @ np.array(UPRIGHT["z"]).T
"""The column with y up."""
BLOCK_FACES = [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6], [0, 2, 6]]
BLOCK_FACES += [[0, 6, 4], [1, 5, 7], [1, 7, 3]]


def ply(path: Path, points: Float, faces: list[list[int]], color: str = "200 60 40") -> str:
    lines = ["ply", "format ascii 1.0", f"element vertex {len(points)}", *(f"property float {axis}" for axis in "xyz")]
    lines += [f"property uchar {name}" for name in ("red", "green", "blue")]
    lines += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header"]
    lines += [f"{x:.9g} {y:.9g} {z:.9g} {color}" for x, y, z in points] + [f"3 {a} {b} {c}" for a, b, c in faces]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def looking(eye: Float, target: Float, up: Float) -> Float:
    """[R | t], (3, 4), of a camera as OpenCV has it, by definition."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, up) / np.linalg.norm(np.cross(forward, up))
    rotation = np.stack([right, np.cross(forward, right), forward])
    return np.column_stack([rotation, -rotation @ eye])


OBLIQUE = looking(np.array([12.0, -50, 38]), np.array([0.0, 0, 2]), np.array([0.1, 0, 1]))
"""In centimetres, in a world with z upwards; leaning a little."""
DOWN = looking(np.array([0.0, 0, 60]), np.zeros(3), np.array([0.0, 1, 0]))


def mesh_files(folder: Path) -> dict[str, MeshFile]:
    """The wedge with z up, the column with y up: their files' axes stay theirs."""
    wedge = ply(folder / "wedge.ply", WEDGE, WEDGE_FACES)
    block = ply(folder / "block.ply", LYING, BLOCK_FACES, "60 90 220")
    return {
        "wedge": MeshFile(wedge, up="z", scale="keep", units="mm"),
        "block": MeshFile(block, up="y", scale="keep", units="mm"),
    }


def made(files: dict[str, MeshFile], **changes: Any) -> MeshRenderer:
    """A table of 60 cm, in centimetres; the wedge's middle is half its height above it."""
    camera = Camera(intrinsics=LENS, extrinsics=Extrinsics.of(OBLIQUE, up="z"))
    arguments: dict[str, Any] = {
        "meshes": files, "units": "cm", "camera": camera, "image_size": (HEIGHT, WIDTH), "table": Table(60.0),
        "x": (-9.0, 9.0), "z": (-9.0, 9.0), "y": 4.5, "position_step": 0.5,
    }  # fmt: skip
    return MeshRenderer(**arguments | changes)


def pixels(matrix: Any, extrinsics: Float, points: Float) -> Float:
    """K [R | t] X, (N, 2), (0, 0) being the middle of the first pixel."""
    seen = points @ extrinsics[:, :3].T + extrinsics[:, 3]
    return (seen / seen[:, 2:] @ np.reshape(matrix, (3, 3)).T)[:, :2]


def in_images(lens: Intrinsics, height: int, width: int) -> Float:
    """K of the same camera's images, scaled so that their corners stay corners."""
    down, across = height / lens.image_size[0], width / lens.image_size[1]
    center = (lens.cx + 0.5) * across - 0.5, (lens.cy + 0.5) * down - 0.5
    return np.array([[lens.fx * across, 0, center[0]], [0, lens.fy * down, center[1]], [0, 0, 1]])


K = in_images(LENS, HEIGHT, WIDTH)


def config(files: dict[str, MeshFile]) -> dict[str, Any]:
    meshes = {name: {"path": str(f.path), "up": f.up, "scale": f.scale, "units": f.units} for name, f in files.items()}
    x, y, z = OBLIQUE[:, 3].tolist()
    extrinsics = {"rotation": OBLIQUE[:, :3].ravel().tolist(), "translation": [x, y, z], "up": "z"}
    lens = {"fx": LENS.fx, "fy": LENS.fy, "cx": LENS.cx, "cy": LENS.cy, "image_size": list(SEEN)}
    arguments = {
        "identities": list(files), "meshes": meshes, "units": "cm",
        "camera": {"intrinsics": lens, "extrinsics": extrinsics},
        "image_size": [HEIGHT, WIDTH], "table": {"width": 60.0}, "x": [-9.0, 9.0], "z": [-9.0, 9.0], "y": 4.5,
        "position_step": 0.5,
    }  # fmt: skip
    return {"class_path": "renderers.MeshRenderer", "init_args": arguments}
