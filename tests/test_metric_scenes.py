"""Lengths in metres: meshes that keep their scale and origin, calibrated cameras, and poses with their unit said."""

import csv
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import yaml
from numpy.typing import NDArray
from PIL import Image
from runs_for_tests import DISCS, write_run
from torch import Tensor

import air_lightning
from air_lightning.cli import main
from air_lightning.model import AIRModule
from air_lightning.testing import check_renderer
from datamodules import ImageFolder, SceneDataModule, Scenes3D
from datamodules.image_files.view import View
from renderers import MeshRenderer
from renderers.mesh import Camera, Extrinsics, Intrinsics, MeshFile, Table, read_mesh
from renderers.mesh.axes import UPRIGHT
from renderers.mesh.backends import pytorch3d
from renderers.mesh.dense import DenseMeshes
from renderers.mesh.rasterizer import _project

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


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, MeshFile]:
    """The wedge with z up, the column with y up: their files' axes stay theirs."""
    folder = tmp_path_factory.mktemp("models")
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
    assert _project(scenery, 0, pose[0].numpy(), screen) == len(vertices)
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


# ---- frames and units of what is said


def test_frames_put_a_models_points_where_the_image_has_them(files: dict[str, MeshFile]) -> None:
    renderer = made(files, y=(2.0, 6.0))
    what, where = torch.tensor([[0, 1]]), torch.tensor([[[3.0, 4.5, -2.0, 0.7], [-5.0, 3.0, 4.0, -1.1]]])
    frames = renderer.frames(what, where)
    assert frames is not None and frames.unit == "cm"
    boxes = renderer.boxes(what, where, 0.0)
    for slot, points in enumerate((WEDGE / 10, LYING / 10)):  # as their files have them
        rotation, place = (part[0, slot].numpy() for part in frames.camera)
        world, foot = (part[0, slot].numpy() for part in frames.world)
        seen = points @ rotation.T + place
        assert seen == pytest.approx((points @ world.T + foot) @ OBLIQUE[:, :3].T + OBLIQUE[:, 3])
        x, y, z, _ = where[0, slot].tolist()
        assert foot == pytest.approx([x, -z, y], rel=1e-6)  # of the extrinsics' world
        found = (seen / seen[:, 2:] @ K.T)[:, :2] + 0.5
        assert np.r_[found.min(0), found.max(0)] == pytest.approx(boxes[0, slot].numpy(), abs=1)
    assert MeshRenderer().frames(what, where[..., :3]) is None


