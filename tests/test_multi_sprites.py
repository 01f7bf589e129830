"""MultiSprites: coloured shapes with boxes and masks, apart or partly hidden."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser

from datamodules import Batch, MultiSprites, SceneDataModule
from datamodules.canvas import check_room, whole_numbers
from datamodules.multi_sprites import COLORS, SHAPES, coverage

ALL = tuple(SHAPES)


def batch(module: MultiSprites, split: str = "train", n: int = 48) -> Batch:
    shown = module.scenes(split).__getitems__(list(range(n)))
    assert shown.boxes is not None and shown.masks is not None
    return shown


def boxes_of(shown: Batch, row: int) -> list[list[int]]:
    assert shown.boxes is not None
    return shown.boxes[row, : int(shown.count[row])].int().tolist()


def test_a_scene_is_a_function_of_its_number() -> None:
    together = MultiSprites(occlusion=0.3).scenes("val").__getitems__([3, 0, 900])
    alone = MultiSprites(occlusion=0.3).scenes("val")[900]
    for whole, one in zip(together, alone):
        assert (whole is None) == (one is None)
        if whole is not None and one is not None:
            torch.testing.assert_close(whole[2:], one)
    assert together.masks is not None and together.boxes is not None


def test_whole_numbers_are_those_of_one_call() -> None:
    one_by_one, at_once = np.random.default_rng(3), np.random.default_rng(3)
    for start, stop, n in ((0, 55_000, 1), (20, 29, 5), (0, 1, 2), (0, 10, 0), (-4, 4, 3)):
        assert whole_numbers(one_by_one, start, stop, n) == at_once.integers(start, stop, size=n).tolist()
    assert one_by_one.random() == at_once.random()


def test_images() -> None:
    module = MultiSprites(counts=[0, 2], canvas=40, colors=["red", "cyan", "blue"])
    shown = batch(module)
    assert shown.images.shape == (48, *module.image_shape) == (48, 3, 40, 40)
    assert shown.images.min() == 0 and shown.images.max() == 1
    assert set(shown.count.tolist()) == {0, 2} and module.largest_count == 2 and module.has_truth
    assert shown.what.shape == (48, 2) and shown.where.shape == (48, 2, 3)
    assert shown.masks is not None and shown.masks.shape == (48, 2, 40, 40) and shown.masks.dtype == torch.bool
    assert (shown.images[shown.count == 0] == 0).all()


def test_boxes_are_apart_without_occlusion() -> None:
    shown = batch(MultiSprites(counts=[4], sizes=(12, 18)))
    for row in range(48):
        covered = np.zeros((64, 64), int)
        for x0, y0, x1, y1 in boxes_of(shown, row):
            covered[y0:y1, x0:x1] += 1
        assert covered.max() == 1


def test_where_fills_the_image_at_scale_one() -> None:
    shown = batch(MultiSprites(counts=[1], sizes=(64, 64), shapes=["square"]), n=2)
    torch.testing.assert_close(shown.where, torch.tensor([1.0, 0.0, 0.0]).expand(2, 1, 3))
    assert (shown.images.amax(1) > 0).all() and shown.masks is not None and shown.masks.all()


def test_where_is_right_and_down() -> None:
    shown = batch(MultiSprites(counts=[1]))
    for row in range(48):
        ((x0, y0, x1, y1),) = boxes_of(shown, row)
        scale, x, y = shown.where[row, 0].tolist()
        assert (32 * (x + 1), 32 * (y + 1), 64 * scale) == pytest.approx(((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0))


def test_identities_are_places_among_the_shapes() -> None:
    names = ["disc", "cross"]
    shown = batch(MultiSprites(counts=[1], shapes=names))
    for row in range(48):
        ((x0, y0, x1, y1),) = boxes_of(shown, row)
        share = shown.images[row].amax(0)[y0:y1, x0:x1] > 0.5
        expected = coverage(names[int(shown.what[row, 0])], x1 - x0) > 0.5
        assert (share.numpy() == expected).mean() > 0.98


def test_masks_are_what_one_sees() -> None:
    shown = batch(MultiSprites(counts=[3, 4], sizes=(16, 26), occlusion=0.5, shapes=ALL))
    assert shown.masks is not None
    assert (shown.masks.sum(1) <= 1).all()
    hidden = 0
    for row in range(48):
        for slot, (x0, y0, x1, y1) in enumerate(boxes_of(shown, row)):
            mask = shown.masks[row, slot]
            whole = (coverage(ALL[int(shown.what[row, slot])], x1 - x0) >= 0.5).sum()
            assert mask[y0:y1, x0:x1].sum() == mask.sum() >= 0.5 * whole
            hidden += int(mask.sum() < whole)
            colors = shown.images[row][:, mask].T
            nearest = torch.cdist(colors, torch.tensor(list(COLORS.values()))).argmin(1)
            assert (nearest == nearest.mode().values).float().mean() > 0.85  # edges are mixed
    assert hidden > 20


@pytest.mark.parametrize(
    "shape, share", [("square", 1), ("triangle", 0.5), ("disc", np.pi / 4), ("diamond", 0.5), ("cross", 5 / 9)]
)
def test_shapes_cover_their_share_of_their_box(shape: str, share: float) -> None:
    drawn = coverage(shape, 24)
    assert drawn.mean() == pytest.approx(share, abs=0.015)
    assert all(edge.max() > 0 for edge in (drawn[0], drawn[-1], drawn[:, 0], drawn[:, -1]))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"shapes": ["disc", "pear"]}, r"shapes must be different ones of square, .* got \['disc', 'pear'\]"),
        ({"colors": []}, r"colors must be different ones of red, .* got \[\]"),
        ({"colors": ["red", "red"]}, r"got \['red', 'red'\]"),
        ({"sizes": (3, 9)}, r"sizes must be a pair 4 <= smallest <= largest, got \[3, 9\]"),
        ({"occlusion": 1.0}, r"occlusion must lie in \[0, 1\), got 1.0"),
        ({"counts": [26]}, "26 objects of at least 12 pixels cannot lie apart on a canvas of 64x64, at most 25 can"),
        (
            {"counts": [16], "sizes": (16, 16)},
            "could not place 16 objects without overlap on a canvas of 64x64, or not",
        ),
        ({"counts": [60], "occlusion": 0.2}, "could not place 60 objects hiding at most 20% of each"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MultiSprites(**arguments)


def test_room_is_exact_for_equal_squares() -> None:
    check_room(4, (5, 5), 20, 0.0)
    with pytest.raises(ValueError, match="5 objects of at least 10 pixels .* at most 4 can"):
        check_room(5, (10, 10), 20, 0.0)


@pytest.mark.parametrize(
    "name, arguments",
    [
        ("MultiSprites", {"counts": [1, 2], "sizes": [10, 12], "occlusion": 0.1}),
        ("MultiMNIST", {"counts": [0, 1, 3], "root": "somewhere", "sizes": [20, 28]}),
        ("Omniglot", {"subset": "small2", "size": 32}),
        ("ImageFolder", {"folder": "somewhere", "resize": [32, 48], "color": True}),
    ],
)
def test_yaml_names_the_module(name: str, arguments: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # jsonargparse's own deprecations
        parser = ArgumentParser()
        parser.add_subclass_arguments(SceneDataModule, "data")
        parsed = parser.parse_object({"data": {"class_path": f"datamodules.{name}", "init_args": arguments}})
    given = {key: parsed.data.init_args[key] for key in arguments}
    assert {key: list(v) if isinstance(v, tuple) else v for key, v in given.items()} == arguments


def test_test_scenes_may_have_counts_of_their_own() -> None:
    module = MultiSprites(counts=[0, 1], test_counts=[3], sizes=(6, 8))
    shown = {split: module.scenes(split).__getitems__(list(range(40))) for split in ("train", "val", "test", "predict")}
    assert {split: set(batch.count.tolist()) for split, batch in shown.items()} == {
        "train": {0, 1}, "val": {0, 1}, "test": {3}, "predict": {3},
    }  # fmt: skip
    assert module.largest_count == 3
    assert all(batch.what.shape == (40, 3) for batch in shown.values())


def test_test_counts_must_fit_too() -> None:
    with pytest.raises(ValueError, match=r"lower the largest of `counts`"):
        MultiSprites(counts=[0, 1], test_counts=[60])
