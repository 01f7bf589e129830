"""Truth in other pixels than the images', and boxes, polygons and poses in another unit: scaled, or refused by name."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from disc_plugin import Discs
from PIL import Image
from test_truth import PLACES, cube, drawn
from test_truth_formats import bop, clevr

from air_lightning.metrics.evaluation import Evaluation, InferredScenes
from datamodules import ImageArrays, ImageFolder
from renderers import MeshRenderer

HEIGHT, WIDTH = 30, 40


def folder_with(tmp_path: Path, truth: dict[str, Any], **more: Any) -> ImageFolder:
    """One image of 40x30, of which the truth tells."""
    (tmp_path / "images").mkdir(exist_ok=True)
    Image.fromarray(np.full((HEIGHT, WIDTH), 9, np.uint8)).save(tmp_path / "images" / "a.png")
    (tmp_path / "t.json").write_text(json.dumps(truth))
    return ImageFolder(str(tmp_path / "images"), truth=str(tmp_path / "t.json"), test_share=1.0, **more)


def coco(bbox: list[Any], **image: Any) -> dict[str, Any]:
    return {
        "images": [{"id": 0, "file_name": "a.png", **image}],
        "annotations": [{"id": 7, "image_id": 0, "category_id": 1, "bbox": bbox}],
        "categories": [{"id": 1, "name": "cube"}],
    }


def polygons(*given: list[float]) -> dict[str, Any]:
    truth = coco([1, 1, 3, 3], width=WIDTH, height=HEIGHT)
    truth["annotations"][0]["segmentation"] = list(given)
    return truth


def ours(**thing: Any) -> dict[str, Any]:
    return {"images": [{"file": "a.png", "objects": [thing]}]}


# ---- another size


def boxes(module: ImageFolder) -> Any:
    given = module.scenes("test").__getitems__([0]).boxes
    assert given is not None
    return given[0].tolist()


def test_boxes_of_larger_originals_are_measured_as_those_of_the_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images of 32x32 that were annotated at 640x640: precision was 0."""
    renderer = Discs()
    drawn(tmp_path, lambda i, box: {"box": box})
    found = [thing["box"] for thing in json.loads((tmp_path / "t.json").read_text())["images"][0]["objects"]]
    truth = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 640, "height": 640} for i in range(3)],
        "categories": [{"id": 1, "name": "disc"}],
        "annotations": [
            {"id": 1, "image_id": i, "category_id": 1, "bbox": [20 * x0, 20 * y0, 20 * (x1 - x0), 20 * (y1 - y0)]}
            for i in range(3)
            for x0, y0, x1, y1 in found
        ],
    }
    (tmp_path / "coco.json").write_text(json.dumps(truth))
    folder, file = str(tmp_path / "images"), str(tmp_path / "coco.json")
    data = ImageFolder(folder, truth=file, identity=None, color=True, test_share=1.0)
    monkeypatch.setattr(data, "_renderer", lambda: renderer)
    what, where = torch.tensor([[2, 0]] * 3), torch.tensor([PLACES] * 3)
    sure = torch.nn.functional.one_hot(what, 3).float() * 9
    seen = InferredScenes(
        torch.tensor([2] * 3), torch.eye(3)[[2] * 3].log(), what, where, torch.full_like(where, 0.1), sure
    )
    evaluation = Evaluation(renderer, 2, data)
    evaluation.update(renderer, seen, data.scenes("test").__getitems__([0, 1, 2]))
    figures = evaluation.compute()
    assert figures["box_ap50"] == 1 and figures["position_error"] == pytest.approx(0, abs=1 / 32)


@pytest.mark.parametrize(
    "size, box",
    [
        ((40, 30), [10, 12, 20, 27]),
        ((80.0, 60), [5, 6, 10, 13.5]),
        ((1002, 751), [10 * 40 / 1002, 12 * 30 / 751, 20 * 40 / 1002, 27 * 30 / 751]),  # rounded
    ],
)
def test_a_truth_of_another_size_is_scaled_to_its_image(tmp_path: Path, size: Any, box: list[float]) -> None:
    truth = coco([10, 12, 10, 15], width=size[0], height=size[1])
    assert boxes(folder_with(tmp_path, truth)) == [pytest.approx(box)]
    resized = [box[0] / 2, 2 * box[1], box[2] / 2, 2 * box[3]]
    assert boxes(folder_with(tmp_path, truth, resize=(60, 20))) == [pytest.approx(resized)]


