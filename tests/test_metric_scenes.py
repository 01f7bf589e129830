"""Lengths in metres: meshes that keep their scale and origin, and calibrated cameras."""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from metric_for_tests import (
    BLOCK,
    BLOCK_FACES,
    DOWN,
    HEIGHT,
    LENS,
    OBLIQUE,
    SEEN,
    WEDGE,
    WEDGE_FACES,
    WIDTH,
    Float,
    K,
    looking,
    made,
    mesh_files,
    pixels,
    ply,
)
from torch import Tensor

from air_lightning.testing import check_renderer
from renderers import MeshRenderer
from renderers.mesh import Camera, Extrinsics, Intrinsics, MeshFile, Table, read_mesh
from renderers.mesh.axes import UPRIGHT
from renderers.mesh.backends import pytorch3d
from renderers.mesh.dense import DenseMeshes
from renderers.mesh.projection import project


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, MeshFile]:
    return mesh_files(tmp_path_factory.mktemp("models"))


# ---- meshes that keep their scale


@pytest.mark.parametrize("up", UPRIGHT)
@pytest.mark.parametrize(("units", "scene", "factor"), [("mm", "m", 1e-3), ("mm", "mm", 1), ("cm", "mm", 10)])
def test_a_kept_mesh_is_where_its_file_has_it(tmp_path: Path, up: str, units: Any, scene: Any, factor: float) -> None:
    path = ply(tmp_path / "wedge.ply", WEDGE + [5, 7, 11], WEDGE_FACES)
    mesh = read_mesh(path, up=up, scale="keep", units=units, scene_units=scene)
    expected = (WEDGE + [5, 7, 11]) @ np.array(UPRIGHT[up]).T * factor
    away = np.linalg.norm(mesh.vertices[:, None] - expected, axis=2)
    assert away.shape == (6, 6) and away.min(0).max() < 1e-5 * factor * 100 and mesh.up == up
    assert mesh.symmetry == math.tau and mesh.closed


def test_none_takes_back_what_another_config_says() -> None:
    above = Extrinsics.of(DOWN, up="z")
    assert Camera(None, None, extrinsics=above) == Camera(extrinsics=above)  # type: ignore[arg-type]
    assert Camera(field_of_view=None, intrinsics=LENS) == Camera(intrinsics=LENS)  # type: ignore[arg-type]


def test_its_symmetry_is_about_its_own_origin(tmp_path: Path) -> None:
    """A column that turns about an axis beside it looks the same after a whole turn only."""
    options: dict[str, Any] = {"up": "z", "scale": "keep", "units": "cm"}
    assert read_mesh(ply(tmp_path / "a.ply", BLOCK, BLOCK_FACES), **options).symmetry == math.tau / 4
    assert read_mesh(ply(tmp_path / "b.ply", BLOCK + [30, 0, 0], BLOCK_FACES), **options).symmetry == math.tau


def test_gltf_is_in_metres_and_fewer_faces_stay_in_place() -> None:
    mug = Path(__file__).parent.parent / "configs" / "meshes" / "mug.glb"
    fit, whole, few = read_mesh(mug), *(read_mesh(mug, scale="keep", faces=n, scene_units="mm") for n in (None, 300))
    spans = [np.ptp(mesh.vertices, axis=0) for mesh in (fit, whole, few)]
    assert spans[1] / spans[0] == pytest.approx([spans[1][0] / spans[0][0]] * 3, rel=1e-3)  # its proportions
    assert few.vertices.min(0) == pytest.approx(whole.vertices.min(0), abs=0.05 * float(spans[1].max()))
    metres = read_mesh(mug, scale="keep", units="m")
    assert metres.vertices * 1000 == pytest.approx(whole.vertices, rel=1e-5, abs=1e-2)


# ---- the camera


