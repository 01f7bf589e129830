"""Truth in other people's formats: what their own libraries wrote is read, and what is damaged is named."""

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_masks

from air_lightning.metrics.evaluation import Evaluation, InferredScenes
from datamodules import ImageFolder
from datamodules.truth import read_truth, run_lengths
from datamodules.truth.folder import FolderTruth
from datamodules.truth.masks import boxes_of, fitted
from renderers import MeshRenderer

HEIGHT, WIDTH = 12, 16
SHAPES = ("cube", "sphere")
Masks = NDArray[np.bool_]


def scene(number: int) -> Masks:
    """(objects, H, W) of image ``number``, which has so many objects, up to 2; the second lies behind the first."""
    masks = np.zeros((2, HEIGHT, WIDTH), np.bool_)
    masks[0, 2:6, 3 : 9 + number] = True
    masks[1, 4:10, 6:14] = True
    masks[1] &= ~masks[0]
    return masks[:number]


def write_images(folder: Path, suffix: str = "png", n: int = 3) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        Image.fromarray(np.full((HEIGHT, WIDTH), 10 * i, np.uint8)).save(folder / f"{i:06}.{suffix}")


def labels(masks: Masks) -> NDArray[np.uint8]:
    """0 the ground, i the i-th object."""
    return (masks * np.arange(1, len(masks) + 1)[:, None, None]).sum(0).astype(np.uint8)


# ---- one set of scenes in every format; each returns the folder, the truth, and the identities' names


def polygon(mask: Masks) -> list[float]:
    """The outline of a rectangle, at the pixels' edges."""
    x0, y0, x1, y1 = boxes_of(mask[None])[0].tolist()
    return [x0, y0, x1, y0, x1, y1, x0, y1]


def plain(mask: Masks) -> dict[str, Any]:
    """COCO's run lengths, not compressed."""
    flat = mask.T.ravel().astype(int)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [1 - flat[-1]]])))
    return {"size": [HEIGHT, WIDTH], "counts": np.diff(np.concatenate([[0], edges])).tolist()}


def compressed(mask: Masks) -> dict[str, Any]:
    encoded = coco_masks.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def coco(folder: Path, segmentation: Callable[[Masks], Any] = compressed) -> Path:
    write_images(folder)
    marks: list[dict[str, Any]] = []
    for i in range(3):
        for k, mask in enumerate(scene(i)):
            x0, y0, x1, y1 = boxes_of(mask[None])[0].tolist()
            mark = {"id": len(marks) + 1, "image_id": i, "category_id": k + 1, "bbox": [x0, y0, x1 - x0, y1 - y0]}
            marks.append(mark | {"segmentation": segmentation(mask), "area": int(mask.sum()), "iscrowd": 0})
    images = [{"id": i, "file_name": f"{i:06}.png", "height": HEIGHT, "width": WIDTH} for i in range(3)]
    categories = [{"id": k, "name": name} for k, name in enumerate(SHAPES, 1)]
    path = folder.parent / "coco.json"
    path.write_text(json.dumps({"images": images, "annotations": marks, "categories": categories}))
    return path


def clevr(folder: Path, mask_name: str | None = None) -> Path:
    write_images(folder)
    scenes = []
    for i in range(3):
        name = f"{i:06}.mask.png" if mask_name is None else mask_name.format(i)
        Image.fromarray(labels(scene(i)) if i else np.zeros((HEIGHT, WIDTH), np.uint8)).save(folder / name)
        objects = [
            {"shape": SHAPES[k], "color": ("red", "blue")[k], "size": "large", "material": ("metal", "rubber")[k],
             "3d_coords": [1.0, 2.0 * k, 0.35], "rotation": 90.0, "pixel_coords": [1, 2, 3]} for k in range(i)
        ]  # fmt: skip
        named = {} if mask_name is None else {"mask_filename": name}
        scenes.append({"image_filename": f"{i:06}.png", "image_index": i, "objects": objects} | named)
    path = folder.parent / "scenes.json"
    path.write_text(json.dumps({"info": {}, "scenes": scenes}))
    return path


