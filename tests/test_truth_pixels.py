"""Truth in other pixels than the images': scaled, or refused by name."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from disc_plugin import Discs
from PIL import Image
from test_truth import PLACES, drawn

from air_lightning.metrics.evaluation import Evaluation, InferredScenes
from datamodules import ImageFolder

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