@pytest.mark.parametrize("convention", ["opencv", "opengl"])
@pytest.mark.parametrize("up", UPRIGHT)
def test_points_are_seen_where_a_pinhole_camera_sees_them(convention: Any, up: Any) -> None:
    points = np.random.default_rng(0).uniform(-9, 9, (50, 3))  # of a world with z upwards
    theirs = points @ np.array(UPRIGHT["z"]).T @ np.array(UPRIGHT[up])  # the same in the world of this upward axis
    turn = np.eye(4)
    turn[:3, :3] = (np.array(UPRIGHT["z"]).T @ np.array(UPRIGHT[up])).astype(float)
    matrix = OBLIQUE @ turn
    expected = pixels(K, matrix, theirs)
    if convention == "opengl":
        matrix = np.diag([1.0, -1, -1]) @ matrix
    camera = Camera(intrinsics=LENS, extrinsics=Extrinsics.of(matrix, convention, up))
    ours = torch.from_numpy(points @ np.array(UPRIGHT["z"]).T)
    image, depth = camera.project(ours, WIDTH / HEIGHT)
    assert pixel(image) == pytest.approx(expected, abs=1e-6)
    assert depth.numpy() == pytest.approx((points @ OBLIQUE[:, :3].T + OBLIQUE[:, 3])[:, 2])
    assert pixel(camera.project(ours.float(), WIDTH / HEIGHT)[0].double()) == pytest.approx(expected, abs=1e-4)
    level = ours * torch.tensor([1.0, 0.0, 1.0])
    back = camera.unproject(camera.project(level, WIDTH / HEIGHT)[0], 0.0, WIDTH / HEIGHT)
    assert back.numpy() == pytest.approx(level.numpy(), abs=1e-6)


def pixel(image: Tensor) -> Float:
    """Normalised image coordinates as pixels, (0, 0) being the middle of the first."""
    return ((image + 1) * torch.tensor([WIDTH, HEIGHT]) / 2 - 0.5).numpy()


@pytest.mark.parametrize("view", ["oblique", "straight down", "look-at"])
def test_every_backend_projects_vertices_like_a_pinhole_camera(files: dict[str, MeshFile], view: str) -> None:
    """The kernels of the CPU, what is exported, and what PyTorch3D is given, to 1e-4 pixel."""
    extrinsics = {"oblique": OBLIQUE, "straight down": DOWN}.get(view)
    camera = Camera((5.0, 30.0, 40.0), (0.0, 0.0, 1.0), intrinsics=LENS)
    if extrinsics is not None:
        camera = Camera(intrinsics=LENS, extrinsics=Extrinsics.of(extrinsics, up="z"))
    else:
        extrinsics = looking(np.array([5.0, -40, 30]), np.array([0.0, -1, 0]), np.array([0.0, 0, 1]))
    renderer, pose = made(files, camera=camera), torch.tensor([[3.0, 4.5, -2.0, 0.7]])
    scenery = renderer._backend.scenery
    vertices = renderer.drawn_meshes[0].vertices.astype(float) @ np.array(UPRIGHT["z"])  # z up
    cos, sin = math.cos(0.7), math.sin(0.7)
    world = vertices @ np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]).T + [3.0, 2.0, 4.5]
    expected = pixels(K, extrinsics, world)
    screen = np.empty((3, len(vertices)), np.float32)
    assert project(scenery, 0, pose[0].numpy(), screen) == len(vertices)
    found = screen[:2].T - 0.5
    assert found == pytest.approx(expected, abs=1e-4)
    dense = renderer.traceable()
    assert isinstance(dense, DenseMeshes)
    corners, _ = dense._projected(torch.tensor([0]), pose)
    faces = renderer.drawn_meshes[0].faces
    assert corners[0, : len(faces)].numpy() - 0.5 == pytest.approx(expected[faces], abs=1e-4)
    stock = pytorch3d._Stock.of(scenery, torch.device("cpu"))
    left, up, _ = pytorch3d._project(scenery, stock, torch.tensor([0]), pose)[0, : len(vertices)].unbind(-1)
    half = min(HEIGHT, WIDTH) / 2  # its coordinates run from -1 to 1 along the shorter side, x left and y up
    found = np.stack([WIDTH / 2 - half * left.numpy(), HEIGHT / 2 - half * up.numpy()], -1) - 0.5
    assert found == pytest.approx(expected, abs=1e-4)