def bop(folder: Path) -> Path:
    home = folder / "000007"
    write_images(home / "rgb")
    write_images(home / "depth")
    (home / "mask_visib").mkdir()
    truth, info, camera = {}, {}, {}
    for i in range(3):
        marks = [
            {"obj_id": k + 1, "cam_R_m2c": R_DOWN.ravel().tolist(), "cam_t_m2c": [100.0, 0, 500]} for k in range(i)
        ]
        seen = []
        for k, mask in enumerate(scene(i)):
            Image.fromarray(mask.astype(np.uint8) * 255).save(home / "mask_visib" / f"{i:06}_{k:06}.png")
            x0, y0, x1, y1 = map(int, boxes_of(mask[None])[0])
            seen.append({"bbox_visib": [x0, y0, x1 - x0, y1 - y0], "px_count_visib": int(mask.sum()), "visib_fract": 1})
        if i == 2:  # a third, of which nothing shows
            marks.append({"obj_id": 1, "cam_R_m2c": [1, 0, 0, 0, 1, 0, 0, 0, 1], "cam_t_m2c": [0, 0, 1]})
            seen.append({"bbox_visib": [-1, -1, -1, -1], "px_count_visib": 0, "visib_fract": 0})
        truth[str(i)], info[str(i)] = marks, seen
        camera[str(i)] = {"cam_K": [1, 0, 0, 0, 1, 0, 0, 0, 1], "depth_scale": 1.0}
        camera[str(i)] |= {"cam_R_w2c": R_DOWN.ravel().tolist(), "cam_t_w2c": [0.0, 0.0, 500.0]}
    for name, content in (("gt", truth), ("gt_info", info), ("camera", camera)):
        (home / f"scene_{name}.json").write_text(json.dumps(content))
    return folder


R_DOWN = np.diag([1.0, -1.0, -1.0])
"""From a world with z upwards to a camera that looks straight down on it."""


def scenes_json(folder: Path) -> Path:
    write_images(folder)
    images = []
    for i in range(3):
        Image.fromarray(labels(scene(i)) if i else np.zeros((HEIGHT, WIDTH), np.uint8)).save(folder / f"m{i}.png")
        objects = [{"kind": SHAPES[k], "attributes": {"color": "red"}} for k in range(i)]
        images.append({"file": f"{i:06}.png", "mask": f"m{i}.png", "objects": objects})
    path = folder.parent / "truth.json"
    path.write_text(json.dumps({"images": images}))
    return path


FORMATS: dict[str, tuple[Callable[[Path], Path], tuple[str, ...]]] = {
    "coco compressed": (coco, SHAPES),
    "coco run lengths": (lambda folder: coco(folder, plain), SHAPES),
    "coco polygons": (lambda folder: coco(folder, lambda mask: [polygon(mask)]), SHAPES),
    "clevr": (clevr, SHAPES),
    "clevr, masks named": (lambda folder: clevr(folder, "seg_{}.png"), SHAPES),
    "bop": (bop, ("obj_000001", "obj_000002")),
    "scenes": (scenes_json, SHAPES),
}


def read(folder: Path, truth: Path, **more: Any) -> ImageFolder:
    return ImageFolder(str(folder), truth=str(truth), test_share=1.0, **more)


def by_count(module: ImageFolder) -> dict[int, Any]:
    """What the test batch says of the image with so many objects."""
    batch = module.scenes("test").__getitems__([0, 1, 2])
    assert (batch.images[:, 0, 0, 0] * 255).round().tolist() == [10.0 * n for n in batch.count]
    return {int(batch.count[row]): [None if part is None else part[row] for part in batch] for row in range(3)}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("memory", [1.0, 0.0])
def test_masks_boxes_and_identities_of_every_format(tmp_path: Path, form: str, memory: float) -> None:
    write, names = FORMATS[form]
    module = read(tmp_path / "images", write(tmp_path / "images"), memory=memory)
    assert module.largest_count == 2 and module.extras == ("boxes", "masks") and module.has_identities
    assert module._truth is not None and module._truth.names(None) == names  # type: ignore[attr-defined]
    for n, (_, _, what, _, boxes, masks, *_) in by_count(module).items():
        expected = scene(n)
        if (
            form == "coco polygons" and n == 2
        ):  # the outline of the second is that of all of it; the smaller is in front
            assert boxes.tolist() == boxes_of(expected).tolist() and not (masks[0] & masks[1]).any()
            continue
        assert masks[:n].numpy().tolist() == expected.tolist() and not masks[n:].any()
        assert boxes[:n].tolist() == boxes_of(expected).tolist()
        assert what[:n].tolist() == list(range(n))


