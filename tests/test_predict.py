"""Predictions: what `load(...).infer(...)` returns, overlays, and what is said of wrong input."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from predict_for_tests import SIZE, disc, noise, same
from predict_for_tests import discs as discs
from predict_for_tests import glimpses as glimpses
from predict_for_tests import model as model
from runs_for_tests import DISCS, MESHES, REFINED, write_run

import air_lightning
from air_lightning.commands.predict import FoundObject, Model, Prediction
from air_lightning.commands.predict.overlay import draw_overlay
from air_lightning.commands.predict.records import predictions
from air_lightning.runs.loading import load_module, shipped
from datamodules import Scenes3D
from renderers.mesh import Shadow

# ---- who explains images does not wait for what trains models


def test_explaining_images_imports_no_lightning(tmp_path: Path) -> None:
    run, image = write_run(tmp_path / "run", DISCS, sure=0.3), tmp_path / "image.png"
    Image.fromarray(disc(16, 16)).save(image)
    arguments = ["predict", "--run_dir", str(run), "--input", str(image), "--output", str(tmp_path / "out")]
    told = (
        f"import sys; from air_lightning.cli import main; main({arguments!r}); "
        "print(*sorted({name.partition('.')[0] for name in sys.modules}), 'torch._dynamo' in sys.modules)"
    )
    place = Path(__file__).parent  # where the renderer is
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True, cwd=place)
    *imported, compiles = done.stdout.split()
    assert "torch" in imported and not {"pytorch_lightning", "lightning_fabric", "torchmetrics"} & {*imported}
    assert compiles == "False"


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


def test_options_of_what_a_run_has_and_may_be_without(tmp_path: Path) -> None:
    """A shadow is null or some numbers, of which one is another now, or none is there any more."""
    shadow = {"strength": 0.4, "softness": 15.0, "samples": 3}
    arguments = {**MESHES["init_args"], "light": {"shadow": shadow}}
    run = write_run(tmp_path / "shadow", {**MESHES, "init_args": arguments})
    for name, value, expected in (
        (".strength", "0.5", Shadow(0.5, 15.0, 3)),
        ("", '{"strength": 0.5}', Shadow(0.5, 15.0, 3)),
        ("", "null", None),
    ):
        options = [f"--model.renderer.light.shadow{name}", value]
        assert load_module(run, options=options).renderer.light.shadow == expected
    with pytest.raises(ValueError, match="light.shadow"):
        load_module(run, options=["--model.renderer.light.shadow", "None"])


def test_an_option_that_there_is_not_asks_for_the_nearest(glimpses: Path) -> None:
    said = (
        r"with --model.inference.glimse 8: model.inference: no argument of \w+ is called 'glimse', did you mean glimpse"
    )
    with pytest.raises(ValueError, match=said):
        load_module(glimpses, options=["--model.inference.glimse", "8"])


def test_options_leave_identities_in_their_order(tmp_path: Path) -> None:
    """It is that of the meshes, and an identity's number is what the weights know it by."""
    meshes = {"ring": "drum", "box": "cube", "ball": "sphere"}
    arguments = {"meshes": meshes, "image_size": MESHES["init_args"]["image_size"]}
    run = write_run(tmp_path / "run", {**MESHES, "init_args": arguments})
    assert load_module(run).renderer.what.names == tuple(meshes)
    assert load_module(run, options=["--model.lr", "0.1"]).renderer.what.names == tuple(meshes)
    others = {"drum": "drum", "cone": "cone", "ball": "sphere"}
    options = ["--model.renderer.meshes", json.dumps(others)]
    assert load_module(run, options=options).renderer.what.names == tuple(others)


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
        (torch.zeros(3, 8, 8).to_sparse(), "a tensor must hold a plain number for each value, got one that is sparse"),
        (torch.zeros(3, 8, 8, device="meta"), "for each value, got one that is on the meta device"),
        ("a.png", "images must be an array, a tensor, a PIL image or a list of these, got str: open files"),
    ],
)
def test_what_is_no_image(model: Model, images: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model.infer(images)
    with pytest.raises(ValueError, match=message):
        model.infer([disc(9, 9), images])


def test_wrong_batch_sizes(model: Model) -> None:
    for size in (0, 2.5):
        with pytest.raises(ValueError, match=f"batch_size must be a whole number of at least 1, got {size}"):
            model.infer(disc(9, 9), batch_size=size)  # type: ignore[arg-type]
    assert len(model.infer(disc(9, 9), batch_size=np.int64(2))) == 1  # type: ignore[arg-type]  # numpy's are numbers


def test_no_images_are_explained_by_nothing(model: Model) -> None:
    for none in ([], np.zeros((0, 9, 9, 3), np.uint8), torch.zeros(0, 3, 9, 9)):
        assert model.infer(none) == []
    with pytest.raises(ValueError, match=r"an array of shape \(0, 9, 3\) holds no pixels"):
        model.infer(np.zeros((0, 9, 3), np.uint8))


# ---- loading


def test_importing_the_package_loads_no_torch() -> None:
    code = "import sys, air_lightning; air_lightning.load; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def test_runs_that_cannot_be_loaded(discs: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'.*nowhere' does not exist"):
        air_lightning.load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="'scene3d' does not exist: .* package, clevr, multi_mnist, scenes3d"):
        air_lightning.load("scene3d")
    with pytest.raises(ValueError, match="there is no device 'foo': give 'cpu', or 'cuda'"):
        air_lightning.load(discs, device="foo")
    with pytest.raises(ValueError, match=r"has no checkpoints/last.ckpt: give one of \['best.ckpt'\]"):
        air_lightning.load(discs, "last")
    with pytest.raises(ValueError, match="'x.ckpt' is not a file: give one, or `best` or `last`"):
        air_lightning.load(discs, "x.ckpt")
    with pytest.raises(ValueError, match="checkpoint must be 'best', 'last' or a file, got None"):
        air_lightning.load(discs, None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="there is no device None: give 'cpu'"):
        air_lightning.load(discs, device=None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="device 'meta' cannot be had, torch computes nothing there: give 'cpu'"):
        air_lightning.load(discs, device="meta")
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
    assert shipped() == ["clevr", "multi_mnist", "scenes3d", "tabletop", "tabletop_camera"]
    for name in shipped():
        model = air_lightning.load(name)
        assert sum(p.numel() for p in model.module.parameters()) * 4 < 5e6
    for name, apart in (("scenes3d", 0.9), ("tabletop", 1.3), ("tabletop_camera", 1.3)):
        model = air_lightning.load(name)
        batch = Scenes3D(model.module.renderer, apart=apart, seed=11).scenes("test").__getitems__(list(range(40)))
        seen = model.infer(batch.images)
        right = [p.count == int(count) for p, count in zip(seen, batch.count)]
        assert np.mean(right) >= 0.9
        known = []
        for row, prediction in enumerate(seen):
            if right[row]:
                truth = [model.identities[int(k)] for k in batch.what[row, : prediction.count]]  # type: ignore[index]
                known.append(sorted(truth) == sorted(str(found.kind) for found in prediction.objects))
        assert np.mean(known) > 0.95
    (tmp_path / "scenes3d").mkdir()  # the user's own of that name goes before
    with pytest.raises(ValueError, match="run_dir 'scenes3d' holds no run"):
        air_lightning.load("scenes3d")


@pytest.mark.parametrize("run", [None, 3, "", " "])
def test_what_is_no_run_is_named(run: Any) -> None:
    with pytest.raises(ValueError, match=rf"run must be the folder of a fit or the name .*scenes3d.* got {run!r}"):
        air_lightning.load(run)


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