def test_the_ground_is_where_its_rays_meet_it(files: dict[str, MeshFile]) -> None:
    camera = Camera(intrinsics=LENS, extrinsics=Extrinsics.of(OBLIQUE, up="z"))
    renderer = made(files, camera=camera, table=Table(20.0, (0.9, 0.9, 0.9), (0.5, 0.5, 0.5), 4, (0.1, 0.1, 0.1)))
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(K).T @ OBLIQUE[:, :3]
    eye = -OBLIQUE[:, :3].T @ OBLIQUE[:, 3]
    ground = (eye - rays * (eye[2] / rays[..., 2:]))[..., :2]
    inside = (np.abs(ground) < 10).all(-1)
    odd = ((ground * [1, -1] + 10) // 5).sum(-1) % 2 == 1
    expected = np.where(inside, np.where(odd, 0.5, 0.9), 0.1)
    edge = np.abs(ground / 5 - np.round(ground / 5)).min(-1) < 1e-4
    assert inside.any() and not inside.all()
    assert renderer.background()[0].numpy()[~edge] == pytest.approx(expected[~edge], abs=1e-6)


def test_straight_from_above_right_is_x() -> None:
    for height in (5.0, -5.0):
        rotation = Camera((0.3, height, 0.2), (0.3, 0.0, 0.2)).rotation()
        assert rotation == pytest.approx(np.array([[1, 0, 0], [0, 0, -np.sign(height)], [0, -np.sign(height), 0]]))
    near = Camera((0.3, 5.0, 0.2 + 1e-4), (0.3, 0.0, 0.2)).rotation()
    assert near == pytest.approx(Camera((0.3, 5.0, 0.2), (0.3, 0.0, 0.2)).rotation(), abs=1e-4)


def test_seen_from_above_a_pose_is_found_by_gradients() -> None:
    renderer = MeshRenderer(
        ("cube",), camera=Camera((0.0, 6.0, 0.0), (0.0, 0.0, 0.0)), x=(-1.0, 1.0), z=(-1.0, 1.0), yaw=0.3
    )
    what, true = torch.zeros(1, 1, dtype=torch.long), torch.tensor([[[0.4, -0.3]]])
    image = renderer.render(what, true)[:, 1]
    where = torch.tensor([[[0.15, -0.05]]], requires_grad=True)
    optimizer = torch.optim.Adam([where], 0.02)
    for _ in range(60):
        optimizer.zero_grad()
        (renderer.canvases(what, where)[:, 1] - image).square().sum().backward()
        optimizer.step()
    assert (where - true).abs().max() < 0.02


@pytest.mark.parametrize("view", ["calibrated", "straight down"])
def test_the_laws_hold(files: dict[str, MeshFile], view: str) -> None:
    if view == "calibrated":
        check_renderer(made(files))
    else:
        above = Camera((0.0, 6.0, 0.0), (0.0, 0.0, 0.0))
        check_renderer(MeshRenderer(image_size=(32, 40), camera=above, x=(-1.5, 1.5), z=(-1.5, 1.5)))


def test_cameras_that_move_have_the_lens_too() -> None:
    table = Table(checker=(0.3, 0.3, 0.35))
    common: dict[str, Any] = {"image_size": (32, 40), "table": table, "x": (-1.0, 1.0), "z": (-1.0, 1.0)}
    lens = Intrinsics(34.0, 40.0, 22.0, 13.0, (32, 40))
    moving = MeshRenderer(camera=Camera(intrinsics=lens), scene={"camera_distance": (6.0, 8.0)}, **common)
    still = Camera(intrinsics=lens)
    away = np.subtract(still.position, still.target)
    placed = moving.at(torch.tensor([[7.5]]))
    x, y, z = (np.array(still.target) + 7.5 * away / np.linalg.norm(away)).tolist()
    expected = MeshRenderer(camera=Camera((x, y, z), intrinsics=lens), **common)
    what, where = torch.tensor([[0, 1]]), torch.tensor([[[0.5, -0.3, 0.2], [-0.4, 0.6, 1.0]]])
    assert ((placed.render(what, where) - expected.render(what, where)).abs() > 1e-4).float().mean() < 3e-3
    torch.testing.assert_close(placed.project(where)[0], expected.project(where)[0], rtol=1e-4, atol=1e-4)
    lit = MeshRenderer(camera=Camera((0.0, 6.0, 0.0), (0.0, 0.0, 0.0)), scene={"exposure": (0.9, 1.1)}, **common)
    plain = MeshRenderer(camera=Camera((0.0, 6.0, 0.0), (0.0, 0.0, 0.0)), **common)
    shown = lit.at(torch.tensor([[1.0]])).render(what, where)
    assert ((shown - plain.render(what, where)).abs() > 1e-4).float().mean() < 3e-3


# ---- what is refused

TURN = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
WRONG: dict[str, tuple[Any, str]] = {
    "focal length": (
        lambda: Intrinsics(0.0, 600.0, 320.0, 240.0, SEEN),
        "camera intrinsics fx and fy must be positive and finite, got 0.0 and 600.0",
    ),
    "negative": (lambda: Intrinsics(600.0, -1.0, 320.0, 240.0, SEEN), "got 600.0 and -1.0: focal lengths in pixels"),
    "principal point": (
        lambda: Intrinsics(600.0, 600.0, 320.0, 480.0, SEEN),
        "camera intrinsics cx and cy must lie in the image of 480x640 (height x width), got 320.0 and 480.0",
    ),
    "no number": (lambda: Intrinsics(600.0, 600.0, math.nan, 240.0, SEEN), "got nan and 240.0: give the principal"),
    "image size": (
        lambda: Intrinsics(600.0, 600.0, 3.0, 2.0, (0, 640)),
        "camera intrinsics image_size must be a positive height and width, got (0, 640)",
    ),
    "skew": (
        lambda: Intrinsics.of([[600, 2, 320], [0, 600, 240], [0, 0, 1]], SEEN),
        "an intrinsic matrix must be [[fx, 0, cx], [0, fy, cy], [0, 0, 1]], got [[600.0, 2.0, 320.0]",
    ),
    "scaled": (
        lambda: Extrinsics(tuple(2 * value for value in TURN), (0.0, 0.0, 1.0)),
        "camera extrinsics rotation is no rotation: its product with its transpose differs by 3 from the identity, its "
        "determinant is 8",
    ),
    "mirrored": (
        lambda: Extrinsics((*TURN[:8], -1.0), (0.0, 0.0, 1.0)),
        "differs by 0 from the identity, its determinant is -1: give R, world to camera, without scale and not",
    ),
    "too few": (lambda: Extrinsics(TURN[:8], (0.0, 0.0, 1.0)), "camera extrinsics rotation must be 9 finite numbers"),
    "nowhere": (
        lambda: Extrinsics(TURN, (0.0, math.inf, 1.0)),
        "camera extrinsics translation must be 3 finite numbers, got (0.0, inf, 1.0)",
    ),
    "matrix": (lambda: Extrinsics.of(np.eye(3)), "an extrinsic matrix [R | t] must be (3, 4) or (4, 4), got (3, 3)"),
    "convention": (
        lambda: Extrinsics(TURN, (0.0, 0.0, 1.0), "blender"),  # type: ignore[arg-type]
        "camera extrinsics convention must be one of opencv, opengl, got 'blender'",
    ),
    "up": (
        lambda: Extrinsics(TURN, (0.0, 0.0, 1.0), up="w"),  # type: ignore[arg-type]
        "camera extrinsics up must be one of x, y, z, -x, -y, -z, got 'w'",
    ),
    "two lenses": (
        lambda: Camera(field_of_view=30.0, intrinsics=LENS),
        "camera has intrinsics and a field_of_view of 30 degrees: give one of the two",
    ),
    "two places": (
        lambda: Camera((0.0, 1.0, 2.0), extrinsics=Extrinsics.of(OBLIQUE)),
        "camera has extrinsics, and position (0.0, 1.0, 2.0) and target (0.0, 0.2, 0.2): give one of the two",
    ),
    "scene": (
        lambda: MeshRenderer(camera=Camera(extrinsics=Extrinsics.of(DOWN, up="z")), scene={"camera_azimuth": (0, 1)}),
        "scene names camera_azimuth, which moves a camera about its target, and camera has extrinsics: give position",
    ),
    "unit": (
        lambda: MeshRenderer(units="inch"),  # type: ignore[arg-type]
        "units must be one of m, cm, mm, got 'inch'",
    ),
    "file's unit": (
        lambda: MeshFile("a.ply", scale="keep", units="km"),  # type: ignore[arg-type]
        "mesh units must be one of m, cm, mm, got 'km'",
    ),
    "scale": (
        lambda: MeshFile("a.ply", scale="own"),  # type: ignore[arg-type]
        "mesh scale must be one of fit, keep, got 'own'",
    ),
    "units that fit": (
        lambda: MeshFile("a.ply", units="mm"),
        "mesh units are mm, and its scale is fit, which makes it 1 world unit in size whatever its file says",
    ),
    "built-in": (lambda: MeshFile("cube", scale="keep"), "mesh scale keep is of files, and cube is a built-in shape"),
    "turns built in": (
        lambda: MeshFile("cube", symmetry=3),
        "mesh symmetry 3 is of files, and cube is a built-in shape",
    ),
    "faces built in": (lambda: MeshFile("drum", faces=30), "mesh faces 30 is of files, and drum is a built-in shape"),
    "up built in": (lambda: MeshFile("cone", up="x"), "mesh up x is of files, and cone is a built-in shape"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_refused(name: str) -> None:
    make, said = WRONG[name]
    with pytest.raises(ValueError, match=re.escape(said)):
        make()


def test_kept_meshes_that_are_refused(files: dict[str, MeshFile], tmp_path: Path) -> None:
    wedge = files["wedge"]
    flat = ply(tmp_path / "point.ply", np.ones((3, 3)), [[0, 1, 2]])
    plain, metres = str(wedge.path), MeshFile(str(wedge.path), up="z", scale="keep", units="m")
    stl = MeshFile(str(tmp_path / "a.stl"), scale="keep")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"sizes": {"wedge": 1.2}}, "meshes['wedge'] keeps its scale, and sizes['wedge'] is 1.2: give one of the two"),
        ({"size": 0.5}, "meshes['wedge'] keeps its scale, and size is 0.5: give one of the two"),
        ({"units": None}, "meshes['wedge'] keeps its scale, and nobody says what the scene's unit is: give the rend"),
        ({"meshes": {"p": MeshFile(flat, up="z", scale="keep", units="mm")}}, "its faces have no area: nothing of it"),
        (
            {"meshes": {"p": MeshFile(plain, up="z", scale="keep")}},
            ".ply files do not say what their lengths are: give",
        ),
        ({"meshes": {"p": stl}}, ".stl files do not say what their lengths are: give its units, one of m, cm, mm"),
        (
            {"meshes": {"p": metres}},
            "meshes['p'] reaches 5.77e+03 cm from its origin, and the camera is 61.3 cm away, from where that is",
        ),
        (
            {"meshes": {"p": metres}, "units": "m", "camera": Camera((0.0, 1e5, 1e5), (0.0, 0.0, 0.0))},
            "pixels: its file's lengths are taken for m; say by its units what they are",
        ),
    ]
    for changes, said in cases:
        with pytest.raises(ValueError, match=re.escape(said)):
            made(files, **changes)
