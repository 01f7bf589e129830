"""Truth for images from elsewhere: what its files may say, what batches then hold, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from disc_plugin import Discs
from PIL import Image
from test_module import MODULE, trainer
from test_module import pytestmark as pytestmark

from air_lightning.metrics.evaluation import Evaluation, InferredScenes, figure_names
from air_lightning.model.refinement import Refinement
from datamodules import Batch, ImageFolder, SceneDataModule, Scenes
from renderers import GlimpseRenderer, MeshRenderer

SIZE = (8, 10)
"""Height and width of the images."""


def fill(folder: Path, names: tuple[str, ...] = ("a.png", "b.png", "below/a.png", "c.png")) -> str:
    for i, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full(SIZE, 10 * (i + 1), np.uint8)).save(folder / name)
    return str(folder)


def cube(x: float, **more: Any) -> dict[str, Any]:
    return {"kind": "cube", "x": x, "z": 0.5, "yaw": 0.25, **more}


SCENES = {
    "images": [
        {"file": "below/a.png", "count": 2, "objects": [cube(1.0), cube(-1.0, kind="sphere", yaw=None)]},
        {"file": "b.png", "objects": []},
        {"file": "a.png", "objects": [cube(0.0)]},
        {"file": "c.png", "count": 1, "objects": [cube(0.5)]},
    ]
}
COCO = {
    "images": [{"id": 7 + i, "file_name": name} for i, name in enumerate(("a.png", "b.png", "below/a.png", "c.png"))],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 3, "bbox": [1, 2, 4, 3]},
        {"id": 2, "image_id": 9, "category_id": 5, "bbox": [0, 0, 10, 8]},
        {"id": 3, "image_id": 9, "category_id": 3, "bbox": [5, 4, 5, 4], "iscrowd": 0},
    ],
    "categories": [{"id": 3, "name": "cube"}, {"id": 5, "name": "sphere"}],
}


def folder_with(tmp_path: Path, truth: Any, **more: Any) -> ImageFolder:
    path = tmp_path / "truth.json"
    path.write_text(truth if isinstance(truth, str) else json.dumps(truth))
    return ImageFolder(fill(tmp_path / "images"), truth=str(path), **{"test_share": 1.0, **more})


def by_grey(module: ImageFolder) -> dict[int, Any]:
    """What the test batch says of each image, by its grey value."""
    batch = module.scenes("test").__getitems__([0, 1, 2, 3])
    greys = (batch.images[:, 0, 0, 0] * 255).round().int().tolist()
    return {grey: [None if part is None else part[row] for part in batch] for row, grey in enumerate(greys)}


def test_scenes_reach_their_images(tmp_path: Path) -> None:
    module = folder_with(tmp_path, SCENES)
    assert module.has_truth and module.has_identities and module.largest_count == 2 and module.extras == ()
    assert module.coordinates(MeshRenderer()) == ("x", "z", "yaw")
    assert [module.scene_count(split) for split in ("train", "val", "test")] == [0, 0, 4]
    told = by_grey(module)
    assert {grey: int(row[1]) for grey, row in told.items()} == {10: 1, 20: 0, 30: 2, 40: 1}
    _, _, what, where, boxes, *_ = told[30]
    assert what.tolist() == [0, 1] and boxes is None  # by name, where there is no renderer
    assert where[0].tolist() == [1.0, 0.5, 0.25] and where[1, 2].isnan()


def test_identities_are_the_renderers_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = folder_with(tmp_path, SCENES)
    monkeypatch.setattr(module, "_renderer", MeshRenderer)
    assert by_grey(module)[30][2].tolist() == [MeshRenderer().what.names.index(name) for name in ("cube", "sphere")]
    assert module.extent == pytest.approx(3.8)


def test_coco_boxes_are_scaled_with_their_images(tmp_path: Path) -> None:
    module = folder_with(tmp_path, COCO, resize=(16, 30))
    assert module.extras == ("boxes",) and module.coordinates(MeshRenderer()) == () and module.extent == 2
    told = by_grey(module)
    assert {grey: int(row[1]) for grey, row in told.items()} == {10: 1, 20: 0, 30: 2, 40: 0}
    assert told[10][4][0].tolist() == [3, 4, 15, 10]
    assert told[30][4].tolist() == [[0, 0, 30, 16], [15, 8, 30, 16]]


@pytest.mark.parametrize(
    "named", ["images/below/a.png", "{}/images/below/a.png", "./below/a.png", "../images/below/a.png", "below//a.png"]
)
def test_images_are_named_by_the_end_of_their_paths(tmp_path: Path, named: str) -> None:
    told = without(lambda t: t["images"][0].update(file=named.format(tmp_path)))
    assert {grey: int(row[1]) for grey, row in by_grey(folder_with(tmp_path, told)).items()}[30] == 2


def test_what_is_told_of_files_left_out_is_not_used(tmp_path: Path) -> None:
    module = folder_with(tmp_path, SCENES, files="[ac].png")
    batch = module.scenes("test").__getitems__([0, 1])
    assert sorted(zip((255 * batch.images[:, 0, 0, 0]).round().tolist(), batch.count.tolist())) == [(10, 1), (40, 1)]
    assert folder_with(tmp_path, COCO, files="below/*").largest_count == 2
    told = without(lambda t: t["images"][1].update(file="d.png"))
    with pytest.raises(ValueError, match=r"tells of d\.png, which is not in folder"):
        folder_with(tmp_path, told, files="[ac].png")


def test_ends_of_paths_are_of_one_image_alone(tmp_path: Path) -> None:
    fill(tmp_path / "images", ("x/below/d.png", "y/below/d.png"))
    told = without(lambda t: t["images"].append({"file": "below/d.png", "count": 1}))
    with pytest.raises(
        ValueError, match=r"tells of below/d\.png, which is 2 times in folder='.*': give its path below"
    ):
        folder_with(tmp_path, told)


def test_counts_alone(tmp_path: Path) -> None:
    module = folder_with(tmp_path, {"images": [{"file": s["file"], "count": 3} for s in SCENES["images"]]})
    assert module.has_truth and not module.has_identities and module.largest_count == 3
    batch = module.scenes("test").__getitems__([0])
    assert batch.count.tolist() == [3] and (batch.what == -1).all() and batch.where.shape == (1, 3, 0)


def test_the_images_of_an_array_and_what_predict_writes(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    np.save(tmp_path / "images" / "stack.npy", np.arange(3, dtype=np.uint8)[:, None, None].repeat(4, 1).repeat(5, 2))
    images = [{"id": i, "file_name": f"images/stack.npy#{i}", "index": i} for i in range(3)]
    marks = [{"id": 1, "image_id": 2, "category_id": 1, "bbox": [0, 0, 1, 1]}]
    path = tmp_path / "t.json"
    path.write_text(json.dumps({"images": images, "annotations": marks, "categories": [{"id": 1, "name": "object"}]}))
    batch = ImageFolder(str(tmp_path / "images"), truth=str(path)).scenes("train").__getitems__([0])
    assert int(batch.count) == int(int((batch.images[0, 0, 0, 0] * 255).round()) == 2)


def test_training_batches_have_a_truth_that_validation_counts(tmp_path: Path) -> None:
    module = folder_with(tmp_path, SCENES, test_share=0.25, val_share=0.25, batch_size=2)
    assert [len(batch.count) for batch in module.val_dataloader()] == [1]
    assert (next(iter(module.train_dataloader())).count >= 0).all()


def test_a_folder_to_measure_on_trains_nothing(tmp_path: Path) -> None:
    module = folder_with(tmp_path, SCENES)
    with pytest.raises(ValueError, match=r"test_share=1 makes all images of folder='.*images' test images and leaves"):
        module.check_shares("val", 1)
    module.check_shares("test", 1)


def without(change: Callable[[dict[str, Any]], Any], truth: dict[str, Any] = SCENES) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(truth))
    change(copy)
    return copy


@pytest.mark.parametrize(
    "truth, message",
    [
        ("no json", r"truth='.*truth\.json': Expecting value"),
        (
            [1, 2],
            r"truth\.json': expected JSON \{\"images\": \[\{\"file\": ..., \"objects\": \[...\]\}, ...\]\}, COCO's",
        ),
        ({"images": []}, "it tells of no images: give an entry for each image in the folder"),
        ({"scenes": []}, "it tells of no images: give an entry for each image in the folder"),
        ({"images": [], "annotations": [], "categories": []}, "it tells of no images"),
        (without(lambda t: t["images"].pop()), r"says nothing of 1 of the 4 images in folder='.*' \(c\.png first\)"),
        (without(lambda t: t["images"][1].update(file="d.png")), r"tells of d\.png, which is not in folder='.*'"),
        (
            without(lambda t: t["images"][1].update(file="x/b.png")),
            r"tells of x/b\.png, which is not in folder='.*': correct its folders, which are not those of b\.png",
        ),
        (without(lambda t: t["images"][1].update(file="c.png")), r"tells of c\.png twice: leave one out"),
        (without(lambda t: t["images"][0].update(count=3)), "image 'below/a.png' has the count 3 and 2 objects"),
        (without(lambda t: t["images"][0].update(count=-1)), "image 'below/a.png' has the count -1"),
        (
            without(lambda t: t["images"][0]["objects"][0].update(x="far")),
            "object 1 of image 'below/a.png' has x='far': a coord",
        ),
        (
            without(lambda t: t["images"][0]["objects"][1].update(x=float("nan"))),
            "object 2 of image .* has x=nan: a coo",
        ),
        (without(lambda t: t["images"][0].update(count=True)), "image 'below/a.png' has the count True"),
        (without(lambda t: t["images"][1].pop("file")), "entry 2 of `images` has no `file`"),
        (
            without(lambda t: t["images"].append(7)),
            "entry 5 of `images` is not as the format has it: expected .*, found 7",
        ),
        (
            without(lambda t: t["images"][0].update(objects=[7, 7])),
            "object 1 of image 'below/a.png' is not as the format has",
        ),
        (
            without(lambda t: t["images"][0]["objects"][0].update(attributes=7)),
            "object 1 of image 'below/a.png' is not as",
        ),
        (
            without(lambda t: t["images"][0].update(index="two")),
            "image 'below/a.png' has the index 'two': expected a whole number from 0 on",
        ),
        ("[" * 100_000, "its lists lie too deep in one another"),
        (without(lambda t: t["images"][0]["objects"][0].pop("z")), "gives poses by x, z, yaw and by x, yaw: give all"),
        (
            without(lambda t: t["images"][0]["objects"][0].pop("kind")),
            "tells the identity of some objects and not of others",
        ),
        (without(lambda t: t["images"][0]["objects"][0].update(box=[1, 2])), r"has the box \[1, 2\]: expected x0, y0"),
        (
            without(lambda t: t["images"][0]["objects"][0].update(box=[1, 2, 3, "a"])),
            r"has the box \[1, 2, 3, 'a'\]: exp",
        ),
        (
            without(lambda t: t["images"][0]["objects"][0].update(box=[3, 2, 1, 4])),
            "expected x0, y0, x1, y1, the upper",
        ),
        (without(lambda t: t["annotations"][0].update(image_id=1), COCO), "annotation 1 is of image_id 1, which"),
        (without(lambda t: t["annotations"][0].update(category_id=1), COCO), "annotation 1 has category_id 1, not in"),
        (without(lambda t: t["annotations"][0].update(iscrowd=1), COCO), "annotation 1 is a crowd"),
        (without(lambda t: t["images"][0].update(id=8), COCO), "two images have the id 8"),
        (without(lambda t: t["annotations"][0].pop("bbox"), COCO), "entry 1 of `annotations` has no `bbox`"),
        (without(lambda t: t["categories"][0].pop("name"), COCO), "entry 1 of `categories` has no `name`"),
        (without(lambda t: t["images"][0].pop("id"), COCO), "entry 1 of `images` has no `id`"),
        (without(lambda t: t.update(annotations=None), COCO), "`annotations` must be a list, found NoneType"),
    ],
)
def test_files_that_do_not_tell_the_truth(tmp_path: Path, truth: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        folder_with(tmp_path, truth)


def test_a_truth_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"truth='.*none\.json': .*No such file"):
        ImageFolder(fill(tmp_path / "images"), truth=str(tmp_path / "none.json"))


@pytest.mark.parametrize(
    "renderer, change, message",
    [
        (Discs, lambda t: None, "has objects of the identity 'cube', Discs draws .*: rename them in the file"),
        (
            lambda: GlimpseRenderer((1, *SIZE), what=2, glimpse=4, hidden=4),
            lambda t: None,
            r"gives poses by x, z, yaw, GlimpseRenderer has scale, x, y: give its coordinates, in its units, or none",
        ),
        (
            MeshRenderer,
            lambda t: [thing.pop("z") for image in t["images"] for thing in image["objects"]],
            "gives poses by x, yaw, MeshRenderer has x, z, yaw",
        ),
        (
            MeshRenderer,
            lambda t: t["images"][0]["objects"][1].update(z=None),
            "has an object without z: only rotations",
        ),
    ],
)
def test_a_truth_of_another_world(tmp_path: Path, renderer: Any, change: Any, message: str) -> None:
    module = folder_with(tmp_path, without(change))
    with pytest.raises(ValueError, match=message):
        module.coordinates(renderer())
    assert torch.equal(module.scenes("test").__getitems__([0]).count, module.scenes("test")[0].count)


# ---- what is measured

PLACES = [[-0.5, -0.25], [0.5, 0.5]]
IDENTITIES = ["red", "blue"]
COUNTS = {"count_accuracy", "over_count", "under_count", "expected_count", "true_count", "count_log_loss"}
POSITIONS = {"position_error", "position_error_share", "position_error_mean", "scene_accuracy"}
POSITIONS |= {"stated_precision", "precision", "recall", "calibration_error"}
COVERAGE = {"coverage50", "coverage90"}
NAMED = {"identity_accuracy", "identity_calibration_error"}
BOXES = {"box_ap", "box_ap50", "box_ap75"}


def drawn(tmp_path: Path, truth: Callable[[int, Any], dict[str, Any] | None]) -> ImageFolder:
    """Three times the same two discs; truth: what is told of an object, by its number and box; None: nothing at all."""
    renderer = Discs()
    what, where = torch.tensor([[2, 0]]), torch.tensor([PLACES])
    image = (renderer.render(what, where)[0, 2] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    objects = [truth(i, box) for i, box in enumerate(renderer.boxes(what, where)[0].tolist())]
    (tmp_path / "images").mkdir()
    for i in range(3):
        Image.fromarray(image).save(tmp_path / "images" / f"{i}.png")
    content = {
        "images": [{"file": f"{i}.png", "count": 2} | ({"objects": objects} if objects[0] else {}) for i in range(3)]
    }
    (tmp_path / "t.json").write_text(json.dumps(content))
    told = str(tmp_path / "t.json") if objects[0] is not None else None
    return ImageFolder(str(tmp_path / "images"), truth=told, color=True, test_share=1.0)


@pytest.mark.parametrize(
    "truth, names",
    [
        (lambda i, box: {}, COUNTS),
        (
            lambda i, box: {"kind": IDENTITIES[i], "x": PLACES[i][0], "y": PLACES[i][1]},
            COUNTS | POSITIONS | COVERAGE | NAMED,
        ),
        (lambda i, box: {"x": PLACES[i][0], "y": PLACES[i][1]}, COUNTS | POSITIONS | COVERAGE),
        (lambda i, box: {"box": box}, COUNTS | POSITIONS | BOXES),
        (lambda i, box: {"kind": IDENTITIES[i], "box": box}, COUNTS | POSITIONS | BOXES | NAMED),
    ],
    ids=["counts", "poses and identities", "poses", "boxes", "boxes and identities"],
)
def test_what_is_known_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, truth: Any, names: set[str]
) -> None:
    renderer, data = Discs(), drawn(tmp_path, truth)
    monkeypatch.setattr(data, "_renderer", lambda: renderer)
    assert set(figure_names(renderer, data)) == names
    evaluation, batch = Evaluation(renderer, 2, data), data.scenes("test").__getitems__([0, 1, 2])
    for x, count in ((-0.5, 2), (-0.25, 1)):  # as it is; then one missed, and the other an eighth of the image away
        what, where = torch.tensor([[2, 0]] * 3), torch.tensor([[[x, -0.25], [0.5, 0.5]]] * 3)
        posterior = torch.eye(3)[[count] * 3].log()
        sure = torch.nn.functional.one_hot(what, 3).float() * 9
        seen = InferredScenes(torch.tensor([count] * 3), posterior, what, where, torch.full_like(where, 0.1), sure)
        evaluation.update(renderer, seen, batch)
        figures = evaluation.compute()
        assert set(figures) == names
        assert figures["count_accuracy"] == (count == 2) and figures["under_count"] == (count == 1)
        if "position_error" in names:
            assert figures["position_error"] == pytest.approx(x + 0.5, abs=1 / 32)
            assert figures["scene_accuracy"] == (count == 2)
        if "box_ap50" in names:
            assert (figures["box_ap50"] == 1) == (count == 2)


def hidden(tmp_path: Path, told: Callable[[int, Any], dict[str, Any]], place: int) -> ImageFolder:
    """The scenes of ``drawn``, and an object of which nothing shows at this place in the list."""
    drawn(tmp_path, told)
    content = json.loads((tmp_path / "t.json").read_text())
    for image in content["images"]:
        image["count"] = 3
        image["objects"].insert(place, told(1, [0, 0, 0, 0]))
    (tmp_path / "t.json").write_text(json.dumps(content))
    return ImageFolder(str(tmp_path / "images"), truth=str(tmp_path / "t.json"), color=True, test_share=1.0)


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(
    "told",
    [
        lambda i, box: {"box": box},
        lambda i, box: {"box": box, "kind": IDENTITIES[i]},
        lambda i, box: {"box": box, "kind": IDENTITIES[i], "x": PLACES[i][0], "y": PLACES[i][1]},
    ],
    ids=["boxes", "identities", "poses"],
)
def test_what_does_not_show_counts_and_has_no_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Any, place: int
) -> None:
    renderer, data = Discs(), hidden(tmp_path, told, place)
    monkeypatch.setattr(data, "_renderer", lambda: renderer)
    evaluation, batch = Evaluation(renderer, 3, data), data.scenes("test").__getitems__([0, 1, 2])
    what, where = torch.tensor([[2, 0, 1]] * 3), torch.tensor([[*PLACES, [0.6, -0.6]]] * 3)
    sure = torch.nn.functional.one_hot(what, 3).float() * 9
    for count in (2, 3):  # all that shows, and then one that does not
        posterior = torch.eye(4)[[count] * 3].log()
        seen = InferredScenes(torch.tensor([count] * 3), posterior, what, where, torch.full_like(where, 0.1), sure)
        evaluation.update(renderer, seen, batch)
        figures = evaluation.compute(by_count=True)
        assert figures["recall"] == 1 and figures["true_count"] == 3
        assert (figures["box_ap50"] == 1) == (count == 2)  # a box of nothing is as sure as the others
        assert figures["precision"] == pytest.approx(2 / count)
        assert figures["position_error_mean"] == pytest.approx(0, abs=1 / 32)
        assert figures["count_accuracy"] == figures["scene_accuracy"] == (count == 3)
        assert figures.get("identity_accuracy", 1) == 1
        assert [(row["count"], row["box_ap50"]) for row in evaluation.by_count] == [(3, figures["box_ap50"])]


def test_a_run_is_measured_on_a_folder_of_its_own(tmp_path: Path) -> None:
    data = drawn(tmp_path, lambda i, box: {"kind": IDENTITIES[i], "x": PLACES[i][0], "y": PLACES[i][1]})
    module = MODULE["discs"](slots=2)
    (tested,) = trainer().test(module, datamodule=data, verbose=False)
    assert {f"test/{name}" for name in COUNTS | POSITIONS} <= set(tested)
    assert data.extent == 2.0 and data.scenes("test")[0].what.tolist() == [[2, 0]]


def test_without_truth_the_evidence_before_and_after_refinement_is_told(tmp_path: Path) -> None:
    data = drawn(tmp_path, lambda i, box: None)
    module = MODULE["discs"](slots=2, refinement=Refinement(iterations=3))
    (tested,) = trainer().test(module, datamodule=data, verbose=False)
    assert set(tested) == {"test/elbo", "test/evidence_before", "test/evidence_after", "test/reconstruction_error"}
    assert tested["test/evidence_after"] > tested["test/evidence_before"]
    (plain,) = trainer().test(MODULE["discs"](slots=2), datamodule=data, verbose=False)
    assert set(plain) == {"test/elbo", "test/reconstruction_error"}


class FewScenes(Scenes):
    def __len__(self) -> int:
        return 5

    def __getitems__(self, indices: list[int]) -> Batch:
        assert max(indices) < 5
        numbers = torch.tensor(indices)
        return Batch(
            numbers.view(-1, 1, 1, 1).float(), numbers * 0, numbers[:, None] * 0, torch.zeros(len(indices), 1, 2)
        )


class Few(SceneDataModule):
    largest_count, extent = 0, 1.0  # type: ignore[assignment]

    def scenes(self, split: str) -> Scenes:
        return FewScenes()


def test_scenes_that_have_an_end_are_evaluated_once() -> None:
    data = Few(batch_size=2, train_scenes=4, val_scenes=3, test_scenes=50, seed=0)
    for loader, n in ((data.val_dataloader(), 3), (data.test_dataloader(), 5)):
        assert torch.cat([batch.images.flatten() for batch in loader]).tolist() == list(range(n))