@pytest.mark.parametrize("form", FORMATS)
def test_boxes_and_masks_are_scaled_with_their_images(tmp_path: Path, form: str) -> None:
    module = read(tmp_path / "images", FORMATS[form][0](tmp_path / "images"), resize=(2 * HEIGHT, WIDTH // 2))
    _, _, _, _, boxes, masks, *_ = by_count(module)[1]
    x0, y0, x1, y1 = boxes_of(scene(1))[0].tolist()
    assert boxes[0].tolist() == [x0 / 2, 2 * y0, x1 / 2, 2 * y1]
    assert torch.equal(masks[0], torch.from_numpy(scene(1)[0].repeat(2, 0)[:, 1::2]))


def test_training_reads_no_masks(tmp_path: Path) -> None:
    truth = clevr(tmp_path / "images")
    module = ImageFolder(str(tmp_path / "images"), truth=str(truth))
    assert module.scenes("train")[0].masks is None and module.scenes("val")[0].masks is not None


def test_counts_of_a_table(tmp_path: Path) -> None:
    write_images(tmp_path / "images")
    path = tmp_path / "counts.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as file:  # as spreadsheets write it
        table = csv.writer(file)
        table.writerow(["count", "file", "remark"])
        table.writerows([[n, f"{n:06}.png", "a, b"] for n in range(3)])
    module = read(tmp_path / "images", path)
    assert module.has_truth and module.extras == () and set(by_count(module)) == {0, 1, 2}


def test_another_attribute_as_identity(tmp_path: Path) -> None:
    truth = clevr(tmp_path / "images")
    module = read(tmp_path / "images", truth, identity="color")
    assert by_count(module)[2][2].tolist() == [1, 0]  # blue comes first
    assert not read(tmp_path / "images", truth, identity=None).has_identities
    with pytest.raises(ValueError, match="without the attribute 'weight', it has shape, color, size, material: give"):
        read(tmp_path / "images", truth, identity="weight")


def test_clevr_tells_colors_and_metal_to_a_renderer_that_infers_them(tmp_path: Path) -> None:
    """As images show the data set's numbers, which are linear: (173, 35, 35) is lighter."""
    truth = clevr(tmp_path / "images")
    data = ImageFolder(str(tmp_path / "images"), truth=str(truth), unit=1.0, test_share=1.0, color=True)
    renderer = MeshRenderer(list(SHAPES), image_size=(HEIGHT, WIDTH), color=(0.0, 1.0), metal=(0.0, 1.0))
    assert data.coordinates(renderer) == ("x", "z", "yaw", "red", "green", "blue", "metal") and len(data.palette) == 8
    assert data.coordinates(MeshRenderer(list(SHAPES))) == ("x", "z", "yaw")
    content = read_truth(truth)
    files = [(tmp_path / "images" / f"{i:06}.png", 0) for i in range(3)]
    arrays = FolderTruth(content, tmp_path / "images", files, np.array([[WIDTH, HEIGHT]] * 3), unit=1.0)
    where = arrays.arrays(renderer, (HEIGHT, WIDTH)).where
    assert where[2, :, 3:] == pytest.approx(np.array([[0.842, 0.406, 0.406, 1], [0.442, 0.578, 0.928, 0]]), abs=0.002)


@pytest.mark.parametrize(
    "name, value, said",
    [
        (
            "color",
            "pink",
            r"object 1 of 000001\.png has the color 'pink', CLEVR has gray, red, .*: what is inferred of the",
        ),
        ("color", None, r"object 1 of 000001\.png has no color, CLEVR has"),
        ("material", "glass", r"object 1 of 000001\.png has the material 'glass', CLEVR has rubber, metal: what is"),
    ],
)
def test_clevr_with_other_colors_says_that_they_are_not_measured(
    tmp_path: Path, name: str, value: str | None, said: str
) -> None:
    path = clevr(tmp_path / "images")
    change(path, lambda t: t["scenes"][1]["objects"][0].update({name: value}))
    if value is None:
        change(path, lambda t: t["scenes"][1]["objects"][0].pop(name))
    with pytest.warns(UserWarning, match=rf"truth='.*scenes\.json': {said}"):
        told = read_truth(path)
    assert bool(told.palette) == (name != "color") and bool(told.materials) == (name != "material")


def test_clevr_without_colors_says_nothing(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    path = clevr(tmp_path / "images")
    change(path, lambda t: [thing.pop("color") for scene in t["scenes"] for thing in scene["objects"]])
    assert not read_truth(path).palette and not recwarn


@pytest.mark.parametrize("form, unit", [("clevr", 1.0), ("bop", 0.01)])
def test_places_in_a_files_world_are_poses_where_its_unit_is_given(tmp_path: Path, form: str, unit: float) -> None:
    truth = FORMATS[form][0](tmp_path / "images")
    module = read(tmp_path / "images", truth, unit=unit, identity=None)
    assert module.coordinates(MeshRenderer()) == ("x", "z", "yaw")
    _, _, _, where, *_ = by_count(module)[2]
    expected = [[1, 0, math.pi / 2], [1, -2, math.pi / 2]] if form == "clevr" else [[1, 0, 0], [1, 0, 0]]
    torch.testing.assert_close(where, torch.tensor(expected, dtype=torch.float32))
    with pytest.raises(ValueError, match="unit must be a positive length in the renderer's unit, got 0.0: 0.001 of"):
        read(tmp_path / "images", truth, unit=0.0)


def test_bops_symmetries(tmp_path: Path) -> None:
    quarter = [0, -1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    half, other = [-1, 0, 0, 0, 0, -1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1], [1, 0, 0, 0, 0, -1, 0, 0, 0, 0, -1, 0, 0, 0, 0, 1]
    three = [0, 1, 0, 0, -1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    models = {
        "1": {"diameter": 1, "symmetries_continuous": [{"axis": [0, 0, 1], "offset": [0, 0, 0]}]},
        "2": {"symmetries_discrete": [quarter, half, other, three]},
        "3": {"symmetries_continuous": [{"axis": [1, 0, 0], "offset": [0, 0, 0]}]},
    }
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "models_info.json").write_text(json.dumps(models))
    told = read_truth(bop(tmp_path / "test"))
    assert told.periods == {"obj_000001": 0, "obj_000002": math.pi / 2, "obj_000003": math.tau}
    turns = [thing.placed and thing.placed.turn for thing in told.scenes[2].objects]
    assert turns == [None, pytest.approx(0)]


def test_one_of_bops_scenes_alone_and_without_info(tmp_path: Path) -> None:
    home = bop(tmp_path / "test") / "000007"
    (home / "scene_gt_info.json").unlink()
    Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint8)).save(home / "mask_visib" / "000002_000002.png")
    module = read(home, home)
    batch = module.scenes("test").__getitems__([0, 1, 2])
    assert sorted(batch.count.tolist()) == [0, 1, 3] and batch.boxes is not None  # nobody says that nothing shows of it


def test_files_by_a_pattern(tmp_path: Path) -> None:
    bop(tmp_path / "test")
    module = ImageFolder(str(tmp_path / "test"), files="*/rgb/*")
    assert sum(len(module.scenes(split)) for split in ("train", "val", "test")) == 3
    with pytest.raises(ValueError, match=r"none of the 9 files in folder='.*' matches files='x/\*' \("):
        ImageFolder(str(tmp_path / "test"), files="x/*")


@pytest.mark.parametrize("seed", range(4))
def test_run_lengths_are_pycocotools(seed: int) -> None:
    mask = np.random.default_rng(seed).random((37, 53)) < (0.5, 0.01, 0.99, 0)[seed]
    for form in (compressed, plain):
        size = {"size": list(mask.shape)}
        assert np.array_equal(run_lengths.decoded(form(mask) | size), mask)


def test_a_pixel_of_two_objects_goes_to_the_smaller() -> None:
    masks = np.zeros((2, 4, 4), np.bool_)
    masks[0], masks[1, 1:3, 1:3] = True, True
    apart = fitted(masks, (4, 4))
    assert np.array_equal(apart[1], masks[1]) and apart.sum(0).max() == 1 and apart[0].sum() == 12


# ---- what cannot be


def change(path: Path, edit: Callable[[Any], Any]) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "edit, message",
    [
        (lambda t: t["annotations"][0].pop("segmentation"), "annotation 1 has no segmentation and others have"),
        (
            lambda t: t["annotations"][0]["segmentation"].update(size=[16, 12]),
            r"annotation 1 has run lengths of the size \[16, 12\], its image is \[12, 16\] \(height, width\)",
        ),
        (
            lambda t: t["annotations"][0].update(segmentation=[[1, 2, 3, 4, 5]]),
            "annotation 1 has a polygon of 5 numbers: expected x, y of three corners or more",
        ),
        (lambda t: t["annotations"][0].update(segmentation=[[1, 2, 3, 4]]), "annotation 1 has a polygon of 4 numbers"),
        (
            lambda t: t["annotations"][0].update(segmentation={"size": [12, 16], "counts": [3, 4]}),
            r"annotation 1: its run lengths cover 7 pixels, and its size 12x16 \(height x width\) has 192",
        ),
        (
            lambda t: t["annotations"][0]["segmentation"].update(counts="~"),
            "annotation 1: its run lengths hold the character '~'",
        ),
        (
            lambda t: t["annotations"][0]["segmentation"].update(counts="`"),
            "annotation 1: its run lengths end in the middle of a number",
        ),
        (
            lambda t: t["annotations"][0]["segmentation"].update(counts="o" * 20 + "0"),
            r"annotation 1: its run lengths cover \d{26,} pixels",
        ),
        (lambda t: t["annotations"][0]["segmentation"].pop("counts"), "annotation 1 has no `counts`"),
        (
            lambda t: t["annotations"][0]["segmentation"].update(counts=[1.5, 190.5]),
            r"annotation 1 has run lengths of the counts \[1\.5, 190\.5\]: expected text, or a list of whole numbers",
        ),
        (
            lambda t: t["annotations"][0].update(segmentation="here"),
            "annotation 1 has the segmentation 'here': expected polygons, or run lengths",
        ),
        (
            lambda t: t["annotations"][0].update(segmentation=[[1, 1, 4, 1, 4, None]]),
            r"annotation 1 has the polygon \[1, 1, 4, 1, 4, None\]: expected finite numbers",
        ),
        (
            lambda t: t["annotations"][0].update(segmentation=[[1, 1, 4, 1, 4, 200]]),
            r"annotation 1 has a polygon with the corner 4, 200, far outside its image of 12x16 \(height x width\)",
        ),
        (
            lambda t: t["annotations"][0].update(segmentation={"size": [12, 16], "counts": [0.5] * 999}),
            r"of the counts \[(0\.5, ){12}\.\.\.\]: expected text",
        ),
        (lambda t: t["annotations"][0].update(segmentation=[7]), "annotation 1 is not as the format has it: "),
        (lambda t: t["images"][1].pop("height"), "entry 2 of `images` has no `height`"),
        (lambda t: t["annotations"][0].update(bbox=[1, 2, 3]), r"annotation 1 has the bbox \[1, 2, 3\]: expected x, y"),
        (lambda t: t["annotations"][0].update(bbox=[1, 2, -3, 4]), r"has the bbox \[1, 2, -3, 4\]"),
        (lambda t: t["annotations"][0].update(category_id=9), "annotation 1 has category_id 9, not in `categories`"),
        (lambda t: t["images"][1].update(file_name="9.png"), "tells of 9.png, which is not in folder="),
        (
            lambda t: (
                t["images"][1].update(height=6),
                t["annotations"][0].update(segmentation=[[1, 1, 4, 1, 4, 4]]),
            ),
            r"as of an image of 16x6 \(width x height\), and .*000001\.png has 16x12: masks are not scaled",
        ),
    ],
)
def test_coco_files_that_cannot_be(tmp_path: Path, edit: Any, message: str) -> None:
    path = coco(tmp_path / "images")
    change(path, edit)
    with pytest.raises(ValueError, match=f"truth='.*coco.json'.*{message}"):
        read(tmp_path / "images", path).scenes("test").__getitems__([0, 1, 2])


@pytest.mark.parametrize(
    "edit, message",
    [
        (lambda t: t["scenes"][1].update(image_filename="x.png"), "tells of x.png, which is not in folder="),
        (lambda t: t["scenes"][1]["objects"][0].pop("shape"), "object 1 of 000001.png has no `shape`"),
        (
            lambda t: t["scenes"][1]["objects"][0].update(rotation="left"),
            "object 1 of 000001.png has the rotation 'left': expected degrees",
        ),
        (
            lambda t: t["scenes"][1]["objects"][0].update({"3d_coords": 7}),
            "object 1 of 000001.png has the 3d_coords 7: ",
        ),
        (lambda t: t["scenes"][1].pop("objects"), "entry 2 of `scenes` has no `objects`"),
        (lambda t: t["scenes"][1].update(objects=[7]), "object 1 of 000001.png is not as the format has it: "),
        (lambda t: t["scenes"][1].pop("image_filename"), "entry 2 of `scenes` has no `image_filename`"),
        (
            lambda t: t["scenes"][2].update(mask_filename="m.png"),
            r"1 of 2 files with masks are not there \(.*m\.png first\)",
        ),
        (
            lambda t: t["scenes"][2]["objects"].pop(),
            r"000002\.mask\.png has the value 2, and its scene 1 objects: 0 is the ground, i the i-th object",
        ),
    ],
)
def test_clevr_files_that_cannot_be(tmp_path: Path, edit: Any, message: str) -> None:
    path = clevr(tmp_path / "images")
    change(path, edit)
    with pytest.raises(ValueError, match=f"truth='.*scenes.json'.*{message}"):
        read(tmp_path / "images", path).scenes("test").__getitems__([0, 1, 2])


def test_masks_that_are_not_there_or_no_masks(tmp_path: Path) -> None:
    path = clevr(tmp_path / "images")
    mask = tmp_path / "images" / "000001.mask.png"
    for content, message in (
        (np.zeros((HEIGHT, WIDTH, 3), np.uint8), r"the mask .*000001\.mask\.png must be grey or have a palette, found"),
        (np.zeros((HEIGHT, 5), np.uint8), r"has masks of 12x5 of .*000001\.png, which has 12x16"),
    ):
        Image.fromarray(content).save(mask)
        with pytest.raises(ValueError, match=message):
            read(tmp_path / "images", path).scenes("test").__getitems__([0, 1, 2])
    mask.write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"could not read the mask .*000001\.mask\.png: cannot identify"):
        read(tmp_path / "images", path).scenes("test").__getitems__([0, 1, 2])
    mask.unlink()
    with pytest.raises(ValueError, match=r"1 of 2 files with masks are not there \(.*000001\.mask\.png first\): add"):
        read(tmp_path / "images", path)
    (tmp_path / "images" / "000002.mask.png").unlink()
    assert read(tmp_path / "images", path).extras == ()  # the format may do without
    path = clevr(tmp_path / "named", "s{}.png")
    for number in (1, 2):
        (tmp_path / "named" / f"s{number}.png").unlink()
    with pytest.raises(ValueError, match=r"2 of 2 files with masks are not there \(.*s1\.png first\)"):
        read(tmp_path / "named", path)


