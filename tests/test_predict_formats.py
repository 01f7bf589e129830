"""Predictions in other programs' formats: BOP's results, COCO's run lengths, instance masks."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from predict_for_tests import SIZE, lines, predict
from predict_for_tests import discs as discs
from runs_for_tests import MESHES, write_run

import air_lightning
from air_lightning.commands.formats.coco import rle
from air_lightning.commands.formats.world import UPRIGHT, World, object_numbers, upright
from air_lightning.commands.predict.records import FoundObject
from air_lightning.commands.predict.tiles import Tile, _moved
from datamodules.truth.run_lengths import decoded
from renderers import Coordinate, MeshRenderer, Where


@pytest.fixture(scope="module")
def meshes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose model is sure of two objects in every image (3, 32, 40)."""
    return write_run(tmp_path_factory.mktemp("meshes") / "run", MESHES, sure=20.0)


def bop_images(root: Path) -> list[Path]:
    """Two images of two of BOP's scenes."""
    paths = [root / "000004" / "rgb" / "000011.png", root / "000012" / "gray" / "000000.png"]
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True)
        pixels = np.random.default_rng(number).integers(0, 256, (32, 40, 3), np.uint8)
        Image.fromarray(pixels).save(path)
    return paths


def labels(path: Path) -> NDArray[Any]:
    with Image.open(path) as image:
        return np.asarray(image)


# ---- BOP


