"""Crockery: closed meshes of plausible sizes with the symmetry that they state; and the wooden table."""

import math
import re
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from slow_rasterizer import look
from test_rasterizer import agree, draw
from torch import Tensor

from renderers import MeshRenderer
from renderers.mesh import Camera, Light, Mesh, Table
from renderers.mesh.crockery import CROCKERY, CROCKERY_COLORS
from renderers.mesh.scenery import paint_background
from renderers.mesh.table import wood

PIECES = tuple(CROCKERY)
SIZES = {  # triangles; width, height and depth, in units of 20 cm
    "plate": (160, (1.0, 0.1, 1.0)),
    "cup": (204, (0.77, 0.54, 0.52)),
    "pan": (176, (1.1, 0.2, 0.76)),
    "bottle": (168, (0.36, 1.15, 0.36)),
}
WOOD = Table(4.2, (0.66, 0.49, 0.32), squares=6, grain=(0.42, 0.28, 0.16))


def made(piece: str) -> Mesh:
    return CROCKERY[piece](CROCKERY_COLORS[piece])


def image(piece: str, yaw: float) -> Tensor:
    """One piece alone in the middle, without a table."""
    renderer = MeshRenderer(PIECES, image_size=(64, 64), table=Table(0.0), x=0.0, z=0.0)
    return renderer.render(torch.tensor([[PIECES.index(piece)]]), torch.tensor([[[yaw]]]))[0, 1]


@pytest.mark.parametrize("piece", PIECES)
def test_every_edge_is_run_along_once_in_each_direction(piece: str) -> None:
    edges = Counter((int(f[i]), int(f[(i + 1) % 3])) for f in made(piece).faces for i in range(3))
    assert made(piece).closed and set(edges.values()) == {1}
    assert all(edges[b, a] == 1 for a, b in edges)


def pieces(mesh: Mesh) -> list[np.ndarray]:
    """The faces of each connected part."""
    left, found = mesh.faces, []
    while len(left):
        reached = {*left[0].tolist()}
        while True:
            near = np.isin(left, [*reached]).any(1)
            if set(left[near].ravel().tolist()) == reached:
                break
            reached |= set(left[near].ravel().tolist())
        found.append(left[near])
        left = left[~near]
    return found


@pytest.mark.parametrize("piece, parts", [("plate", 1), ("cup", 2), ("pan", 2), ("bottle", 1)])
def test_faces_wind_outward(piece: str, parts: int) -> None:
    """Closed surfaces of positive volume (the divergence theorem): body and handle each for itself."""
    mesh = made(piece)
    found = pieces(mesh)
    assert len(found) == parts
    for faces in found:
        a, b, c = (mesh.vertices[faces[:, k]].astype(float) for k in range(3))
        assert (a * np.cross(b, c)).sum() / 6 > 1e-3
        assert np.linalg.norm(np.cross(b - a, c - a), axis=1).min() > 1e-4


@pytest.mark.parametrize("piece", PIECES)
def test_rays_see_the_same(piece: str) -> None:
    poses = np.array([[0.2, 0.0, -0.3, 1.0], [-0.4, 0.2, 0.4, -2.2]]).astype(np.float32).astype(float)
    camera, light = Camera((0.4, 2.2, 2.6), (0.0, 0.3, 0.0), 50.0), Light()
    color, depth = draw([made(piece)], [0, 0], poses, camera, light, 24, 30)
    for m, pose in enumerate(poses):
        agree(color[m], depth[m], look(made(piece), pose, camera, light, 24, 30))


@pytest.mark.parametrize("piece", PIECES)
def test_sizes_and_colors(piece: str) -> None:
    mesh, (faces, size) = made(piece), SIZES[piece]
    assert mesh.faces.shape == (faces, 3) and mesh.colors.shape == (faces, 3, 3)
    assert np.ptp(mesh.vertices, axis=0) == pytest.approx(size, abs=0.02)
    assert mesh.vertices[:, 1].min() == pytest.approx(0, abs=1e-6) and mesh.radius <= 0.65
    assert np.allclose(mesh.colors.max((0, 1)), CROCKERY_COLORS[piece])