@pytest.mark.parametrize(
    "name, edit, message",
    [
        ("gt", lambda t: t.update({"9": []}), r"image 9 of 000007/scene_gt\.json has no file in 000007/rgb/ or"),
        ("gt", lambda t: t.pop("1"), r"says nothing of 1 of the 3 images .*rgb/000001\.png first"),
        (
            "gt",
            lambda t: t["1"].append(t["1"][0]),
            r"image 1 of 000007/scene_gt\.json has 2 objects, and 1 in scene_gt_",
        ),
        ("gt", lambda t: t["1"][0].pop("obj_id"), r"object 0 of image 1 of 000007/scene_gt\.json has no `obj_id`"),
        ("gt", lambda t: t["1"][0].update(obj_id="x"), r"object 0 of image 1 of .* is not as the format has it: .*'x'"),
        ("gt", lambda t: t.update({"1": 7}), r"image 1 of 000007/scene_gt\.json is not as the format has it: "),
        ("gt", lambda t: t.update({"one": []}), r"000007/scene_gt\.json is not as the format has it: .*'one'"),
        (
            "gt_info",
            lambda t: t["1"][0].update(bbox_visib=[1, 2]),
            r"object 0 of image 1 .* has the bbox_visib \[1, 2\]: ",
        ),
        (
            "camera",
            lambda t: t["1"].update(cam_t_w2c=["a", 1, 2]),
            r"image 1 of 000007/scene_camera\.json has the cam_t_w2c \['a', 1, 2\]: expected 3 numbers",
        ),
        ("gt", lambda t: t["1"][0].update(cam_t_m2c=[1, 2]), r"object 0 of image 1 .* has the cam_t_m2c \[1, 2\]: exp"),
        ("camera", lambda t: t["1"].pop("cam_R_w2c"), "does not tell where all objects are .* `data.unit` is 1.0"),
    ],
)
def test_bop_folders_that_cannot_be(tmp_path: Path, name: str, edit: Any, message: str) -> None:
    folder = bop(tmp_path / "test")
    change(folder / "000007" / f"scene_{name}.json", edit)
    with pytest.raises(ValueError, match=f"truth='.*test'.*{message}"):
        read(folder, folder, unit=1.0)


