"""Predictions: what the command writes and `load(...).infer(...)` returns, and what is said of wrong input."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from runs_for_tests import DISCS, GLIMPSES, MESHES, REFINED, write_run

import air_lightning
from air_lightning.cli import main
from air_lightning.commands.predict import FoundObject, Model, Prediction
from air_lightning.commands.predict.overlay import draw_overlay
from air_lightning.commands.predict.records import predictions
from air_lightning.runs.loading import shipped
from datamodules import Scenes3D

SIZE = 32


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose model is sure of two objects in every image (3, 32, 32)."""
    return write_run(tmp_path_factory.mktemp("discs") / "run", DISCS, sure=20.0)


@pytest.fixture(scope="module")
def glimpses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("glimpses") / "run", GLIMPSES, sure=20.0)


@pytest.fixture
def model(discs: Path) -> Model:
    return air_lightning.load(discs)


def disc(x: float, y: float) -> NDArray[np.uint8]:
    """(32, 32, 3): a green disc of radius 4 pixels around column x and row y."""
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    inside = (columns - x) ** 2 + (rows - y) ** 2 < 16
    return (inside[..., None] * np.array([25, 230, 51])).astype(np.uint8)


def noise(n: int, height: int = SIZE, width: int = SIZE, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), np.uint8)


def predict(*args: object) -> None:
    main(["predict", *(str(arg) for arg in args)])


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]


def same(a: Prediction, b: Prediction) -> None:
    """Assert that two predictions agree but for rounding."""
    assert (a.width, a.height, a.count, len(a.objects)) == (b.width, b.height, b.count, len(b.objects))
    assert a.count_probabilities == pytest.approx(b.count_probabilities, abs=1e-5)
    for mine, theirs in zip(a.objects, b.objects):
        assert (mine.kind, mine.box) == (theirs.kind, theirs.box)
        assert mine.pose == pytest.approx(theirs.pose, abs=1e-4)
        assert mine.confidence == pytest.approx(theirs.confidence, abs=1e-5)


# ---- what is said of an image


