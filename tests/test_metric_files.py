"""Poses with their unit said: in the world's and the camera's frame, in BOP's files and back, by several cameras."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import yaml
from metric_for_tests import HEIGHT, LYING, OBLIQUE, WEDGE, WIDTH, K, config, made, mesh_files, pixels
from PIL import Image
from runs_for_tests import DISCS, write_run

import air_lightning
from air_lightning.cli import main
from air_lightning.model import AIRModule
from air_lightning.runs.loading import load_module
from datamodules import ImageFolder, SceneDataModule, Scenes3D
from datamodules.image_files.view import View
from datamodules.truth.folder import FolderTruth
from renderers import MeshRenderer
from renderers.mesh import Intrinsics, MeshFile


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, MeshFile]:
    return mesh_files(tmp_path_factory.mktemp("models"))


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
    model = load_module(run, kind=AIRModule)
    assert isinstance(model, AIRModule)
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


@pytest.mark.parametrize(
    "box, seen",
    [
        ([0, 0, 0, 0], [0, 0, 0, 0]),  # nothing of it shows in the file's image
        ([4, 1, 6, 4], [0, 0, 0, 0]),  # nor of this one in the view
        ([2, 0, 5, 3], [4, 0, 6, 2]),
    ],
)
def test_a_box_of_which_a_view_shows_nothing_is_zeros(box: list[float], seen: list[float]) -> None:
    truth: Any = SimpleNamespace(views=[View(-2.0, 1.0, 6.0, 4.0, (6, 4))], sizes=[(6, 4)])
    assert FolderTruth._box(truth, 0, np.array(box, np.float32), (4, 6)).tolist() == seen


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
