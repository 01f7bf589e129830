"""What the command predict writes, and what it refuses."""

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from predict_for_tests import discs as discs
from predict_for_tests import glimpses as glimpses
from predict_for_tests import lines, noise, predict
from predict_for_tests import model as model
from runs_for_tests import DISCS, GLIMPSES, MESHES, REFINED, write_run

import air_lightning
from air_lightning.commands.predict import Model, command
from air_lightning.commands.predict.command import input_files
from air_lightning.commands.predict.formats import Source
from air_lightning.commands.predict.images import GivenImage
from air_lightning.commands.predict.output import check_output


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
    assert shown.err == "note: 1 image was scaled, proportions not kept, to the model's 32x32 " + ("(width x height)\n")
    assert [path.name for path in out.iterdir()] == ["predictions.jsonl"] and len(list(out.parent.iterdir())) == 1


def test_a_file_is_read_once_by_whatever_path(tmp_path: Path) -> None:
    given = fill(tmp_path / "images", 2)
    (tmp_path / "linked").symlink_to(given)
    (given / "2.png").symlink_to(given / "0.png")  # a name of its own
    paths = [given / "0.png", given / ".." / "images" / "0.png", tmp_path / "linked" / "0.png", tmp_path / "linked"]
    assert input_files(paths) == [given / "0.png", tmp_path / "linked" / "1.png", tmp_path / "linked" / "2.png"]


def test_what_is_known_of_images_is_no_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = (
        "0.png", "0.mask.png", ".hidden.png", "._0.png", ".thumbnails/0.png", "png/images/000000.png",
        "png/masks/000000.mask.png", "png/depth/000000.npy", "bop/000001/rgb/000000.png", "bop/000001/depth/000000.png",
        "bop/000001/mask/000000_000000.png", "bop/000001/mask_visib/000000_000000.png", "masks/carnival.png",
    )  # fmt: skip
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    images = ["0.png", "bop/000001/rgb/000000.png", "masks/carnival.png", "png/images/000000.png"]
    assert input_files([tmp_path]) == [tmp_path / name for name in images]
    assert (
        capsys.readouterr().err == "note: 6 files left out: masks, depth, or pictures that predictions or runs hold\n"
    )
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    for name in ("1.gif", "run/figures/steps.gif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    input_files([tmp_path])
    assert f"note: 1 image was left out, {tmp_path / '1.gif'} first, whose format is not" in capsys.readouterr().err
    (tmp_path / "gifs").mkdir()
    (tmp_path / "gifs" / "2.gif").touch()
    with pytest.raises(ValueError, match="holds no images that are read: 1 image was left out, .* save them as PNG"):
        input_files([tmp_path / "gifs"])
    wanted = [tmp_path / "png" / "masks", tmp_path / "bop" / "000001" / "depth", tmp_path / ".hidden.png"]
    assert [path.name for path in input_files(wanted)] == ["000000.mask.png", "000000.png", ".hidden.png"]
    assert capsys.readouterr().err == ""


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
            "--input 'empty' holds no images: expected .png, .jpg, .jpeg, .tif, .tiff, .webp, .bmp, .npy, ",
        ),
        ({"--input": "notes.txt"}, "--input 'notes.txt' is no image: expected .png"),
        ({"--run_dir": "nowhere"}, "run_dir 'nowhere' does not exist"),
        ({"--run_dir": ""}, "--run_dir must name a folder, got ''"),
        ({"--run_dir": "empty"}, "run_dir 'empty' holds no run, for it has no config.yaml"),
        ({"--ckpt_path": "last"}, "has no checkpoints/last.ckpt: give one of ['best.ckpt'] as --ckpt_path"),
        ({"--ckpt_path": "x.ckpt"}, "--ckpt_path 'x.ckpt' is not a file"),
        ({"--output": "notes.txt"}, "--output 'notes.txt' is a file: name a folder"),
        ({"--output": "notes.txt/out"}, "'notes.txt/out' cannot be made, for 'notes.txt' is no folder: name another"),
        ({"--output": "out.jsonl"}, "--output 'out.jsonl' looks like a file: name a folder"),
        ({"--output": "images"}, "--output 'images' holds other things (0.png): name another folder"),
        ({"--output": "seen"}, "--output 'seen' already holds predictions: add --overwrite, or name another folder"),
        ({"--batch_size": "0"}, "must be at least 1, got 0"),
        ({"--batch_size": "many"}, "must be a whole number, got 'many'"),
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


@pytest.mark.parametrize("form, folder", [("masks", "masks/below"), ("masks", "overlays"), ("coco", "overlays")])
def test_overwrite_spares_what_is_not_predicted(
    discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str, folder: str
) -> None:
    given, out = fill(tmp_path / "images"), tmp_path / "out"
    arguments = ("--run_dir", discs, "--input", given, "--output", out, "--format", form, "--overlay", "--overwrite")
    predict(*arguments)
    own = out / folder / "000000_0 by hand.png"  # the name is one that a prediction could have
    own.parent.mkdir(exist_ok=True)
    own.write_text("mine")
    before = sorted(out.rglob("*"))
    with pytest.raises(SystemExit) as stop:
        predict(*arguments)
    assert stop.value.code == 2 and own.read_text() == "mine" and sorted(out.rglob("*")) == before
    assert f"holds other things ({folder}/000000_0 by hand.png): name another folder" in capsys.readouterr().err
    own.unlink()
    predict(*arguments)


def test_a_folder_of_masks_without_predictions_is_somebody_elses(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "000000_000000.png").touch()
    with pytest.raises(ValueError, match=r"holds other things \(masks/000000_000000.png\)"):
        check_output(tmp_path, overwrite=True)


def test_overlays_of_poses_are_known_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "overlays").mkdir()
    (tmp_path / "overlays" / "000000_image.png").touch()
    (tmp_path / "predictions.csv").touch()
    check_output(tmp_path, overwrite=True)
    (tmp_path / "overlays" / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"holds other things \(overlays/notes.txt\)"):
        check_output(tmp_path, overwrite=True)


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
    said = (
        "warning: 1 of 1 file is nearly black .*deep.npy first.: the largest of the 16-bit values there is 40.., 0.062"
    )
    assert re.search(said, capsys.readouterr().err)
    np.save(tmp_path / "bright.npy", np.full((20, 24), 60_000, np.uint16))
    seen("deep.npy", "--input", tmp_path / "bright.npy", tmp_path / "deep.npy")
    assert re.search("warning: 1 of 2 files is nearly black .*deep.npy first", capsys.readouterr().err)
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


def test_large_images_are_read_fewer_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "MOST_PIXELS", 200)
    read = [(Source(Path(f"{side}.png"), 0, 1), image_of(side)) for side in (5, 5, 5, 5, 15, 10, 10, 5)]
    sizes = [[image.size[0] for _, image in batch] for batch in command.batches(read, 3)]
    assert sizes == [[5, 5, 5], [5, 15], [10, 10], [5]]


def image_of(side: int) -> GivenImage:
    return GivenImage(torch.zeros(1, 4, 4), np.zeros((side, side), np.uint8), "linear")