def test_a_disc_is_found_where_it_is(model: Model) -> None:
    (seen,) = model.infer(disc(20, 9))
    assert (seen.width, seen.height, seen.count) == (SIZE, SIZE, 2)
    found = seen.objects[0]
    assert found.box is not None and found.code is None
    x0, y0, x1, y1 = found.box
    assert ((x0 + x1) / 2, (y0 + y1) / 2) == pytest.approx((20, 9), abs=3)
    assert found.pose == pytest.approx({"x": (x0 + x1) / SIZE - 1, "y": (y0 + y1) / SIZE - 1}, abs=0.05)
    assert np.mean(found.window, 0) == pytest.approx([(x0 + x1) / 2, (y0 + y1) / 2], abs=0.6)
    assert found.kind in ("blue", "green", "red") and found.kind_probabilities is not None
    assert sum(found.kind_probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert sum(seen.count_probabilities) == pytest.approx(1, abs=1e-5) and len(seen.count_probabilities) == 3


def test_confidence_is_the_posterior_that_as_many_are_there(tmp_path: Path) -> None:
    (seen,) = air_lightning.load(write_run(tmp_path / "run", DISCS, sure=0.3)).infer(disc(16, 16))
    q = seen.count_probabilities
    assert 0.01 < q[1] < 0.99
    assert [found.confidence for found in seen.objects] == pytest.approx([1 - q[0], q[2]][: seen.count], abs=1e-5)


def test_boxes_are_in_the_pixels_of_the_image_given(model: Model) -> None:
    small = disc(20, 9)
    big = np.array(Image.fromarray(small).resize((2 * SIZE, 5 * SIZE), Image.Resampling.NEAREST))
    (here,), (there,) = model.infer(small), model.infer(big)
    assert (there.width, there.height) == (2 * SIZE, 5 * SIZE)
    mine, theirs = here.objects[0].box, there.objects[0].box
    assert mine is not None and theirs is not None
    assert theirs == pytest.approx([side * scale for side, scale in zip(mine, (2, 5, 2, 5))], abs=5.1)
    corners = np.array(here.objects[0].window) * [2, 5]
    assert np.array(there.objects[0].window) == pytest.approx(corners, abs=5.1)


def test_codes_of_appearance(glimpses: Path) -> None:
    model = air_lightning.load(glimpses)
    (seen,) = model.infer(noise(1, 20, 24)[0])
    assert model.identities is None and model.units["scale"] == "half images" and model.image_shape == (1, 20, 24)
    assert seen.count == model.slots == 2
    for found in seen.objects:
        assert found.kind is None and found.kind_probabilities is None
        assert found.code is not None and len(found.code) == 3 and set(found.pose) == {"scale", "x", "y"}
        (left, top), _, (right, bottom), _ = found.window
        scale = found.pose["scale"]
        assert scale is not None and right - left == pytest.approx(scale * 20, rel=1e-4)
        assert bottom - top == pytest.approx(scale * 20, rel=1e-4)


def test_angles_are_taken_modulo_the_symmetry(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", {"class_path": MESHES["class_path"]}, sure=20.0)
    model = air_lightning.load(run)
    images = torch.rand(1, 3, 64, 64)
    seen = model.module.infer(images)
    turned = seen.slots.where.clone()
    turned[..., 2] = 3.0
    for identity, yaw in (("cube", 3.0 - np.pi), ("sphere", None)):
        what = torch.full_like(seen.slots.what, model.module.renderer.what.names.index(identity))  # type: ignore[union-attr]
        changed = seen._replace(slots=seen.slots._replace(what=what, where=turned))
        found = predictions(model.module.renderer, changed, [(64, 64)])[0].objects[0]
        assert found.kind == identity and found.pose["yaw"] == (None if yaw is None else pytest.approx(yaw, abs=1e-5))


def test_refinement_is_used_where_the_model_has_it(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", MESHES, sure=20.0, refinement=REFINED)
    model = air_lightning.load(run)
    renderer = model.module.renderer
    images = Scenes3D(renderer, counts=[2], seed=3).scenes("test").__getitems__([0, 1, 2]).images
    expected = model.module.infer(images).slots.where
    found = [[list(o.pose.values())[:2] for o in p.objects] for p in model.infer(images)]
    assert np.array(found) == pytest.approx(expected[..., :2].numpy(), abs=1e-4)
    model.module.refinement = None
    assert np.abs(np.array(found) - model.module.infer(images).slots.where[..., :2].numpy()).max() > 0.01


def test_a_model_whose_answer_is_not_finite(discs: Path) -> None:
    model = air_lightning.load(discs)
    for parameter in model.module.network.presence.parameters():  # type: ignore[union-attr]
        parameter.fill_(float("nan"))
    with pytest.raises(ValueError, match="the model's count is not finite: its weights are damaged"):
        model.infer(disc(9, 9))


# ---- what infer takes


def test_batches_do_not_matter(model: Model) -> None:
    images = noise(7)
    whole = model.infer(images)
    for some in (model.infer(images, batch_size=3), [p for image in images for p in model.infer(image)]):
        assert len(some) == 7
        for mine, theirs in zip(whole, some):
            same(mine, theirs)
    assert model.infer(images) == whole


def test_arrays_and_tensors(model: Model) -> None:
    images = noise(3)
    expected, tensor = model.infer(images), torch.from_numpy(images).permute(0, 3, 1, 2)
    real = images / 255
    forms: list[Any] = [tensor, real, real.astype(np.float32), tensor / 255, (tensor / 255).double(), list(images)]
    forms += [tuple(tensor), [Image.fromarray(image) for image in images]]
    for form in forms:
        for mine, theirs in zip(model.infer(form), expected, strict=True):
            same(mine, theirs)
    opaque = np.concatenate([images, np.full((*images.shape[:3], 1), 255, np.uint8)], -1)
    for mine, theirs in zip(model.infer(opaque), expected, strict=True):
        same(mine, theirs)


def test_real_values_of_the_right_size_are_not_rounded(model: Model) -> None:
    images = np.random.default_rng(0).random((2, SIZE, SIZE, 3))
    exact = model.module.infer(torch.from_numpy(images).float().permute(0, 3, 1, 2)).posterior
    found = [prediction.count_probabilities for prediction in model.infer(images)]
    assert np.array(found) == pytest.approx(exact.numpy(), rel=1e-5)


def test_grey_for_colour_and_colour_for_grey(model: Model, glimpses: Path) -> None:
    grey = noise(1)[0, ..., 0]
    same(model.infer(grey)[0], model.infer(np.repeat(grey[..., None], 3, -1))[0])
    flat = air_lightning.load(glimpses)
    color = noise(1, 20, 24)[0]
    same(flat.infer(color)[0], flat.infer(np.array(Image.fromarray(color).convert("L")))[0])
    assert len(flat.infer(noise(1, 20, 24)[..., 0])) == len(flat.infer(grey[:20, :24, None])) == 1
    assert len(flat.infer(noise(5, 20, 24)[..., 0])) == 5


@pytest.mark.parametrize(
    "images, message",
    [
        (np.zeros((2, 5, 6, 7, 3)), r"shape \(2, 5, 6, 7, 3\) and type float64: expected an array \(N, H, W\)"),
        (np.zeros((5, 6, 8, 2)), r"images of shape \(5, 6, 8, 2\) and type float64: expected an array"),
        (np.full((8, 8, 3), 200.0), r"\(8, 8, 3\) and type float64: real values must lie in \[0, 1\], found 200 to"),
        (
            np.zeros((8, 8), np.int32),
            r"images of shape \(8, 8\) and type int32: found int32 values from 0 to 0, of which none is known",
        ),
        (np.full((8, 8), np.nan), r"real values must be finite, found NaN or infinite ones: replace them first"),
        (np.full((8, 8), 1 + 1e-7), r"\[0, 1\], found 1.0000001 to 1.0000001: give `scale`, the value of white"),
        (torch.zeros(8, 8, 3), r"\(8, 8, 3\) and type torch.float32: a tensor of three dimensions is one image"),
        (torch.zeros(2, 8, 8, 3), r"type torch.float32: a tensor must be \(H, W\), \(C, H, W\) or \(N, C, H, W\)"),
        ("a.png", "images must be an array, a tensor, a PIL image or a list of these, got str: open files"),
    ],
)
def test_what_is_no_image(model: Model, images: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model.infer(images)
    with pytest.raises(ValueError, match=message):
        model.infer([disc(9, 9), images])


def test_wrong_batch_sizes(model: Model) -> None:
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        model.infer(disc(9, 9), batch_size=0)


# ---- loading


def test_importing_the_package_loads_no_torch() -> None:
    code = "import sys, air_lightning; air_lightning.load; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def test_runs_that_cannot_be_loaded(discs: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'.*nowhere' does not exist"):
        air_lightning.load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"has no checkpoints/last.ckpt: give one of \['best.ckpt'\]"):
        air_lightning.load(discs, "last")
    with pytest.raises(ValueError, match="'x.ckpt' is not a file: give one, or `best` or `last`"):
        air_lightning.load(discs, "x.ckpt")
    other = write_run(tmp_path / "other", MESHES) / "checkpoints" / "best.ckpt"
    with pytest.raises(
        ValueError, match="holds no model that this version can load from best.ckpt: its weights are of"
    ):
        air_lightning.load(discs, other)
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="device 'cuda' cannot be had, torch sees no CUDA GPU"):
            air_lightning.load(discs, device="cuda")


def test_shipped_models_are_small_and_say_what_they_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shipped() == ["multi_mnist", "scenes3d", "tabletop"]
    for name in shipped():
        model = air_lightning.load(name)
        assert sum(p.numel() for p in model.module.parameters()) * 4 < 5e6
    for name, apart in (("scenes3d", 0.9), ("tabletop", 1.3)):
        model = air_lightning.load(name)
        batch = Scenes3D(model.module.renderer, apart=apart, seed=11).scenes("test").__getitems__(list(range(40)))
        seen = model.infer(batch.images)
        right = [p.count == int(count) for p, count in zip(seen, batch.count)]
        assert np.mean(right) >= 0.9
        for row, prediction in enumerate(seen):
            if right[row]:
                truth = [model.identities[int(k)] for k in batch.what[row, : prediction.count]]  # type: ignore[index]
                assert sorted(truth) == sorted(str(found.kind) for found in prediction.objects)
    (tmp_path / "scenes3d").mkdir()  # the user's own of that name goes before
    with pytest.raises(ValueError, match="run_dir 'scenes3d' holds no run"):
        air_lightning.load("scenes3d")


# ---- the command


def fill(folder: Path, n: int = 3) -> Path:
    folder.mkdir()
    for i, image in enumerate(noise(n)):
        Image.fromarray(image).save(folder / f"{i}.png")
    return folder


def test_lines_are_what_infer_returns(discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = fill(tmp_path / "images")
    (given / "below").mkdir()
    Image.fromarray(noise(1, 40, 30)[0]).save(given / "below" / "tall.png")
    Image.fromarray(noise(1)[0, ..., 0]).save(given / "grey.jpeg", quality=95)
    np.save(tmp_path / "stack.npy", noise(2, seed=5))
    out = tmp_path / "new" / "out"
    predict("--run_dir", discs, "--input", given, tmp_path / "stack.npy", given / "0.png", "--output", out)
    rows = lines(out)
    names = [*(f"images/{name}" for name in ("0.png", "1.png", "2.png", "below/tall.png", "grey.jpeg"))]
    assert [row.pop("file") for row in rows] == [str(tmp_path / n) for n in [*names, "stack.npy", "stack.npy"]]
    assert [row.pop("index") for row in rows] == [0, 0, 0, 0, 0, 0, 1]
    images = [Image.open(tmp_path / name) for name in names]
    expected = air_lightning.load(discs).infer([*images, np.load(tmp_path / "stack.npy")])
    assert rows == [json.loads(json.dumps(prediction.record())) for prediction in expected]
    shown = capsys.readouterr()
    assert f"wrote {out}/  predictions.jsonl (7 images)\n" in shown.out
    assert shown.err == "note: 1 image was scaled and changed in their proportions to the model's 32x32 " + (
        "(width x height)\n"
    )
    assert [path.name for path in out.iterdir()] == ["predictions.jsonl"] and len(list(out.parent.iterdir())) == 1


def test_broken_files_are_said_and_the_rest_is_done(
    discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = fill(tmp_path / "images")
    (given / "1.png").write_bytes((given / "1.png").read_bytes()[:500])
    (given / "text.jpg").write_text("no image")
    np.save(given / "far.npy", np.full((4, 4), 300.0))
    with (given / "many.npy").open("wb") as file:
        np.savez(file, np.zeros((4, 4)))
    (given / "lost.png").symlink_to("nowhere.png")
    os.mkfifo(given / "pipe.png")  # which nobody writes to: left out, or it would be waited for
    with pytest.raises(SystemExit) as stop:
        predict("--run_dir", discs, "--input", given, "--output", tmp_path / "out", "--batch_size", 1)
    assert stop.value.code == 1
    assert [Path(row["file"]).name for row in lines(tmp_path / "out")] == ["0.png", "2.png"]
    errors = capsys.readouterr().err
    for name in (
        "1.png: ",
        "text.jpg: cannot identify image file",
        "far.npy: real values must lie in",
        "many.npy: it is an archive",
        "lost.png: ",
    ):
        assert f"error: could not read {given}/{name}" in errors
    assert "5 of 7 files could not be read and were left out" in errors


def test_unreadable_files_alone_replace_nothing(
    discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given, out = fill(tmp_path / "images"), tmp_path / "out"
    predict("--run_dir", discs, "--input", given, "--output", out)
    before = lines(out)
    (given / "text.jpg").write_text("no image")
    with pytest.raises(SystemExit) as stop:
        predict("--run_dir", discs, "--input", given / "text.jpg", "--output", out, "--overwrite")
    assert stop.value.code == 2 and lines(out) == before
    assert "none of the 1 files could be read: nothing was written" in capsys.readouterr().err


def test_overlays_of_files_with_long_names(discs: Path, tmp_path: Path) -> None:
    image = fill(tmp_path / "images") / "0.png"
    long = image.rename(image.with_name("ü" * 125 + ".png"))
    predict("--run_dir", discs, "--input", long, "--output", tmp_path / "out", "--overlay")
    (row,) = lines(tmp_path / "out")
    assert row["file"] == str(long) and (tmp_path / "out" / row["overlay"]).is_file()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"--input": "nowhere.png"}, "--input 'nowhere.png' does not exist: give images, or folders of them"),
        (
            {"--input": "empty"},
            "--input 'empty' holds no images: expected .png, .jpg, .jpeg, .tif, .tiff, .webp, .npy, ",
        ),
        ({"--input": "notes.txt"}, "--input 'notes.txt' is no image: expected .png"),
        ({"--run_dir": "nowhere"}, "run_dir 'nowhere' does not exist"),
        ({"--run_dir": "empty"}, "run_dir 'empty' holds no run, for it has no config.yaml"),
        ({"--ckpt_path": "last"}, "has no checkpoints/last.ckpt: give one of ['best.ckpt'] as --ckpt_path"),
        ({"--ckpt_path": "x.ckpt"}, "--ckpt_path 'x.ckpt' is not a file"),
        ({"--output": "notes.txt"}, "--output 'notes.txt' is a file: name a folder"),
        ({"--output": "notes.txt/out"}, "'notes.txt/out' cannot be made, for 'notes.txt' is no folder: name another"),
        ({"--output": "out.jsonl"}, "--output 'out.jsonl' looks like a file: name a folder"),
        ({"--output": "images"}, "--output 'images' holds other things (0.png): name another folder"),
        ({"--output": "seen"}, "--output 'seen' already holds predictions: add --overwrite, or name another folder"),
        ({"--batch_size": "0"}, "must be at least 1, got 0"),
        ({"--format": "xml"}, "invalid choice: 'xml'"),
        ({"--model": "scenes3d"}, "argument --model: not allowed with argument --run_dir"),
        ({"--model": "nothing", "--run_dir": None}, "no model 'nothing' comes with the package: choose one of"),
        ({"--run_dir": None}, "one of the arguments --run_dir --model is required"),
    ],
)
def test_wrong_arguments_write_nothing(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    arguments: dict[str, str | None], message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    fill(Path("images"))
    for folder in ("empty", "seen"):
        Path(folder).mkdir()
    Path("notes.txt").touch()
    Path("seen/predictions.json").write_text("{}")
    before = sorted(tmp_path.rglob("*"))
    given = {"--run_dir": str(discs), "--input": "images", "--output": "out", **arguments}
    with pytest.raises(SystemExit) as stop:
        predict(*(part for name, value in given.items() if value is not None for part in (name, value)))
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_overwrite_replaces_all_that_was_predicted(discs: Path, tmp_path: Path) -> None:
    given, out = fill(tmp_path / "images"), tmp_path / "out"
    out.mkdir()  # an empty folder is as good as none
    predict("--run_dir", discs, "--input", given, "--output", out, "--overlay", "--format", "coco")
    assert len(list((out / "overlays").iterdir())) == 3
    predict("--run_dir", discs, "--input", given / "1.png", "--output", out, "--overlay", "--overwrite")
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*")) == [
        "overlays", "overlays/000000_1.png", "predictions.jsonl",
    ]  # fmt: skip
    assert lines(out)[0]["overlay"] == "overlays/000000_1.png"