@pytest.mark.parametrize("piece", PIECES)
def test_only_handles_show_a_turn(piece: str) -> None:
    plain = image(piece, 0.3)
    shown = ((plain - plain[:, :1, :1]).abs() > 0.01).any(0).sum()
    changes = [
        float((image(piece, 0.3 + 2 * math.pi * share) - plain).abs().amax(0).gt(0.1).sum() / shown)
        for share in (1 / 5, 1 / 4, 1 / 3, 1 / 2)
    ]
    assert made(piece).symmetry == (2 * math.pi if piece in ("cup", "pan") else 0.0)
    assert min(changes) > 0.12 if piece in ("cup", "pan") else max(changes) < 0.1


# ---- the table


def test_wood_differs_from_board_to_board_and_little_from_point_to_point() -> None:
    along, across = torch.meshgrid(torch.linspace(0, 6, 200), torch.linspace(0, 6, 1201)[:-1], indexing="ij")
    dark = wood(along, across)
    assert dark.min() >= 0 and dark.max() <= 1 and 0.15 < dark.mean() < 0.5
    boards = dark.view(200, 6, 200)
    assert (boards[:, :-1] - boards[:, 1:]).abs().mean() > 0.1
    assert (dark[1:] - dark[:-1]).abs().max() < 0.05  # along the grain
    assert (dark[:, 0] == 1).all()  # the joint


def test_the_tables_colors_lie_between_its_own_and_the_grains() -> None:
    painted = torch.from_numpy(paint_background(Camera(), WOOD, 48, 48))
    beyond = (painted == torch.tensor(WOOD.beyond).view(3, 1, 1)).all(0)
    table = painted[:, ~beyond]
    assert 0.3 < beyond.float().mean() < 0.8 and table.unique(dim=1).shape[1] > 100
    low, high = torch.tensor(WOOD.grain).unsqueeze(1), torch.tensor(WOOD.color).unsqueeze(1)
    assert (table >= low - 1e-6).all() and (table <= high + 1e-6).all()


def test_a_table_may_be_deeper_than_wide() -> None:
    table = Table(2.0, depth=3.0)
    x, z = torch.tensor([0.99, 1.01, 0.0, 0.0, math.nan]), torch.tensor([0.0, 0.0, -1.49, 1.51, 0.0])
    beyond = (table.colors_at(x, z) == torch.tensor(table.beyond).unsqueeze(1)).all(0)
    assert beyond.tolist() == [False, True, False, True, True]
    scenery = paint_background(Camera(), table, 32, 32), paint_background(Camera(), Table(2.0), 32, 32)
    more, less = ((image == np.array(table.color, np.float32)[:, None, None]).all(0).sum() for image in scenery)
    assert 1.2 * less < more < 2 * less


def test_a_moving_camera_sees_the_same_wood() -> None:
    """Where it stands as the still one does; the sides of the image change places with the azimuth."""
    eye = {"azimuth": 0.0, "elevation": 0.8, "distance": 5.0}
    ranges = {f"camera_{name}": (value - 0.1, value + 0.1) for name, value in eye.items()}
    setting = {"identities": PIECES, "image_size": (40, 40), "table": WOOD, "x": (-0.8, 0.8), "z": (-0.8, 0.8)}
    there = Camera((0.0, 0.2 + 5 * math.sin(0.8), 5 * math.cos(0.8)), (0.0, 0.2, 0.0))
    moving = MeshRenderer(**setting, camera=there, scene=ranges)  # type: ignore[arg-type]
    still = MeshRenderer(**setting, camera=there)  # type: ignore[arg-type]
    seen = moving.at(torch.tensor([[*eye.values()]])).background()
    assert torch.allclose(seen[0], still.background(), atol=1e-4)


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"depth": 0.0}, "table depth must be positive, got 0.0: null makes a square of the width"),
        ({"grain": (0.1, 0.2, 1.5)}, "table grain must be red, green and blue between 0 and 1, got (0.1, 0.2, 1.5)"),
        (
            {"grain": (0.1, 0.2, 0.3), "checker": (0.0, 0.0, 0.0)},
            "a table has checks or wood, got checker (0.0, 0.0, 0.0) and grain (0.1, 0.2, 0.3): leave one of them null",
        ),
    ],
)
def test_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        Table(**changes)
