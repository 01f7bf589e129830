"""Images larger than the model's, in tiles: every object is told once, where it is; what cannot be tiled is said."""

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from greedy_for_tests import SCALE, Greedy
from runs_for_tests import DISCS, GLIMPSES, write_run
from torch import Tensor
from toy_renderers import Blobs

from air_lightning.backgrounds import MedianBackground
from air_lightning.cli import main
from air_lightning.commands.predict import FoundObject, Model, Prediction
from air_lightning.commands.predict.tiles import Tile, check_tiles, cut, merged
from air_lightning.model import AIRModule
from renderers import MeshRenderer, Renderer

WIDTH, HEIGHT = 12, 9  # of the model's images, Blobs'


class Brightest(Greedy):
    """Looks at the brightest of what is left from the first slot on."""

    def initial(self, images: Tensor) -> Tensor:
        return torch.ones(len(images))


def model(overlap: int = 6) -> Model:
    found = Model(AIRModule(Blobs(), Brightest, slots=3))
    found.work_in_tiles(overlap)
    return found


def image(width: int, height: int, *places: tuple[float, float]) -> Tensor:
    """(1, height, width): blobs of brightness 1 at these columns and rows, as the model's renderer draws them."""
    x, y = torch.arange(width) + 0.5, (torch.arange(height) + 0.5).unsqueeze(1)
    blobs = [
        (-((2 / WIDTH * (x - u)) ** 2 + (2 / HEIGHT * (y - v)) ** 2) / (2 * SCALE**2)).exp().unsqueeze(0)
        for u, v in places
    ]
    return sum(blobs, torch.zeros(1, height, width)).clamp(0, 1)


@pytest.mark.parametrize(("width", "height"), [(12, 9), (13, 9), (30, 9), (12, 23), (31, 26)])
@pytest.mark.parametrize("overlap", [6, 8])
def test_every_object_is_told_once_where_it_is(width: int, height: int, overlap: int) -> None:
    """Beside seams, on them and in corners."""
    random = np.random.default_rng(width + height)
    for _ in range(4):
        places: list[tuple[float, float]] = []
        for x, y in random.integers((2, 2), (width - 2, height - 2), (40, 2)).tolist():
            if all(abs(x - u) > 6 or abs(y - v) > 5 for u, v in places):
                places.append((x + 0.5, y + 0.5))
        (seen,) = model(overlap).infer(image(width, height, *places))
        assert (seen.width, seen.height, seen.count) == (width, height, len(places))
        at = [((o.pose["x"] + 1) * width / 2, (o.pose["y"] + 1) * height / 2) for o in seen.objects]  # type: ignore[operator]
        assert sorted(at) == [pytest.approx(place, abs=0.6) for place in sorted(places)]
        windows = [tuple(np.mean(o.window, 0)) for o in seen.objects]
        assert at == [pytest.approx(window, abs=1e-3) for window in windows]
        boxes = [((o.box[0] + o.box[2]) / 2, (o.box[1] + o.box[3]) / 2) for o in seen.objects if o.box]
        assert at == [pytest.approx(box, abs=1) for box in boxes]


def test_an_image_of_the_models_size_is_as_without_tiles() -> None:
    plain, given = Model(AIRModule(Blobs(), Brightest, slots=3)), image(WIDTH, HEIGHT, (3.5, 4.5), (9.5, 4.5))
    assert model().infer(given) == plain.infer(given)
    assert model().infer(given, all_slots=True) == plain.infer(given, all_slots=True)


def test_tiles_cover_an_image_evenly() -> None:
    tiles, shown = cut(torch.arange(25 * 40.0).view(1, 25, 40), (12, 9), 4)
    assert sorted({tile.left for tile in tiles}) == [0, 7, 14, 21, 28] and max(tile.top for tile in tiles) == 16
    for tile, pixels in zip(tiles, torch.cat(shown)):
        assert pixels[0, 0, 0] == 40 * tile.top + tile.left


def slot(x: float, y: float, confidence: float, half: float = 2.0) -> FoundObject:
    """At a column and row of its tile."""
    window = ((x - half, y - half), (x + half, y - half), (x + half, y + half), (x - half, y + half))
    pose = {"x": x / 6 - 1, "y": y / 4.5 - 1, "scale": 0.3}
    return FoundObject(None, None, (1.0,), pose, dict.fromkeys(pose, 0.1), window, None, confidence)  # type: ignore[arg-type]


def prediction(*slots: FoundObject) -> Prediction:
    there = tuple(found for found in slots if found.confidence > 0.5)
    return Prediction(WIDTH, HEIGHT, len(there), (1.0,), there, slots)


