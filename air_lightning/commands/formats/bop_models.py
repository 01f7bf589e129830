"""The models of a BOP data set: PLY files in millimetres, and `models_info.json`."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from air_lightning.commands.formats.json_stream import write_keyed
from air_lightning.commands.formats.world import about_z, flat, object_numbers, own_axes, upright
from renderers.mesh.shapes import FULL_TURN, Mesh

AT_ONCE = 256
"""Vertices whose distances to all others are computed together."""


def write_models(folder: Path, names: Sequence[str], meshes: Sequence[Mesh], unit: float) -> None:
    """Write meshes, `obj_000001.ply` and so on, and what is known of them. ``unit``: millimetres of a world unit."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = object_numbers(names)
    for number, name, mesh in zip(numbers, names, meshes):
        (folder / f"obj_{number:06d}.ply").write_text(ply(mesh, unit, name))
    infos = (_info(mesh, unit) | {"name": name} for name, mesh in zip(names, meshes))
    write_keyed(folder / "models_info.json", zip(numbers, infos))


def ply(mesh: Mesh, unit: float, name: str) -> str:
    """A mesh as PLY in text, three vertices of its own for each face, with normals and colours."""
    corners = own_axes(mesh, upright(mesh.vertices))[mesh.faces] * unit
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-12)
    colors = np.rint(mesh.drawn.clip(0, 1) * 255).astype(int)
    lines = ["ply", "format ascii 1.0", f"comment {name}, millimetres", f"element vertex {3 * len(corners)}"]
    lines += [f"property float {axis}" for axis in ("x", "y", "z", "nx", "ny", "nz")]
    lines += [f"property uchar {channel}" for channel in ("red", "green", "blue")]
    lines += [f"element face {len(corners)}", "property list uchar int vertex_indices", "end_header"]
    for face, normal, paint in zip(corners.tolist(), normals.tolist(), colors.tolist()):
        lines += [" ".join(f"{v:.6g}" for v in (*p, *normal)) + " {} {} {}".format(*c) for p, c in zip(face, paint)]
    lines += [f"3 {3 * face} {3 * face + 1} {3 * face + 2}" for face in range(len(corners))]
    return "\n".join(lines) + "\n"


def _info(mesh: Mesh, unit: float) -> dict[str, Any]:
    points = own_axes(mesh, upright(mesh.vertices)) * unit
    low, size = points.min(0), np.ptp(points, 0)
    info = {f"min_{axis}": float(value) for axis, value in zip("xyz", low)}
    info |= {f"size_{axis}": float(value) for axis, value in zip("xyz", size)}
    info |= {"diameter": _diameter(points)} | _symmetries(mesh)
    return info if mesh.up == "z" else info | {"up": mesh.up}


def _symmetries(mesh: Mesh) -> dict[str, Any]:
    """Of turns about the upright axis: none is seen, or those by multiples of the period change nothing."""
    if mesh.symmetry == 0:
        axis = [round(side) for side in flat(own_axes(mesh, np.array([0.0, 0.0, 1.0])))]
        return {"symmetries_continuous": [{"axis": axis, "offset": [0, 0, 0]}]}
    turns = [mesh.symmetry * k for k in range(1, round(FULL_TURN / mesh.symmetry))]
    return {"symmetries_discrete": [_homogeneous(mesh, turn) for turn in turns]} if turns else {}


def _homogeneous(mesh: Mesh, angle: float) -> list[float]:
    """A turn about the upright axis, (4, 4), row by row."""
    turn = np.eye(4)
    turn[:3, :3] = own_axes(mesh, own_axes(mesh, about_z(angle)).T).T
    return flat(turn.round(15))


def _diameter(points: NDArray[np.float64]) -> float:
    """The largest distance of two vertices."""
    most = 0.0
    for start in range(0, len(points), AT_ONCE):
        gaps = points[start : start + AT_ONCE, None] - points
        most = max(most, float((gaps**2).sum(-1).max()))
    return math.sqrt(most)
