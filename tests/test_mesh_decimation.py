"""Meshes of at most so many triangles: their shape, their size, and their colours."""

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mesh_files_for_tests import areas, image, mean
from numpy.typing import NDArray

from renderers.mesh import read_mesh

pytest.importorskip("fast_simplification", reason="pip install 'air-lightning[meshes]'")


def ball(rings: int, radius: float, middle: tuple[float, float, float]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Vertices (V, 3) and quadrilaterals (F, 4) of a ball."""
    turn, tilt = np.meshgrid(2 * np.pi * np.arange(2 * rings) / (2 * rings), np.pi * np.arange(rings + 1) / rings)
    points = np.stack([np.sin(tilt) * np.cos(turn), np.cos(tilt), np.sin(tilt) * np.sin(turn)], -1).reshape(-1, 3)
    index = np.arange(len(points)).reshape(rings + 1, -1)
    following = np.roll(index, -1, 1)
    faces = np.stack([index[:-1], following[:-1], following[1:], index[1:]], -1).reshape(-1, 4)
    return points * radius + middle, faces


def obj(path: Path, *parts: tuple[str, Any, Any]) -> Path:
    """An OBJ file of parts with a colour each, as it stands behind the vertices."""
    lines, first = [], 1
    for color, points, faces in parts:
        lines += [f"v {x:.6f} {y:.6f} {z:.6f} {color}" for x, y, z in points]
        lines += [f"f {' '.join(map(str, face))}" for face in (np.asarray(faces) + first).tolist()]
        first += len(points)
    path.write_text("\n".join(lines))
    return path


CARD = ("0 0 1", [[-3, 0, 3], [3, 0, 3], [3, 0, -3], [-3, 0, -3]], [[0, 1, 2, 3]])


@pytest.mark.parametrize("faces", [400, 100])
def test_flat_open_parts_stay_and_so_does_the_size(faces: int, tmp_path: Path) -> None:
    """A red ball above a blue card, which as a shape is two triangles with nothing to lose."""
    path = obj(tmp_path / "m.obj", ("1 0 0", *ball(24, 1, (0, 1.5, 0))), CARD)
    full, mesh = (read_mesh(path, symmetry=1, faces=most) for most in (None, faces))
    assert len(mesh.faces) <= faces < len(full.faces)
    assert np.ptp(mesh.vertices, axis=0) == pytest.approx(np.ptp(full.vertices, axis=0), abs=0.01)
    assert mesh.vertices[:, 1].min() == pytest.approx(0, abs=1e-6)
    assert areas(mesh).sum() == pytest.approx(areas(full).sum(), rel=0.05)
    low = mesh.vertices[mesh.faces][..., 1].max(1) < 0.05
    assert mean(mesh, low) == pytest.approx((0, 0, 1), abs=0.02)
    assert mean(mesh, ~low) == pytest.approx((1, 0, 0), abs=0.02)


def test_an_open_sheet_of_many_triangles_keeps_its_outline(tmp_path: Path) -> None:
    x, z = np.meshgrid(np.arange(21), np.arange(11))
    index = np.arange(x.size).reshape(x.shape)
    faces = np.stack([index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]], -1).reshape(-1, 4)
    path = obj(tmp_path / "m.obj", ("0 1 0", np.stack([x, 0 * x, z], -1).reshape(-1, 3), faces))
    mesh = read_mesh(path, symmetry=1, faces=40)
    assert len(mesh.faces) <= 40 and not mesh.closed
    assert areas(mesh).sum() == pytest.approx(200 / (20**2 + 10**2), rel=0.02)


def test_the_shape_of_a_ball_stays_and_it_stays_closed(tmp_path: Path) -> None:
    path = obj(tmp_path / "m.obj", ("1 1 0", *ball(24, 1, (0, 0, 0))))
    mesh = read_mesh(path, faces=300)
    assert 200 < len(mesh.faces) <= 300 and mesh.closed
    assert np.linalg.norm(mesh.vertices - [0, 0.5, 0], axis=1) == pytest.approx(0.5, abs=0.02)


def test_faces_without_area_do_not_count(tmp_path: Path) -> None:
    color, points, faces = CARD
    path = obj(tmp_path / "m.obj", (color, points, [[0, 1, 2], [0, 2, 3], *[[0, 1, 1], [0, 0, 2]] * 9]))
    assert len(read_mesh(path, faces=4).faces) == 2


def test_a_decimated_face_has_the_mean_of_the_texture_that_it_stands_for(tmp_path: Path) -> None:
    """A fine checkerboard of four colours on a ball comes out in their mean, never in one of them."""
    image(tmp_path / "t.png")
    (tmp_path / "m.mtl").write_text("newmtl a\nmap_Kd t.png\n")
    points, faces = ball(16, 1, (0, 0, 0))
    lines = [
        "mtllib m.mtl",
        "usemtl a",
        *(f"v {x:.6f} {y:.6f} {z:.6f}\nvt {40 * x:.4f} {40 * y:.4f}" for x, y, z in points),
    ]
    lines += [f"f {' '.join(f'{k}/{k}' for k in face)}" for face in (faces + 1).tolist()]
    (tmp_path / "m.obj").write_text("\n".join(lines))
    mesh = read_mesh(tmp_path / "m.obj", symmetry=1, faces=24)
    assert mean(mesh) == pytest.approx((0.5, 0.5, 0.25), abs=0.03)
    assert np.abs(mesh.colors - [0.5, 0.5, 0.25]).max() < 0.15


def test_what_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = obj(tmp_path / "m.obj", ("1 1 0", *ball(4, 1, (0, 0, 0))))
    monkeypatch.setitem(sys.modules, "fast_simplification", None)
    said = "drawing 48 triangles with at most 40 needs the package fast-simplification: pip install 'air-l"
    with pytest.raises(ValueError, match=re.escape(said)):
        read_mesh(path, faces=40)