@pytest.mark.parametrize(
    "truth, message",
    [
        (
            coco([1, 1, 3, 3], width=640, height=640),
            r"tells of a\.png as of an image of 640x640 \(width x height\), and .*a\.png has 40x30: its proportions",
        ),
        (coco([1, 1, 3, 3], width=30, height=40), "of 30x40 .* has 40x30: its proportions are others; give the images"),
        (
            polygons([1, 1, 4, 1, 4, 4]) | {"images": [{"id": 0, "file_name": "a.png", "width": 80, "height": 60}]},
            r"of 80x60 \(width x height\), and .*a\.png has 40x30: masks are not scaled; give the images of which it",
        ),
        (coco([1, 1, 3, 3], width=0, height=30), "image 'a.png' has the width 0: expected a whole number from 1 on"),
        (coco([1, 1, 3, 3], width=40.5, height=30), "image 'a.png' has the width 40.5: expected a whole"),
        (coco([1, 1, 3, 3], width=True, height=30), "image 'a.png' has the width True: expected a whole"),
        (coco([1, 1, 3, 3], width=40), "entry 1 of `images` has no `height`"),
    ],
)
def test_sizes_that_are_not_the_images(tmp_path: Path, truth: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"truth='.*t\.json'.*{message}"):
        folder_with(tmp_path, truth)


# ---- boxes, polygons and poses in another unit

SHARES = "less than a pixel in the image's corner: give pixels, not shares of the image"
OUTSIDE = (
    r"\(x0, y0, x1, y1\), wholly outside its image of 40x30 \(width x height\): correct it, or leave the object out"
)
NO_AREA = "of no area: correct it, or leave the object out"


@pytest.mark.parametrize(
    "truth, message",
    [
        (ours(box=[0.1, 0.1, 0.3, 0.3]), rf"object 1 of image 'a.png' has the box \[0.1, 0.1, 0.3, 0.3\], {SHARES}"),
        (ours(box=[10, 10, 10, 12]), rf"object 1 of image 'a.png' has the box \[10, 10, 10, 12\], {NO_AREA}"),
        (ours(box=[50, 10, 60, 12]), rf"object 1 of image 'a.png' has the box 50, 10, 60, 12 {OUTSIDE}"),
        (ours(box=[-9, 10, 0, 12]), rf"has the box -9, 10, 0, 12 {OUTSIDE}"),
        (ours(box=[5, 30, 9, 44]), rf"has the box 5, 30, 9, 44 {OUTSIDE}"),
        (ours(box=[1, 2, 3, True]), r"has the box \[1, 2, 3, True\]: expected x0, y0"),
        (ours(box=["1", "2", "3", "4"]), r"has the box \['1', '2', '3', '4'\]: expected x0, y0"),
        (ours(x=True, z=0.5), "object 1 of image 'a.png' has x=True: a coordinate is a finite number"),
        (ours(x=10**400, z=0.5), "object 1 of image 'a.png' has x=10+: a coordinate is a finite number"),
        (coco([0.1, 0.1, 0.2, 0.2]), rf"annotation 7 has the bbox \[0.1, 0.1, 0.2, 0.2\], {SHARES}"),
        (coco([10, 10, 0, 2]), rf"annotation 7 has the bbox \[10, 10, 0, 2\], {NO_AREA}"),
        (coco([50, 10, 10, 2]), rf"annotation 7 has the box 50, 10, 60, 12 {OUTSIDE}"),
        (
            coco([90, 10, 10, 2], width=80, height=60),
            r"has the box 90, 10, 100, 12 .*, wholly outside its image of 80x60",
        ),
        (polygons([0.1, 0.1, 0.3, 0.1, 0.3, 0.3]), rf"annotation 7 has the segmentation \[\[0.1, .*\]\], {SHARES}"),
        (polygons([50, 1, 60, 1, 60, 9]), r"annotation 7 has the segmentation .* wholly outside its image of 30x40"),
        (polygons([5, 1, 9, 1, 7, 1]), rf"annotation 7 has the segmentation .*, {NO_AREA}"),
        (
            coco([1, 1, 3, 3]) | {"categories": [{"id": 1, "name": "cube"}, {"id": 1, "name": "cross"}]},
            "two categories have the id 1: give each its own",
        ),
    ],
)
def test_what_cannot_be_in_pixels(tmp_path: Path, truth: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"truth='.*t\.json': .*{message}"):
        folder_with(tmp_path, truth)