@pytest.fixture(scope="module")
def run(files: dict[str, MeshFile], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose model is sure of two objects in every image."""
    return write_run(tmp_path_factory.mktemp("run") / "run", config(files), sure=20.0)


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


def test_lines_and_bops_results_tell_the_same_poses(run: Path, tmp_path: Path) -> None:
    Image.fromarray(np.full((HEIGHT, WIDTH, 3), 90, np.uint8)).save(tmp_path / "a.png")
    for form in ("jsonl", "bop"):
        given = ["--run_dir", str(run), "--input", str(tmp_path / "a.png"), "--output", str(tmp_path / form)]
        main(["predict", *given, "--format", form])
    (line,) = (tmp_path / "jsonl" / "predictions.jsonl").read_text().splitlines()
    objects = json.loads(line)["objects"]
    with (tmp_path / "bop" / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(objects) == 2
    for row, thing in zip(rows, objects, strict=True):
        frames = thing["frames"]
        assert frames["unit"] == "cm" and set(frames) == {"unit", "world", "camera"}
        assert np.array(row["t"].split(), float) == pytest.approx(np.array(frames["camera"]["t"]) * 10, abs=0.01)
        assert np.array(row["R"].split(), float) == pytest.approx(frames["camera"]["R"], abs=1e-4)
        pose = thing["pose"]
        assert frames["world"]["t"] == pytest.approx([pose["x"], -pose["z"], 4.5], rel=1e-4)
    assert air_lightning.load(run).units == {"x": "cm", "z": "cm", "yaw": "radians"}


# ---- written, and read back


def evaluated(model: AIRModule, data: SceneDataModule) -> dict[str, float]:
    pl.seed_everything(1, verbose=False)
    options: dict[str, Any] = dict.fromkeys(
        ("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False
    )
    trainer = pl.Trainer(accelerator="cpu", **options)
    trainer.test(model, datamodule=data, verbose=False)
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


@pytest.fixture(scope="module")
def written(files: dict[str, MeshFile], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(config(files), tmp_path_factory.mktemp("scenes"))


def write_scenes(renderer: dict[str, Any], folder: Path) -> Path:
    content = {
        "trainer": {"max_steps": 3},
        "model": {"slots": 2, "renderer": renderer},
        "data": {"class_path": "datamodules.Scenes3D", "init_args": {"counts": [0, 1, 2], "apart": 7.0, "seed": 3}},
    }
    (folder / "table.yaml").write_text(yaml.safe_dump(content))
    given = ["--config", str(folder / "table.yaml"), "--count", "12", "--output", str(folder / "out"), "--bits", "32"]
    main(["scenes", *given, "--format", "bop"])
    return folder / "out"


def read(written: Path, **more: Any) -> ImageFolder:
    return ImageFolder(str(written / "test"), truth=str(written / "test"), test_share=1.0, color=True, **more)


def test_bop_has_models_and_poses_as_the_files_have_them(written: Path, files: dict[str, MeshFile]) -> None:
    infos = json.loads((written / "models" / "models_info.json").read_text())
    assert [infos[n].get("up", "z") for n in "12"] == ["z", "y"]
    points = {1: WEDGE, 2: LYING}
    for number, expected in points.items():
        low, size = ([infos[str(number)][f"{what}_{axis}"] for axis in "xyz"] for what in ("min", "size"))
        assert [*low, *size] == pytest.approx([*expected.min(0), *np.ptp(expected, axis=0)], abs=1e-3)
    assert infos["2"]["symmetries_discrete"][0] == pytest.approx([0, 0, 1, 0, 0, 1, 0, 0, -1, 0, 0, 0, 0, 0, 0, 1])
    folder = written / "test" / "000000"
    marks, cameras = (json.loads((folder / f"scene_{name}.json").read_text()) for name in ("gt", "camera"))
    for number, objects in marks.items():
        camera = cameras[number]
        assert camera["cam_K"] == pytest.approx(K.ravel())
        assert camera["cam_R_w2c"] == pytest.approx(OBLIQUE[:, :3].ravel())
        assert camera["cam_t_w2c"] == pytest.approx(OBLIQUE[:, 3] * 10)  # millimetres
        for place, mark in enumerate(objects):
            pose = np.column_stack([np.reshape(mark["cam_R_m2c"], (3, 3)), mark["cam_t_m2c"]])
            found = pixels(camera["cam_K"], pose, points[mark["obj_id"]])
            with Image.open(folder / "mask" / f"{int(number):06d}_{place:06d}.png") as image:
                rows, columns = np.nonzero(np.asarray(image))
            drawn = [columns.min(), rows.min(), columns.max(), rows.max()]
            assert [*found.min(0), *found.max(0)] == pytest.approx(drawn, abs=2)


def test_scenes_read_back_to_the_same_figures(written: Path, run: Path, files: dict[str, MeshFile]) -> None:
    model = air_lightning.load(run).module
    drawn = evaluated(model, Scenes3D(made(files), counts=[0, 1, 2], apart=7.0, seed=3, test_scenes=12))
    assert drawn["test/position_error"] > 0 and drawn["test/rotation_error"] > 0
    for unit in ("metric", 0.1):
        back = evaluated(model, read(written, unit=unit))
        common = [name for name in drawn if name in back]
        assert {"test/position_error", "test/rotation_error", "test/identity_accuracy"} <= set(common)
        expected = {name: drawn[name] for name in common}
        assert {name: back[name] for name in common} == pytest.approx(expected, rel=1e-5, nan_ok=True)


# ---- images by cameras that differ

OTHER = Intrinsics(60.0, 66.0, 44.0, 27.0, (60, 80))
"""Of one that sees more to all sides."""


@pytest.fixture(scope="module")
def wider(files: dict[str, MeshFile], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same scenes by the other camera."""
    renderer = config(files)
    lens = {"fx": OTHER.fx, "fy": OTHER.fy, "cx": OTHER.cx, "cy": OTHER.cy, "image_size": [60, 80]}
    renderer["init_args"]["camera"]["intrinsics"] = lens
    renderer["init_args"]["image_size"] = [60, 80]
    return write_scenes(renderer, tmp_path_factory.mktemp("wider"))


def test_all_images_are_seen_by_one_camera(written: Path, wider: Path, files: dict[str, MeshFile]) -> None:
    """Images, boxes, masks and poses are those that it would have taken."""
    target = Intrinsics(K[0, 0], K[1, 1], K[0, 2], K[1, 2], (HEIGHT, WIDTH))
    for memory in (1.0, 0.0):
        data = read(wider, unit="metric", intrinsics=target, memory=memory)
        batches = []
        for module in (read(written, unit="metric"), data):
            model = AIRModule(made(files), slots=2)
            module.trainer = type("Trainer", (), {"lightning_module": model})()  # type: ignore[assignment]
            batches.append(module.scenes("test").__getitems__(list(range(12))))
        own, seen = batches
        assert own.masks is not None and seen.masks is not None and own.boxes is not None and seen.boxes is not None
        assert seen.images.shape == own.images.shape and (seen.images - own.images).abs().mean() < 0.03
        both, either = (own.masks & seen.masks).sum(), (own.masks | seen.masks).sum()
        assert both > 0.75 * either
        assert (seen.boxes - own.boxes).abs().max() < 2.5
        torch.testing.assert_close(seen.where, own.where, rtol=1e-4, atol=1e-4)
        assert data.coordinates(made(files)) == ("x", "z", "yaw")
    with pytest.raises(ValueError, match="the renderer's has fx 45.92, fy 48.07, cx 22.14, cy 18.68: what one of them"):
        read(wider, unit="metric").coordinates(made(files))
    with pytest.raises(ValueError, match="nobody tells by which .*000000.npy was taken: give a truth in BOP's layout"):
        ImageFolder(str(wider / "test"), files="*/rgb/*", color=True, intrinsics=target)


def test_a_view_beyond_the_image_is_black() -> None:
    image = np.arange(1, 25, dtype=np.uint8).reshape(4, 6)
    view = View(-2.0, 1.0, 6.0, 4.0, (6, 4))
    expected = np.zeros((4, 6), np.uint8)
    expected[:3, 2:] = image[1:, :4]
    assert view.of(image).tolist() == expected.tolist()
    assert view.of(np.stack([image, image, image], -1) / np.float32(1))[..., 2].tolist() == expected.tolist()
    assert view.of_masks(image[None] > 12)[0].tolist() == (expected > 12).tolist()
    assert view.back(expected > 0)[1:, :4].all() and view.back(expected > 0).sum() == 12
    assert View(0.0, 0.0, 6.0, 4.0, (6, 4)).of(image) is image
    own, wanted = Intrinsics(10.0, 10.0, 2.5, 1.5, (4, 6)).lens(), Intrinsics(5.0, 5.0, 2.5, 1.5, (4, 6)).lens()
    found = View.between(own, wanted, (6, 4))
    assert found[:4] == pytest.approx((-3.0, -2.0, 12.0, 8.0)) and found.lens(own) == pytest.approx(wanted)


def test_predictions_of_images_by_another_camera(
    run: Path, wider: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--run_dir", str(run), "--input", str(wider / "test" / "000000" / "rgb" / "000003.npy"), "--output"]
    for form in ("bop", "jsonl"):
        with pytest.raises(SystemExit) as stop:
            main(["predict", *given, str(tmp_path / "no"), "--format", form])
        said = (
            "pixels away, 0.5 are allowed, and poses in the camera's frame would be wrong: see it as the model's camera"
        )
        assert stop.value.code == 2 and said in capsys.readouterr().err and not (tmp_path / "no").exists()
    main(["predict", *given, str(tmp_path / "out"), "--reframe", "--format", "masks"])
    (line,) = (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()
    row = json.loads(line)
    assert (row["width"], row["height"]) == (80, 60) and len(row["objects"]) == 2
    matrix = np.array([[OTHER.fx, 0, OTHER.cx], [0, OTHER.fy, OTHER.cy], [0, 0, 1]])
    models = {"wedge": WEDGE / 10, "block": LYING / 10}
    with Image.open(tmp_path / "out" / row["mask"]) as image:
        shown = np.asarray(image)
    assert shown.shape == (60, 80)
    for number, thing in enumerate(row["objects"], 1):
        frame = thing["frames"]["camera"]
        pose = np.column_stack([np.reshape(frame["R"], (3, 3)), frame["t"]])
        found = pixels(matrix, pose, models[thing["kind"]]) + 0.5
        corners = [*found.min(0), *found.max(0)]
        assert thing["box"] == pytest.approx(corners, abs=2.5)
        rows, columns = np.nonzero(shown == number)
        if len(rows):
            assert corners[0] - 2 <= columns.min() and columns.max() <= corners[2] + 2
            assert corners[1] - 2 <= rows.min() and rows.max() <= corners[3] + 2
    Image.fromarray(np.zeros((60, 80, 3), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(SystemExit) as stop:
        main(["predict", *given[:2], "--input", str(tmp_path / "a.png"), *given[4:], str(tmp_path / "x"), "--reframe"])
    said = "nobody tells the camera that it was taken by, cam_K of a scene_camera.json beside rgb/ or gray/: add it"
    assert stop.value.code == 2 and said in capsys.readouterr().err
    discs = write_run(tmp_path / "discs", DISCS)
    with pytest.raises(SystemExit) as stop:
        main(["predict", "--run_dir", str(discs), *given[2:], str(tmp_path / "x"), "--reframe"])
    assert "--reframe needs a model with a camera, and Discs has none: MeshRenderer has" in capsys.readouterr().err


# ---- what is refused


def changed(written: Path, tmp_path: Path, edit: Any) -> Path:
    """The scenes with another scene_camera.json."""
    for path in written.rglob("*"):
        if path.is_file():
            target = tmp_path / path.relative_to(written)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    file = tmp_path / "test" / "000000" / "scene_camera.json"
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))
    return tmp_path


def longer(cameras: dict[str, Any]) -> None:
    cameras["7"]["cam_K"][0] *= 1.1


CAMERAS_APART = (
    r"has .*/rgb/000007.npy by a camera of fx 50.5., fy 48.07, cx 22.14, cy 18.68, scaled to the model's 36x48, and "
    r"the renderer's has fx 45.92, fy 48.07, cx 22.14, cy 18.68: what one of them sees the other sees up to 2.3. "
    r"pixels away, 0.5 are allowed. Give model.renderer.camera.intrinsics those of the images"
)


def test_images_by_another_camera_are_named(written: Path, files: dict[str, MeshFile], tmp_path: Path) -> None:
    data = read(changed(written, tmp_path, longer), unit="metric")
    with pytest.raises(ValueError, match=CAMERAS_APART):
        data.coordinates(made(files))
    little = read(changed(written, tmp_path, lambda cameras: cameras["7"]["cam_K"].__setitem__(2, 22.5)), unit="metric")
    assert little.coordinates(made(files)) == ("x", "z", "yaw")
    untold = read(changed(written, tmp_path, lambda cameras: cameras["7"].pop("cam_K")), unit="metric")
    with pytest.raises(ValueError, match=r"does not tell the camera of .*000007.npy \(cam_K of scene_camera.json\)"):
        untold.coordinates(made(files))


def test_a_metric_truth_needs_a_renderer_that_says_its_unit(written: Path, tmp_path: Path) -> None:
    data = read(written, unit="metric", identity=None)
    with pytest.raises(ValueError, match="MeshRenderer does not say what a world unit is: give its units, m, cm or mm"):
        data.coordinates(MeshRenderer(image_size=(HEIGHT, WIDTH)))
    (tmp_path / "a.json").write_text('{"images": [{"file": "000000.npy", "objects": [{"kind": "cube"}]}]}')
    folder = written / "test" / "000000" / "rgb"
    with pytest.raises(ValueError, match="in the camera's frame in a unit that is known, as BOP's folders do, and"):
        ImageFolder(str(folder), truth=str(tmp_path / "a.json"), files="000000*", test_share=1.0, unit="metric")


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