@pytest.mark.parametrize(
    "info, message",
    [
        ({"symmetries_continuous": [{}]}, "model 3 of models_info.json has no `axis`"),
        ({"symmetries_discrete": [[1, 2]]}, "model 3 of models_info.json is not as the format has it: cannot reshape"),
        (
            {"up": "w"},
            "model 3 of models_info.json is not as the format has it: up is 'w', expected one of x, y, z, -x",
        ),
    ],
)
def test_models_that_cannot_be(tmp_path: Path, info: Any, message: str) -> None:
    folder = bop(tmp_path / "test")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "models_info.json").write_text(json.dumps({"3": info}))
    with pytest.raises(ValueError, match=f"truth='.*test'.*{message}"):
        read(folder, folder)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32-le"])
def test_json_in_the_encodings_of_unicode(tmp_path: Path, encoding: str) -> None:
    path = coco(tmp_path / "images")
    change(path, lambda t: t["categories"][0].update(name="W\u00fcrfel"))
    path.write_bytes(json.dumps(json.loads(path.read_text()), ensure_ascii=False).encode(encoding))
    scene = next(scene for scene in read_truth(path).scenes if scene.count)
    assert "W\u00fcrfel" in {thing.identity for thing in scene.objects}


def test_bops_masks_that_are_missing_and_damaged_json(tmp_path: Path) -> None:
    folder = bop(tmp_path / "test")
    (folder / "000007" / "mask_visib" / "000002_000001.png").unlink()
    with pytest.raises(ValueError, match=r"1 of 3 files with masks are not there \(.*000002_000001\.png first\)"):
        read(folder, folder)
    (folder / "000007" / "scene_gt_info.json").write_text("{")
    with pytest.raises(ValueError, match=r"truth='.*test': could not read .*scene_gt_info\.json: Expecting"):
        read(folder, folder)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "its first line must name the columns file and count, found none"),
        ("file,count\n", "it tells of no images"),
        ("name,count\na.png,1\n", "its first line must name the columns file and count, found name, count"),
        ("file,count\n000000.png,1\n000001.png,two\n", "line 3 has the count 'two': expected a whole number from 0 on"),
        ("file,count\n000000.png\n", "line 2 has the count '': expected a whole number"),
        ("file,count\n000000.png,-1\n", "line 2 has the count '-1'"),
        ("file,count\n,1\n", "line 2 names no file"),
        ("file,count,index\n000000.png,1,x\n", "line 2 has the index 'x'"),
        (f"file,count\n{'x' * 140_000},1\n", "line 1: field larger than field limit"),
        ("file,count\n000000.png,1\n", "says nothing of 2 of the 3 images"),
        ("file,count\n000000.png,1\n000000.png,1\n", "tells of 000000.png twice: leave one out"),
    ],
)
def test_tables_that_cannot_be(tmp_path: Path, text: str, message: str) -> None:
    write_images(tmp_path / "images")
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ValueError, match=rf"truth='.*t\.csv'.*{message}"):
        read(tmp_path / "images", tmp_path / "t.csv")