def test_bop_has_the_poses_of_the_lines_in_the_cameras_frame(meshes: Path, tmp_path: Path) -> None:
    paths = bop_images(tmp_path / "images")
    predict("--run_dir", meshes, "--input", *paths, "--output", tmp_path / "bop", "--format", "bop")
    predict("--run_dir", meshes, "--input", *paths, "--output", tmp_path / "lines")
    with (tmp_path / "bop" / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["scene_id", "im_id", "obj_id", "score", "R", "t", "time"]
    renderer = air_lightning.load(meshes).module.renderer
    assert isinstance(renderer, MeshRenderer)
    k, names = World(renderer, "bop").intrinsics, ("cube", "sphere", "cylinder")
    expected = [
        (place, found) for place, row in zip([(4, 11), (12, 0)], lines(tmp_path / "lines")) for found in row["objects"]
    ]
    for row, (place, found) in zip(rows, expected, strict=True):
        assert (int(row["scene_id"]), int(row["im_id"])) == place and row["time"] == "-1"
        assert (names[int(row["obj_id"]) - 1], float(row["score"])) == (found["kind"], found["confidence"])
        rotation = np.array(row["R"].split(), float).reshape(3, 3)
        assert np.linalg.det(rotation) == pytest.approx(1, abs=1e-6)
        foot = np.array(row["t"].split(), float)
        pose = {"yaw": 0.0} | {name: value for name, value in found["pose"].items() if value is not None}
        world = torch.tensor([pose["x"], 0.0, pose["z"]])
        image, depth = renderer.camera.project(world, 40 / 32)
        assert foot[2] == pytest.approx(float(depth) * 1000, rel=1e-5)
        pixel = (image.numpy() + 1) * [40, 32] / 2 - 0.5  # the middle of the first pixel is 0
        assert (k @ foot / foot[2])[:2] == pytest.approx(pixel, abs=1e-3)
        # a point of the model, turned as the renderer turns it
        front = torch.tensor([0.1 * np.sin(pose["yaw"]), 0.2, 0.1 * np.cos(pose["yaw"])], dtype=torch.float32)
        image, _ = renderer.camera.project(world + front, 40 / 32)
        point = rotation @ upright(np.array([0.0, 0.2, 0.1], np.float32)) * 1000 + foot
        assert (k @ point / point[2])[:2] == pytest.approx((image.numpy() + 1) * [40, 32] / 2 - 0.5, abs=1e-2)


def test_images_that_lie_elsewhere_are_numbered(
    meshes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, _ = bop_images(tmp_path / "images")
    np.save(tmp_path / "stack.npy", np.zeros((2, 32, 40, 3), np.uint8))
    given = (first, tmp_path / "stack.npy")
    predict("--run_dir", meshes, "--input", *given, "--output", tmp_path / "out", "--format", "bop")
    with (tmp_path / "out" / "predictions.csv").open(newline="") as file:
        assert [(row["scene_id"], row["im_id"]) for row in csv.DictReader(file)][::2] == [
            ("0", str(n)) for n in range(3)
        ]
    assert "note: predictions.csv numbers the images in their order, from 0 on, in scene 0" in capsys.readouterr().err


def test_bop_needs_poses_in_three_dimensions(discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        predict("--run_dir", discs, "--input", *bop_images(tmp_path), "--output", tmp_path / "out", "--format", "bop")
    message = "--format bop needs poses in three dimensions, in a camera's frame, and Discs has none: MeshRenderer has"
    assert stop.value.code == 2 and message in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (("cube", "sphere"), [1, 2]),
        (("obj_000005", "obj_000001"), [5, 1]),
        (("21", "3"), [21, 3]),
        (("obj_000005", "cup"), [1, 2]),
        (("5", "obj_000005"), [1, 2]),
    ],
)
def test_object_numbers(names: tuple[str, ...], numbers: list[int]) -> None:
    assert object_numbers(names) == numbers


def test_the_world_is_turned_and_not_mirrored() -> None:
    assert np.linalg.det(UPRIGHT) == 1
    world = World(MeshRenderer(), "bop")
    assert np.linalg.det(world.rotation) == pytest.approx(1)
    assert world.rotation @ world.rotation.T == pytest.approx(np.eye(3))
    eye = -world.rotation.T @ world.translation / 1000
    assert eye == pytest.approx(upright(np.array(world.renderer.camera.position, np.float32)))


# ---- masks


def test_masks_are_those_of_coco_and_of_the_images_size(discs: Path, tmp_path: Path) -> None:
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    inside = (columns - 20) ** 2 + (rows - 9) ** 2 < 16
    small = (inside[..., None] * np.array([25, 230, 51])).astype(np.uint8)
    np.save(tmp_path / "stack.npy", np.stack([small, small[::-1]]))
    Image.fromarray(small).resize((2 * SIZE, 3 * SIZE), Image.Resampling.NEAREST).save(tmp_path / "big.png")
    given = ("--run_dir", discs, "--input", tmp_path / "stack.npy", tmp_path / "big.png")
    predict(*given, "--output", tmp_path / "masks", "--format", "masks")
    predict(*given, "--output", tmp_path / "coco", "--format", "coco")
    coco = json.loads((tmp_path / "coco" / "predictions.json").read_text())
    seen = lines(tmp_path / "masks")
    files = [row["mask"] for row in seen]
    assert files == ["masks/000000_stack.png", "masks/000001_stack.png", "masks/000002_big.png"]
    for number, row in enumerate(seen):
        found = labels(tmp_path / "masks" / row["mask"])
        assert found.shape == (row["height"], row["width"]) and "segmentation" not in row["objects"][0]
        marks = [mark for mark in coco["annotations"] if mark["image_id"] == number]
        assert len(marks) == row["count"] == 2
        for label, mark in enumerate(marks, 1):
            assert (decoded(mark["segmentation"]) == (found == label)).all() and mark["area"] == (found == label).sum()
            assert mark["pose"] == row["objects"][label - 1]["pose"] and mark["pose_sd"].keys() == mark["pose"].keys()
    first, big = (labels(tmp_path / "masks" / files[n]) for n in (0, 2))
    assert first.any() and (big == first.repeat(3, 0).repeat(2, 1)).mean() > 0.97
    overlap = ((first > 0) & inside).sum() / inside.sum()
    assert overlap > 0.6


def test_segmentations_are_told_where_they_are_asked_for(discs: Path) -> None:
    model = air_lightning.load(discs)
    image = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    (plain,), (seen,) = model.infer(image, all_slots=True), model.infer(image, all_slots=True, segmented=True)
    assert "segmentation" not in json.dumps(plain.record()) and seen.slots is not None
    masks = [decoded(found.segmentation) for found in seen.slots if found.segmentation is not None]
    assert len(masks) == model.slots and all(mask.shape == (SIZE, SIZE) for mask in masks)
    assert np.sum(masks[: seen.count], 0).max() == 1  # what one sees of one is not what one sees of another
    assert seen.record()["objects"][0]["segmentation"] == rle(masks[0])


def test_a_tiles_mask_is_told_in_the_images_pixels() -> None:
    mask = np.zeros((9, 12), np.bool_)
    mask[2:4, 5:9] = True
    found = FoundObject(
        None, None, (0.0,), {"x": 0.0, "y": 0.0}, {"x": 0.1, "y": 0.1}, ((0.0, 0.0),) * 4, None, 1.0, rle(mask)
    )
    moved = _moved(found, Tile(left=7, top=3, size=(12, 9), image=(30, 20)))
    assert moved.segmentation is not None
    whole = decoded(moved.segmentation)
    assert whole.shape == (20, 30) and (whole[3:12, 7:19] == mask).all() and whole.sum() == mask.sum()


def test_objects_that_have_more_than_a_pose() -> None:
    renderer = MeshRenderer()
    size = Coordinate("size", "share", 0.5, 2.0, 0.1)
    renderer.where = Where((*renderer.where.coordinates, size))
    message = "--format bop has rigid objects that stand upright, with x, y, z, yaw, and these have size too: choose"
    with pytest.raises(ValueError, match=message):
        World(renderer, "bop")


def test_cameras_that_differ_from_image_to_image() -> None:
    renderer = MeshRenderer(scene={"camera_azimuth": (-0.5, 0.5)}, x=(-1.0, 1.0), z=(-1.0, 1.0))
    message = "--format bop is written for one camera and light, and here camera_azimuth may differ from image to image"
    with pytest.raises(ValueError, match=message):
        World(renderer, "bop")