def test_interrupted_it_leaves_nothing(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = fill(tmp_path / "images")
    infer_batch, batches = Model.infer_batch, list[int]()

    def interrupted(model: Model, batch: Any, *more: Any) -> Any:
        batches.append(len(batch))
        if len(batches) == 2:
            raise KeyboardInterrupt(143)
        return infer_batch(model, batch, *more)

    monkeypatch.setattr(Model, "infer_batch", interrupted)
    with pytest.raises(SystemExit) as stop:
        predict("--run_dir", discs, "--input", given, "--output", tmp_path / "out", "--batch_size", 1)
    assert stop.value.code == 143 and batches == [1, 1]
    assert "interrupted; nothing was written" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own
@pytest.mark.parametrize("kind", ["discs", "glimpses"])
def test_coco_boxes_are_those_of_the_lines(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    from pycocotools.coco import COCO

    run, given = request.getfixturevalue(kind), fill(tmp_path / "images")
    predict("--run_dir", run, "--input", given, "--output", tmp_path / "coco", "--format", "coco")
    predict("--run_dir", run, "--input", given, "--output", tmp_path / "lines")
    coco = COCO(str(tmp_path / "coco" / "predictions.json"))
    names = {category["id"]: category["name"] for category in coco.loadCats(coco.getCatIds())}
    assert list(names.values()) == (["blue", "green", "red"] if kind == "discs" else ["object"])
    coco.info()
    found = 0
    for number, row in enumerate(lines(tmp_path / "lines")):
        (image,) = coco.loadImgs([number])
        assert (image["file_name"], image["width"], image["height"]) == (row["file"], row["width"], row["height"])
        seen = [found for found in row["objects"] if found["box"] is not None]
        for mark, expected in zip(coco.loadAnns(coco.getAnnIds([number])), seen, strict=True):
            x, y, width, height = mark["bbox"]
            assert [x, y, x + width, y + height] == pytest.approx(expected["box"])
            assert mark["score"] == expected["confidence"] and mark["pose_sd"] == expected["pose_sd"]
            mask = coco.annToMask(mark)
            assert mask.shape == (row["height"], row["width"]) and mark["area"] == mask.sum() <= width * height
            assert names[mark["category_id"]] == (expected["kind"] or "object")
            found += 1
    assert found > 0
    assert "description" in coco.dataset["info"]  # loadRes of pycocotools 2.0.9 and 2.0.10 asks for it
    judged = coco.loadRes(json.loads((tmp_path / "coco" / "predictions.json").read_text())["annotations"])
    assert len(judged.getAnnIds()) == found


def test_the_levels_of_a_run_and_those_that_are_given(
    glimpses: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """12 bits stored in 16, with `scale` stated, are the image of 8 bits; without, that they are dim is said."""
    grey = np.random.default_rng(1).random((20, 24))
    np.save(tmp_path / "real.npy", grey)
    np.save(tmp_path / "deep.npy", (grey * 4000 + 95).round().astype(np.uint16))

    def seen(name: str, *more: object, run: Path = glimpses) -> dict[str, Any]:
        predict("--run_dir", run, "--input", tmp_path / name, "--output", tmp_path / "out", "--overwrite", *more)
        return lines(tmp_path / "out")[0]

    expected = seen("real.npy")
    assert capsys.readouterr().err == ""
    near = {"abs": 1e-3}
    given = seen("deep.npy", "--scale", 4000, "--offset", 95)
    assert given["count_probabilities"] == pytest.approx(expected["count_probabilities"], **near)
    assert capsys.readouterr().err == ""
    seen("deep.npy")
    said = "warning: the largest of the 16-bit values is 40.., 0.062 of white, so these images are nearly black; if"
    assert re.search(said, capsys.readouterr().err)
    run = write_run(tmp_path / "run", GLIMPSES, sure=20.0)
    with (run / "config.yaml").open("a") as file:
        file.write("data: {class_path: datamodules.ImageFolder, init_args: {scale: 4000, offset: 95, stretch: asinh}}")
    trained = seen("deep.npy", run=run)
    assert {**trained, "file": ""} == {**given, "file": ""}
    assert air_lightning.load(run).stretch == "asinh"
    with pytest.raises(SystemExit):
        seen("deep.npy", "--scale", 0)
    assert "error: scale must be a finite number other than 0, got 0.0" in capsys.readouterr().err


def test_the_images_of_one_array_have_names_of_their_own(discs: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "stack.npy", noise(2))
    np.save(tmp_path / "single.npy", noise(1))
    files = [tmp_path / "stack.npy", tmp_path / "single.npy"]
    predict("--run_dir", discs, "--input", *files, "--output", tmp_path / "out", "--format", "coco")
    images = json.loads((tmp_path / "out" / "predictions.json").read_text())["images"]
    names = [f"{tmp_path}/stack.npy#0", f"{tmp_path}/stack.npy#1", f"{tmp_path}/single.npy"]
    assert [(image["file_name"], image["index"]) for image in images] == list(zip(names, (0, 1, 0)))


@pytest.mark.parametrize("options", [("--model.refinement.iterations", 0), ("--model.refinement", "null")])
def test_arguments_of_the_model_win_over_the_runs(tmp_path: Path, options: tuple[object, ...]) -> None:
    run, image = write_run(tmp_path / "run", MESHES, sure=20.0, refinement=REFINED), tmp_path / "a.npy"
    np.save(image, noise(1, 32, 40))
    poses = []
    for number, more in enumerate(((), options)):
        predict("--run_dir", run, "--input", image, "--output", tmp_path / str(number), *more)
        poses.append([found["pose"]["x"] for found in lines(tmp_path / str(number))[0]["objects"]])
    model = air_lightning.load(run)
    assert poses[0] == [found.pose["x"] for found in model.infer(np.load(image))[0].objects]
    model.module.refinement = None
    assert poses[1] == [found.pose["x"] for found in model.infer(np.load(image))[0].objects] != poses[0]


@pytest.mark.parametrize(
    "options, message",
    [
        (
            ("--model.refinement.scan", "-1"),
            "with --model.refinement.scan -1: model.refinement: refinement's scan must be",
        ),
        (("--model.refinment", "null"), "--model.refinment"),
        (("--refinement", "null"), "unrecognized arguments: --refinement null"),
    ],
)
def test_wrong_arguments_of_the_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, str], message: str
) -> None:
    run = write_run(tmp_path / "run", MESHES, refinement=REFINED)
    images = fill(tmp_path / "images", 1)
    with pytest.raises(SystemExit) as stop:
        predict("--run_dir", run, "--input", images, "--output", tmp_path / "out", *options)
    assert stop.value.code == 2 and message in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_all_slots_are_listed_with_their_presence(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", DISCS, sure=-0.2)
    images = fill(tmp_path / "images")
    predict("--run_dir", run, "--input", images, "--output", tmp_path / "out", "--all_slots")
    predict("--run_dir", run, "--input", images, "--output", tmp_path / "coco", "--all_slots", "--format", "coco")
    rows = lines(tmp_path / "out")
    for row in rows:
        q = row["count_probabilities"]
        assert row["slots"][: row["count"]] == row["objects"] and row["count"] < 2
        assert [slot["confidence"] for slot in row["slots"]] == pytest.approx([1 - q[0], q[2]], abs=1e-5)
    coco = json.loads((tmp_path / "coco" / "predictions.json").read_text())
    assert len(coco["annotations"]) == sum(slot["box"] is not None for row in rows for slot in row["slots"])


# ---- overlays


def test_overlays_mark_the_boxes() -> None:
    found = FoundObject("cube", {"cube": 1.0}, None, {}, {}, (), (10.0, 20.0, 30.0, 35.0), 0.987)
    hidden = replace(found, box=None)
    prediction = Prediction(80, 40, 2, (0.0, 0.0, 1.0), (hidden, found))
    image = np.array(draw_overlay(Image.new("RGB", (80, 40), "#102030"), prediction))
    assert image.shape == (160, 320, 3)  # four screen pixels a pixel
    marked = (image == [0, 229, 255]).all(-1)  # the second object's colour
    rows, columns = np.nonzero(marked[78:])
    assert (rows.min() + 78, rows.max() + 78, columns.min(), columns.max()) == (80, 139, 40, 119)
    assert marked[80, 40:120].all() and marked[80:140, 119].all() and not marked[81:139, 41:119].any()
    assert (image[60:78, 40:120] != [16, 32, 48]).any()  # what it is, above
    assert (image[100, 200] == [16, 32, 48]).all()


def test_labels_lie_over_the_boxes_of_other_objects() -> None:
    """The second object's box crosses the first one's label."""
    first = FoundObject("cube", {"cube": 1.0}, None, {}, {}, (), (25.0, 20.0, 35.0, 35.0), 0.987)
    second = replace(first, box=(2.0, 18.0, 60.0, 38.0))
    alone, both = (
        np.array(draw_overlay(Image.new("RGB", (80, 40)), Prediction(80, 40, len(found), (), found)))
        for found in ((first,), (first, second))
    )
    letters = alone.min(-1) > 100
    letters[78:] = False  # the box itself
    assert letters.sum() > 20 and (both[letters] == alone[letters]).all()


def test_overlays_of_large_images_and_labels_at_the_edge() -> None:
    found = FoundObject(None, None, (0.0,), {}, {}, (), (380.0, 0.0, 400.0, 10.0), 1.0)
    image = np.array(draw_overlay(Image.new("L", (400, 300), 200), Prediction(400, 300, 1, (0.0, 1.0), (found,))))
    assert image.shape == (300, 400, 3)
    assert (image[0, 380:] == 255).all()
    assert (image[12:30, 330:] != 200).any() and (image[30:] == 200).all()