def test_rotations_are_compared_by_the_truths_symmetry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    renderer = MeshRenderer(meshes={"obj_000001": "cube", "obj_000002": "cube"})
    folder = bop(tmp_path / "test")
    (tmp_path / "models").mkdir()
    half = [-1, 0, 0, 0, 0, -1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    for models, error in (({"1": {}}, 90), ({"1": {"symmetries_discrete": [half]}, "2": {}}, 90), ({}, 0)):
        (tmp_path / "models" / "models_info.json").write_text(json.dumps(models))
        data = read(folder, folder, unit=0.01)
        monkeypatch.setattr(data, "_renderer", lambda: renderer)
        evaluation, batch = Evaluation(renderer, 2, data), data.scenes("test").__getitems__([0, 1, 2])
        where, sure = batch.where + torch.tensor([0, 0, math.pi / 2]), torch.eye(2)[batch.what] * 9
        seen = InferredScenes(
            batch.count, torch.eye(3)[batch.count].log(), batch.what, where, torch.full_like(where, 0.1), sure
        )
        evaluation.update(renderer, seen, batch._replace(boxes=None, masks=None))
        # a quarter of a turn, a symmetry of the renderer's own cube
        assert evaluation.compute()["rotation_error"] == pytest.approx(error, abs=1e-3)