def test_the_number_is_that_of_independent_slots() -> None:
    """One object of 0.9 and one of 0.6 in two tiles, and slots of 0.2 that are likelier absent."""
    tiles = [Tile(0, 0, (12, 9), (20, 9)), Tile(8, 0, (12, 9), (20, 9))]
    seen = [prediction(slot(3, 4, 0.9), slot(5, 7, 0.2)), prediction(slot(8, 4, 0.6))]
    told = merged(tiles, seen, 4, all_slots=True)
    assert told.count == 2 and [found.confidence for found in told.slots or ()] == [0.9, 0.6, 0.2]
    expected = [0.1 * 0.4 * 0.8, 0.9 * 0.4 * 0.8 + 0.1 * 0.6 * 0.8 + 0.1 * 0.4 * 0.2]
    assert told.count_probabilities[:2] == pytest.approx(expected)
    assert sum(told.count_probabilities) == pytest.approx(1) and len(told.count_probabilities) == 4
    pose, sd = told.objects[1].pose, told.objects[1].pose_sd
    assert pose == pytest.approx({"x": 16 / 10 - 1, "y": 4 / 4.5 - 1, "scale": 0.3}, rel=1e-5)
    assert sd == pytest.approx({"x": 0.06, "y": 0.1, "scale": 0.1})
    assert merged(tiles, seen, 4, all_slots=False).slots is None


def test_a_seam_leaves_one_of_two_sightings_and_both_of_two_objects() -> None:
    """The overlap is columns 8 to 11, its middle 10: what lies there may be seen by both tiles, a little apart."""
    tiles = [Tile(0, 0, (12, 9), (20, 9)), Tile(8, 0, (12, 9), (20, 9))]
    twice = merged(tiles, [prediction(slot(9.7, 4, 0.9)), prediction(slot(2.4, 4, 0.8))], 4, True)
    assert [found.window[0][0] + 2 for found in twice.objects] == [pytest.approx(10.4)]
    two = merged(tiles, [prediction(slot(9.7, 2, 0.9)), prediction(slot(2.4, 6, 0.8))], 4, True)
    assert two.count == 2
    missed = merged(tiles, [prediction(slot(11.5, 4, 0.9)), prediction(slot(0.5, 4, 0.8))], 4, True)
    assert missed.count == 0  # each beyond its own half: the other tile would see it whole


# ---- the command


def test_the_command_works_in_tiles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", DISCS, sure=20.0)
    np.save(tmp_path / "wide.npy", np.zeros((40, 75, 3), np.uint8))
    np.save(tmp_path / "small.npy", np.zeros((20, 75, 3), np.uint8))
    arguments = ["--run_dir", run, "--output", tmp_path / "out", "--tiles", 8, "--overlay"]
    with pytest.raises(SystemExit) as ended:
        main(["predict", *map(str, arguments), "--input", str(tmp_path / "wide.npy"), str(tmp_path / "small.npy")])
    told = capsys.readouterr().err
    assert ended.value.code == 1 and "scaled" not in told.replace("have it scaled, without tiles", "")
    assert "an image of 75x20 pixels (width x height) holds no tile of the model's size, 32x32: fill it up" in told
    (line,) = (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()
    row: dict[str, Any] = json.loads(line)
    assert (row["width"], row["height"]) == (75, 40) and row["count"] == len(row["objects"])
    assert all(0 <= x <= 75 and 0 <= y <= 40 for found in row["objects"] for x, y in [np.mean(found["window"], 0)])


@pytest.mark.parametrize(
    ("renderer", "overlap", "message"),
    [
        (
            Blobs,
            -1,
            "fewer than the model's images have (12x9, width x height), got -1: about the width of the largest",
        ),
        (Blobs, 9, "got 9: about the width of the largest object"),
        (
            partial(MeshRenderer, image_size=(32, 32)),
            8,
            "and MeshRenderer has x, z, yaw: leave tiles out, images are then",
        ),
    ],
)
def test_what_cannot_be_tiled_is_refused(renderer: Any, overlap: int, message: str) -> None:
    drawing: Renderer = renderer()
    with pytest.raises(ValueError, match=re.escape(message)):
        check_tiles(drawing, overlap)


def test_tiles_have_no_median_in_common(tmp_path: Path) -> None:
    found = Model.load(write_run(tmp_path / "run", GLIMPSES, sure=20.0))
    found.replace_background(MedianBackground())
    with pytest.raises(
        ValueError, match="^MedianBackground looks at the images that are given, and tiles of them show "
    ):
        found.work_in_tiles(4)