@pytest.mark.parametrize(
    "box", [[-20, -20, 1, 1], [39.5, 29.5, 70, 80], [0, 0, 1, 1], [0, 0, 0, 0], [20, 20, 20.4, 20.4], [-9, -9, 90, 90]]
)
def test_objects_partly_outside_small_or_unseen_are_read(tmp_path: Path, box: list[float]) -> None:
    assert boxes(folder_with(tmp_path, ours(box=box))) == [pytest.approx(box)]


def test_a_polygon_in_the_corner_and_a_sliver_beside_one_are_read(tmp_path: Path) -> None:
    for given in ([[0, 0, 1, 0, 1, 1, 0, 1]], [[0, 0, 0.5, 0, 0.5, 0.5], [9, 9, 12, 9, 12, 12]]):
        assert folder_with(tmp_path, polygons(*given)).extras == ("boxes", "masks")


@pytest.mark.parametrize("factor, refused", [(1, False), (20, False), (100, True), (1000, True)])
def test_poses_in_another_unit(tmp_path: Path, factor: float, refused: bool) -> None:
    """x of MeshRenderer is -1.9 to 1.9: 20, five of its widths away, may be; centimetres of metres may not."""
    data = folder_with(tmp_path, ours(**cube(1.0 * factor, yaw=400.0)))
    if not refused:
        assert data.coordinates(MeshRenderer()) == ("x", "z", "yaw")
        return
    said = (
        rf"object 1 of image 'a.png' has x={factor}, and MeshRenderer -1\.9 to 1\.9 \(world units\), so the units are"
    )
    with pytest.raises(ValueError, match=rf"truth='.*': {said} others: give poses in the renderer's units"):
        data.coordinates(MeshRenderer())


@pytest.mark.parametrize(
    "write, title, x",
    [(clevr, r"object 1 of 000001\.png", "1000"), (bop, "object 0 of image 1 of 000007/.*json", "100000")],
)
def test_places_in_another_unit(tmp_path: Path, write: Callable[[Path], Path], title: str, x: str) -> None:
    truth = write(tmp_path / "images")
    data = ImageFolder(str(tmp_path / "images"), truth=str(truth), unit=1000.0, identity=None, test_share=1.0)
    message = rf"truth='.*': {title} has x={x}, and MeshRenderer .*: `data.unit` is 1000.0, give"
    with pytest.raises(ValueError, match=message):
        data.coordinates(MeshRenderer())


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("box", [0.1, 0.1, 0.3, 0.3], "for entity 1 of image 0: expected pixels, not shares of the image"),
        ("box", [3, 3, 3, 4], "for entity 1 of image 0: expected an area, or zeros where nothing of it shows"),
        ("box", [50, 3, 60, 4], r"for entity 1 of image 0: expected a part of it in the image of 40x30 \(width x"),
        ("x", 500.0, r"array 'x' of .* has for entity 1 of image 0 x=500, and MeshRenderer -1\.9 to 1\.9"),
        ("z", -math.inf, "for entity 1 of image 0: expected a finite number"),
    ],
)
def test_arrays_in_another_unit(tmp_path: Path, name: str, value: Any, message: str) -> None:
    arrays = {
        "image": np.zeros((3, HEIGHT, WIDTH), np.uint8),
        "visibility": np.tile(np.array([1, 1, 0]), (3, 1)),
        "box": np.tile(np.array([1.0, 2, 3, 4]), (3, 3, 1)),
        "x": np.zeros((3, 3)),
        "z": np.zeros((3, 3)),
    }
    options: dict[str, Any] = {"mask": None, "box": "box", "pose": ["x", "z"], "test_share": 1.0}
    arrays["box"][:, 2] = np.nan  # of what is not there
    arrays["box"][1, 1] = 0  # there, and hidden
    np.savez(tmp_path / "fine.npz", **arrays)
    assert ImageArrays(str(tmp_path / "fine.npz"), **options).coordinates(MeshRenderer()) == ("x", "z")
    arrays[name][0, 1] = value
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        ImageArrays(str(tmp_path / "a.npz"), **options).coordinates(MeshRenderer())
    arrays["x"] = np.ones((3, 3), np.bool_)
    np.savez(tmp_path / "b.npz", **arrays | {"box": np.tile(np.array([1.0, 2, 3, 4]), (3, 3, 1))})
    with pytest.raises(ValueError, match="array 'x' of .* must hold numbers, found bool"):
        ImageArrays(str(tmp_path / "b.npz"), **options)
